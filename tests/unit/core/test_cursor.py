"""Tests of cursors. Those of the list and of the history: tests/unit/admin, and test_properties.py."""

import base64

import pytest

from service_keys.core import cursor

SCOPE = "history of spotify.0123456789ab"


@pytest.mark.parametrize("position", ["1", "9999999999", "spotify.0123456789ab", f"{'s' * 40}.0123456789ab"])
@pytest.mark.parametrize("scope", [SCOPE, "", "None\n\n", "é\n🔑"])
def test_a_cursor_decodes_to_its_position(position: str, scope: str) -> None:
    """Use characters only that need no encoding in a query parameter."""
    encoded = cursor.encode(position, scope=scope)

    assert cursor.decode(encoded, scope=scope) == position
    assert set(encoded) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_format_is_stable() -> None:
    """Encode the same cursor in every release: clients keep it between two requests."""
    assert cursor.encode("17", scope=SCOPE) == "MTegg6jNl1BNTzg"


@pytest.mark.parametrize("scope", ["", SCOPE[:-1], f"{SCOPE} ", SCOPE.upper(), f"17\n{SCOPE}"])
def test_a_cursor_of_another_scope_is_rejected(scope: str) -> None:
    """Compare the whole scope."""
    assert cursor.decode(cursor.encode("17", scope=scope), scope=SCOPE) is None


def test_an_altered_cursor_is_rejected() -> None:
    """Change each character, shorten and extend the cursor, and write the same bytes in another way."""
    encoded = cursor.encode("17", scope=SCOPE)
    altered = {encoded[:length] for length in range(len(encoded))}
    altered |= {encoded + end for end in ("A", "=", "==", " ", "\n", encoded)}
    altered |= {f"{encoded[:at]}{other}{encoded[at + 1 :]}" for at in range(len(encoded)) for other in "AB_+/é\0"}

    assert {text for text in altered - {encoded} if cursor.decode(text, scope=SCOPE) is not None} == set()


@pytest.mark.parametrize("position", [b"\xff", "é".encode(), b"\xed\xa0\x80"])
def test_a_position_that_is_not_ascii_is_rejected(position: bytes) -> None:
    """Reject it rather than raise an error."""
    text = base64.urlsafe_b64encode(position + bytes(9)).decode().rstrip("=")
    assert cursor.decode(text, scope=SCOPE) is None


def test_a_long_cursor_is_rejected() -> None:
    """Reject also one with a correct checksum, before it is decoded."""
    longest, longer = (cursor.encode("x" * length, scope=SCOPE) for length in (87, 88))

    assert (len(longest), cursor.decode(longest, scope=SCOPE)) == (128, "x" * 87)
    assert cursor.decode(longer, scope=SCOPE) is None
