"""The type that holds a plaintext."""

import copy
import pickle

import pytest

from service_keys.core.secret_value import SecretValue

PLAINTEXT = "made-up-secret-0123456789"


@pytest.mark.parametrize("value", [PLAINTEXT, {"clientSecret": PLAINTEXT}])
def test_it_never_shows_itself(value: str | dict[str, str]) -> None:
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


def test_it_cannot_be_pickled_or_copied() -> None:
    secret_value = SecretValue(PLAINTEXT)

    with pytest.raises(TypeError, match="not to be pickled"):
        pickle.dumps(secret_value)
    with pytest.raises(TypeError, match="not to be pickled"):
        copy.copy(secret_value)
    with pytest.raises(TypeError, match="not to be pickled"):
        secret_value.__getstate__()


@pytest.mark.parametrize("value", [PLAINTEXT, {"b": '2 " \\ ü\n', "a": "1"}])
def test_what_is_stored_reads_back(value: str | dict[str, str]) -> None:
    assert SecretValue.from_json(SecretValue(value).to_json()).reveal() == value


def test_parts_are_stored_in_the_order_of_their_names() -> None:
    assert SecretValue({"b": "2", "a": "1"}).to_json() == b'{"a":"1","b":"2"}'


def test_what_is_stored_is_utf_8_and_nothing_longer() -> None:
    assert SecretValue("ü€").to_json() == '"ü€"'.encode()


@pytest.mark.parametrize("stored", [b"12", b"null", b'["a"]', b'{"a": 1}', b"{", b"\xff"])
def test_what_is_no_key_is_refused(stored: bytes) -> None:
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
def test_a_mask_shows_the_last_four_of_24_or_more(value: str | dict[str, str], masked: str | dict[str, str]) -> None:
    """Sixteen characters are few: four of them would be a quarter of the secret."""
    assert SecretValue(value).masked() == masked


def test_changing_what_was_revealed_changes_nothing() -> None:
    secret_value = SecretValue({"a": "1"})
    revealed = secret_value.reveal()
    assert isinstance(revealed, dict)

    revealed["a"] = "2"

    assert secret_value.reveal() == {"a": "1"}
