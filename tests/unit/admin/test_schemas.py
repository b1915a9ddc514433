"""Tests of the request models: valid bodies, and own wording without a secret for each invalid field."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core._pydantic_core import list_all_errors

from service_keys.admin.schemas import CreateApiKey, UpdateApiKey, message_for, parse_create, parse_update
from service_keys.core.ids import new_id
from service_keys.core.models import ChangeContext, StoredKey
from service_keys.core.names import normalize_name, slug
from service_keys.errors import FieldError, InvalidRequestError
from tests.support.key_fields import CREATE_FIELDS, SIMILAR, UPDATE_FIELDS
from tests.unit.admin.conftest import SECRET, new, refused

VALID_IN_CREATE = f"Valid fields: {CREATE_FIELDS}"
VALID_IN_UPDATE = f"Valid fields: {UPDATE_FIELDS}"
SERVICE = "use lower-case letters and digits, with single hyphens between them, such as spotify"
UNRELATED = ["tags", "owner", "environment", "expiresAt", "rateLimit", "projectId", "x"]
READ_ONLY = ["id", "maskedKey", "createdAt", "updatedBy", "version", "verification", "lastUsed", "effectiveBy"]

create_and_update = pytest.mark.parametrize("update", [False, True], ids=["create", "update"])


def refused_field(name: str, value: object, *, update: bool) -> FieldError:
    """Return the error of one field in an otherwise valid request."""
    (detail,) = refused({name: value} if update else new(**{name: value}), update=update)
    return detail


# --- valid requests -------------------------------------------------------------------------------------------------


def test_a_create_request_has_defaults() -> None:
    """Trim the name and derive the service from it."""
    request = parse_create({"name": "  Spotify production ", "key": SECRET})

    assert (request.name, request.service, request.description) == ("Spotify production", None, None)
    assert (request.effective_service, request.active, request.key.reveal()) == ("spotify-production", True, SECRET)


def test_all_fields_can_be_set() -> None:
    """Trim the description and keep its line breaks."""
    request = parse_create(new(service="music", description=" For\n\tthe player ", active=False, key={"a": SECRET}))

    assert (request.service, request.description, request.active) == ("music", "For\n\tthe player", False)
    assert (request.effective_service, request.key.reveal()) == ("music", {"a": SECRET})


def test_to_stored_key_uses_the_time_of_the_id_and_the_principal() -> None:
    """Set all timestamps to the time of the id."""
    request = parse_create(new(description="For the player", active=False))
    moment = "2026-01-02T12:00:00.345Z"
    context = ChangeContext(at_ms=1, principal="ada", request_id="r", principal_name="Ada L.")

    assert request.to_stored_key(new_id("s1", at_ms=1767355200345, random_bits=5), context) == StoredKey(
        id="s1.2r81d9dcg005",
        name="One",
        description="For the player",
        active=False,
        masked_key="••••6789",
        created_at=moment,
        created_by="ada",
        updated_at=moment,
        updated_by="ada",
        key_updated_at=moment,
        created_by_name="Ada L.",
        updated_by_name="Ada L.",
    )


def test_a_request_is_immutable() -> None:
    """Reject assignment to a field."""
    with pytest.raises(ValidationError, match="frozen"):
        parse_create(new()).active = False  # type: ignore[misc]


def test_an_update_contains_only_the_given_fields() -> None:
    """Keep an explicit null description."""
    assert parse_update({"active": False}, service="x") == {"active": False}
    assert parse_update({"name": " New ", "description": None}, service="x") == {"name": "New", "description": None}


@pytest.mark.parametrize("description", [None, "", "  ", "\n\t"])
def test_an_empty_description_is_null(description: str | None) -> None:
    """Treat it as omitted in a create; remove the stored one in an update."""
    assert parse_create(new(description=description)).description is None
    assert parse_update({"description": description}, service="x") == {"description": None}


def test_windows_line_breaks_are_normalized() -> None:
    """Turn CRLF into LF."""
    assert parse_create(new(description="a\r\nb\u00a0c")).description == "a\nb\u00a0c"


# --- pydantic's messages --------------------------------------------------------------------------------------------

SCHEMA_ERRORS = {
    "str": {"string_type", "string_too_short", "string_too_long", "string_pattern_mismatch", "string_unicode"},
    "bool": {"bool_type"},
    "model": {"model_type", "model_attributes_type"},
    "model-fields": {"missing", "model_type", "dict_type"},
    "typed-dict": {"missing", "dict_type"},
}
"""The errors that each schema type in the models can raise in strict mode, except those of unknown fields."""
WITHOUT_ERRORS = {"model-field", "typed-dict-field", "default", "nullable", "any", "with-info", "no-info"}
OWN_ERRORS = {"function-after", "function-plain"}
OPENAPI_TYPES = {"object", "string"}


@pytest.mark.parametrize("model", [CreateApiKey, UpdateApiKey])
def test_every_schema_error_has_its_own_message(model: type[Any]) -> None:
    """Fail for a new schema type in the models until its errors have messages."""
    types = set(re.findall(r"'type': '([\w-]+)'", repr(TypeAdapter(model).core_schema)))
    types -= WITHOUT_ERRORS | OWN_ERRORS | OPENAPI_TYPES

    assert {"str", "bool"} < types
    assert types <= SCHEMA_ERRORS.keys()
    for kind in set().union(*(SCHEMA_ERRORS[name] for name in types)):
        assert "openapi.yaml" not in message_for(kind, {"min_length": 2, "max_length": 100}), kind


@pytest.mark.parametrize("error", list_all_errors(), ids=lambda error: error["type"])
def test_no_pydantic_message_reaches_a_client(error: dict[str, Any]) -> None:
    """Cover error types that no schema raises today."""
    message = message_for(error["type"], error.get("example_context") or {})

    assert message
    assert message != error["example_message_python"]
    assert not {"should", "Input", "Value", "valid string"} & set(message.split()), message


def test_an_error_without_a_limit_has_a_generic_message() -> None:
    """Return the generic message rather than raise an error."""
    assert message_for("string_too_long", {}) == message_for("an_error_of_tomorrow", {})
    assert message_for("string_too_long", {"max_length": 100}) == "give at most 100 characters"


def test_a_validation_error_contains_no_input() -> None:
    """Hide the input in pydantic's error."""
    with pytest.raises(ValidationError) as raised:
        CreateApiKey.model_validate({"name": SECRET * 5, "active": SECRET, "key": f" {SECRET}", "nonsense": SECRET})
    assert SECRET not in str(raised.value)


