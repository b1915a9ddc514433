"""Creating a key."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from service_keys.core.ids import timestamp_ms_of
from service_keys.core.timestamps import format_timestamp
from tests.functional.conftest import COLLECTION, SECRET, SPOTIFY_KEY, Admin, ApiResponse, Store
from tests.support.key_fields import RESPONSE_FIELDS


def test_a_created_key_is_returned_masked(admin: Admin) -> None:
    """Return every field with its initial value, and the headers of a created resource."""
    body = {"name": " Spotify production ", "service": "spotify", "description": "Player", "key": SPOTIFY_KEY}
    before = datetime.now(UTC)

    response = admin.send("POST", COLLECTION, body)

    key = response.data
    assert response.status == 201
    assert response.headers["ETag"] == '"1"'
    assert response.headers["Location"] == f"{COLLECTION}/{key['id']}"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Idempotency-Replayed" not in response.headers
    assert response.body.keys() == {"success", "data", "requestId"}
    assert key.keys() == set(RESPONSE_FIELDS)
    assert re.fullmatch(r"spotify\.[0-9a-hjkmnp-tv-z]{12}", key["id"])
    assert key["maskedKey"] == {"clientId": "••••cdef", "clientSecret": "••••3210"}
    assert (key["name"], key["service"], key["description"]) == ("Spotify production", "spotify", "Player")
    assert (key["active"], key["version"], key["lastUsed"], key["verification"]) == (True, 1, None, None)
    assert key["createdBy"] == key["updatedBy"] == "ada"
    assert key["createdAt"] == key["updatedAt"] == key["keyUpdatedAt"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", key["createdAt"])
    created = datetime.fromisoformat(key["createdAt"])
    assert abs((created - before).total_seconds()) < 30
    assert format_timestamp(timestamp_ms_of(key["id"])) == key["createdAt"]


def test_location_leads_to_the_created_key(admin: Admin) -> None:
    """Get the key at the path in the Location header."""
    response = admin.send("POST", COLLECTION, {"name": "OpenAI", "key": f"sk-{SECRET}"})

    found = admin.send("GET", response.headers["Location"])

    assert (found.status, found.data) == (200, response.data)


def test_a_key_can_be_stored_inactive(admin: Admin) -> None:
    assert admin.create(active=False)["active"] is False


def test_unicode_text_is_returned_unchanged(admin: Admin) -> None:
    """Keep letters of other scripts, emoji and line breaks of name and description."""
    found = admin.get(admin.create("Café 音楽 🎵", service="music", description="für\n\tdich")["id"]).data

    assert (found["name"], found["description"]) == ("Café 音楽 🎵", "für\n\tdich")


@pytest.mark.parametrize(
    "name", ["Spotify production", "SPOTIFY  production", " spotify production ", "Ｓpotify production"]
)
def test_a_reserved_name_is_a_conflict(admin: Admin, store: Store, name: str) -> None:
    """Return 409 for any spelling with the same normalized name."""
    first = admin.create("Spotify production")
    before = store.items()

    response = admin.send("POST", COLLECTION, {"name": name, "service": "other", "key": SECRET})

    assert (response.status, response.code) == (409, "DUPLICATE_API_KEY_NAME")
    assert "Choose another name" in response.body["error"]["message"]
    assert store.items() == before
    assert admin.get(first["id"]).data == first


def test_equal_keys_have_different_ids(admin: Admin) -> None:
    """Create two keys with the same service and secret value."""
    one, other = (admin.create(name, service="spotify", key=SPOTIFY_KEY) for name in ("S1", "S2"))

    assert one["service"] == other["service"]
    assert one["id"] != other["id"]


# --- retries --------------------------------------------------------------------------------------------------------

RETRY = "a-retry-key-0123456789"
BODY = {"name": "One", "key": SECRET}


def send(admin: Admin, body: dict[str, str] = BODY) -> ApiResponse:
    return admin.send("POST", COLLECTION, body, Idempotency_Key=RETRY)


def idempotency_record(store: Store) -> dict[str, Any]:
    (record,) = store.partition("#idempotency").values()
    return record


def test_a_retry_returns_the_created_key(admin: Admin, store: Store) -> None:
    """Replay the response for the same Idempotency-Key and body."""
    first = send(admin)
    before = store.items()

    again = send(admin, dict(reversed(BODY.items())))

    assert (first.status, again.status) == (201, 201)
    assert again.data == first.data
    headers = (again.headers["ETag"], again.headers["Location"], again.headers["Idempotency-Replayed"])
    assert headers == ('"1"', first.headers["Location"], "true")
    assert again.body["requestId"] != first.body["requestId"]
    assert store.items() == before


@pytest.mark.parametrize("since", ["renamed", "deleted"])
def test_a_retry_creates_nothing_after_a_change(admin: Admin, store: Store, since: str) -> None:
    """Replay the response although the key was renamed or deleted."""
    first = send(admin)
    if since == "renamed":
        admin.update(first.data["id"], {"name": "Other"})
    else:
        admin.delete(first.data["id"])
    before = store.items()

    again = send(admin)

    assert (again.status, again.data) == (201, first.data)
    assert store.items() == before


def test_an_idempotency_key_belongs_to_one_body(admin: Admin) -> None:
    """Treat another body with the same Idempotency-Key as a new request."""
    send(admin)

    other = send(admin, BODY | {"name": "Two"})
    taken = send(admin, BODY | {"key": SECRET + "x"})

    assert other.status == 201
    assert "Idempotency-Replayed" not in other.headers
    assert taken.code == "DUPLICATE_API_KEY_NAME"


def test_a_retry_by_another_administrator_is_no_replay(admin: Admin) -> None:
    """Return 409 for the same Idempotency-Key and body of another administrator."""
    send(admin)

    assert send(type(admin)(admin.stack, "bob")).code == "DUPLICATE_API_KEY_NAME"


def test_an_idempotency_record_expires_after_a_day(admin: Admin, store: Store) -> None:
    """Create a new key after 24 hours, although the record still exists."""
    first = send(admin)
    record = idempotency_record(store)
    expires_at = int(record["expiresAt"]["N"])
    assert 86_398 < expires_at - datetime.fromisoformat(first.data["createdAt"]).timestamp() <= 86_400
    # DynamoDB deletes expired items within days, not at once.
    store.put(record | {"expiresAt": {"N": str(expires_at - 86_402)}})
    admin.delete(first.data["id"])

    again = send(admin)

    assert again.status == 201
    assert again.data["id"] != first.data["id"]


def test_an_idempotency_record_contains_no_request_data(admin: Admin, store: Store) -> None:
    """Store an HMAC, without the Idempotency-Key and the body."""
    send(admin)

    record = idempotency_record(store)

    assert record.keys() == {"service", "id", "key", "expiresAt"}
    assert re.fullmatch(r"[0-9a-f]{64}", record["id"]["S"])
    assert RETRY not in json.dumps(store.items(), default=str)
