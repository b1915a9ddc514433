"""Tests of the rules for secret values: corrupted, masked or malformed ones are rejected."""

from __future__ import annotations

import pytest

from service_keys.admin.schemas import parse_create, parse_update
from service_keys.admin.secret_rules import FIELD_MAX_LENGTH, MAX_BYTES, STRING_MAX_LENGTH, problems
from service_keys.core.secret_value import SecretValue
from service_keys.errors import FieldError, InvalidRequestError

PEM = "-----BEGIN PRIVATE KEY-----\nTWFkZSB1cA==\n-----END PRIVATE KEY-----"


def found(value: object) -> dict[str, str]:
    return {detail.field: detail.message for detail in problems(value, update=False)}


# --- white space and line breaks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [PEM, PEM + "\n", PEM.replace("\n", "\r\n"), PEM.replace("\n", "\r\n") + "\r\n"])
def test_a_multi_line_value_may_end_in_a_newline(key: str) -> None:
    """Accept the end of PEM files, which some parsers need."""
    assert found(key) == {}
    assert found({"privateKey": key}) == {}


@pytest.mark.parametrize(
    "key",
    [
        *("made-up-key\n", "made-up-key\r\n", "made-up-key ", "\tmade-up-key", "made-up-key\r", "\n\n\n\n\n\n\n\n\n"),
        *(PEM + "\n\n", "\n" + PEM, PEM + " ", PEM + "\r", PEM + "\n\r\n", PEM + " \n", "\u3000" + PEM, PEM + "\u2028"),
    ],
)
def test_other_surrounding_white_space_is_rejected(key: str) -> None:
    """Reject a single line that ends in a newline, which is a paste error."""
    assert found(key)["key"] == "remove the white space before and after it"
    assert found({"a": key})["key.a"] == "remove the white space before and after it"


@pytest.mark.parametrize("key", ["one\rtwo three", "one\r\rtwo three", PEM.replace("\n", "\r"), "one\n\rtwo three"])
def test_a_carriage_return_without_newline_is_rejected(key: str) -> None:
    """Accept carriage returns only in CRLF."""
    assert "U+000D" in found(key)["key"]


# --- characters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\u00a0", "U+00A0 NO-BREAK SPACE"),
        ("\u202f", "U+202F NARROW NO-BREAK SPACE"),
        ("\u2009", "U+2009 THIN SPACE"),
        ("\u3000", "U+3000 IDEOGRAPHIC SPACE"),
        ("\u1680", "U+1680 OGHAM SPACE MARK"),
        ("\u2028", "U+2028 LINE SEPARATOR"),
        ("\u2029", "U+2029 PARAGRAPH SEPARATOR"),
        ("\u2010", "U+2010 HYPHEN"),
        ("\u2011", "U+2011 NON-BREAKING HYPHEN"),
        ("\u2013", "U+2013 EN DASH"),
        ("\u2014", "U+2014 EM DASH"),
        ("\u2212", "U+2212 MINUS SIGN"),
        ("\u2018", "U+2018 LEFT SINGLE QUOTATION MARK"),
        ("\u2019", "U+2019 RIGHT SINGLE QUOTATION MARK"),
        ("\u201a", "U+201A SINGLE LOW-9 QUOTATION MARK"),
        ("\u201c", "U+201C LEFT DOUBLE QUOTATION MARK"),
        ("\u201d", "U+201D RIGHT DOUBLE QUOTATION MARK"),
        ("\u201e", "U+201E DOUBLE LOW-9 QUOTATION MARK"),
        ("\u00ab", "U+00AB LEFT-POINTING DOUBLE ANGLE QUOTATION MARK"),
        ("\u2032", "U+2032 PRIME"),
        ("\u2026", "U+2026 HORIZONTAL ELLIPSIS"),
        ("\ufb01", "U+FB01 LATIN SMALL LIGATURE FI"),
        ("\uff0d", "U+FF0D FULLWIDTH HYPHEN-MINUS"),
        ("\uff41", "U+FF41 FULLWIDTH LATIN SMALL LETTER A"),
    ],
)
def test_a_typographic_look_alike_is_rejected(character: str, name: str) -> None:
    """Report position and code point of the character, and nothing else of the key."""
    message = found(f"made-up key{character}0123456789")["key"]

    assert message == (
        f"copy it again as plain text: character 12 is {name}, "
        "which word processors and chats insert in place of a plain one"
    )


