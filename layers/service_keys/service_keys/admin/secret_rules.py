"""Validation rules for the secret values of all services. Known services validate their format in addition."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from service_keys.admin.characters import Refusal, code_point, refused_in_secret
from service_keys.admin.field_names import is_echoable
from service_keys.core.secret_value import SecretValue
from service_keys.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 4096
"""KMS limit for one call: https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html"""
MIN_LENGTH: Final = 8
MAX_FIELDS: Final = 20
STRING_MAX_LENGTH: Final = MAX_BYTES - len('""')
"""Maximum characters; fewer if some take more than one byte in UTF-8 or are escaped in JSON."""
FIELD_MAX_LENGTH: Final = MAX_BYTES - len('{"a":""}')
FIELD_NAME_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
_FIELD_NAME: Final = re.compile(FIELD_NAME_PATTERN[1:-1])
DESCRIPTION: Final = (
    f"The key itself: a string of at least {MIN_LENGTH} characters, or an object of 1 to {MAX_FIELDS} named strings. "
    f"At most {MAX_BYTES} bytes as JSON in UTF-8, where quotation marks, backslashes and line breaks take two bytes "
    "each. Stored byte for byte. Refused: white space around a value (except one line break at the end of a value of "
    "several lines, as in a PEM file), control characters except line breaks and tabs, invisible characters, the "
    "spaces, dashes and quotation marks that word processors insert, and masked values. Known services check their "
    "own format."
)
_MASKED_PARTS: Final = (
    re.compile("[•●]"),
    re.compile(r"[∙·⋅‧◦○◯⦁⏺⚫⚪⬤▪■◼⬛█░▒▓∗⁎﹡✱✻✽＊]{3}|\*{3}"),
    # Password masks in URLs by SQLAlchemy, Celery and others.
    re.compile(r"://[^\s/?#:@]*:\*+@"),
)
"""Patterns that mark a masked value. One in 20,000 random passwords contains three asterisks."""
_REDACTED: Final = re.compile(
    r"[<\[({*]{1,3}(?:redacted|masked|hidden|filtered|sensitive(?: value)?)[>\])}*]{1,3}", re.IGNORECASE
)
_SHORTENED: Final = re.compile(r"[\w-]{2,20}(?:\.{3,8}|…)[\w-]{2,8}")
"""Shortened key as in dashboards: ``sk-...AbCd``."""


def problems(value: Any, *, update: bool) -> tuple[FieldError, ...]:
    """Return the errors of a secret value; empty if it is valid. No message quotes the value.

    Args:
        value: The value in the request body.
        update: True in an update, where a request without ``key`` keeps the stored one.
    """
    return tuple(_problems(value, update=update))


def _problems(value: Any, *, update: bool) -> Iterator[FieldError]:
    stay = "; leave `key` out to keep the stored one" if update else ""
    if isinstance(value, str):
        if _is_masked(value):
            yield FieldError("key", _masked_value_error(update=update))
            return
        if len(value) < MIN_LENGTH:
            yield FieldError("key", f"give at least {MIN_LENGTH} characters")
            return
        fields = [("key", "", value)]
    elif isinstance(value, dict) and 1 <= len(value) <= MAX_FIELDS and all(isinstance(v, str) for v in value.values()):
        if not all(_FIELD_NAME.fullmatch(name) for name in value):
            advice = "name each field with a letter, then letters, digits, _ or -; at most 64 characters"
            yield FieldError("key", advice)
            return
        fields = [_address(number, name, field) for number, (name, field) in enumerate(value.items(), 1)]
    elif isinstance(value, dict) and len(value) in range(1, MAX_FIELDS + 1):
        advice = "give an object of named strings only; send a file of nested JSON as one string"
        yield FieldError("key", advice)
        return
    else:
        yield FieldError("key", f"give a string, or an object of 1 to {MAX_FIELDS} named strings{stay}")
        return
    found = False
    for address, where, field in fields:
        problem = _field_problem(field, update=update)
        if problem:
            found = True
            yield FieldError(address, where + problem)
    if not found and len(SecretValue(value).to_json()) > MAX_BYTES:
        yield FieldError("key", f"give at most {MAX_BYTES} bytes in all, as JSON in UTF-8")


def _address(number: int, name: str, field: str) -> tuple[str, str, str]:
    """Address the field by its name or, if the name could be a secret, by its number."""
    return (f"key.{name}", "", field) if is_echoable(name) else ("key", f"field {number}: ", field)


def _field_problem(field: str, *, update: bool) -> str | None:
    if not field:
        return "give a value"
    if _is_masked(field):
        return _masked_value_error(update=update)
    if _has_white_space_around(field):
        return "remove the white space before and after it"
    refused = refused_in_secret(field)
    return _refused(field, *refused) if refused else None


def _refused(field: str, index: int, reason: Refusal) -> str:
    character = f"character {index + 1} is {code_point(field[index])}"
    match reason:
        case Refusal.LOST:
            return "some characters were lost on the way; send the body in UTF-8"
        case Refusal.INVISIBLE:
            return f"remove the control and invisible characters: {character}"
        case Refusal.TYPOGRAPHIC:
            instead = "which word processors and chats insert in place of a plain one"
            return f"copy it again as plain text: {character}, {instead}"


def _has_white_space_around(field: str) -> bool:
    """Return True if white space surrounds the value, except the final line break of a multi-line value."""
    lines = field.removesuffix("\n").removesuffix("\r") if field.endswith("\n") else field
    content = lines if "\n" in lines else field
    return content != content.strip()


def _is_masked(field: str) -> bool:
    if any(mask.search(field) for mask in _MASKED_PARTS) or _REDACTED.fullmatch(field):
        return True
    # A value without a digit, hyphen or underscore can be a passphrase: wait...then
    return _SHORTENED.fullmatch(field) is not None and any(c in "-_" or c.isdigit() for c in field)


def _masked_value_error(*, update: bool) -> str:
    """Return the error message for a masked value in a request."""
    if update:
        return "this is a masked value, not the key; send the whole key, or leave `key` out to keep the stored one"
    return "this is a masked value, not the key; copy the whole key from the service that issued it"
