"""The messages of refused requests: in the words of this API, with the valid fields, without a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter
from pydantic_core._pydantic_core import list_all_errors

from service_keys.admin.schemas import CreateApiKey, UpdateApiKey, message_for, parse_create, parse_update
from service_keys.core.names import normalize_name, slug
from service_keys.errors import FieldError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "made-up-secret-0123456789"
CREATE_FIELDS = "Valid fields: name, service, description, active, key"
UPDATE_FIELDS = "Valid fields: name, description, active, key"


def refused(body: object, *, update: bool = False) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidRequestError) as error:
        parse_update(body, service="x") if update else parse_create(body)
    return error.value.details


# --- pydantic's messages --------------------------------------------------------------------------------------------

ERRORS_OF_SCHEMAS = {
    "str": {"string_type", "string_too_short", "string_too_long", "string_pattern_mismatch", "string_unicode"},
    "bool": {"bool_type", "bool_parsing"},
    "model": {"model_type", "model_attributes_type"},
    "model-fields": {"missing", "extra_forbidden", "model_type", "dict_type"},
    "typed-dict": {"missing", "extra_forbidden", "dict_type", "invalid_key"},
}
"""The errors that a pydantic schema of each type can raise, for the types in the request models."""
NO_ERRORS = {
    *("model-field", "typed-dict-field", "default", "nullable", "any"),
    # These raise the errors of this API's own validators.
    *("function-after", "function-plain"),
}


def schema_types(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema["type"]
        for name, value in schema.items():
            if name not in {"metadata", "serialization", "default", "function"}:
                yield from schema_types(value)
    elif isinstance(schema, (list, tuple)):
        for value in schema:
            yield from schema_types(value)


def test_every_error_of_the_schemas_has_a_message_of_its_own() -> None:
    """A schema type that is new in the models fails here, until its errors have messages."""
    types = {
        name for model in (CreateApiKey, UpdateApiKey) for name in schema_types(TypeAdapter(model).core_schema)
    } - {"definitions", "definition-ref"}
    assert types - NO_ERRORS <= ERRORS_OF_SCHEMAS.keys()
    strict = {"bool_parsing", "invalid_key", "extra_forbidden"}  # not raised in strict mode, or told by _unknown_field

    for name in types - NO_ERRORS:
        for kind in ERRORS_OF_SCHEMAS[name] - strict:
            assert "openapi.yaml" not in message_for(kind, {"min_length": 2, "max_length": 100}), kind


@pytest.mark.parametrize("kind", [error["type"] for error in list_all_errors()])
def test_no_message_of_pydantic_reaches_a_client(kind: str) -> None:
    """Also not one of a type that no schema raises today."""
    (error,) = (error for error in list_all_errors() if error["type"] == kind)

    message = message_for(kind, error.get("example_context") or {})

    assert message
    assert message != error["example_message_python"]
    assert not {"should", "Input", "Value", "valid string"} & set(message.split()), message


def test_a_limit_that_an_error_does_not_name_is_not_shown() -> None:
    """The last case, rather than an error in the error."""
    assert message_for("string_too_long", {}) == message_for("an_error_of_tomorrow", {})
    assert message_for("string_too_long", {"max_length": 100}) == "give at most 100 characters"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "x", "give at least 2 characters"),
        ("name", "   ", "give at least 2 characters"),
        ("name", "x" * 101, "give at most 100 characters"),
        ("name", 7, "give a string"),
        ("name", None, "give a string"),
        ("name", ["x"], "give a string"),
        ("name", "\ud800\ud800", "give valid Unicode text"),
        ("description", "x" * 501, "give at most 500 characters"),
        ("description", 7, "give a string or null"),
        ("description", {"a": "b"}, "give a string or null"),
        ("active", "true", "give true or false"),
        ("active", 1, "give true or false"),
        ("active", None, "give true or false"),
    ],
)
@pytest.mark.parametrize("update", [False, True])
def test_a_field_is_refused_in_plain_words(field: str, value: object, message: str, *, update: bool) -> None:
    """The same words in both requests."""
    body = {field: value} if update else {"name": "One", "key": SECRET} | {field: value}

    assert refused(body, update=update) == (FieldError(field, message),)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("", "use lower-case letters and digits, with single hyphens between them, such as spotify"),
        ("Spotify", "use lower-case letters and digits, with single hyphens between them, such as spotify"),
        ("spo--tify", "use lower-case letters and digits, with single hyphens between them, such as spotify"),
        ("x" * 41, "give at most 40 characters"),
        (7, "give a string"),
    ],
)
def test_a_service_is_refused_in_plain_words(service: object, message: str) -> None:
    """An example shows the form."""
    assert refused({"name": "One", "key": SECRET, "service": service}) == (FieldError("service", message),)


# --- unknown fields -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("isActive", "active"), ("is_active", "active"), ("enabled", "active"), ("Active", "active")),
        *(
            ("activ", "active"),
            ("apiKey", "key"),
            ("api_key", "key"),
            ("KEY", "key"),
            ("keys", "key"),
            ("secret", "key"),
        ),
        *(("value", "key"), ("credentials", "key"), ("names", "name"), ("keyName", "name"), ("title", "name")),
        *(("descripton", "description"), ("Description", "description"), ("note", "description")),
    ],
)
@pytest.mark.parametrize("update", [False, True])
def test_a_field_of_another_api_leads_to_the_right_one(name: str, meant: str, *, update: bool) -> None:
    """Also a typing error, or another case."""
    body = {name: SECRET} if update else {"name": "One", "key": SECRET, name: SECRET}
    valid = UPDATE_FIELDS if update else CREATE_FIELDS

    assert refused(body, update=update) == (FieldError(name, f"there is no such field; did you mean {meant}? {valid}"),)


@pytest.mark.parametrize("name", ["tags", "owner", "environment", "expiresAt", "rateLimit", "projectId", "x"])
@pytest.mark.parametrize("update", [False, True])
def test_an_unknown_field_is_refused_with_the_valid_ones(name: str, *, update: bool) -> None:
    """A create and an update have different ones."""
    body = {name: 1} if update else {"name": "One", "key": SECRET, name: 1}
    valid = UPDATE_FIELDS if update else CREATE_FIELDS

    assert refused(body, update=update) == (FieldError(name, f"there is no such field; leave it out. {valid}"),)


@pytest.mark.parametrize("field", ["id", "maskedKey", "createdAt", "updatedBy", "version", "verification", "lastUsed"])
@pytest.mark.parametrize("update", [False, True])
def test_a_field_of_the_server_is_refused_as_such(field: str, *, update: bool) -> None:
    """Administrators send back the object that they got."""
    body = {field: "x"} if update else {"name": "One", "key": SECRET, field: "x"}
    valid = UPDATE_FIELDS if update else CREATE_FIELDS

    assert refused(body, update=update) == (
        FieldError(field, f"the server sets this field, and it cannot be changed; leave it out. {valid}"),
    )


@pytest.mark.parametrize(
    "name",
    [
        *("sk-pasted-as-a-name", "sk_live_madeupsecret", "AKIAMADEUPMADEUP1234", "hunter2hunter2", "MadeUpToken12345"),
        *(
            "x" * 17,
            "0123456789abcdef0123456789abcdef",
            "correct horse battery staple",
            "a" * 16_000,
            "é",
            "",
            "key\x00x",
        ),
    ],
)
def test_a_name_that_may_be_a_secret_is_not_repeated(name: str) -> None:
    """A secret that was pasted as a field's name stays out of the answer."""
    expected = (FieldError("(body)", f"there is no such field as one of those sent; leave it out. {CREATE_FIELDS}"),)

    assert refused({"name": "One", "key": SECRET, name: 1}) == expected


