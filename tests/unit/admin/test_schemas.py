"""Tests of the request models: valid bodies, and the error of each invalid field."""

from typing import Any

import pytest
from pydantic import ValidationError

from service_keys.admin.schemas import CreateApiKey, parse_create, parse_update
from service_keys.core.ids import new_id
from service_keys.core.models import StoredKey
from service_keys.errors import FieldError, InvalidRequestError

CLIENT_ID = "0123456789abcdef0123456789abcdef"
CLIENT_SECRET = "fedcba9876543210fedcba9876543210"
SPOTIFY = {"clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
SECRET = "made-up-secret-0123456789"
CREATE_FIELDS = "Valid fields: name, service, description, active, key"
UPDATE_FIELDS = "Valid fields: name, description, active, key"


def refusal(body: object) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as refused:
        parse_create(body)
    held = refused.value.__context__
    assert held is None or refused.value.__suppress_context__, "pydantic's error holds the input"
    for detail in refused.value.details:
        assert SECRET not in detail.message
    return {detail.field: detail.message for detail in refused.value.details}


def test_a_create_request_has_defaults() -> None:
    """Trim the name and derive the service from it."""
    request = parse_create({"name": "  Spotify production ", "key": SECRET})

    assert request.name == "Spotify production"
    assert request.service is None
    assert request.effective_service == "spotify-production"
    assert request.description is None
    assert request.active is True
    assert request.key.reveal() == SECRET


def test_all_fields_can_be_set() -> None:
    """Trim the description and keep its line breaks."""
    request = parse_create(
        {"name": "S1", "service": "spotify", "description": " For\n\tthe player ", "active": False, "key": SPOTIFY}
    )

    assert (request.service, request.description, request.active) == ("spotify", "For\n\tthe player", False)
    assert request.key.reveal() == SPOTIFY


def test_a_blank_description_is_none() -> None:
    """Store no blank description."""
    assert parse_create({"name": "S1", "key": SECRET, "description": "  "}).description is None


@pytest.mark.parametrize("body", [None, [], "x", 1, True, [{"name": "x"}]])
def test_only_a_json_object_is_accepted(body: object) -> None:
    """Reject other JSON values on create and update."""
    assert refusal(body) == {"(body)": "send a JSON object"}
    with pytest.raises(InvalidRequestError) as refused:
        parse_update(body, service="x")
    assert refused.value.details == (FieldError("(body)", "send a JSON object"),)


def test_all_errors_are_reported_at_once() -> None:
    """Return one message for each field."""
    assert refusal({"service": "No!", "active": "yes", "description": 7, "nonsense": SECRET}) == {
        "name": "this field is required",
        "service": "use lower-case letters and digits, with single hyphens between them, such as spotify",
        "active": "give true or false",
        "description": "give a string or null",
        "key": "this field is required",
        "nonsense": f"there is no such field; leave it out. {CREATE_FIELDS}",
    }


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("", "at least 2"),
        (" x ", "at least 2"),
        ("x" * 101, "give at most 100 characters"),
        ("two\nlines", "printable"),
        ("zero\u200bwidth", "printable"),
        ("surrogate \ud800", "Unicode"),
        ("\ufdfa" * 31 + "xy", "shorter"),
        ("\u3164\u3164", "printable"),
        (7, "give a string"),
        (None, "give a string"),
        (["Spotify"], "give a string"),
    ],
)
def test_an_invalid_name_is_rejected(name: object, hint: str) -> None:
    """Return a hint on the name."""
    assert hint in refusal({"name": name, "key": SECRET, "service": "x"})["name"]


@pytest.mark.parametrize("name", ["x" * 100, "xy", "\ufdfa" * 31 + "x"], ids=["long", "short", "long when folded"])
def test_a_name_has_2_to_100_characters_and_at_most_1024_bytes(name: str) -> None:
    """Count the bytes of the normalized name."""
    assert parse_create({"name": name, "key": SECRET, "service": "x"}).name == name


@pytest.mark.parametrize("service", ["", "Spotify", "spo tify", "-a", "a-", "a--b", "#name", "a" * 41, "a\n", "ü", 1])
def test_an_invalid_service_is_rejected(service: object) -> None:
    """Return an error for `service`."""
    assert "service" in refusal({"name": "S1", "key": SECRET, "service": service})


def test_a_name_without_a_slug_requires_a_service() -> None:
    """Derive no service from a name without Latin letters or digits."""
    assert "give the service" in refusal({"name": "音楽", "key": SECRET})["service"]
    assert parse_create({"name": "音楽", "key": SECRET, "service": "ongaku"}).effective_service == "ongaku"


@pytest.mark.parametrize("description", ["x" * 501, "bell\a", "\u202egnp.exe"])
def test_an_invalid_description_is_rejected(description: str) -> None:
    """Reject long text and control characters."""
    assert "description" in refusal({"name": "S1", "key": SECRET, "description": description})


