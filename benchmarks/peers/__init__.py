"""The same endpoints, written the two ways that are common: real handlers, on the product's own table.

Each serves the one route that PEER_ENDPOINT names, as one function of ours does, and makes no client that this route
does not need. Both leave out what would only cost them: idempotent creates, cursors that cannot be forged, `If-Match`,
the shapes of known services, most of the audit trail; FastAPI's writes no log and no metrics either.
"""
