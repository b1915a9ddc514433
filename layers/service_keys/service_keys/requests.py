"""What an administrator may send: the request models of create and update, and what is wrong with one, in words.

Nothing here repeats a value. pydantic's own errors hold the input, which is a secret, so they end in this module.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from service_keys import naming, services
from service_keys.errors import Detail, InvalidRequest
from service_keys.material import MASK, KeyMaterial
from service_keys.models import MaskedApiKey, StoredKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Request = TypeVar("_Request")

KEY_MAX_BYTES: Final = 4096
"""What KMS encrypts in one call: https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html"""
KEY_MIN_LENGTH: Final = 8
PARTS_MAX: Final = 10
PART_NAME_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
_PART_NAME: Final = re.compile(PART_NAME_PATTERN)
_SHOWN_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,23}")
"""Names are repeated in answers only where they look like names: a key pasted in the wrong place can be one."""
_UNWANTED: Final = frozenset({"Cc", "Cf", "Cs"})
"""Unicode's control and format characters, which come along with a careless paste, and lone surrogates."""
_REPLACEMENT_CHARACTER: Final = "\N{REPLACEMENT CHARACTER}"
_WORDS: Final = {
    "missing": "this field is required",
    "model_type": "send a JSON object",
    "dict_type": "send a JSON object",
    "string_pattern_mismatch": "use lower-case letters and digits, with single hyphens between them, such as spotify",
    "string_unicode": "give valid Unicode text",
    "string_type": "give a string",
    "bool_type": "give true or false",
}
_READ_ONLY: Final = MaskedApiKey.__annotations__.keys() | {"effectiveBy"}


def _printable_name(name: str) -> str:
    if not name.isprintable():
        raise PydanticCustomError("name", "use printable characters only: no line breaks, tabs or invisible characters")
    folded = naming.fold(name)
    if not folded or len(folded.encode()) > naming.FOLDED_NAME_MAX_BYTES:
        raise PydanticCustomError("name", "choose a shorter name, of more common characters")
    return name


def _text(text: str | None) -> str | None:
    text = (text or "").replace("\r\n", "\n")
    if _has_unwanted(text):
        raise PydanticCustomError("text", "remove the control or invisible characters; line breaks and tabs are fine")
    return text or None


def _key(value: Any) -> KeyMaterial:
    found = tuple(_key_problems(value))
    if found:
        raise PydanticCustomError("key", "the key cannot be taken", {"details": found})
    return KeyMaterial(value)


def _key_problems(value: Any) -> Iterator[Detail]:
    if isinstance(value, str):
        if len(value) < KEY_MIN_LENGTH:
            yield Detail("key", f"give at least {KEY_MIN_LENGTH} characters")
            return
        parts = [("key", value)]
    elif isinstance(value, dict) and 1 <= len(value) <= PARTS_MAX and all(isinstance(v, str) for v in value.values()):
        if not all(_PART_NAME.fullmatch(name) for name in value):
            yield Detail("key", "name each part with a letter, then letters, digits, _ or -; at most 64 characters")
            return
        parts = [(f"key.{name}" if _SHOWN_NAME.fullmatch(name) else "key", part) for name, part in value.items()]
    else:
        yield Detail("key", f"give a string, or an object of 1 to {PARTS_MAX} named strings")
        return
    sound = True
    for field, part in parts:
        problem = _part_problem(part)
        if problem:
            sound = False
            yield Detail(field, problem)
    if sound and len(KeyMaterial(value).to_json()) > KEY_MAX_BYTES:
        yield Detail("key", f"give at most {KEY_MAX_BYTES} bytes in all, as JSON in UTF-8")


def _part_problem(part: str) -> str | None:
    if not part:
        return "give a value"
    if part != part.strip():
        return "remove the white space before and after it"
    if MASK[0] in part:
        return "this is a masked value, not the key; leave `key` out to keep the stored one"
    if _has_unwanted(part):
        return "remove the control and invisible characters"
    if _REPLACEMENT_CHARACTER in part:
        return "send it as UTF-8; some characters were lost on the way"
    return None


