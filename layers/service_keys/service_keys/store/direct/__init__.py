"""A client for the three calls of a consumer (Query, UpdateItem, Decrypt) with the standard library only.

botocore takes most of the processor time of a first read (docs/decisions/30-a-direct-client.md). Modules here import
only the modules that a call needs: each import is part of every consumer's cold start.
"""
