"""Tests of the fakes for consumers' tests."""

from contextlib import suppress
from typing import Any

import pytest
from moto import mock_aws

import service_keys
from service_keys import KeyDisabledError, KeyNotFoundError, KeyStoreUnavailableError, get_api_key
from service_keys.testing import FakeServiceKeys, fake_api_keys, stored_api_keys


def test_fake_keys_exist_only_inside_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Need no AWS, and record the reads."""
    monkeypatch.delenv("SERVICE_KEYS_TABLE", raising=False)
    with fake_api_keys({"openai": "made-up", "spotify": {"clientId": "made-up"}}) as keys:
        assert get_api_key("openai").value == "made-up"
        assert service_keys.get_api_key("spotify")["clientId"] == "made-up"
        assert keys.reads == ["openai", "spotify"]

    with pytest.raises(service_keys.ConfigurationError, match="SERVICE_KEYS_TABLE"):
        get_api_key("openai")


def test_fake_keys_can_be_changed_like_real_ones() -> None:
    """Store, disable, enable and delete keys."""
    with fake_api_keys({"openai": "first"}) as keys:
        keys.store("openai", "second", name="Successor")
        assert get_api_key("openai").value == "second"
        assert get_api_key("openai", name="OPENAI").value == "first"
        assert get_api_key("openai", name="successor").value == "second"

        keys.disable("openai", name="Successor")
        assert get_api_key("openai", refresh=True).value == "first"
        assert keys.refreshes == ["openai"]
        keys.disable("openai")
        keys.store("openai", "third", name="Third")
        assert get_api_key("openai").value == "third"
        with pytest.raises(KeyDisabledError, match="'Successor'"):
            get_api_key("openai", name="Successor")

        keys.enable("openai", name="Successor")
        keys.delete("openai", name="Third")
        assert get_api_key("openai").value == "second"
        keys.delete("openai")
        with pytest.raises(KeyNotFoundError):
            get_api_key("openai")


def test_an_unknown_fake_key_is_not_found() -> None:
    """Raise KeyNotFoundError as the real client does."""
    with fake_api_keys() as keys:
        with pytest.raises(KeyNotFoundError, match="'spotify'"):
            get_api_key("spotify")
        keys.store("spotify", "made-up")
        with pytest.raises(KeyNotFoundError, match="the name 'Other'"):
            get_api_key("spotify", name="Other")


def test_errors_can_be_simulated() -> None:
    """Raise the given error until `recover`."""
    with fake_api_keys({"openai": "made-up"}) as keys:
        keys.fail("openai", KeyStoreUnavailableError("made up"))

        for _ in range(2):
            with pytest.raises(KeyStoreUnavailableError, match="made up"):
                get_api_key("openai")

        keys.recover("openai")
        assert get_api_key("openai").value == "made-up"


def test_blocks_can_be_nested() -> None:
    """Restore the outer keys, also after an exception."""
    with fake_api_keys({"openai": "outer"}):
        with suppress(ZeroDivisionError), fake_api_keys({"openai": "inner"}):
            assert get_api_key("openai").value == "inner"
            raise ZeroDivisionError
        assert get_api_key("openai").value == "outer"


def test_an_invalid_service_name_is_rejected() -> None:
    """Raise ValueError in the fixture and KeyNotFoundError in a read."""
    with pytest.raises(ValueError, match="lower-case"):
        FakeServiceKeys({"OpenAI": "made-up"})
    with fake_api_keys() as keys, pytest.raises(KeyNotFoundError, match="lower-case"):
        keys.get("OpenAI")


def test_a_duplicate_name_is_rejected() -> None:
    """Raise ValueError."""
    with fake_api_keys({"openai": "made-up"}) as keys, pytest.raises(ValueError, match="another name"):
        keys.store("openai", "another")


def test_keys_can_be_stored_in_an_emulator(clients: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read them with Query and Decrypt of the emulator, inside the block alone."""
    monkeypatch.delenv("SERVICE_KEYS_TABLE", raising=False)
    dynamodb, kms = clients
    keys: dict[str, str | dict[str, str]] = {"openai": "made-up", "spotify": {"clientId": "made-up"}}
    with mock_aws(), stored_api_keys(keys, dynamodb_client=dynamodb, kms_client=kms, table_name="keys") as reader:
        assert get_api_key("openai").value == "made-up"
        assert get_api_key("spotify", name="Spotify")["clientId"] == "made-up"
        assert reader.get("openai").name == "openai"
        assert {item["service"]["S"] for item in dynamodb.scan(TableName="keys")["Items"]} == set(keys)
        with pytest.raises(KeyNotFoundError):
            get_api_key("deezer")

    with pytest.raises(service_keys.ConfigurationError, match="SERVICE_KEYS_TABLE"):
        get_api_key("openai")