def test_a_description_may_have_500_characters() -> None:
    """Accept the maximum length."""
    assert parse_create({"name": "S1", "key": SECRET, "description": "x" * 500}).description == "x" * 500


@pytest.mark.parametrize("active", ["true", 1, 0, None, "no"])
def test_active_is_a_boolean(active: object) -> None:
    """Reject numbers, strings and null."""
    assert refusal({"name": "S1", "key": SECRET, "active": active}) == {"active": "give true or false"}


@pytest.mark.parametrize(
    ("key", "field", "hint"),
    [
        ("short", "key", "at least 8"),
        ("", "key", "at least 8"),
        (12345678, "key", "string, or an object"),
        (None, "key", "string, or an object"),
        (["12345678"], "key", "string, or an object"),
        ({}, "key", "1 to 20"),
        ({f"part{n}": "x" for n in range(21)}, "key", "1 to 20"),
        ({"a": 1}, "key", "named strings"),
        ({"a": {"b": "c"}}, "key", "named strings"),
        ({"": "12345678"}, "key", "name each field"),
        ({"a b": "12345678"}, "key", "name each field"),
        ({"a": ""}, "key.a", "give a value"),
        (f" {SECRET}", "key", "white space"),
        (f"{SECRET}\n", "key", "white space"),
        (f"\ufeff{SECRET}", "key", "invisible"),
        (f"{SECRET}\u00a0", "key", "white space"),
        ({"a": f"\t{SECRET}"}, "key.a", "white space"),
        ("••••6789", "key", "masked"),
        (f"••••{SECRET}", "key", "masked"),
        ({"a": "••••"}, "key.a", "masked"),
        (f"{SECRET}\x00{SECRET}", "key", "control"),
        (f"{SECRET}\x7f{SECRET}", "key", "control"),
        (f"{SECRET}\ud800{SECRET}", "key", "control"),
        (f"{SECRET}\ufffd{SECRET}", "key", "UTF-8"),
        ("x" * 4095, "key", "4096 bytes"),
        ("ü" * 2048, "key", "4096 bytes"),
        ({"a": "x" * 3000, "b": "x" * 1100}, "key", "4096 bytes"),
    ],
)
def test_an_invalid_key_is_rejected_without_repeating_it(key: object, field: str, hint: str) -> None:
    """Return a hint for the key or for its field."""
    assert hint in refusal({"name": "S1", "key": key})[field]


def test_an_invalid_field_name_is_the_only_error_of_its_field() -> None:
    """Report the name, not the value."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_create({"name": "S1", "key": {"a b": " "}})
    assert [detail.field for detail in refused.value.details] == ["key"]


@pytest.mark.parametrize("parts", [1, 20])
def test_a_key_has_1_to_20_fields(parts: int) -> None:
    """Accept both limits."""
    key = {f"part{number}": "x" for number in range(parts)}

    assert parse_create({"name": "S1", "key": key}).key.reveal() == key


@pytest.mark.parametrize(
    "key",
    ["x" * 4094, "ü" * 2047, "x" * 8, "line one\nline\ttwo", {"pem": "-----BEGIN-----\nMII\n-----END-----"}, "🔑" * 8],
)
def test_a_valid_key_is_kept_unchanged(key: Any) -> None:
    """Keep line breaks, non-ASCII text and the maximum length."""
    assert parse_create({"name": "S1", "key": key}).key.reveal() == key


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (SECRET, "key"),
        ({"clientId": CLIENT_ID}, "key"),
        (SPOTIFY | {"extra": "x"}, "key"),
        (SPOTIFY | {"clientId": CLIENT_ID[:-1]}, "key.clientId"),
        (SPOTIFY | {"clientSecret": "g" * 32}, "key.clientSecret"),
    ],
)
def test_a_spotify_key_must_match_its_format(key: object, field: str) -> None:
    """Require two fields of 32 hexadecimal digits."""
    assert "32 hexadecimal" in refusal({"name": "S1", "service": "spotify", "key": key})[field]


def test_both_fields_of_a_spotify_key_are_reported() -> None:
    """Return one error for each field."""
    body = {"name": "S1", "service": "spotify", "key": {"clientId": "x", "clientSecret": "y"}}

    assert refusal(body).keys() == {"key.clientId", "key.clientSecret"}


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (SECRET, "key"),
        ("sk-white space", "key"),
        ({"organization": "org-made-up"}, "key"),
        ({"apiKey": "sk-made-up-key", "extra": "x"}, "key"),
        ({"apiKey": SECRET}, "key.apiKey"),
    ],
)
def test_an_openai_key_must_match_its_format(key: object, field: str) -> None:
    """Require the `sk-` prefix and known fields."""
    assert "OpenAI key" in refusal({"name": "OpenAI", "key": key})[field]


@pytest.mark.parametrize("key", [SECRET, "sk-made-up-key", "sk-ant-white space", {"apiKey": "sk-ant-made-up"}])
def test_an_anthropic_key_must_match_its_format(key: object) -> None:
    """Require the `sk-ant-` prefix in a string."""
    assert "sk-ant-" in refusal({"name": "Anthropic", "key": key})["key"]
    assert parse_create({"name": "Anthropic", "key": "sk-ant-made-up"}).effective_service == "anthropic"


@pytest.mark.parametrize("option", ["organization", "project"])
@pytest.mark.parametrize("value", ["org with space", "org\nX-Injected: 1", "örg"])
def test_a_field_sent_as_a_header_is_visible_ascii(option: str, value: str) -> None:
    """Reject white space, line breaks and non-ASCII text."""
    body = {"name": "OpenAI", "key": {"apiKey": "sk-made-up-key", option: value}}

    assert "visible ASCII" in refusal(body)[f"key.{option}"]


@pytest.mark.parametrize(
    "key",
    ["sk-made-up-key", {"apiKey": "sk-made-up-key"}, {"apiKey": "sk-made-up-key", "organization": "o", "project": "p"}],
)
def test_a_valid_openai_key_is_accepted(key: object) -> None:
    """Accept a string, and an object with optional fields."""
    assert parse_create({"name": "OpenAI", "key": key}).effective_service == "openai"


@pytest.mark.parametrize(
    "field", ["id", "maskedKey", "createdAt", "version", "lastUsed", "verification", "effectiveBy"]
)
def test_server_fields_are_rejected(field: str) -> None:
    """Report fields that only the server sets."""
    assert "the server sets" in refusal({"name": "S1", "key": SECRET, field: "••••6789"})[field]


def test_a_field_name_that_is_not_unicode_is_rejected() -> None:
    """Report the body instead of the name."""
    assert refusal({"name": "S1", "key": SECRET, "\ud800": 1}) == {"(body)": "give valid Unicode text"}


def test_a_field_name_that_may_be_a_secret_is_not_repeated() -> None:
    """Report the key without the names of its fields."""
    assert refusal({"name": "S1", "key": {"sk-pasted-as-a-name": "", "x" * 30: " "}}).keys() == {"key"}


def test_a_validation_error_contains_no_input() -> None:
    """Hide the input in pydantic's error."""
    with pytest.raises(ValidationError) as refused:
        CreateApiKey.model_validate({"name": SECRET * 5, "active": SECRET, "key": f" {SECRET}", "nonsense": SECRET})
    assert SECRET not in str(refused.value)