# --- invalid fields -------------------------------------------------------------------------------------------------


@create_and_update
@pytest.mark.parametrize("body", [None, [], "x", 1, True, [{"name": "x"}]])
def test_only_a_json_object_is_accepted(body: object, *, update: bool) -> None:
    """Reject other JSON values."""
    assert refused(body, update=update) == (FieldError("(body)", "send a JSON object"),)


def test_all_errors_are_reported_at_once() -> None:
    """Return one message for each field."""
    assert refused({"service": "No!", "active": "yes", "description": 7, "nonsense": SECRET}) == (
        FieldError("name", "this field is required"),
        FieldError("service", SERVICE),
        FieldError("description", "give a string or null"),
        FieldError("active", "give true or false"),
        FieldError("key", "this field is required"),
        FieldError("nonsense", f"there is no such field; leave it out. {VALID_IN_CREATE}"),
    )


@create_and_update
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        *(("name", short, "give at least 2 characters") for short in ("", "x", " x ", "   ")),
        ("name", "x" * 101, "give at most 100 characters"),
        ("name", "\ufdfa" * 31 + "xy", "choose a shorter name, of more common characters"),
        *(("name", other, "give a string") for other in (7, None, ["x"])),
        *(("name", text, "give valid Unicode text") for text in ("\ud800\ud800", "surrogate \ud800")),
        ("description", "x" * 501, "give at most 500 characters"),
        *(("description", other, "give a string or null") for other in (7, {"a": "b"})),
        *(("active", other, "give true or false") for other in ("true", "no", 1, 0, None)),
    ],
)
def test_an_invalid_field_is_rejected_in_both_requests(
    field: str, value: object, message: str, *, update: bool
) -> None:
    """Return the same message for create and update."""
    assert refused_field(field, value, update=update) == FieldError(field, message)


