"""Benchmarks: cold start, warm request, cached read, scale, fleet and cost, each beside its peers (`make bench`)."""
