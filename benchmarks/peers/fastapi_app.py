"""With FastAPI behind Mangum, as their documentation shows them. No thread pool: there is one request at a time.

FastAPI is installed where the benchmark runs, and not where types are checked.
"""
# mypy: disable-error-code="import-not-found, untyped-decorator, unused-ignore"

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from mangum import Mangum

from benchmarks.peers import store
from benchmarks.peers.models import CreateKey, Deleted, Limit, Listed, Pagination, Shown, UpdateKey
from benchmarks.peers.store import ENDPOINT

app = FastAPI()
KEYS = "/api/v1/admin/api-keys"


def _context(request: Request) -> Any:
    return request.scope["aws.event"]["requestContext"]


def _principal(request: Request) -> str:
    return str(_context(request)["authorizer"]["sub"])


@app.exception_handler(store.NotFound)
async def _not_found(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"message": "There is no API key with this id."}, 404)


@app.exception_handler(store.Duplicate)
async def _duplicate(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"message": "Another key has this name."}, 409)


if ENDPOINT == "create":

    @app.post(KEYS, status_code=201)
    async def create(new: CreateKey, request: Request) -> Shown:
        """Store a key."""
        key = store.create(new, _principal(request))
        return Shown(data=key, requestId=_context(request)["requestId"])


if ENDPOINT == "list":

    @app.get(KEYS)
    async def list_keys(
        request: Request,
        limit: Limit = 20,
        service: str | None = None,
        active: bool | None = None,  # noqa: FBT001 - a parameter of the query
        cursor: str | None = None,
    ) -> Listed:
        """List keys."""
        keys, after = store.page(limit, service, active, cursor)
        pagination = Pagination(limit=limit, nextCursor=after)
        return Listed(data=keys, pagination=pagination, requestId=_context(request)["requestId"])


if ENDPOINT == "get":

    @app.get(f"{KEYS}/{{key_id}}")
    async def get(key_id: str, request: Request) -> Shown:
        """Show a key."""
        return Shown(data=store.get(key_id), requestId=_context(request)["requestId"])


if ENDPOINT == "update":

    @app.patch(f"{KEYS}/{{key_id}}")
    async def update(key_id: str, changes: UpdateKey, request: Request) -> Shown:
        """Change a key."""
        key = store.update(key_id, changes, _principal(request))
        return Shown(data=key, requestId=_context(request)["requestId"])


if ENDPOINT == "delete":

    @app.delete(f"{KEYS}/{{key_id}}")
    async def delete(key_id: str, request: Request) -> Deleted:
        """Delete a key."""
        store.delete(key_id)
        return Deleted(requestId=_context(request)["requestId"])


if ENDPOINT == "verify":

    @app.post(f"{KEYS}/{{key_id}}/verify")
    async def verify(key_id: str, request: Request) -> Shown:
        """Ask the key's service whether it takes the key."""
        return Shown(data=store.verify(key_id), requestId=_context(request)["requestId"])


handler = Mangum(app, lifespan="off")