# --- names and descriptions -----------------------------------------------------------------------------------------

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "👨‍👩‍👧 family",
            "🏳️‍🌈 team",
            "👩🏽‍💻 dev",
            "❤️‍🔥 prod",
            "🙂‍↔️ no",
            "1️⃣ first",
            f"{ENGLAND} team",
            "\U0001fae9 new",
        ),
        *("کلید می‌خواهم", "خانه‌ای", "क्‍ष key", "র‍্যাব key", "ශ්‍රී ලංකා", "葛\U000e0100城 key", "עברית"),
        *("Café", "Cafe\u0301", "Ключ", "音楽 🎵", "Spotify™ (prod) – EU", "“quoted”", "A/B & C’s"),
    ],
)
def test_a_name_may_be_written_as_its_language_is(name: str) -> None:
    """Joiners belong to emoji, Persian and Indic scripts; typographic characters are no fault in a name."""
    request = parse_create({"name": name, "service": "x", "description": name, "key": SECRET})

    assert (request.name, request.description) == (name, name)


@pytest.mark.parametrize(
    "name",
    [
        *("zero\u200bwidth", "joined\u200dletters", "non\u200cjoined", "\u200cیا", "🎵\u200d", "\u200d🎵", "🎵\u200dx"),
        *(
            "Spotify\ufe0f",
            "Spo\u00adtify",
            "Spo\u034ftify",
            "\ufe0f🎵",
            "🎵\ufe0f\ufe0f",
            "\U000e0041tag",
            "🎵\U000e0067",
        ),
        *(
            "\u202egnp.exe",
            "a\u2066b\u2069",
            "a\u200eb",
            "a\u061cb",
            "\u3164\u3164",
            "a\u115fb",
            "\u2800\u2800",
            "x\ufeffy",
        ),
        *("bell\x07", "esc\x1b[31m", "nul\x00", "del\x7f", "a\x85b", "a\u2028b", "a\ufffcb", "a\ufffeb"),
    ],
    ids=ascii,
)
def test_a_name_with_an_invisible_character_is_refused(name: str) -> None:
    """It would look like another name, or reorder a line of the list."""
    (in_name,) = refused({"name": name, "service": "x", "key": SECRET})
    (in_description,) = refused({"name": "One", "service": "x", "description": f"x{name}x", "key": SECRET})

    assert (in_name.field, in_description.field) == ("name", "description")
    assert in_name.message.startswith("use printable characters and plain spaces only: character ")
    assert in_description.message.startswith("remove control and invisible characters; line breaks and tabs are fine: ")


