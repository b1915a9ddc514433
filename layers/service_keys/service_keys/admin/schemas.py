"""Request models of create and update, and the messages for validation errors.

No message quotes a value. pydantic's errors contain the input, a secret, so they must not leave this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from service_keys.admin import secret_rules, services
from service_keys.admin.characters import Refusal, code_point, refused_in_text
from service_keys.admin.dependencies import missing
from service_keys.admin.field_names import is_echoable, resembled
from service_keys.core.ids import SERVICE_MAX_LENGTH, SERVICE_PATTERN, timestamp_ms_of
from service_keys.core.models import KEY_FIELDS, ChangeContext, StoredKey
from service_keys.core.names import NORMALIZED_NAME_MAX_BYTES, normalize_name, slug
from service_keys.core.secret_value import SecretValue
from service_keys.core.timestamps import format_timestamp
from service_keys.errors import FieldError, InvalidRequestError

try:
    from pydantic import (
        AfterValidator,
        BaseModel,
        ConfigDict,
        Field,
        PlainValidator,
        StringConstraints,
        TypeAdapter,
        ValidationError,
        ValidationInfo,
        WithJsonSchema,
        with_config,
    )
    from pydantic_core import PydanticCustomError
    from typing_extensions import TypedDict
except ImportError as error:
    raise missing(error) from error

if TYPE_CHECKING:
    from collections.abc import Callable

_Request = TypeVar("_Request")

_MESSAGES: Final = {
    "missing": "this field is required",
    "model_type": "send a JSON object",
    "model_attributes_type": "send a JSON object",
    "dict_type": "send a JSON object",
    "string_pattern_mismatch": "use lower-case letters and digits, with single hyphens between them, such as spotify",
    "string_unicode": "give valid Unicode text",
    "string_type": "give a string",
    "string_too_short": "give at least {min_length} characters",
    "string_too_long": "give at most {max_length} characters",
    "bool_type": "give true or false",
}
"""Messages by pydantic error type. pydantic's messages are not sent to clients."""
_OTHER_MESSAGE: Final = "give a value that the API's description (openapi.yaml) allows for this field"
_READ_ONLY_FIELDS: Final = KEY_FIELDS.keys() | {"service", "effectiveBy"}
_NULLABLE_FIELDS: Final = {name for name, field in KEY_FIELDS.items() if field.type == "str | None"}
_OTHER_WORDS: Final = {
    "active": ("isActive", "enabled", "isEnabled", "status", "state", "disabled"),
    "keepPrevious": ("keepOld", "keep", "previous", "retain"),
    "description": ("desc", "comment", "note", "notes"),
    "key": ("apiKey", "keyValue", "secret", "secretKey", "value", "token", "password", "credential", "credentials"),
    "name": ("keyName", "newName", "title", "label", "displayName"),
    "service": ("serviceName", "provider"),
}
"""Equivalent field names of comparable APIs, by field of this API."""


def _validate_name(name: str) -> str:
    found = refused_in_text(name, multiline=False)
    if found:
        raise _refused_text("name", name, *found)
    normalized = normalize_name(name)
    if not normalized or len(normalized.encode()) > NORMALIZED_NAME_MAX_BYTES:
        raise PydanticCustomError("name", "choose a shorter name, of more common characters")
    return name


def _normalize_description(text: str | None) -> str | None:
    text = (text or "").replace("\r\n", "\n")
    found = refused_in_text(text, multiline=True)
    if found:
        raise _refused_text("description", text, *found)
    return text or None


def _refused_text(field: str, text: str, index: int, reason: Refusal) -> PydanticCustomError:
    if reason is Refusal.LOST:
        return PydanticCustomError(field, "some characters were lost on the way: send the body in UTF-8")
    advice = "remove control and invisible characters; line breaks and tabs are fine"
    if field == "name":
        advice = "use printable characters and plain spaces only"
    return PydanticCustomError(
        field,
        "{advice}: character {place} is {character}",
        {"advice": advice, "place": index + 1, "character": code_point(text[index])},
    )


