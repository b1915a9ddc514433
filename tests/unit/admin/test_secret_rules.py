"""Tests of the rules for secret values: corrupted, masked or malformed ones are rejected."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from service_keys.admin.schemas import parse_create
from service_keys.admin.secret_rules import FIELD_MAX_LENGTH, MAX_BYTES, STRING_MAX_LENGTH
from service_keys.core.secret_value import SecretValue
from service_keys.errors import FieldError
from tests.unit.admin.conftest import new, refused

PEM = "-----BEGIN PRIVATE KEY-----\nTWFkZSB1cA==\n-----END PRIVATE KEY-----"
WHITE_SPACE = "remove the white space before and after it"
MASKED = "this is a masked value, not the key; copy the whole key from the service that issued it"
SHAPE = "give a string, or an object of 1 to 20 named strings"


def assert_accepted(key: Any) -> None:
    """Create a key with the secret value, unchanged to the byte."""
    secret_value = parse_create(new(key=key)).key
    assert SecretValue.from_json(secret_value.to_json()).reveal() == secret_value.reveal() == key


def problem(key: object, field: str = "key") -> str:
    """Return the message for an invalid secret value, which has no other error."""
    (detail,) = refused(new(key=key))
    assert detail.field == field
    return detail.message


# --- white space and line breaks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [PEM, PEM + "\n", PEM.replace("\n", "\r\n"), PEM.replace("\n", "\r\n") + "\r\n"])
def test_a_multi_line_value_may_end_in_a_newline(key: str) -> None:
    """Accept the end of PEM files, which some parsers need."""
    assert_accepted(key)
    assert_accepted({"privateKey": key})


@pytest.mark.parametrize(
    "key",
    [
        *("made-up-key\n", "made-up-key\r\n", "made-up-key ", "\tmade-up-key", "made-up-key\r", "\n\n\n\n\n\n\n\n\n"),
        *(PEM + "\n\n", "\n" + PEM, PEM + " ", PEM + "\r", PEM + "\n\r\n", PEM + " \n", "\u3000" + PEM, PEM + "\u2028"),
        *(" made-up-key", "made-up-key\u00a0"),
    ],
)
def test_other_surrounding_white_space_is_rejected(key: str) -> None:
    """Reject a single line that ends in a newline, which is a paste error."""
    assert problem(key) == WHITE_SPACE
    assert problem({"a": key}, "key.a") == WHITE_SPACE


@pytest.mark.parametrize("key", ["one\rtwo three", "one\r\rtwo three", PEM.replace("\n", "\r"), "one\n\rtwo three"])
def test_a_carriage_return_without_newline_is_rejected(key: str) -> None:
    """Accept carriage returns only in CRLF."""
    assert "U+000D" in problem(key)


# --- characters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "character",
    [
        *("\u00a0", "\u202f", "\u2009", "\u3000", "\u1680", "\u2028", "\u2029"),  # spaces and separators
        *("\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\uff0d"),  # dashes
        *("\u2018", "\u2019", "\u201a", "\u201c", "\u201d", "\u201e", "\u00ab", "\u2032"),  # quotation marks
        *("\u2026", "\ufb01", "\uff41"),
    ],
    ids=ascii,
)
def test_a_typographic_look_alike_is_rejected(character: str) -> None:
    """Report position and code point of the character, and nothing else of the key."""
    place = f"character 12 is U+{ord(character):04X} {unicodedata.name(character)}"
    origin = "which word processors and chats insert in place of a plain one"

    assert problem(f"made-up key{character}0123456789") == f"copy it again as plain text: {place}, {origin}"


@pytest.mark.parametrize(
    "character",
    [
        *("\x00", "\x07", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\u00ad", "\u034f", "\u061c", "\u115f", "\u180e"),
        *("\u200b", "\u200c", "\u200d", "\u200e", "\u202e", "\u2060", "\u2066", "\u2800", "\u3164", "\ud800"),
        *("\ufe0f", "\ufeff", "\uffa0", "\ufff9", "\ufffc", "\ufffe", "\uf8ff", "\ue000", "\U000e0041", "\U000e0100"),
    ],
    ids=ascii,
)
def test_an_invisible_character_is_rejected(character: str) -> None:
    """Reject controls, formats, fillers, tags, selectors, private use characters and noncharacters."""
    start = f"remove the control and invisible characters: character 12 is U+{ord(character):04X}"

    assert problem(f"made-up-key{character}0123456789").startswith(start)


def test_a_replacement_character_is_rejected_with_the_cause() -> None:
    """Advise UTF-8, because API Gateway replaces bytes that are not UTF-8."""
    assert problem("made-up-\ufffd-key") == "some characters were lost on the way; send the body in UTF-8"


@pytest.mark.parametrize(
    "key",
    [
        *("pässwörd-ñ", "пароль-из-слов", "密码密码密码密码", "🔑🔑🔑🔑🔑🔑🔑🔑", "e\u0301e\u0301e\u0301e\u0301"),
        *("¤¥§±×÷½¿", "ー長音長音長音長", "line one\nline\ttwo"),
    ],
)
def test_letters_and_symbols_of_any_script_are_accepted(key: str) -> None:
    """Accept them because a password can contain them; do not compose decomposed ones."""
    assert_accepted(key)


# --- masked values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        *("****************", "********", "sk-****1234", "sk-...****1234", "sk-proj-***", "***abcdefgh", "abcd***efgh"),
        *("••••", "••••cdef", "sk-••••••1234", "●●●●●●●●", "·········", "■■■■■■■■", "sk-∗∗∗∗∗∗∗1234", "✱✱✱✱✱✱✱✱"),
        *("sk-...AbCd", "sk-proj-...1234", "sk-ant-api03-R2D...igAA", "AIza...3xYz", "sk-…AbCd", "ghp_......1234"),
        *("postgresql://app:***@db.example.com/app", "amqp://guest:**@localhost", "redis://:*@cache.example.com"),
        *("[REDACTED]", "<redacted>", "(hidden)", "[FILTERED]", "***REDACTED***", "[MASKED]"),
        *("<sensitive>", "(sensitive value)", "sk-⋅⋅⋅⋅⋅⋅1234", "‧‧‧‧‧‧‧‧", "○○○○○○○○", "⦁⦁⦁⦁cdef", "⬛⬛⬛⬛⬛⬛⬛⬛"),
        "••••made-up-key-0123456789",
    ],
)  # fmt: skip
def test_a_masked_value_is_rejected(key: str) -> None:
    """Reject the masks of dashboards, loggers and this API."""
    assert problem(key) == MASKED
    assert problem({"apiKey": "made-up-key", "clientSecret": key}, "key.clientSecret") == MASKED


@pytest.mark.parametrize(
    "key",
    [
        *("p*ss**word", "wait...then", "no...there", "https://api.example.com/../x", "a.b.c.d.e.f", "1.2.3.4..."),
        *("2 ** 3 * 4", "Bearer ...x", "l·l·l·l·l·l", "redacted", "hidden-service", "[section]", "p:**@ssword"),
        *("postgresql://a:b*@db.example.com/app", "svc:*@made-up-password"),
        *("x" * 32, "xxxxxxxx-xxxx", "-" * 16, "_" * 16, "." * 16, "=" * 16),
    ],
)
def test_a_value_that_resembles_a_mask_is_accepted(key: str) -> None:
    """Accept a password with two asterisks."""
    assert_accepted(key)


# --- size and shape -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, 12345678, [], ["12345678"], {}, {f"part{n}": "x" for n in range(21)}])
def test_a_key_is_a_string_or_an_object_of_1_to_20_fields(key: object) -> None:
    """Advise to omit `key` only in an update, where a stored secret value exists."""
    assert problem(key) == SHAPE
    advice = f"{SHAPE}; leave `key` out to keep the stored one"
    assert refused({"key": key}, update=True) == (FieldError("key", advice),)


def test_advice_on_a_masked_value_depends_on_the_request() -> None:
    """Advise to omit `key` only in an update."""
    advice = "this is a masked value, not the key; send the whole key, or leave `key` out to keep the stored one"

    assert refused({"key": "••••cdef"}, update=True) == (FieldError("key", advice),)
    assert refused({"key": {"a": "••••"}}, update=True) == (FieldError("key.a", advice),)


@pytest.mark.parametrize(
    "key",
    [
        *("x" * 4094, "ü" * 2047, "🔑" * 1023 + "xx", '"' * 2047, "\\" * 2047, "a" + "\n" * 2046 + "b"),
        *({"a": "x" * 4088}, {"a": "x" * 3000, "b": "x" * 1081}),
        {f"f{n:02}": "x" * 196 for n in range(19)} | {"f19": "x" * 191},
    ],
    ids=["ascii", "latin", "emoji", "quotes", "backslashes", "newlines", "one field", "two fields", "twenty fields"],
)
def test_a_secret_value_has_at_most_4096_bytes_as_json(key: str | dict[str, str]) -> None:
    """Apply the limit of KMS to the encrypted JSON."""
    assert len(SecretValue(key).to_json()) == MAX_BYTES
    assert_accepted(key)

    longer = f"{key}b" if isinstance(key, str) else key | {max(key): key[max(key)] + "x"}
    assert problem(longer) == "give at most 4096 bytes in all, as JSON in UTF-8"


def test_the_schema_lengths_match_the_size_limit() -> None:
    """Accept every value within the schema's lengths, in ASCII without escapes."""
    assert_accepted("x" * STRING_MAX_LENGTH)
    assert_accepted({"a": "x" * FIELD_MAX_LENGTH})
    assert problem("x" * (STRING_MAX_LENGTH + 1)) == problem({"a": "x" * (FIELD_MAX_LENGTH + 1)})


