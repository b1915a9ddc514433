"""Built artifacts in containers with Lambda's Python, under `sam local`."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
import requests

from local.sam import architecture, load_event
from tests.e2e.conftest import INTERPRETER
from tests.functional.conftest import COLLECTION, SPOTIFY_KEY, HttpAdmin

if TYPE_CHECKING:
    from local.fake_services import FakeServices
    from local.stack import LocalStack
    from tests.e2e.conftest import Invoke

MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}


def test_the_layer_runs_on_the_interpreter_it_was_built_for(
    invoke_consumer: Invoke, pytestconfig: pytest.Config
) -> None:
    found = invoke_consumer("Interpreter", {})
    pytestconfig.stash[INTERPRETER] = f"{found['implementation']} {found['version']} on {found['machine']}"

    assert found["implementation"] == "CPython"
    assert found["version"].startswith("3.13.")
    assert found["machine"] == MACHINES[architecture()]
    assert all(module.startswith("/opt/python/") for module in found["modules"])
    # AdminLayer has the bytecode of a module of ServiceKeysLayer, because Lambda merges the two.
    assert found["bytecode"] == [
        f"/opt/python/service_keys/{module}.cpython-313.pyc"
        for module in ("__pycache__/__init__", "admin/__pycache__/endpoint")
    ]


def test_an_administrator_stores_changes_and_deletes_a_key(admin: HttpAdmin) -> None:
    created = admin.create("Spotify life cycle", key=SPOTIFY_KEY, service="spotify-life-cycle")
    key_id = created["id"]
    assert created["maskedKey"] == {"clientId": "••••cdef", "clientSecret": "••••3210"}

    assert [key["id"] for key in admin.listing(service="spotify-life-cycle").data] == [key_id]
    shown = admin.get(key_id)
    assert (shown.data, shown.headers["ETag"]) == (created, '"1"')

    updated = admin.update(key_id, {"description": "Web player"}, If_Match='"1"')
    assert (updated.data["description"], updated.data["version"]) == ("Web player", 2)
    assert admin.update(key_id, {"description": "lost"}, If_Match='"1"').code == "VERSION_CONFLICT"

    disabled = admin.update(key_id, {"active": False}, method="PUT")
    assert (disabled.data["active"], disabled.data["version"]) == (False, 3)
    assert admin.listing(service="spotify-life-cycle", active="true").data == []

    assert admin.update(key_id, {"key": SPOTIFY_KEY | {"clientSecret": "f" * 32}}).data["version"] == 4
    assert admin.rollback(key_id, If_Match='"4"').data["maskedKey"] == created["maskedKey"]

    assert admin.delete(key_id).status == 200
    assert admin.get(key_id).code == "API_KEY_NOT_FOUND"
    assert admin.restore(key_id).data["version"] == 7
    changes = [entry["change"] for entry in admin.history(key_id).data]
    assert changes == ["restore", "delete", "rollback", "update", "update", "update", "create"]
    assert admin.delete(key_id).status == 200


def test_example_reads_the_stored_key(admin: HttpAdmin, invoke_consumer: Invoke, fake_services: FakeServices) -> None:
    """The example reads a key with the direct client, stamps its usage, and fails once it is disabled."""
    key = admin.create("Spotify", key=SPOTIFY_KEY)
    assert key["service"] == "spotify"
    fake_services.requests.clear()

    assert invoke_consumer("SpotifyToken", {}) == {"expiresIn": 3600}

    ((method, path, headers),) = fake_services.requests
    credentials = base64.b64encode(f"{SPOTIFY_KEY['clientId']}:{SPOTIFY_KEY['clientSecret']}".encode()).decode()
    assert (method, path, headers["Authorization"]) == ("POST", "/spotify/api/token", f"Basic {credentials}")
    assert admin.get(key["id"]).data["lastUsed"] is not None

    read = invoke_consumer("DirectReader", {"service": "spotify"})
    assert read == {"clientId": SPOTIFY_KEY["clientId"], "botocore": False}

    admin.update(key["id"], {"active": False})
    refused = invoke_consumer("SpotifyToken", {})
    assert refused["errorType"] == "KeyDisabledError"
    assert len(fake_services.requests) == 1


@pytest.mark.parametrize("token", ["expired", "foreign"])
def test_invalid_token_rejected(stack: LocalStack, admin: HttpAdmin, invoke_built: Invoke, token: str) -> None:
    """An expired token and a token of another issuer are unauthorized."""
    tokens = {"expired": stack.issuer.token(hours=-1), "foreign": type(stack.issuer).generate().token()}
    headers = {"Authorization": f"Bearer {tokens[token]}"}

    answer = requests.get(admin.stack.url + COLLECTION, headers=headers, timeout=30)
    # API Gateway turns this message into a 401; start-api returns 502 for every authorizer error.
    event = load_event("Authorizer", stack) | {"authorizationToken": headers["Authorization"]}

    assert answer.status_code == 502
    assert "data" not in answer.text
    assert invoke_built("Authorizer", event)["errorMessage"] == "Unauthorized"


def test_non_administrator_returns_403(stack: LocalStack, admin: HttpAdmin) -> None:
    """A valid token without the admin claim is denied."""
    headers = {"Authorization": f"Bearer {stack.issuer.token(role='listener')}"}

    assert requests.get(admin.stack.url + COLLECTION, headers=headers, timeout=30).status_code == 403


def test_missing_token_returns_401(admin: HttpAdmin) -> None:
    """API Gateway rejects a request without a token."""
    assert requests.get(admin.stack.url + COLLECTION, timeout=30).status_code == 401