def _has_unwanted(text: str) -> bool:
    # What is printable has none: asked first, for it is asked in one step.
    return not text.isprintable() and any(
        unicodedata.category(character) in _UNWANTED and character not in "\n\t" for character in text
    )


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=2, max_length=100),
    AfterValidator(_printable_name),
    Field(description="Descriptive; unique, whatever its case. Printable characters.", examples=["Spotify production"]),
]
Description = Annotated[
    Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] | None,
    AfterValidator(_text),
    Field(description="What the key is for."),
]
Active = Annotated[bool, Field(description="Whether readers get this key.")]
Key = Annotated[
    KeyMaterial,
    PlainValidator(_key),
    WithJsonSchema(
        {
            "description": "The key itself: a string, or an object of named parts. At most 4096 bytes in all.",
            "writeOnly": True,
            "oneOf": [
                {"type": "string", "minLength": KEY_MIN_LENGTH, "maxLength": KEY_MAX_BYTES},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": PARTS_MAX,
                    "propertyNames": {"pattern": PART_NAME_PATTERN},
                    "additionalProperties": {"type": "string", "minLength": 1, "maxLength": KEY_MAX_BYTES},
                },
            ],
            "examples": ["sk-example-not-a-real-key", {"clientId": "0" * 32, "clientSecret": "f" * 32}],
        }
    ),
]
Service = Annotated[
    str,
    StringConstraints(pattern=naming.SERVICE_PATTERN, max_length=naming.SERVICE_MAX_LENGTH),
    Field(description="What readers look up. By default the name, in lower case with hyphens.", examples=["spotify"]),
]


class CreateApiKey(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    name: Name
    service: Service | None = None
    description: Description = None
    active: Active = True
    key: Key

    @property
    def service_or_slug(self) -> str:
        """The service that the key is for, which may be empty where the name has no slug."""
        return self.service or naming.slug(self.name)

    def as_stored(self, key_id: str, *, principal: str) -> StoredKey:
        """Return the key that this request makes, under this id, at the moment that the id holds."""
        now = naming.timestamp(naming.created_ms(key_id))
        return StoredKey(
            id=key_id,
            name=self.name,
            description=self.description,
            active=self.active,
            masked_key=self.key.masked(),
            created_at=now,
            created_by=principal,
            updated_at=now,
            updated_by=principal,
            key_updated_at=now,
        )


@with_config(ConfigDict(extra="forbid", strict=True, json_schema_extra={"minProperties": 1}))
class UpdateApiKey(TypedDict, total=False):
    """What to change; all that is left out stays as it is. `key` is replaced whole."""

    name: Name
    description: Description
    active: Active
    key: Key


_UPDATE: Final = TypeAdapter(UpdateApiKey)


def parse_create(body: object) -> CreateApiKey:
    """Read the body of a create request.

    Raises:
        InvalidRequest: It cannot be taken; says why, field by field.
    """
    request = _validated(CreateApiKey.model_validate, body)
    if not request.service_or_slug:
        raise _invalid_fields(Detail("service", "the name gives none; name the service, such as spotify"))
    _check_shape(request.service_or_slug, request.key)
    return request


def parse_update(body: object, *, service: str) -> UpdateApiKey:
    """Read the body of an update request for a key of ``service``.

    Raises:
        InvalidRequest: It cannot be taken; says why, field by field.
    """
    changes = _validated(_UPDATE.validate_python, body)
    if not changes:
        raise InvalidRequest("Nothing to change. Name at least one of name, description, active and key.")
    if "key" in changes:
        _check_shape(service, changes["key"])
    return changes


def _check_shape(service: str, material: KeyMaterial) -> None:
    found = services.problems(service, material)
    if found:
        raise _invalid_fields(*found)


def _validated(validate: Callable[[object], _Request], body: object) -> _Request:
    try:
        return validate(body)
    except ValidationError as error:
        refusal = _invalid(error)
    # Raised out here: pydantic's error holds the body, and `from None` only hides it in the chain.
    raise refusal


def _invalid(error: ValidationError) -> InvalidRequest:
    details: list[Detail] = []
    for problem in error.errors(include_url=False, include_input=False):
        details.extend(_details(problem["type"], problem["loc"], problem["msg"], problem.get("ctx", {})))
    return _invalid_fields(*details)


def _invalid_fields(*details: Detail) -> InvalidRequest:
    return InvalidRequest("Some fields cannot be taken. See details for what to change.", details)


def _details(kind: str, location: tuple[int | str, ...], message: str, context: dict[str, Any]) -> tuple[Detail, ...]:
    if kind == "key":
        return tuple(context["details"])
    field = str(location[0]) if location and _SHOWN_NAME.fullmatch(str(location[0])) else "(body)"
    return (Detail(field, _words(kind, field) or message[:1].lower() + message[1:]),)


def _words(kind: str, field: str) -> str | None:
    if kind != "extra_forbidden":
        return _WORDS.get(kind)
    if field == "service":
        return "a key's service never changes; store a new key for the other service"
    if field in _READ_ONLY:
        return "the server sets this field, and it cannot be changed; leave it out"
    return "there is no such field; leave it out"
