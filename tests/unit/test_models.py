"""What a response shows of what is stored."""

from typing import get_args

from service_keys.models import DamagedKey, StoredKey, Verification, VerificationStatus

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


def test_a_new_key_is_in_version_1_unused_and_unchecked() -> None:
    assert (KEY.version, KEY.etag, KEY.last_used, KEY.verification) == (1, '"1"', None, None)


def test_a_response_shows_every_field_by_its_name() -> None:
    assert KEY.to_response() == {
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
        "lastUsed": None,
        "version": 1,
        "verification": None,
    }


def test_a_response_shows_the_result_of_the_last_check() -> None:
    checked = Verification(status="rejected", checked_at="2026-01-04T00:00:00.000Z", detail="It is wrong.")

    assert checked.to_response() == {
        "status": "rejected",
        "checkedAt": "2026-01-04T00:00:00.000Z",
        "detail": "It is wrong.",
    }


def test_what_is_damaged_counts_as_not_active() -> None:
    assert DamagedKey("spotify.0123456789ab", None).active is False


def test_a_check_has_one_of_three_results() -> None:
    assert get_args(VerificationStatus) == ("valid", "rejected", "inconclusive")