def test_a_request_is_immutable() -> None:
    """Reject assignment to a field."""
    request = parse_create({"name": "S1", "key": SECRET})

    with pytest.raises(ValidationError, match="frozen"):
        request.active = False  # type: ignore[misc]


def test_to_stored_key_uses_the_time_of_the_id_and_the_principal() -> None:
    """Set all timestamps to the time of the id."""
    request = parse_create({"name": "S1", "description": "For the player", "active": False, "key": SECRET})
    moment = "2026-01-02T12:00:00.345Z"

    made = request.to_stored_key(new_id("s1", at_ms=1767355200345, random_bits=5), principal="ada")

    assert made == StoredKey(
        id="s1.2r81d9dcg005",
        name="S1",
        description="For the player",
        active=False,
        masked_key="••••6789",
        created_at=moment,
        created_by="ada",
        updated_at=moment,
        updated_by="ada",
        key_updated_at=moment,
    )


def test_windows_line_breaks_are_normalized() -> None:
    """Turn CRLF into LF."""
    assert parse_create({"name": "S1", "key": SECRET, "description": "a\r\nb\u00a0c"}).description == "a\nb\u00a0c"


def test_an_update_holds_only_the_given_fields() -> None:
    """Keep an explicit null description."""
    assert parse_update({"active": False}, service="x") == {"active": False}
    assert parse_update({"name": " New ", "description": None}, service="x") == {"name": "New", "description": None}


def test_an_empty_update_is_rejected() -> None:
    """Raise InvalidRequestError."""
    with pytest.raises(InvalidRequestError, match="at least one of"):
        parse_update({}, service="x")


@pytest.mark.parametrize("field", ["name", "active", "key"])
def test_only_the_description_accepts_null(field: str) -> None:
    """Report the field."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_update({field: None}, service="x")
    assert [detail.field for detail in refused.value.details] == [field]


def test_the_service_of_a_key_is_immutable() -> None:
    """Report `service` even if its value is unchanged."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_update({"service": "spotify"}, service="spotify")
    assert refused.value.details == (
        FieldError("service", f"a key's service never changes; store a new key for the other service. {UPDATE_FIELDS}"),
    )


def test_a_new_secret_value_must_match_the_service_format() -> None:
    """Validate it for the service of the stored key."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_update({"key": SECRET}, service="spotify")
    assert refused.value.details[0].field == "key"
    assert parse_update({"key": SPOTIFY}, service="spotify")["key"].reveal() == SPOTIFY
