"""Tests of validation messages: own wording, valid fields, and no secret."""

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


def test_every_schema_error_has_its_own_message() -> None:
    """Fail for a new schema type in the models until its errors have messages."""
    types = {
        name for model in (CreateApiKey, UpdateApiKey) for name in schema_types(TypeAdapter(model).core_schema)
    } - {"definitions", "definition-ref"}
    assert types - NO_ERRORS <= ERRORS_OF_SCHEMAS.keys()
    strict = {"bool_parsing", "invalid_key", "extra_forbidden"}  # not in strict mode, or reported by _unknown_field

    for name in types - NO_ERRORS:
        for kind in ERRORS_OF_SCHEMAS[name] - strict:
            assert "openapi.yaml" not in message_for(kind, {"min_length": 2, "max_length": 100}), kind


@pytest.mark.parametrize("kind", [error["type"] for error in list_all_errors()])
def test_no_pydantic_message_reaches_a_client(kind: str) -> None:
    """Cover error types that no schema raises today."""
    (error,) = (error for error in list_all_errors() if error["type"] == kind)

    message = message_for(kind, error.get("example_context") or {})

    assert message
    assert message != error["example_message_python"]
    assert not {"should", "Input", "Value", "valid string"} & set(message.split()), message


def test_an_error_without_a_limit_has_a_generic_message() -> None:
    """Return the generic message rather than raise an error."""
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
def test_an_invalid_field_has_the_same_message_in_both_requests(
    field: str, value: object, message: str, *, update: bool
) -> None:
    """Check create and update."""
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
def test_an_invalid_service_has_a_message_with_an_example(service: object, message: str) -> None:
    """Explain the format."""
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
def test_a_similar_field_name_is_suggested(name: str, meant: str, *, update: bool) -> None:
    """Suggest a field for synonyms, typing errors and another case."""
    body = {name: SECRET} if update else {"name": "One", "key": SECRET, name: SECRET}
    valid = UPDATE_FIELDS if update else CREATE_FIELDS

    assert refused(body, update=update) == (FieldError(name, f"there is no such field; did you mean {meant}? {valid}"),)


@pytest.mark.parametrize("name", ["tags", "owner", "environment", "expiresAt", "rateLimit", "projectId", "x"])
@pytest.mark.parametrize("update", [False, True])
def test_an_unknown_field_is_rejected_with_the_valid_ones(name: str, *, update: bool) -> None:
    """List the fields of the request: create and update differ."""
    body = {name: 1} if update else {"name": "One", "key": SECRET, name: 1}
    valid = UPDATE_FIELDS if update else CREATE_FIELDS

    assert refused(body, update=update) == (FieldError(name, f"there is no such field; leave it out. {valid}"),)


@pytest.mark.parametrize("field", ["id", "maskedKey", "createdAt", "updatedBy", "version", "verification", "lastUsed"])
@pytest.mark.parametrize("update", [False, True])
def test_a_server_field_is_rejected_with_the_reason(field: str, *, update: bool) -> None:
    """Cover clients that send a response back."""
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
def test_a_field_name_that_may_be_a_secret_is_not_repeated(name: str) -> None:
    """Report the body instead of a name that may be a pasted secret."""
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
        *("API\u200cهای ما", "۲۰\u200cساله"),
        *("Café", "Cafe\u0301", "Ключ", "音楽 🎵", "Spotify™ (prod) – EU", "“quoted”", "A/B & C’s"),
    ],
)
def test_names_of_all_scripts_are_accepted(name: str) -> None:
    """Accept joiners of emoji, Persian and Indic scripts, and typographic characters."""
    request = parse_create({"name": name, "service": "x", "description": name, "key": SECRET})

    assert (request.name, request.description) == (name, name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "zero\u200bwidth",
            "joined\u200dletters",
            "non\u200cjoined",
            "\u200c یا",
            "🎵\u200d",
            "\u200d🎵",
            "🎵\u200dx",
        ),
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
def test_a_name_with_an_invisible_character_is_rejected(name: str) -> None:
    """Reject it, because it would look like another name or reorder a line of the list."""
    (in_name,) = refused({"name": name, "service": "x", "key": SECRET})
    (in_description,) = refused({"name": "One", "service": "x", "description": f"x{name}x", "key": SECRET})

    assert (in_name.field, in_description.field) == ("name", "description")
    assert in_name.message.startswith("use printable characters and plain spaces only: character ")
    assert in_description.message.startswith("remove control and invisible characters; line breaks and tabs are fine: ")


@pytest.mark.parametrize("name", ["\u200cیا", "یا\u200c", "API\u200c", "- \u200cیا"])
def test_a_non_joiner_outside_of_a_word_is_rejected(name: str) -> None:
    """Accept it only between two letters or digits, the second of them of a joined script."""
    assert refused({"name": name, "service": "x", "key": SECRET})[0].field == "name"


@pytest.mark.parametrize("name", ["two\nlines", "tab\there", "no\u00a0break", "ideo\u3000graphic", "private\ue000use"])
def test_a_description_may_have_characters_that_a_name_may_not(name: str) -> None:
    """Accept line breaks, tabs and any space."""
    assert refused({"name": name, "service": "x", "key": SECRET})[0].field == "name"
    assert parse_create({"name": "One", "description": name, "key": SECRET}).description == name


@pytest.mark.parametrize("field", ["name", "description"])
def test_a_replacement_character_is_rejected_with_the_cause(field: str) -> None:
    """Advise UTF-8: API Gateway replaces the bytes of a body in Latin-1."""
    body = {"name": "One", "key": SECRET} | {field: "Caf\ufffd"}

    assert refused(body) == (FieldError(field, "some characters were lost on the way: send the body in UTF-8"),)
    assert refused({field: "Caf\ufffd"}, update=True) == refused(body)


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


@pytest.mark.parametrize("name", ["音楽", "🎵🎵", "™™", "--", "Ключ"])
def test_a_name_without_ascii_requires_a_service(name: str) -> None:
    """Name the missing field in the message."""
    assert refused({"name": name, "key": SECRET}) == (
        FieldError(
            "service",
            "the name has no letter or digit of ASCII to make a service of; give the service, such as spotify",
        ),
    )


@pytest.mark.parametrize("description", [None, "", "  ", "\n\t"])
def test_an_empty_description_is_null(description: str | None) -> None:
    """Treat it as omitted in a create; remove the stored one in an update."""
    assert parse_create({"name": "One", "key": SECRET, "description": description}).description is None
    assert parse_update({"description": description}, service="x") == {"description": None}
    assert parse_create({"name": "One", "key": SECRET, "service": None}).effective_service == "one"
