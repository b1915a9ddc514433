"""The fakes for consumers' own tests."""

import pytest

import service_keys
from service_keys import KeyDisabledError, KeyNotFoundError, KeyStoreUnavailableError, get_api_key
from service_keys.testing import FakeServiceKeys, fake_api_keys


def test_keys_are_there_without_aws_and_gone_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_KEYS_TABLE", raising=False)
    with fake_api_keys({"openai": "made-up", "spotify": {"clientId": "made-up"}}) as keys:
        assert get_api_key("openai").value == "made-up"
        assert service_keys.get_api_key("spotify")["clientId"] == "made-up"
        assert keys.reads == ["openai", "spotify"]

    with pytest.raises(service_keys.ConfigurationError, match="SERVICE_KEYS_TABLE"):
        get_api_key("openai")


def test_a_test_can_do_what_an_administrator_does() -> None:
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


def test_what_is_not_stored_is_not_found() -> None:
    with fake_api_keys() as keys:
        with pytest.raises(KeyNotFoundError, match="'spotify'"):
            get_api_key("spotify")
        keys.store("spotify", "made-up")
        with pytest.raises(KeyNotFoundError, match="the name 'Other'"):
            get_api_key("spotify", name="Other")


def test_bad_luck_can_be_told() -> None:
    with fake_api_keys({"openai": "made-up"}) as keys:
        keys.fail("openai", KeyStoreUnavailableError("made up"))

        for _ in range(2):
            with pytest.raises(KeyStoreUnavailableError, match="made up"):
                get_api_key("openai")

        keys.recover("openai")
        assert get_api_key("openai").value == "made-up"


def test_blocks_can_be_nested() -> None:
    with fake_api_keys({"openai": "outer"}):
        with fake_api_keys({"openai": "inner"}):
            assert get_api_key("openai").value == "inner"
        assert get_api_key("openai").value == "outer"


def test_a_service_that_cannot_be_is_the_tests_mistake() -> None:
    with pytest.raises(ValueError, match="lower-case"):
        FakeServiceKeys({"OpenAI": "made-up"})
    with fake_api_keys() as keys, pytest.raises(KeyNotFoundError, match="lower-case"):
        keys.get("OpenAI")


def test_a_name_is_taken_once() -> None:
    with fake_api_keys({"openai": "made-up"}) as keys, pytest.raises(ValueError, match="another name"):
        keys.store("openai", "another")