@pytest.mark.parametrize(
    "character",
    [
        *("\x00", "\x07", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\u00ad", "\u034f", "\u061c", "\u115f", "\u180e"),
        *("\u200b", "\u200c", "\u200d", "\u200e", "\u202e", "\u2060", "\u2066", "\u2800", "\u3164", "\ud800"),
        *("\ufe0f", "\ufeff", "\uffa0", "\ufff9", "\ufffc", "\ufffe", "\uf8ff", "\ue000", "\U000e0041", "\U000e0100"),
    ],
    ids=lambda character: f"U+{ord(character):04X}",
)
def test_an_invisible_character_is_rejected(character: str) -> None:
    """Reject controls, formats, fillers, tags, selectors, private use characters and noncharacters."""
    message = found(f"made-up-key{character}0123456789")["key"]

    assert message.startswith(f"remove the control and invisible characters: character 12 is U+{ord(character):04X}")


def test_a_replacement_character_is_rejected_with_the_cause() -> None:
    """Advise UTF-8, because API Gateway replaces bytes that are not UTF-8."""
    assert found("made-up-\ufffd-key") == {"key": "some characters were lost on the way; send the body in UTF-8"}


@pytest.mark.parametrize(
    "key",
    [
        "pässwörd-ñ",
        "пароль-из-слов",
        "密码密码密码密码",
        "🔑🔑🔑🔑🔑🔑🔑🔑",
        "e\u0301e\u0301e\u0301e\u0301",
        "¤¥§±×÷½¿",
        "ー長音長音長音長",
    ],
)
def test_letters_and_symbols_of_any_script_are_accepted(key: str) -> None:
    """Accept them because a password can contain them; do not compose decomposed ones."""
    assert found(key) == {}
    assert SecretValue.from_json(SecretValue(key).to_json()).reveal() == key


# --- masked values --------------------------------------------------------------------------------------------------

MASKED = [
    *("****************", "********", "sk-****1234", "sk-...****1234", "sk-proj-***", "***abcdefgh", "abcd***efgh"),
    *("••••", "••••cdef", "sk-••••••1234", "●●●●●●●●", "·········", "■■■■■■■■", "sk-∗∗∗∗∗∗∗1234", "✱✱✱✱✱✱✱✱"),
    *("sk-...AbCd", "sk-proj-...1234", "sk-ant-api03-R2D...igAA", "AIza...3xYz", "sk-…AbCd", "ghp_......1234"),
    *("postgresql://app:***@db.example.com/app", "amqp://guest:**@localhost", "redis://:*@cache.example.com"),
    *("[REDACTED]", "<redacted>", "(hidden)", "[FILTERED]", "***REDACTED***", "[MASKED]"),
    *("<sensitive>", "(sensitive value)", "sk-⋅⋅⋅⋅⋅⋅1234", "‧‧‧‧‧‧‧‧", "○○○○○○○○", "⦁⦁⦁⦁cdef", "⬛⬛⬛⬛⬛⬛⬛⬛"),
]  # fmt: skip


@pytest.mark.parametrize("key", MASKED)
def test_a_masked_value_is_rejected(key: str) -> None:
    """Reject the masks of dashboards, loggers and this API."""
    expected = "this is a masked value, not the key; copy the whole key from the service that issued it"
    assert found(key) == {"key": expected}
    assert found({"apiKey": "made-up-key", "clientSecret": key}) == {"key.clientSecret": expected}


@pytest.mark.parametrize(
    "key",
    [
        *(
            "p*ss**word",
            "wait...then",
            "no...there",
            "https://api.example.com/../x",
            "a.b.c.d.e.f",
            "1.2.3.4...",
            "2 ** 3 * 4",
        ),
        *(
            "Bearer ...x",
            "l·l·l·l·l·l",
            "redacted",
            "hidden-service",
            "[section]",
            "postgresql://a:b*@db.example.com/app",
            "svc:*@made-up-password",
            "p:**@ssword",
        ),
        *("x" * 32, "xxxxxxxx-xxxx", "-" * 16, "_" * 16, "." * 16, "=" * 16),
    ],
)
def test_a_value_that_resembles_a_mask_is_accepted(key: str) -> None:
    """Accept a password with two asterisks."""
    assert found(key) == {}


def test_advice_on_a_masked_value_depends_on_the_request() -> None:
    """Advise to omit `key` only in an update, where a stored secret value exists."""
    with pytest.raises(InvalidRequestError) as created:
        parse_create({"name": "One", "key": "••••cdef"})
    with pytest.raises(InvalidRequestError) as updated:
        parse_update({"key": "••••cdef"}, service="one")

    assert created.value.details == (
        FieldError("key", "this is a masked value, not the key; copy the whole key from the service that issued it"),
    )
    assert updated.value.details == (
        FieldError(
            "key",
            "this is a masked value, not the key; send the whole key, or leave `key` out to keep the stored one",
        ),
    )


@pytest.mark.parametrize("key", [None, 12345678, [], {}])
def test_only_an_update_advises_to_omit_the_key(key: object) -> None:
    """Require a key in a create."""
    expected = "give a string, or an object of 1 to 20 named strings"

    assert problems(key, update=False) == (FieldError("key", expected),)
    assert problems(key, update=True) == (FieldError("key", f"{expected}; leave `key` out to keep the stored one"),)


# --- size and shape -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "size"),
    [
        ("x" * 4094, 4096),
        ("ü" * 2047, 4096),
        ("🔑" * 1023 + "xx", 4096),
        ('"' * 2047, 4096),
        ("\\" * 2047, 4096),
        ("a" + "\n" * 2046 + "b", 4096),
        ({"a": "x" * 4088}, 4096),
        ({f"f{n:02}": "x" * 196 for n in range(19)} | {"f19": "x" * 191}, 4096),
    ],
    ids=["ascii", "latin", "emoji", "quotes", "backslashes", "newlines", "one field", "twenty fields"],
)
def test_a_secret_value_has_at_most_4096_bytes_as_json(key: str | dict[str, str], size: int) -> None:
    """Apply the limit of KMS to the encrypted JSON."""
    assert len(SecretValue(key).to_json()) == size
    assert found(key) == {}

    longer = f"b{key}b" if isinstance(key, str) else key | {"a": key.get("a", "") + "xxxxxxxxx"}
    assert len(SecretValue(longer).to_json()) > MAX_BYTES
    assert found(longer)["key"].startswith(("give at most 4096 bytes", "give a string, or an object of 1 to 20"))


