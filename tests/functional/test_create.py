"""Creating a key."""

import json
import re
from datetime import UTC, datetime

import pytest

from service_keys.core.ids import timestamp_ms_of
from service_keys.core.timestamps import format_timestamp
from tests.functional.conftest import COLLECTION, SECRET, SPOTIFY_KEY, Admin, Store
from tests.support.fault_proxy import FaultProxy

FIELDS = {
    "id", "name", "service", "description", "active", "maskedKey", "createdAt", "createdBy", "updatedAt", "updatedBy",
    "keyUpdatedAt", "lastUsed", "version", "verification",
}  # fmt: skip


def test_a_created_key_is_returned_masked(admin: Admin) -> None:
    """Return every field with its initial value, and the headers of a created resource."""
    body = {"name": " Spotify production ", "service": "spotify", "description": "Player", "key": SPOTIFY_KEY}
    before = datetime.now(UTC)

    answer = admin.send("POST", COLLECTION, body)

    key = answer.data
    assert answer.status == 201
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"{COLLECTION}/{key['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Idempotency-Replayed" not in answer.headers
    assert answer.body.keys() == {"success", "data", "requestId"}
    assert key.keys() == FIELDS
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
    answer = admin.send("POST", COLLECTION, {"name": "OpenAI", "key": f"sk-{SECRET}"})

    found = admin.send("GET", answer.headers["Location"])

    assert (found.status, found.data) == (200, answer.data)


def test_a_create_takes_one_encryption_and_one_transaction(admin: Admin, fault_proxy: FaultProxy) -> None:
    """Make no other call to AWS."""
    admin.create()

    assert fault_proxy.counts() == {"KMS.Encrypt": 1, "DynamoDB.TransactWriteItems": 1}


def test_a_key_can_be_stored_inactive(admin: Admin) -> None:
    assert admin.create(active=False)["active"] is False


def test_unicode_text_is_returned_unchanged(admin: Admin) -> None:
    """Keep letters of other scripts, emoji and line breaks of name and description."""
    key = admin.create("Café 音楽 🎵", service="music", description="für\n\tdich")

    assert admin.get(key["id"]).data["name"] == "Café 音楽 🎵"
    assert admin.get(key["id"]).data["description"] == "für\n\tdich"


@pytest.mark.parametrize(
    "name", ["Spotify production", "SPOTIFY  production", " spotify production ", "Ｓpotify production"]
)
def test_a_reserved_name_is_a_conflict(admin: Admin, store: Store, name: str) -> None:
    """Return 409 for any spelling with the same normalized name."""
    first = admin.create("Spotify production")
    before = store.items()

    answer = admin.send("POST", COLLECTION, {"name": name, "service": "other", "key": SECRET})

    assert (answer.status, answer.code) == (409, "DUPLICATE_API_KEY_NAME")
    assert "Choose another name" in answer.body["error"]["message"]
    assert store.items() == before
    assert admin.get(first["id"]).data == first


def test_equal_keys_have_different_ids(admin: Admin) -> None:
    """Create two keys with the same service and secret value."""
    one, other = (
        admin.create("S1", service="spotify", key=SPOTIFY_KEY),
        admin.create("S2", service="spotify", key=SPOTIFY_KEY),
    )

    assert one["service"] == other["service"]
    assert one["id"] != other["id"]


# --- retries --------------------------------------------------------------------------------------------------------

RETRY = "a-retry-key-0123456789"


def test_a_retry_returns_the_created_key(admin: Admin, store: Store) -> None:
    """Replay the response for the same Idempotency-Key and body."""
    body = {"name": "Spotify", "key": SPOTIFY_KEY}
    first = admin.send("POST", COLLECTION, body, Idempotency_Key=RETRY)
    before = store.items()

    again = admin.send("POST", COLLECTION, dict(reversed(body.items())), Idempotency_Key=RETRY)

    assert (first.status, again.status) == (201, 201)
    assert again.data == first.data
    assert [again.headers[name] for name in ("ETag", "Location", "Idempotency-Replayed")] == [
        '"1"',
        first.headers["Location"],
        "true",
    ]
    assert again.body["requestId"] != first.body["requestId"]
    assert store.items() == before


@pytest.mark.parametrize("since", ["renamed", "deleted"])
def test_a_retry_creates_nothing_after_a_change(admin: Admin, store: Store, since: str) -> None:
    """Replay the response although the key was renamed or deleted."""
    body = {"name": "Spotify", "key": SPOTIFY_KEY}
    first = admin.send("POST", COLLECTION, body, Idempotency_Key=RETRY)
    if since == "renamed":
        admin.update(first.data["id"], {"name": "Other"})
    else:
        admin.delete(first.data["id"])
    before = store.items()

    again = admin.send("POST", COLLECTION, body, Idempotency_Key=RETRY)

    assert (again.status, again.data) == (201, first.data)
    assert store.items() == before


def test_an_idempotency_key_belongs_to_one_body(admin: Admin) -> None:
    """Treat another body with the same Idempotency-Key as a new request."""
    admin.send("POST", COLLECTION, {"name": "One", "key": SECRET}, Idempotency_Key=RETRY)

    other = admin.send("POST", COLLECTION, {"name": "Two", "key": SECRET}, Idempotency_Key=RETRY)
    taken = admin.send("POST", COLLECTION, {"name": "One", "key": SECRET + "x"}, Idempotency_Key=RETRY)

    assert other.status == 201
    assert "Idempotency-Replayed" not in other.headers
    assert taken.code == "DUPLICATE_API_KEY_NAME"


def test_a_retry_by_another_administrator_is_no_replay(admin: Admin) -> None:
    """Return 409 for the same Idempotency-Key and body of another administrator."""
    body = {"name": "One", "key": SECRET}
    admin.send("POST", COLLECTION, body, Idempotency_Key=RETRY)

    answer = type(admin)(admin.stack, "bob").send("POST", COLLECTION, body, Idempotency_Key=RETRY)

    assert answer.code == "DUPLICATE_API_KEY_NAME"


def test_an_idempotency_record_expires_after_a_day(admin: Admin, store: Store) -> None:
    """Create a new key after 24 hours, although the record still exists."""
    body = {"name": "One", "key": SECRET}
    first = admin.send("POST", COLLECTION, body, Idempotency_Key=RETRY)
    (memory,) = (item for item in store.items() if item["service"]["S"] == "#idempotency")
    lifetime = int(memory["expiresAt"]["N"]) - datetime.fromisoformat(first.data["createdAt"]).timestamp()
    assert 86_398 < lifetime <= 86_400
    # DynamoDB deletes expired items within days, not at once.
    store.put(memory | {"expiresAt": {"N": str(int(memory["expiresAt"]["N"]) - 86_402)}})
    admin.delete(first.data["id"])

    again = admin.send("POST", COLLECTION, body, Idempotency_Key=RETRY)

    assert again.status == 201
    assert again.data["id"] != first.data["id"]


def test_an_idempotency_record_contains_no_request_data(admin: Admin, store: Store) -> None:
    """Store an HMAC, without the Idempotency-Key and the body."""
    admin.send("POST", COLLECTION, {"name": "One", "key": SECRET}, Idempotency_Key=RETRY)

    (memory,) = (item for item in store.items() if item["service"]["S"] == "#idempotency")

    assert memory.keys() == {"service", "id", "key", "expiresAt"}
    assert re.fullmatch(r"[0-9a-f]{64}", memory["id"]["S"])
    assert RETRY not in json.dumps(store.items(), default=str)
