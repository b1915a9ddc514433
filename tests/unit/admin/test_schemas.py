"""What an administrator may send, and what is said of what is wrong."""

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
    request = parse_create({"name": "  Spotify production ", "key": SECRET})

    assert request.name == "Spotify production"
    assert request.service is None
    assert request.effective_service == "spotify-production"
    assert request.description is None
    assert request.active is True
    assert request.key.reveal() == SECRET


def test_everything_can_be_given() -> None:
    request = parse_create(
        {"name": "S1", "service": "spotify", "description": " For\n\tthe player ", "active": False, "key": SPOTIFY}
    )

    assert (request.service, request.description, request.active) == ("spotify", "For\n\tthe player", False)
    assert request.key.reveal() == SPOTIFY


def test_a_blank_description_is_none() -> None:
    assert parse_create({"name": "S1", "key": SECRET, "description": "  "}).description is None


@pytest.mark.parametrize("body", [None, [], "x", 1, True, [{"name": "x"}]])
def test_only_an_object_is_taken(body: object) -> None:
    assert refusal(body) == {"(body)": "send a JSON object"}
    with pytest.raises(InvalidRequestError) as refused:
        parse_update(body, service="x")
    assert refused.value.details == (FieldError("(body)", "send a JSON object"),)


def test_every_problem_is_told_at_once() -> None:
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
def test_a_bad_name_is_told(name: object, hint: str) -> None:
    assert hint in refusal({"name": name, "key": SECRET, "service": "x"})["name"]


@pytest.mark.parametrize("name", ["x" * 100, "xy", "\ufdfa" * 31 + "x"], ids=["long", "short", "long when folded"])
def test_a_name_may_have_a_hundred_characters_and_1024_bytes_when_folded(name: str) -> None:
    assert parse_create({"name": name, "key": SECRET, "service": "x"}).name == name


@pytest.mark.parametrize("service", ["", "Spotify", "spo tify", "-a", "a-", "a--b", "#name", "a" * 41, "a\n", "ü", 1])
def test_a_bad_service_is_told(service: object) -> None:
    assert "service" in refusal({"name": "S1", "key": SECRET, "service": service})


def test_a_name_without_a_slug_needs_a_service() -> None:
    assert "give the service" in refusal({"name": "音楽", "key": SECRET})["service"]
    assert parse_create({"name": "音楽", "key": SECRET, "service": "ongaku"}).effective_service == "ongaku"


@pytest.mark.parametrize("description", ["x" * 501, "bell\a", "\u202egnp.exe"])
def test_a_bad_description_is_told(description: str) -> None:
    assert "description" in refusal({"name": "S1", "key": SECRET, "description": description})


def test_a_description_may_have_five_hundred_characters() -> None:
    assert parse_create({"name": "S1", "key": SECRET, "description": "x" * 500}).description == "x" * 500


@pytest.mark.parametrize("active", ["true", 1, 0, None, "no"])
def test_active_is_true_or_false_and_nothing_else(active: object) -> None:
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
def test_a_bad_key_is_told_without_repeating_it(key: object, field: str, hint: str) -> None:
    assert hint in refusal({"name": "S1", "key": key})[field]


def test_a_part_whose_name_is_bad_is_told_of_its_name_alone() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_create({"name": "S1", "key": {"a b": " "}})
    assert [detail.field for detail in refused.value.details] == ["key"]


@pytest.mark.parametrize("parts", [1, 20])
def test_a_key_has_one_to_twenty_parts(parts: int) -> None:
    key = {f"part{number}": "x" for number in range(parts)}

    assert parse_create({"name": "S1", "key": key}).key.reveal() == key


@pytest.mark.parametrize(
    "key",
    ["x" * 4094, "ü" * 2047, "x" * 8, "line one\nline\ttwo", {"pem": "-----BEGIN-----\nMII\n-----END-----"}, "🔑" * 8],
)
def test_a_good_key_is_taken_as_it_is(key: Any) -> None:
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
def test_a_spotify_key_has_its_shape(key: object, field: str) -> None:
    assert "32 hexadecimal" in refusal({"name": "S1", "service": "spotify", "key": key})[field]