@pytest.mark.parametrize("key", ["1234567", "🔑" * 7, ""])
def test_a_string_has_at_least_8_characters(key: str) -> None:
    """Count characters, not bytes; fields of an object may be shorter."""
    assert problem(key) == "give at least 8 characters"
    assert_accepted(key + "x" * (8 - len(key)))
    if key:
        assert_accepted({"region": key})


@pytest.mark.parametrize("key", [{"a": 1}, {"a": None}, {"a": ["x"]}, {"a": {"b": "c"}}, {"a": "x", "b": True}])
def test_fields_that_are_not_strings_are_rejected(key: object) -> None:
    """Advise to send a file of nested JSON as one string."""
    assert problem(key) == "give an object of named strings only; send a file of nested JSON as one string"


@pytest.mark.parametrize(
    "name", ["", "1st", "_id", "a b", "a.b", "a/b", "ä", "a\n", "x" * 65, "\ufeffa", "a\u200b", "-a"]
)
def test_a_field_name_is_ascii(name: str) -> None:
    """Restrict the names, because consumers write them in code; report no error of the value."""
    rule = "name each field with a letter, then letters, digits, _ or -; at most 64 characters"

    assert problem({name: " "}) == rule


@pytest.mark.parametrize("name", ["a", "x" * 64, "X-Api-Key", "client_x509_cert_url", "DD-API-KEY", "a1"])
def test_common_field_names_are_accepted(name: str) -> None:
    """Accept header names, snake case and camel case."""
    assert_accepted({name: "made-up"})


@pytest.mark.parametrize("name", ["clientSecret", "private_key", "auth_provider_x509_cert_url", "DD-API-KEY", "k"])
def test_an_error_names_a_field_of_plain_words(name: str) -> None:
    """Return the field name, which the console highlights."""
    assert problem({"id": "made-up", name: ""}, f"key.{name}") == "give a value"


@pytest.mark.parametrize(
    "name",
    [
        *("sk_live_madeupsecret", "AKIAMADEUPMADEUP1234", "hunter2hunter2", "sk-pasted-as-a-name", "a" * 17),
        *("A1b2C3d4", "x" * 30),
    ],
)
def test_an_error_counts_a_field_whose_name_may_be_a_secret(name: str) -> None:
    """Return its position, because a key may have been pasted as a name."""
    assert problem({"id": "made-up", name: ""}) == "field 2: give a value"
