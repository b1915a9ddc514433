"""Benchmarks: cold start, warm request, cached read, scale, fleet and cost, each compared with peers (`make bench`)."""
