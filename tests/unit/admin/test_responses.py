"""Tests of the responses to successful requests."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime

import pytest

from service_keys.admin import responses
from service_keys.admin.request import Request
from service_keys.admin.responses import (
    Response,
    changed_response,
    created_response,
    current_timestamp,
    deleted_response,
    key_response,
    list_response,
)
from service_keys.core.models import DeletedKey
from service_keys.store.key_list import Page
from service_keys.store.recovery import Deletion
from tests.unit.admin.conftest import COLLECTION, event
from tests.unit.core.test_models import KEY

DATA = {"data": KEY.to_response()}


@pytest.fixture
def effective_by(monkeypatch: pytest.MonkeyPatch) -> str:
    """Stop the clock; return the time 60 s later, when all consumers have refreshed."""
    monkeypatch.setattr(responses, "now_ms", lambda: 1_800_000_000_123)
    return "2027-01-15T08:01:00.123Z"


@pytest.mark.parametrize("path", [COLLECTION, COLLECTION + "/"])
def test_a_created_key_has_a_location_header(path: str) -> None:
    """Mark a replay with Idempotency-Replayed."""
    request = Request(event(), at_ms=1)
    request.path = path

    headers = {"ETag": '"1"', "Location": f"{COLLECTION}/{KEY.id}"}
    assert created_response(KEY, request) == Response(201, DATA, headers)
    replayed = headers | {"Idempotency-Replayed": "true"}
    assert created_response(KEY, request, replayed=True) == Response(201, DATA, replayed)


def test_a_key_response_has_an_etag() -> None:
    """Return the version as `ETag`."""
    assert key_response(replace(KEY, version=7)).headers == {"ETag": '"7"'}
    assert key_response(KEY) == Response(200, DATA, {"ETag": '"1"'})


@pytest.mark.parametrize("fields", [{"active"}, {"key"}, {"key", "name"}])
def test_an_update_that_affects_consumers_has_effective_by(effective_by: str, fields: set[str]) -> None:
    """Return the time from which all consumers use the change."""
    expected = Response(200, DATA | {"effectiveBy": effective_by}, {"ETag": '"1"'})

    assert changed_response(KEY, fields=fields) == expected


@pytest.mark.parametrize("fields", [{"name"}, {"description"}, set[str]()])
def test_an_update_without_consumer_effect_has_no_effective_by(fields: set[str]) -> None:
    """Omit `effectiveBy` for name and description."""
    assert changed_response(KEY, fields=fields) == Response(200, DATA, {"ETag": '"1"'})


def test_a_list_response_has_a_next_cursor() -> None:
    """Return the cursor with the limit."""
    query = Request(event(multiValueQueryStringParameters={"limit": ["3"]}), at_ms=1).parse_query()

    body = {"data": [KEY.to_response()], "pagination": {"limit": 3, "nextCursor": "cursor"}}
    assert list_response(Page((KEY,), "cursor"), query) == Response(200, body)


def test_a_deletion_is_confirmed(effective_by: str) -> None:
    """Return the deleted key and the time from which all consumers treat it as absent."""
    key = DeletedKey(KEY.id, "Key", "2026-01-01T00:00:00.000Z")

    body = {"message": "API key deleted successfully", "data": key.to_response(), "effectiveBy": effective_by}
    assert deleted_response(Deletion(key, None, KEY)) == Response(200, body)
    assert deleted_response(Deletion(key, 7, KEY)) == Response(200, body, {"ETag": '"7"'})


def test_current_timestamp_is_the_current_time() -> None:
    """Allow a deviation of 10 s."""
    assert abs(datetime.fromisoformat(current_timestamp()).timestamp() - time.time()) < 10
