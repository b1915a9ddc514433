"""Successful responses of the admin API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from service_keys.core import settings
from service_keys.core.timestamps import format_timestamp, now_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from service_keys.admin.request import Request
    from service_keys.admin.warnings import ChangeWarning
    from service_keys.core.history_query import HistoryQuery
    from service_keys.core.list_query import ListQuery
    from service_keys.core.models import StoredKey
    from service_keys.store.history import HistoryPage
    from service_keys.store.key_list import Page
    from service_keys.store.recovery import Deletion

PROPAGATION_DELAY_MS: Final = settings.CONSUMER_CACHE_TTL_SECONDS * 1000
"""Time until every consumer has refreshed its cache after a change."""

_AFFECTING_CONSUMERS: Final = frozenset({"active", "key"})


@dataclass(frozen=True, slots=True)
class Response:
    """Response of a handler; `endpoint` adds the common headers and body fields."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


def created_response(
    key: StoredKey, request: Request, *, replayed: bool = False, warnings: Sequence[ChangeWarning] = ()
) -> Response:
    """Return the response to a create request."""
    headers = {"ETag": key.etag, "Location": f"{request.path.rstrip('/')}/{key.id}"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(201, {"data": key.to_response(), **_warnings(warnings)}, headers)


def key_response(key: StoredKey) -> Response:
    """Return the response to a get or verify request."""
    return Response(200, {"data": key.to_response()}, {"ETag": key.etag})


def changed_response(
    key: StoredKey, *, fields: AbstractSet[str] = _AFFECTING_CONSUMERS, warnings: Sequence[ChangeWarning] = ()
) -> Response:
    """Return the response to a completed change of these fields; by default, of one that affects consumers."""
    effective = {"effectiveBy": _effective_by()} if fields & _AFFECTING_CONSUMERS else {}
    body = {"data": key.to_response(), **effective, **_warnings(warnings)}
    return Response(200, body, {"ETag": key.etag})


def list_response(page: Page, query: ListQuery) -> Response:
    """Return the response to a list request."""
    pagination = {"limit": query.limit, "nextCursor": page.next_cursor}
    return Response(200, {"data": [key.to_response() for key in page.keys], "pagination": pagination})


def history_response(page: HistoryPage, query: HistoryQuery) -> Response:
    """Return the response to a history request."""
    pagination = {"limit": query.limit, "nextCursor": page.next_cursor}
    return Response(200, {"data": [entry.to_response() for entry in page.entries], "pagination": pagination})


def deleted_response(deletion: Deletion, warnings: Sequence[ChangeWarning] = ()) -> Response:
    """Return the response to a completed delete request."""
    body = {
        "message": "API key deleted successfully",
        "data": deletion.key.to_response(),
        "effectiveBy": _effective_by(),
        **_warnings(warnings),
    }
    return Response(200, body, {} if deletion.version is None else {"ETag": f'"{deletion.version}"'})


def services_response(services: Sequence[Mapping[str, object]], *, complete: bool) -> Response:
    """Return the response to a request for the services."""
    return Response(200, {"data": services} | ({} if complete else {"incomplete": True}))


def _warnings(warnings: Sequence[ChangeWarning]) -> dict[str, object]:
    return {"warnings": warnings} if warnings else {}


def _effective_by() -> str:
    return format_timestamp(now_ms() + PROPAGATION_DELAY_MS)


def current_timestamp() -> str:
    """Return the current time in the format of responses."""
    return format_timestamp(now_ms())