@pytest.mark.parametrize("name", ["x" * 100, "xy", "\ufdfa" * 31 + "x"], ids=["long", "short", "long when folded"])
def test_a_name_has_2_to_100_characters_and_at_most_1024_bytes(name: str) -> None:
    """Count the bytes of the normalized name; a description may have 500 characters."""
    request = parse_create(new(name=name, service="x", description="x" * 500))

    assert (request.name, request.description) == (name, "x" * 500)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        *((text, SERVICE) for text in ("", "Spotify", "spo tify", "-a", "a-", "a--b", "#name", "a\n", "ü")),
        *(("x" * 41, "give at most 40 characters"), (7, "give a string")),
    ],
)
def test_an_invalid_service_has_a_message_with_an_example(service: object, message: str) -> None:
    """Explain the format."""
    assert refused(new(service=service)) == (FieldError("service", message),)


@pytest.mark.parametrize("name", ["音楽", "🎵🎵", "™™", "--", "Ключ"])
def test_a_name_without_ascii_requires_a_service(name: str) -> None:
    """Derive no service from a name without Latin letters or digits; name the missing field."""
    advice = "the name has no letter or digit of ASCII to make a service of; give the service, such as spotify"

    assert refused(new(name=name)) == (FieldError("service", advice),)
    assert parse_create(new(name=name, service="ongaku")).effective_service == "ongaku"


def test_an_empty_update_is_rejected() -> None:
    """Raise InvalidRequestError."""
    with pytest.raises(InvalidRequestError, match=f"at least one of {UPDATE_FIELDS}"):
        parse_update({}, service="x")


def test_the_service_of_a_key_is_immutable() -> None:
    """Report `service` even if its value is unchanged."""
    advice = f"a key's service never changes; store a new key for the other service. {VALID_IN_UPDATE}"

    assert refused({"service": "spotify"}, update=True, service="spotify") == (FieldError("service", advice),)


# --- unknown fields -------------------------------------------------------------------------------------------------


@create_and_update
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        *((name, f"there is no such field; did you mean {field}?") for field in SIMILAR for name in SIMILAR[field]),
        *((name, "there is no such field; leave it out.") for name in UNRELATED),
        *((name, "the server sets this field, and it cannot be changed; leave it out.") for name in READ_ONLY),
    ],
)
def test_an_unknown_field_is_rejected_with_advice(name: str, advice: str, *, update: bool) -> None:
    """Suggest a similar field, explain fields that the server sets, and list the valid ones."""
    valid = VALID_IN_UPDATE if update else VALID_IN_CREATE

    assert refused_field(name, SECRET, update=update) == FieldError(name, f"{advice} {valid}")


@pytest.mark.parametrize(
    "name",
    [
        *("sk-pasted-as-a-name", "sk_live_madeupsecret", "AKIAMADEUPMADEUP1234", "hunter2hunter2", "MadeUpToken12345"),
        *("x" * 17, "0123456789abcdef0123456789abcdef", "correct horse battery staple", "a" * 16_000),
        *("é", "", "key\x00x"),
    ],
)
def test_a_field_name_that_may_be_a_secret_is_not_repeated(name: str) -> None:
    """Report the body instead of a name that may be a pasted secret."""
    advice = f"there is no such field as one of those sent; leave it out. {VALID_IN_CREATE}"

    assert refused(new(**{name: 1})) == (FieldError("(body)", advice),)


def test_a_field_name_that_is_not_unicode_is_rejected() -> None:
    """Report the body instead of the name."""
    assert refused(new(**{"\ud800": 1})) == (FieldError("(body)", "give valid Unicode text"),)


# --- characters of names and descriptions ---------------------------------------------------------------------------

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    "name",
    [
        *("👨‍👩‍👧 family", "🏳️‍🌈 team", "👩🏽‍💻 dev", "❤️‍🔥 prod"),
        *("🙂‍↔️ no", "1️⃣ first", f"{ENGLAND} team", "\U0001fae9 new"),
        *("کلید می‌خواهم", "خانه‌ای", "क्‍ष key", "র‍্যাব key", "ශ්‍රී ලංකා", "葛\U000e0100城 key", "עברית"),
        *("API\u200cهای ما", "۲۰\u200cساله"),
        *("Café", "Cafe\u0301", "Ключ", "音楽 🎵", "Spotify™ (prod) – EU", "“quoted”", "A/B & C’s"),
    ],
)
def test_names_of_all_scripts_are_accepted(name: str) -> None:
    """Accept joiners of emoji, Persian and Indic scripts, and typographic characters."""
    request = parse_create(new(name=name, service="x", description=name))

    assert (request.name, request.description) == (name, name)


