"""Successful responses of the admin API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from service_keys.core import settings
from service_keys.core.timestamps import format_timestamp, now_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from service_keys.admin.request import Request
    from service_keys.core.list_query import ListQuery
    from service_keys.core.models import DeletedKey, StoredKey
    from service_keys.store.key_list import Page

PROPAGATION_DELAY_MS: Final = settings.CONSUMER_CACHE_TTL_SECONDS * 1000
"""Time until every consumer has refreshed its cache after a change."""


@dataclass(frozen=True, slots=True)
class Response:
    """Response of a handler; `endpoint` adds the common headers and body fields."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


def created_response(key: StoredKey, request: Request, *, replayed: bool = False) -> Response:
    """Return the response to a create request."""
    headers = {"ETag": key.etag, "Location": f"{request.path.rstrip('/')}/{key.id}"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(201, {"data": key.to_response()}, headers)


def key_response(key: StoredKey) -> Response:
    """Return the response to a get or verify request."""
    return Response(200, {"data": key.to_response()}, {"ETag": key.etag})


def updated_response(key: StoredKey, *, fields: AbstractSet[str]) -> Response:
    """Return the response to a completed update of these fields."""
    body: dict[str, object] = {"data": key.to_response()}
    if fields & {"active", "key"}:
        body["effectiveBy"] = format_timestamp(now_ms() + PROPAGATION_DELAY_MS)
    return Response(200, body, {"ETag": key.etag})


def list_response(page: Page, query: ListQuery) -> Response:
    """Return the response to a list request."""
    pagination = {"limit": query.limit, "nextCursor": page.next_cursor}
    return Response(200, {"data": [key.to_response() for key in page.keys], "pagination": pagination})


def deleted_response(key: DeletedKey) -> Response:
    """Return the response to a completed delete request."""
    effective_by = format_timestamp(now_ms() + PROPAGATION_DELAY_MS)
    body = {"message": "API key deleted successfully", "data": key.to_response(), "effectiveBy": effective_by}
    return Response(200, body)


def current_timestamp() -> str:
    """Return the current time in the format of responses."""
    return format_timestamp(now_ms())