def _validate_key(value: Any, info: ValidationInfo) -> SecretValue:
    found = secret_rules.problems(value, update=info.context == _IN_UPDATE)
    if found:
        raise PydanticCustomError("key", "the key is refused", {"details": found})
    return SecretValue(value)


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=2, max_length=100),
    AfterValidator(_validate_name),
    Field(
        description="Descriptive; unique after Unicode normalization and case folding. White space around it is "
        "removed. Printable characters only; joiners and variation selectors where emoji and scripts need them.",
        examples=["Spotify production"],
    ),
]
Description = Annotated[
    Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] | None,
    AfterValidator(_normalize_description),
    Field(description="The purpose of the key. White space around it is removed. An empty text counts as null."),
]
Active = Annotated[bool, Field(description="Whether readers get this key.")]
Key = Annotated[
    SecretValue,
    PlainValidator(_validate_key),
    WithJsonSchema(
        {
            "description": secret_rules.DESCRIPTION,
            "writeOnly": True,
            "oneOf": [
                {
                    "type": "string",
                    "minLength": secret_rules.MIN_LENGTH,
                    "maxLength": secret_rules.STRING_MAX_LENGTH,
                },
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": secret_rules.MAX_FIELDS,
                    "propertyNames": {"pattern": secret_rules.FIELD_NAME_PATTERN},
                    "additionalProperties": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": secret_rules.FIELD_MAX_LENGTH,
                    },
                },
            ],
            # Valid together with the examples of name and service, which tools combine.
            "examples": [{"clientId": "0" * 32, "clientSecret": "f" * 32}],
        }
    ),
]
KeepPrevious = Annotated[
    bool,
    Field(
        description="Whether the replaced secret value is kept, for a rollback; by default it is. False removes the "
        "previous secret value, also without a new `key`. Use false for a leaked secret value."
    ),
]
Service = Annotated[
    str,
    StringConstraints(pattern=SERVICE_PATTERN, max_length=SERVICE_MAX_LENGTH),
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
    def effective_service(self) -> str:
        """The key's service, derived from the name by default; empty if the name has no slug."""
        return self.service or slug(self.name)

    def to_stored_key(self, key_id: str, context: ChangeContext) -> StoredKey:
        """Return the stored key of this request, created at the timestamp in the id."""
        now = format_timestamp(timestamp_ms_of(key_id))
        return StoredKey(
            **self.model_dump(exclude={"service", "key"}),
            id=key_id,
            masked_key=self.key.masked(),
            created_at=now,
            created_by=context.principal,
            updated_at=now,
            updated_by=context.principal,
            created_by_name=context.principal_name,
            updated_by_name=context.principal_name,
            key_updated_at=now,
        )


@with_config(ConfigDict(extra="forbid", strict=True, json_schema_extra={"minProperties": 1}))
class UpdateApiKey(TypedDict, total=False):
    """Fields to change; omitted fields keep their value. `key` is replaced as a whole."""

    name: Name
    description: Description
    active: Active
    key: Key
    keepPrevious: KeepPrevious


@with_config(ConfigDict(extra="forbid", strict=True))
class RestoreApiKey(TypedDict, total=False):
    """Options of a restore."""

    name: Name


_RESTORE: Final = TypeAdapter(RestoreApiKey)
_IN_RESTORE: Final = {"fields": tuple(RestoreApiKey.__annotations__)}
_UPDATE: Final = TypeAdapter(UpdateApiKey)
_IN_CREATE: Final = {"fields": tuple(CreateApiKey.model_fields)}
_IN_UPDATE: Final = {"fields": tuple(UpdateApiKey.__annotations__)}


def parse_create(body: object) -> CreateApiKey:
    """Parse the body of a create request.

    Raises:
        InvalidRequestError: The body is invalid; the details name each field.
    """
    request = _validate(CreateApiKey.model_validate, body, _IN_CREATE)
    if not request.effective_service:
        advice = "the name has no letter or digit of ASCII to make a service of; give the service, such as spotify"
        raise _invalid_request(FieldError("service", advice))
    _check_service_format(request.effective_service, request.key)
    return request


def parse_update(body: object, *, service: str) -> UpdateApiKey:
    """Parse the body of an update request for a key of ``service``.

    Raises:
        InvalidRequestError: The body is invalid; the details name each field.
    """
    changes = _validate(_UPDATE.validate_python, body, _IN_UPDATE)
    if not changes:
        raise InvalidRequestError(f"The body changes nothing. Give at least one of {_listed(_IN_UPDATE['fields'])}.")
    if changes == {"keepPrevious": True}:
        advice = "true alone changes nothing: send it with a new key, or send false to remove the previous one"
        raise _invalid_request(FieldError("keepPrevious", advice))
    if "key" in changes:
        _check_service_format(service, changes["key"])
    return changes


def parse_restore(body: object) -> RestoreApiKey:
    """Parse the body of a restore request.

    Raises:
        InvalidRequestError: The body is invalid; the details name each field.
    """
    return _validate(_RESTORE.validate_python, body, _IN_RESTORE)


def _check_service_format(service: str, secret_value: SecretValue) -> None:
    found = services.validate(service, secret_value)
    if found:
        raise _invalid_request(*found)


def _validate(validate: Callable[..., _Request], body: object, context: dict[str, tuple[str, ...]]) -> _Request:
    try:
        return validate(body, context=context)
    except ValidationError as error:
        invalid = _from_pydantic(error, context["fields"])
    # Raise outside the except block: pydantic's error holds the body and would stay reachable as __context__.
    raise invalid


def _from_pydantic(error: ValidationError, fields: tuple[str, ...]) -> InvalidRequestError:
    details: list[FieldError] = []
    for problem in error.errors(include_url=False, include_input=False):
        # Use only messages of this module's validators; pydantic's are for developers.
        own = problem["msg"] if problem["type"] in fields else None
        details.extend(_details(problem["type"], problem["loc"], own, problem.get("ctx", {}), fields))
    return _invalid_request(*details)


def _invalid_request(*details: FieldError) -> InvalidRequestError:
    return InvalidRequestError("The request body is not valid. Correct the fields that the details name.", details)


def _details(
    kind: str, location: tuple[int | str, ...], own: str | None, context: dict[str, Any], fields: tuple[str, ...]
) -> tuple[FieldError, ...]:
    if kind == "key":
        return tuple(context["details"])
    name = str(location[0]) if location else ""
    if kind == "extra_forbidden":
        return (_unknown_field(name, fields),)
    field = name if name in fields else "(body)"
    if kind == "string_type" and field in _NULLABLE_FIELDS:
        return (FieldError(field, "give a string or null"),)
    return (FieldError(field, own or message_for(kind, context)),)


def message_for(kind: str, context: dict[str, Any]) -> str:
    """Return the message for a pydantic error type.

    Args:
        kind: The error type.
        context: The error's parameters, such as ``max_length``.
    """
    limits = {name: context[name] for name in ("min_length", "max_length") if name in context}
    try:
        return _MESSAGES.get(kind, _OTHER_MESSAGE).format(**limits)
    except KeyError:
        return _OTHER_MESSAGE


def _unknown_field(name: str, fields: tuple[str, ...]) -> FieldError:
    valid = f"Valid fields: {_listed(fields)}"
    if name == "service":
        return FieldError(name, f"a key's service never changes; store a new key for the other service. {valid}")
    if name in _IN_UPDATE["fields"]:
        return FieldError(name, f"only an update takes this field; leave it out, and update the key. {valid}")
    if name in _READ_ONLY_FIELDS:
        return FieldError(name, f"the server sets this field, and it cannot be changed; leave it out. {valid}")
    meant = resembled(name, {field: _OTHER_WORDS[field] for field in fields})
    if meant:
        return FieldError(name, f"there is no such field; did you mean {meant}? {valid}")
    if is_echoable(name):
        return FieldError(name, f"there is no such field; leave it out. {valid}")
    return FieldError("(body)", f"there is no such field as one of those sent; leave it out. {valid}")


def _listed(fields: tuple[str, ...]) -> str:
    return ", ".join(fields)