def test_the_schema_lengths_match_the_size_limit() -> None:
    """Accept every value within the schema's lengths, in ASCII without escapes."""
    assert found("x" * STRING_MAX_LENGTH) == found({"a": "x" * FIELD_MAX_LENGTH}) == {}
    assert found("x" * (STRING_MAX_LENGTH + 1)).keys() == found({"a": "x" * (FIELD_MAX_LENGTH + 1)}).keys() == {"key"}


@pytest.mark.parametrize("key", ["1234567", "🔑" * 7, ""])
def test_a_string_has_at_least_8_characters(key: str) -> None:
    """Count characters, not bytes; fields of an object may be shorter."""
    assert found(key) == {"key": "give at least 8 characters"}
    assert found(key + "x" * (8 - len(key))) == {}
    if key:
        assert found({"region": key}) == {}


@pytest.mark.parametrize("key", [{"a": 1}, {"a": None}, {"a": ["x"]}, {"a": {"b": "c"}}, {"a": "x", "b": True}])
def test_fields_that_are_not_strings_are_rejected(key: object) -> None:
    """Advise to send a file of nested JSON as one string."""
    assert found(key) == {"key": "give an object of named strings only; send a file of nested JSON as one string"}


@pytest.mark.parametrize(
    "name", ["", "1st", "_id", "a b", "a.b", "a/b", "ä", "a\n", "x" * 65, "\ufeffa", "a\u200b", "-a"]
)
def test_a_field_name_is_ascii(name: str) -> None:
    """Restrict the names, because consumers write them in code."""
    assert found({name: "made-up"}) == {
        "key": "name each field with a letter, then letters, digits, _ or -; at most 64 characters"
    }


@pytest.mark.parametrize("name", ["a", "x" * 64, "X-Api-Key", "client_x509_cert_url", "DD-API-KEY", "a1"])
def test_common_field_names_are_accepted(name: str) -> None:
    """Accept header names, snake case and camel case."""
    assert found({name: "made-up"}) == {}


@pytest.mark.parametrize("name", ["clientSecret", "private_key", "auth_provider_x509_cert_url", "DD-API-KEY", "k"])
def test_an_error_names_a_field_of_plain_words(name: str) -> None:
    """Return the field name, which the console highlights."""
    assert found({"id": "made-up", name: ""}) == {f"key.{name}": "give a value"}


@pytest.mark.parametrize(
    "name",
    ["sk_live_madeupsecret", "AKIAMADEUPMADEUP1234", "hunter2hunter2", "sk-pasted-as-a-name", "a" * 17, "A1b2C3d4"],
)
def test_an_error_counts_a_field_whose_name_may_be_a_secret(name: str) -> None:
    """Return its position, because a key may have been pasted as a name."""
    assert found({"id": "made-up", name: ""}) == {"key": "field 2: give a value"}


def test_openai_rejects_a_key_of_anthropic() -> None:
    """Distinguish the prefix sk-ant- from sk-."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_create({"name": "OpenAI", "key": "sk-ant-made-up-key"})

    assert refused.value.details == (
        FieldError("key", "this is an Anthropic key; store it for the service anthropic, or give the OpenAI key"),
    )