@pytest.mark.parametrize(
    "name",
    [
        *("zero\u200bwidth", "joined\u200dletters", "non\u200cjoined", "\u200c یا"),
        *("🎵\u200d", "\u200d🎵", "🎵\u200dx"),
        *("Spotify\ufe0f", "Spo\u00adtify", "Spo\u034ftify", "\ufe0f🎵", "🎵\ufe0f\ufe0f", "\U000e0041tag"),
        *("🎵\U000e0067", "\u202egnp.exe", "a\u2066b\u2069", "a\u200eb", "a\u061cb", "\u3164\u3164", "a\u115fb"),
        *("\u2800\u2800", "x\ufeffy", "bell\x07", "esc\x1b[31m", "nul\x00", "del\x7f", "a\x85b", "a\u2028b"),
        *("a\ufffcb", "a\ufffeb"),
    ],
    ids=ascii,
)
def test_a_name_with_an_invisible_character_is_rejected(name: str) -> None:
    """Reject it, because it would look like another name or reorder a line of the list."""
    in_name, in_description = refused(new(name=name, service="x", description=f"x{name}x"))

    assert (in_name.field, in_description.field) == ("name", "description")
    assert in_name.message.startswith("use printable characters and plain spaces only: character ")
    assert in_description.message.startswith("remove control and invisible characters; line breaks and tabs are fine: ")


@pytest.mark.parametrize("name", ["\u200cیا", "یا\u200c", "API\u200c", "- \u200cیا"])
def test_a_non_joiner_outside_of_a_word_is_rejected(name: str) -> None:
    """Accept it only between two letters or digits, the second of them of a joined script."""
    assert refused(new(name=name, service="x"))[0].field == "name"


@pytest.mark.parametrize("text", ["two\nlines", "tab\there", "no\u00a0break", "ideo\u3000graphic", "private\ue000use"])
def test_a_description_may_have_characters_that_a_name_may_not(text: str) -> None:
    """Accept line breaks, tabs and any space."""
    assert refused(new(name=text, service="x"))[0].message.startswith("use printable characters")
    assert parse_create(new(description=text)).description == text


@create_and_update
@pytest.mark.parametrize("field", ["name", "description"])
def test_a_replacement_character_is_rejected_with_the_cause(field: str, *, update: bool) -> None:
    """Advise UTF-8: API Gateway replaces the bytes of a body in Latin-1."""
    advice = "some characters were lost on the way: send the body in UTF-8"

    assert refused_field(field, "Caf\ufffd", update=update) == FieldError(field, advice)


@pytest.mark.parametrize(
    ("one", "other"),
    [("می‌خواهم", "میخواهم"), ("👨‍👩‍👧 x", "👨👩👧 X"), ("1️⃣ one", "1⃣ one"), ("葛\U000e0100城", "葛城"), ("❤️ x", "❤ x")],
)
def test_names_that_differ_only_in_joiners_are_equal(one: str, other: str) -> None:
    """Normalize joiners away, because such names look alike in a list."""
    assert normalize_name(one) == normalize_name(other)


@pytest.mark.parametrize(
    ("name", "service"),
    [
        *(("Straße", "strasse"), ("Łódź", "lodz"), ("Ærø", "aero"), ("Spotify™", "spotify"), ("ıstanbul", "istanbul")),
        *(("C++", "c"), ("№ 5", "no-5"), ("ﬁnance", "finance"), ("Ｓｐｏｔｉｆｙ", "spotify"), ("a.b_c", "a-b-c")),
    ],
)
def test_a_derived_service_is_the_name_in_ascii(name: str, service: str) -> None:
    """Transliterate letters without a decomposition."""
    assert slug(name) == service
