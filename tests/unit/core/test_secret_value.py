"""Tests of `SecretValue`, the type of a plaintext."""

import copy
import pickle

import pytest

from service_keys.core.secret_value import SecretValue

PLAINTEXT = "made-up-secret-0123456789"


@pytest.mark.parametrize("value", [PLAINTEXT, {"clientSecret": PLAINTEXT}])
def test_formatting_hides_the_plaintext(value: str | dict[str, str]) -> None:
    """Return "hidden" from repr, str and format."""
    secret_value = SecretValue(value)

    for shown in (
        repr(secret_value),
        str(secret_value),
        f"{secret_value}",
        f"{secret_value!r}",
        "%s" % secret_value,  # noqa: UP031
        repr([secret_value]),
    ):
        assert PLAINTEXT not in shown
        assert "hidden" in shown


def test_a_secret_value_cannot_be_pickled_or_copied() -> None:
    """Raise TypeError."""
    secret_value = SecretValue(PLAINTEXT)

    with pytest.raises(TypeError, match="not to be pickled"):
        pickle.dumps(secret_value)
    with pytest.raises(TypeError, match="not to be pickled"):
        copy.copy(secret_value)
    with pytest.raises(TypeError, match="not to be pickled"):
        secret_value.__getstate__()


@pytest.mark.parametrize("value", [PLAINTEXT, {"b": '2 " \\ ü\n', "a": "1"}])
def test_json_round_trip_returns_the_value(value: str | dict[str, str]) -> None:
    """Store a string or an object of fields."""
    assert SecretValue.from_json(SecretValue(value).to_json()).reveal() == value


def test_fields_are_stored_sorted_by_name() -> None:
    """Produce the same JSON regardless of their order."""
    assert SecretValue({"b": "2", "a": "1"}).to_json() == b'{"a":"1","b":"2"}'


def test_json_is_compact_utf_8() -> None:
    """Escape no character that needs no escape."""
    assert SecretValue("ü€").to_json() == '"ü€"'.encode()


@pytest.mark.parametrize("stored", [b"12", b"null", b'["a"]', b'{"a": 1}', b"{", b"\xff"])
def test_json_that_is_no_secret_value_is_rejected(stored: bytes) -> None:
    """Raise ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        SecretValue.from_json(stored)


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("0123456789abcdef01234567", "••••4567"),
        ("0123456789abcdef0123456", "••••"),
        ({"long": "x" * 20 + "1234", "short": "x" * 19 + "1234"}, {"long": "••••1234", "short": "••••"}),
        ("🔑" * 23 + "é", "••••🔑🔑🔑é"),
        ("🔑" * 23, "••••"),
    ],
)
def test_a_mask_shows_the_last_4_of_at_least_24_characters(
    value: str | dict[str, str], masked: str | dict[str, str]
) -> None:
    """Show none of a shorter value: four of sixteen would be a quarter of the secret."""
    assert SecretValue(value).masked() == masked


def test_changing_a_revealed_value_does_not_change_the_original() -> None:
    """Return a copy of the fields."""
    secret_value = SecretValue({"a": "1"})
    revealed = secret_value.reveal()
    assert isinstance(revealed, dict)

    revealed["a"] = "2"

    assert secret_value.reveal() == {"a": "1"}
