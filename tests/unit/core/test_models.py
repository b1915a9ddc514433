"""Tests of the response models and of timestamps in items."""

from dataclasses import replace
from typing import get_args

import pytest

from service_keys.core.consumer_models import MalformedItem
from service_keys.core.models import DeletedKey, StoredKey, Verification, VerificationStatus
from service_keys.core.timestamps import CLOCK_SKEW_MS, format_timestamp, is_past, milliseconds
from tests.support.key_fields import RESPONSE_FIELDS

KEY = StoredKey(
    id="spotify.0123456789ab",
    name="Spotify production",
    description="What it is for",
    active=True,
    masked_key="••••abcd",
    created_at="2026-01-01T00:00:00.000Z",
    created_by="ada",
    updated_at="2026-01-02T00:00:00.000Z",
    updated_by="bob",
    key_updated_at="2026-01-03T00:00:00.000Z",
)


def test_a_response_has_all_fields_in_camel_case() -> None:
    """Include fields without a value as null."""
    assert KEY.to_response() == dict.fromkeys(RESPONSE_FIELDS) | {
        "id": "spotify.0123456789ab",
        "name": "Spotify production",
        "service": "spotify",
        "description": "What it is for",
        "active": True,
        "maskedKey": "••••abcd",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "createdBy": "ada",
        "updatedAt": "2026-01-02T00:00:00.000Z",
        "updatedBy": "bob",
        "keyUpdatedAt": "2026-01-03T00:00:00.000Z",
        "version": 1,
    }


def test_a_verification_is_an_object_of_the_response() -> None:
    """Return status, time and detail; the status is one of three."""
    checked = Verification(status="rejected", checked_at="2026-01-04T00:00:00.000Z", detail="It is wrong.")
    expected = {"status": "rejected", "checkedAt": "2026-01-04T00:00:00.000Z", "detail": "It is wrong."}

    assert replace(KEY, verification=checked).to_response()["verification"] == expected
    assert get_args(VerificationStatus) == ("valid", "rejected", "inconclusive")


def test_a_malformed_item_is_not_active() -> None:
    """Return False for `active`."""
    assert MalformedItem("spotify.0123456789ab", None).active is False


@pytest.mark.parametrize("at_ms", [0, 1, 999, 951_782_400_000, 1_800_000_000_123, 253_402_300_799_999])
def test_a_timestamp_round_trip_returns_the_milliseconds(at_ms: int) -> None:
    """Return the milliseconds since the Unix epoch that `format_timestamp` received."""
    assert milliseconds(format_timestamp(at_ms)) == at_ms


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, b"2026-01-01T00:00:00.000Z", "", "2", "zzz", "2026-01-01", "2026-01-01T00:00:00Z"),
        *("2026-01-01T00:00:00.000z", "2026-01-01t00:00:00.000Z", "2026-01-01 00:00:00.000Z"),
        *("2026-01-01T00:00:00.000+00:00", "2026-01-01T00:00:00.0000Z", "2026-01-01T00:00:00.000Z\n"),
        *(" 2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z0", "2026-02-30T00:00:00.000Z"),
        *("2026-00-01T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-01-32T00:00:00.000Z"),
        *("2026-01-01T24:00:00.000Z", "2026-01-01T00:60:00.000Z", "2026-01-01T00:00:60.000Z"),
        *("0000-01-01T00:00:00.000Z", "12026-01-01T00:00:00.000Z", "\u0662026-01-01T00:00:00.000Z", "9" * 380_000),
    ],
)
def test_a_malformed_timestamp_is_none(value: object) -> None:
    """Return None on every Python version."""
    assert milliseconds(value) is None
    assert not is_past(value, at_ms=253_402_300_799_999)


def test_a_timestamp_may_be_ahead_by_the_clock_skew() -> None:
    """Treat a later one as not past."""
    at_ms = 1_800_000_000_123

    assert is_past(format_timestamp(at_ms + CLOCK_SKEW_MS), at_ms=at_ms)
    assert not is_past(format_timestamp(at_ms + CLOCK_SKEW_MS + 1), at_ms=at_ms)
    assert is_past("0001-01-01T00:00:00.000Z", at_ms=at_ms)


def test_a_deletion_response_describes_the_deleted_key() -> None:
    """Return null for `recoverableUntil`."""
    assert DeletedKey("spotify.0123456789ab", None, "2026-01-01T00:00:00.000Z").to_response() == {
        "id": "spotify.0123456789ab",
        "name": None,
        "service": "spotify",
        "deletedAt": "2026-01-01T00:00:00.000Z",
        "recoverableUntil": None,
    }
