"""Tests of `SecretValue`, the type of a plaintext; `test_properties` adds arbitrary ones."""

import copy
import pickle
from collections.abc import Callable

import pytest

from service_keys.core.secret_value import SecretValue

PLAINTEXT = "made-up-secret-0123456789"


@pytest.mark.parametrize("value", [PLAINTEXT, {"clientSecret": PLAINTEXT}])
def test_formatting_hides_the_plaintext(value: str | dict[str, str]) -> None:
    """Return "hidden" from repr, %-formatting and a container's repr."""
    secret_value = SecretValue(value)

    for text in (f"{secret_value!r}", "%s" % secret_value, repr([secret_value])):  # noqa: UP031
        assert PLAINTEXT not in text
        assert "hidden" in text


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, lambda secret_value: secret_value.__getstate__()])
def test_a_secret_value_cannot_be_pickled_or_copied(act: Callable[[SecretValue], object]) -> None:
    """Raise TypeError."""
    with pytest.raises(TypeError, match="not to be pickled"):
        act(SecretValue(PLAINTEXT))


def test_json_is_compact_utf_8_with_sorted_fields() -> None:
    """Escape no character that needs no escape; produce the same JSON regardless of the fields' order."""
    assert SecretValue("ü€").to_json() == '"ü€"'.encode()
    assert SecretValue({"b": "2", "a": "1"}).to_json() == b'{"a":"1","b":"2"}'


@pytest.mark.parametrize("stored", [b"12", b"null", b'["a"]', b'{"a": 1}', b"{", b"\xff"])
def test_json_that_is_no_secret_value_is_rejected(stored: bytes) -> None:
    """Raise ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        SecretValue.from_json(stored)


@pytest.mark.parametrize(
    ("value", "masked"),
    [
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