@pytest.mark.parametrize("name", ["two\nlines", "tab\there", "no\u00a0break", "ideo\u3000graphic", "private\ue000use"])
def test_a_description_may_have_characters_that_a_name_may_not(name: str) -> None:
    """Lines, tabs, any space."""
    assert refused({"name": name, "service": "x", "key": SECRET})[0].field == "name"
    assert parse_create({"name": "One", "description": name, "key": SECRET}).description == name


@pytest.mark.parametrize("field", ["name", "description"])
def test_a_lost_character_is_refused_with_the_cause(field: str) -> None:
    """A body in Latin-1, whose bytes API Gateway replaced."""
    body = {"name": "One", "key": SECRET} | {field: "Caf\ufffd"}

    assert refused(body) == (FieldError(field, "some characters were lost on the way: send the body in UTF-8"),)
    assert refused({field: "Caf\ufffd"}, update=True) == refused(body)


@pytest.mark.parametrize(
    ("one", "other"),
    [("می‌خواهم", "میخواهم"), ("👨‍👩‍👧 x", "👨👩👧 X"), ("1️⃣ one", "1⃣ one"), ("葛\U000e0100城", "葛城"), ("❤️ x", "❤ x")],
)
def test_names_that_differ_in_joiners_only_are_one_name(one: str, other: str) -> None:
    """An administrator could not tell them apart in a list."""
    assert normalize_name(one) == normalize_name(other)


@pytest.mark.parametrize(
    ("name", "service"),
    [
        *(("Straße", "strasse"), ("Łódź", "lodz"), ("Ærø", "aero"), ("Spotify™", "spotify"), ("ıstanbul", "istanbul")),
        *(("C++", "c"), ("№ 5", "no-5"), ("ﬁnance", "finance"), ("Ｓｐｏｔｉｆｙ", "spotify"), ("a.b_c", "a-b-c")),
    ],
)
def test_a_service_is_the_name_in_ascii(name: str, service: str) -> None:
    """Letters without a decomposition have a usual spelling."""
    assert slug(name) == service


@pytest.mark.parametrize("name", ["音楽", "🎵🎵", "™™", "--", "Ключ"])
def test_a_name_that_makes_no_service_needs_one(name: str) -> None:
    """The message names the field to give."""
    assert refused({"name": name, "key": SECRET}) == (
        FieldError(
            "service",
            "the name has no letter or digit of ASCII to make a service of; give the service, such as spotify",
        ),
    )


@pytest.mark.parametrize("description", [None, "", "  ", "\n\t"])
def test_an_empty_description_is_null(description: str | None) -> None:
    """As one that is left out; in an update it removes the stored one."""
    assert parse_create({"name": "One", "key": SECRET, "description": description}).description is None
    assert parse_update({"description": description}, service="x") == {"description": None}
    assert parse_create({"name": "One", "key": SECRET, "service": None}).effective_service == "one"
