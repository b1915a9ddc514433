"""Tests of ids, slugs, timestamps and normalized names; `test_properties` adds arbitrary ones."""

import runpy
import time
from datetime import UTC, datetime

import pytest

from service_keys.core import ids as ids_module
from service_keys.core import timestamps
from service_keys.core.ids import new_id, service_of
from service_keys.core.names import normalize_name, slug
from service_keys.core.timestamps import format_timestamp
from service_keys.errors import KeyNotFoundError

NOON = int(datetime(2026, 1, 2, 12, 0, 0, 345000, tzinfo=UTC).timestamp() * 1000)


def test_the_smallest_and_the_largest_id_have_12_characters() -> None:
    """Encode 60 bits."""
    first = new_id("x", at_ms=1577836800000, random_bits=0)
    last = new_id("x", at_ms=1577836800000 + 2**41 - 1, random_bits=2**19 - 1)

    assert (first, last) == ("x.000000000000", "x.zzzzzzzzzzzz")


def test_ids_and_timestamps_do_not_depend_on_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use UTC with TZ=Asia/Tokyo too."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        in_tokyo = runpy.run_path(ids_module.__file__) | runpy.run_path(timestamps.__file__)
    time.tzset()

    assert in_tokyo["new_id"]("x", at_ms=NOON, random_bits=0) == new_id("x", at_ms=NOON, random_bits=0)
    assert in_tokyo["format_timestamp"](NOON) == "2026-01-02T12:00:00.345Z"


@pytest.mark.parametrize(
    "key_id",
    [
        *("", "spotify", "spotify.", ".0123456789ab", "spotify.0123456789a", "spotify.0123456789abc"),
        *("spotify.0123456789aB", "spotify.0123456789ab\n", "Spotify.0123456789ab", "spo--tify.0123456789ab"),
        "spotify.0123456789ai",  # i, l, o and u are not in the alphabet
        *("-spotify.0123456789ab", "#name.0123456789ab", "a" * 41 + ".0123456789ab", "../spotify.0123456789ab"),
        "spotify.0123456789ab'; DROP TABLE keys; --",
    ],
)
def test_an_invalid_id_is_not_found(key_id: str) -> None:
    """Raise KeyNotFoundError."""
    with pytest.raises(KeyNotFoundError, match="List the keys"):
        service_of(key_id)


def test_a_service_in_an_id_has_at_most_40_characters() -> None:
    """Accept the longest service."""
    assert service_of("a" * 40 + ".0123456789ab") == "a" * 40


def test_a_timestamp_is_utc_with_milliseconds() -> None:
    """Always write three decimals and Z."""
    assert format_timestamp(NOON) == "2026-01-02T12:00:00.345Z"
    assert format_timestamp(NOON - 345) == "2026-01-02T12:00:00.000Z"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("Spotify", "sPOTIFY"), ("Spotify  production", "Spotify production"), ("Ｓｐｏｔｉｆｙ", "spotify")),
        *(("Straße", "STRASSE"), ("Ǆ key", "ǆ KEY"), ("Cafe\u0301", "Café"), ("ﬁnance", "FINANCE")),
        *(("Spot\u00adify", "Spotify"), ("Spotify\ufe0f", "Spotify"), ("a\u034fb", "ab")),
    ],
)
def test_names_that_look_alike_have_one_normalized_name(one: str, other: str) -> None:
    """Ignore case, width, white space and invisible characters."""
    assert normalize_name(one) == normalize_name(other)


def test_an_ascii_name_is_normalized_as_any_other() -> None:
    """Compare the fast path of ASCII names with the general one."""
    ignorable = "\u00ad"
    for code in range(128):
        name = f" A {chr(code)}{chr(code)}z{chr(code)}"
        assert normalize_name(name) == normalize_name(name + ignorable)


def test_different_names_stay_different() -> None:
    """Keep punctuation and accents."""
    names = ["Spotify", "Spotify 2", "Spotify-2", "Spotify_2", "Spotífy"]

    assert len({normalize_name(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("name", "service"),
    [
        *(("Spotify", "spotify"), ("Spotify production", "spotify-production"), ("音楽", "")),
        *(("  -- Café / del   Mar! --", "cafe-del-mar"), ("x" * 39 + " yz", "x" * 39)),
    ],
)
def test_a_slug_is_the_default_service_of_a_name(name: str, service: str) -> None:
    """Return lower-case ASCII with hyphens, at most 40 characters."""
    assert slug(name) == service