def test_both_parts_of_a_spotify_key_are_told() -> None:
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
def test_an_openai_key_has_its_shape(key: object, field: str) -> None:
    assert "OpenAI key" in refusal({"name": "OpenAI", "key": key})[field]


@pytest.mark.parametrize("key", [SECRET, "sk-made-up-key", "sk-ant-white space", {"apiKey": "sk-ant-made-up"}])
def test_an_anthropic_key_has_its_shape(key: object) -> None:
    assert "sk-ant-" in refusal({"name": "Anthropic", "key": key})["key"]
    assert parse_create({"name": "Anthropic", "key": "sk-ant-made-up"}).effective_service == "anthropic"


@pytest.mark.parametrize("option", ["organization", "project"])
@pytest.mark.parametrize("value", ["org with space", "org\nX-Injected: 1", "örg"])
def test_what_goes_into_a_header_is_visible_ascii(option: str, value: str) -> None:
    body = {"name": "OpenAI", "key": {"apiKey": "sk-made-up-key", option: value}}

    assert "visible ASCII" in refusal(body)[f"key.{option}"]


@pytest.mark.parametrize(
    "key",
    ["sk-made-up-key", {"apiKey": "sk-made-up-key"}, {"apiKey": "sk-made-up-key", "organization": "o", "project": "p"}],
)
def test_a_good_openai_key_is_taken(key: object) -> None:
    assert parse_create({"name": "OpenAI", "key": key}).effective_service == "openai"


@pytest.mark.parametrize(
    "field", ["id", "maskedKey", "createdAt", "version", "lastUsed", "verification", "effectiveBy"]
)
def test_what_the_server_sets_cannot_be_sent_back(field: str) -> None:
    assert "the server sets" in refusal({"name": "S1", "key": SECRET, field: "••••6789"})[field]


def test_a_field_name_that_is_no_text_is_told() -> None:
    assert refusal({"name": "S1", "key": SECRET, "\ud800": 1}) == {"(body)": "give valid Unicode text"}


def test_a_part_name_that_may_be_a_secret_is_not_repeated() -> None:
    assert refusal({"name": "S1", "key": {"sk-pasted-as-a-name": "", "x" * 30: " "}}).keys() == {"key"}


def test_an_error_of_the_model_shows_nothing_of_the_body() -> None:
    with pytest.raises(ValidationError) as refused:
        CreateApiKey.model_validate({"name": SECRET * 5, "active": SECRET, "key": f" {SECRET}", "nonsense": SECRET})
    assert SECRET not in str(refused.value)


def test_a_request_does_not_change() -> None:
    request = parse_create({"name": "S1", "key": SECRET})

    with pytest.raises(ValidationError, match="frozen"):
        request.active = False  # type: ignore[misc]


def test_a_request_makes_a_key_of_its_moment_and_its_principal() -> None:
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


def test_line_breaks_of_windows_become_line_breaks() -> None:
    assert parse_create({"name": "S1", "key": SECRET, "description": "a\r\nb\u00a0c"}).description == "a\nb\u00a0c"


def test_an_update_holds_only_what_it_names() -> None:
    assert parse_update({"active": False}, service="x") == {"active": False}
    assert parse_update({"name": " New ", "description": None}, service="x") == {"name": "New", "description": None}


def test_an_update_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="at least one of"):
        parse_update({}, service="x")


@pytest.mark.parametrize("field", ["name", "active", "key"])
def test_only_the_description_can_be_removed(field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_update({field: None}, service="x")
    assert [detail.field for detail in refused.value.details] == [field]


def test_the_service_of_a_key_cannot_change() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_update({"service": "spotify"}, service="spotify")
    assert refused.value.details == (
        FieldError("service", f"a key's service never changes; store a new key for the other service. {UPDATE_FIELDS}"),
    )


def test_a_new_key_must_fit_its_service() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_update({"key": SECRET}, service="spotify")
    assert refused.value.details[0].field == "key"
    assert parse_update({"key": SPOTIFY}, service="spotify")["key"].reveal() == SPOTIFY
