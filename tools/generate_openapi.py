"""Generate openapi.yaml from the template (routes, API Gateway's errors) and the models (schemas).

This module adds only descriptions, and the request and responses of each route.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml
from pydantic import ConfigDict, TypeAdapter, with_config
from pydantic.json_schema import GenerateJsonSchema

from local.template import EXAMPLE_PARAMETERS, Template
from service_keys import __version__
from service_keys.admin.endpoint import DETAILS_MAX, INTERNAL_ERROR, STATUS_BY_ERROR, VERSION_HEADER
from service_keys.admin.pagination import LIMIT_MAX, VERIFICATION_FILTERS
from service_keys.admin.schemas import CreateApiKey, RestoreApiKey, UpdateApiKey
from service_keys.core import models
from service_keys.core.ids import ID_PATTERN, SERVICE_MAX_LENGTH, SERVICE_PATTERN
from service_keys.core.list_query import LIMIT_DEFAULT
from service_keys.store.serving import MAX_INDEX_CALLS, MAX_SERVICE_CALLS
from tools import ROOT

DOCUMENT = ROOT / "openapi.yaml"
_TAG: Final = "API keys"
_RESPONSE_MODELS: Final = {
    "ApiKey": models.StoredKey,
    "Verification": models.Verification,
    "PreviousKey": models.PreviousKey,
    "DeletedApiKey": models.DeletedKey,
    "HistoryEntry": models.HistoryEntry,
}
_SCHEMA: Final = "#/components/schemas/{model}"
_TIMESTAMP_FIELDS: Final = frozenset(
    (
        *("createdAt", "updatedAt", "keyUpdatedAt", "lastUsed", "checkedAt", "replacedAt"),
        *("deletedAt", "recoverableUntil", "at"),
    )
)

_ERRORS: Final = {
    400: ("BadRequest", "The request is not valid; `details` name each field to correct."),
    401: ("Unauthorized", "There is no valid token. Nothing was changed."),
    403: ("Forbidden", "The token is valid, but not an administrator's. Nothing was changed."),
    404: ("NotFound", "There is no such key."),
    409: (
        "Conflict",
        "An API key with this name already exists, or there is no previous secret value. Nothing was changed.",
    ),
    412: ("PreconditionFailed", "`If-Match` does not name the key's version. Nothing was changed."),
    428: ("PreconditionRequired", "A rollback must name the key's version in `If-Match`. Nothing was changed."),
    413: ("PayloadTooLarge", "The body is larger than 16 KiB."),
    415: (
        "UnsupportedMediaType",
        "The body is not declared as `application/json`. Parameters of the media type are ignored.",
    ),
    429: ("TooManyRequests", "Too many requests. Try again after `Retry-After` seconds."),
    500: ("InternalServerError", "An internal error. Report the `requestId` if it persists."),
    502: ("BadGateway", "A function failed before it could respond. Report the `requestId` if it persists."),
    503: (
        "ServiceUnavailable",
        "DynamoDB, KMS or the issuer of tokens is busy or unavailable. Try again after `Retry-After` seconds.",
    ),
    504: (
        "GatewayTimeout",
        "A function did not respond in time. Read the key to see whether a change took effect, then try again.",
    ),
}
"""Name and description of each error response, by status."""
_OF_EVERY_OPERATION: Final = (401, 403, 429, 500, 502, 503, 504)
_OF_A_BODY: Final = (400, 413, 415)
_HEADERS_OF_ERRORS: Final = {401: ("WWW-Authenticate",), **dict.fromkeys((429, 503, 504), ("Retry-After",))}
# API Gateway's defaults for gateway responses without a status in the template.
_DEFAULT_STATUS: Final = {"INTEGRATION_FAILURE": 504, "INTEGRATION_TIMEOUT": 504}

_HEADERS: Final = {
    "ETag": ("The key's version, for `If-Match`.", {"type": "string", "pattern": '^"[1-9][0-9]*"$'}),
    "Location": ("The path of the key.", {"type": "string", "format": "uri-reference"}),
    "Idempotency-Replayed": ("Present, and `true`, in the response to a repeated request.", {"const": "true"}),
    "Retry-After": ("Seconds to wait before a retry.", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("The scheme to authenticate with.", {"const": "Bearer"}),
    "Cache-Control": ("Clients and proxies must not store the response.", {"const": "no-store"}),
    VERSION_HEADER: (
        "The version of Service Keys that responded.",
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+){2}"},
    ),
}
_ID: Final = {"id": "$response.body#/data/id"}
_LINKS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "getApiKey": ("Read the key.", _ID),
    "updateApiKey": ("Change this version of the key.", _ID | {"If-Match": "$response.header.ETag"}),
    "verifyApiKey": ("Verify the key.", _ID),
    "deleteApiKey": ("Delete this version of the key.", _ID | {"If-Match": "$response.header.ETag"}),
    "getApiKeyHistory": ("Read its history.", _ID),
    "rollbackApiKey": ("Exchange its secret values.", _ID | {"If-Match": "$response.header.ETag"}),
    "restoreApiKey": ("Restore the key.", _ID | {"If-Match": "$response.header.ETag"}),
}
"""Requests that can follow a response, with the parameters that it gives them: by operation id."""
_REQUIRED: Final = "required-"
"""Prefix of a parameter that is required in some operations only."""
_PARAMETERS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "id": (
        "path",
        "The key's id. An unknown or malformed id gets a 404.",
        {"type": "string", "minLength": 1, "examples": ["spotify.6p3k0m2v9xqa"]},
    ),
    "active": ("query", "Only active keys, or only disabled ones.", {"type": "boolean"}),
    "service": (
        "query",
        "Only keys of this service.",
        {"type": "string", "pattern": SERVICE_PATTERN, "maxLength": SERVICE_MAX_LENGTH},
    ),
    "verification": (
        "query",
        "Only keys whose last verification had this result; `none` for keys without one.",
        {"type": "string", "enum": list(VERIFICATION_FILTERS)},
    ),
    "deleted": ("query", "True for the deleted keys that can be restored, instead of the others.", {"type": "boolean"}),
    "permanent": (
        "query",
        "True to delete the key and its secret values at once, also if it is deleted already. It cannot be restored.",
        {"type": "boolean"},
    ),
    "limit": (
        "query",
        f"Maximum number of entries on a page; {LIMIT_DEFAULT} by default.",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
    ),
    "cursor": ("query", "`nextCursor` of the page before, with the same filters.", {"type": "string", "minLength": 1}),
    "If-Match": (
        "header",
        "Change the key only in this version: its `ETag`, with the quotation marks. A weak tag never matches.",
        {"type": "string", "examples": ['"1"']},
    ),
    "required-If-Match": (
        "header",
        "The version to change: the key's `ETag`, with its quotation marks; status 428 without one or with `*`.",
        {"type": "string", "examples": ['"2"']},
    ),
    "Idempotency-Key": (
        "header",
        "Identifies this request, so that it can be repeated safely.",
        {"type": "string", "pattern": "^[!-~]{16,128}$"},
    ),
}


@dataclass(frozen=True)
class _Operation:
    """Description, request and responses of one route, except for the responses that all routes share."""

    summary: str
    description: str
    response: str
    status: int = 200
    body: str | None = None
    parameters: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()


_OPERATIONS: Final = {
    "CreateApiKey": _Operation(
        "Store a new key",
        "With `Idempotency-Key`, the same request sent again within a day gets the same response without warnings, and "
        "creates nothing.",
        "CreatedApiKeyResponse",
        status=201,
        body="CreateApiKey",
        parameters=("Idempotency-Key",),
        headers=("ETag", "Location", "Idempotency-Replayed"),
        links=("getApiKey", "updateApiKey", "verifyApiKey", "deleteApiKey", "getApiKeyHistory"),
        errors=(*_OF_A_BODY, 409),
    ),
    "ListApiKeys": _Operation(
        "List keys, newest first",
        "The list of all keys may trail a change by a moment; getting a key never does.",
        "ApiKeyListResponse",
        parameters=("active", "service", "verification", "deleted", "limit", "cursor"),
        errors=(400,),
    ),
    "GetApiKey": _Operation(
        "Get a key", "All fields except the secret value.", "ApiKeyResponse", headers=("ETag",), errors=(404,)
    ),
    "UpdateApiKey": _Operation(
        "Change a key",
        "PUT and PATCH change only the fields that the body names. Without `If-Match`, two administrators who change "
        "different fields both win. Send it with a new `key`: without it, the same request sent twice makes the new "
        "value the previous one too. `service` never changes.",
        "UpdatedApiKeyResponse",
        body="UpdateApiKey",
        parameters=("If-Match",),
        headers=("ETag",),
        links=("rollbackApiKey",),
        errors=(*_OF_A_BODY, 404, 409, 412),
    ),
    "VerifyApiKey": _Operation(
        "Ask the external service whether it accepts the key",
        "The result is stored with the key until `key` is replaced. A verification does not change `lastUsed`, "
        "`version` and the `ETag`. A disabled key can be verified too.",
        "ApiKeyResponse",
        headers=("ETag",),
        errors=(400, 404, 412),
    ),
    "DeleteApiKey": _Operation(
        "Delete a key",
        "The key is absent at once, and its name is free. Consumers act on it within 60 seconds. It can be restored "
        "until `recoverableUntil`, and then has an `ETag`.",
        "DeletedApiKeyResponse",
        parameters=("permanent", "If-Match"),
        headers=("ETag",),
        links=("restoreApiKey",),
        errors=(400, 404, 412),
    ),
    "RollbackApiKey": _Operation(
        "Return to the previous secret value",
        "Exchanges the secret value and the previous one, and clears `verification`. `If-Match` with a version is "
        "required, because a repeated exchange would undo itself.",
        "EffectiveApiKeyResponse",
        parameters=("required-If-Match",),
        headers=("ETag",),
        errors=(400, 404, 409, 412, 428),
    ),
    "RestoreApiKey": _Operation(
        "Restore a deleted key",
        "Returns the key as it was; under another name if the body has one. The body is optional.",
        "EffectiveApiKeyResponse",
        body="RestoreApiKey",
        parameters=("If-Match",),
        headers=("ETag",),
        errors=(*_OF_A_BODY, 404, 409, 412),
    ),
    "GetApiKeyHistory": _Operation(
        "List the changes of a key, newest first",
        "Also for deleted keys, until the entries expire.",
        "HistoryResponse",
        parameters=("limit", "cursor"),
        errors=(400, 404),
    ),
    "ListServices": _Operation(
        "List the services, with the key that consumers get",
        "One entry for each known service, and for each other service with keys. Unlike `serving`, the count of many "
        f"keys may trail a change by a moment. At most {MAX_INDEX_CALLS + MAX_SERVICE_CALLS} database calls.",
        "ServicesResponse",
        errors=(400,),
    ),
}


class _WithoutTitles(GenerateJsonSchema):
    """Generator that does not derive the titles of fields from their names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - the base class's signature
        return False


class _Dumper(yaml.SafeDumper):
    """YAML dumper without anchors and aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class's signature
        return True


def text() -> str:
    """Return the text of openapi.yaml."""
    head = "# Generated by `make openapi` from the models and template.yaml. Change those, then generate it again.\n"
    return head + yaml.dump(build(), sort_keys=False, allow_unicode=True, width=120, Dumper=_Dumper)


def build() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    template = Template.load(EXAMPLE_PARAMETERS)
    codes = _codes(template)
    paths: dict[str, Any] = {}
    for route in template.routes():
        # Preflights and the files of the web console are no operations.
        if route.function is None or route.authorizer is None:
            continue
        path = paths.setdefault(route.path, {})
        # Operation ids must be unique, and one function handles two methods.
        operation_id = route.function[0].lower() + route.function[1:] + ("ByPut" if route.method == "PUT" else "")
        path[route.method.lower()] = _operation(operation_id, _OPERATIONS[route.function], codes)
        if "{id}" in route.path:
            path["parameters"] = [{"$ref": "#/components/parameters/id"}]
    token = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token that matches the deployment's admin rule.",
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Service Keys",
            "version": __version__,
            "summary": "Administer the API keys of external services.",
            "description": "Secret values are never returned. Times are UTC. Every response has a `requestId`.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [
            {"url": "http://127.0.0.1:8000", "description": "The local stack of make run"},
            {
                "url": "https://{api}.execute-api.{region}.amazonaws.com/" + template.stage(),
                "description": "A deployed stack: its output ApiUrl, up to the stage",
                "variables": {"api": {"default": "api"}, "region": {"default": "eu-west-1"}},
            },
        ],
        "security": [{"token": []}],
        "tags": [{"name": _TAG, "description": "The keys of external services, their changes, and the services."}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": token},
            "parameters": {
                name: {"name": name.removeprefix(_REQUIRED), "in": place}
                | ({"required": True} if place == "path" or name.startswith(_REQUIRED) else {})
                | {"description": description, "schema": schema}
                for name, (place, description, schema) in _PARAMETERS.items()
            },
            "links": {
                name: {"operationId": name, "parameters": parameters, "description": description}
                for name, (description, parameters) in _LINKS.items()
            },
            "headers": {name: {"description": words, "schema": schema} for name, (words, schema) in _HEADERS.items()},
            "responses": {
                name: _response(description, "ErrorResponse", *_HEADERS_OF_ERRORS.get(status, ()))
                # API Gateway's response to a failed function keeps its status, 502.
                | {"x-error-codes": sorted(codes.get(status, {INTERNAL_ERROR[1]}))}
                for status, (name, description) in _ERRORS.items()
            },
            "schemas": dict(sorted(_schemas(sorted(set().union(*codes.values()))).items())),
        },
    }


def _operation(operation_id: str, operation: _Operation, codes: dict[int, set[str]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation_id,
        "tags": [_TAG],
        "summary": operation.summary,
        "description": operation.description,
    }
    if operation.parameters:
        described["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in operation.parameters]
    if operation.body:
        described["requestBody"] = {"required": operation.body != "RestoreApiKey", "content": _content(operation.body)}
    # No code belongs to 502: API Gateway's response to a failed function.
    errors = sorted({*operation.errors, *(codes.keys() | {502}).intersection(_OF_EVERY_OPERATION)})
    failed = {str(status): {"$ref": f"#/components/responses/{_ERRORS[status][0]}"} for status in errors}
    done = _response("Done.", operation.response, *operation.headers)
    if operation.links:
        done["links"] = {name: {"$ref": f"#/components/links/{name}"} for name in operation.links}
    return described | {"responses": {str(operation.status): done, **failed}}


def _codes(template: Template) -> dict[int, set[str]]:
    """Return the error codes of functions and gateway responses by status."""
    codes: dict[int, set[str]] = {}
    for status, code in (*STATUS_BY_ERROR.values(), INTERNAL_ERROR):
        codes.setdefault(status, set()).add(code)
    for kind, response in template.api()["x-amazon-apigateway-gateway-responses"].items():
        code = json.loads(response["responseTemplates"]["application/json"])["error"]["code"]
        if status := response.get("statusCode", _DEFAULT_STATUS.get(kind)):
            codes.setdefault(int(status), set()).add(code)
    return codes


def _schemas(codes: list[str]) -> dict[str, Any]:
    """Return the schemas of the models, and of the objects around them."""
    documented = with_config(
        ConfigDict(
            use_attribute_docstrings=True,
            alias_generator=models.camel_case,
            json_schema_serialization_defaults_required=True,
        )
    )
    # pydantic resolves annotations in the module's namespace, which has no imports that are for type checkers only.
    vars(models)["Mapping"] = Mapping
    inputs = [(model, "validation", TypeAdapter(model)) for model in (CreateApiKey, UpdateApiKey, RestoreApiKey)]
    outputs: list[Any] = [
        (model, "serialization", TypeAdapter(documented(model))) for model in _RESPONSE_MODELS.values()
    ]
    _, generated = TypeAdapter.json_schemas(
        [*inputs, *outputs],  # type: ignore[list-item]
        ref_template=_SCHEMA,
        schema_generator=_WithoutTitles,
    )
    definitions = json.dumps(generated["$defs"])
    for name, model in _RESPONSE_MODELS.items():
        definitions = re.sub(rf'(?<=["/]){model.__name__}(?=")', name, definitions)
    schemas: dict[str, Any] = json.loads(definitions)
    for schema in schemas.values():
        del schema["title"]
    for name in _RESPONSE_MODELS:
        _complete(schemas[name])
    schemas["ApiKey"]["properties"]["id"]["pattern"] = ID_PATTERN
    schemas["ApiKey"]["properties"]["version"]["minimum"] = 1
    schemas["ApiKey"]["required"] = [
        name for name in schemas["ApiKey"]["required"] if name not in models.DELETION_FIELDS
    ]

    _name_parts(schemas)
    recorded = {name: schemas["ApiKey"]["properties"][name] for name in models.HISTORY_FIELDS}
    schemas["RecordedValues"] = _object(models.HISTORY_FIELDS, **recorded) | {
        "description": "The recorded values of a key that a change affects."
    }
    for values in ("before", "after"):
        schemas["HistoryEntry"]["properties"][values]["anyOf"][0] = _ref("RecordedValues")

    warnings = {"type": "array", "items": _ref("ChangeWarning"), "minItems": 1}
    warnings["description"] = "Effects on consumers that may not be intended. Absent if there are none."
    time = {"type": "string", "format": "date-time"}
    effective = time | {"description": "Time by which every consumer acts on the change."}
    changed = time | {"description": f"{effective['description']} Present if the body names `active` or `key`."}
    deleted = time | {"description": "Time by which every consumer treats the key as absent."}
    key, pagination = _ref("ApiKey"), _ref("Pagination")
    return schemas | {
        **_error_schemas(codes),
        **_service_schemas(),
        **_warning_schemas(),
        "Pagination": _object(
            limit={"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
            nextCursor={"type": ["string", "null"], "description": "`cursor` of the next page; null on the last one."},
        ),
        "ApiKeyResponse": _envelope(data=key),
        "CreatedApiKeyResponse": _envelope(("warnings",), data=key, warnings=warnings),
        "UpdatedApiKeyResponse": _envelope(
            ("effectiveBy", "warnings"), data=key, effectiveBy=changed, warnings=warnings
        ),
        "EffectiveApiKeyResponse": _envelope(("warnings",), data=key, effectiveBy=effective, warnings=warnings),
        "HistoryResponse": _envelope(data=_list(_ref("HistoryEntry")), pagination=pagination),
        "ApiKeyListResponse": _envelope(data=_list(key), pagination=pagination),
        "DeletedApiKeyResponse": _envelope(
            ("warnings",),
            message={"const": "API key deleted successfully"},
            data=_ref("DeletedApiKey"),
            effectiveBy=deleted,
            warnings=warnings,
        ),
    }


def _name_parts(schemas: dict[str, Any]) -> None:
    """Give a name to each part of the models that generated clients would number otherwise.

    A default of a request becomes text, because openapi-typescript makes a field with a default a required one.
    """
    for request in ("CreateApiKey", "UpdateApiKey"):
        properties = schemas[request]["properties"]
        for field in properties.values():
            default = field.pop("default", None)
            if default is not None:
                field["description"] += f" By default {json.dumps(default)}."
            if "description" not in field:
                field["description"] = field["anyOf"][0].pop("description")
        secret_value = properties["key"]
        schemas["SecretFields"] = secret_value["oneOf"][1] | {"description": "A secret value of named fields."}
        schemas["SecretValue"] = {
            "description": secret_value["description"],
            "examples": secret_value["examples"],
            "oneOf": [secret_value["oneOf"][0], _ref("SecretFields")],
        }
        properties["key"] = _ref("SecretValue") | {"writeOnly": True}
    key, previous = schemas["ApiKey"]["properties"], schemas["PreviousKey"]["properties"]
    schemas["MaskedFields"] = key["maskedKey"]["anyOf"][1] | {"description": "The mask of each field."}
    schemas["MaskedKey"] = {
        "description": key["maskedKey"]["description"],
        "anyOf": [key["maskedKey"]["anyOf"][0], _ref("MaskedFields")],
    }
    key["maskedKey"] = previous["maskedKey"] = _ref("MaskedKey")
    for name in models.DELETION_FIELDS:
        key[name] = key[name]["anyOf"][0] | {"description": key[name]["description"]}
    for model, field, name in (
        ("Verification", "status", "VerificationStatus"),
        ("HistoryEntry", "change", "ChangeKind"),
    ):
        schemas[name] = schemas[model]["properties"][field]
        schemas[model]["properties"][field] = _ref(name)


def _error_schemas(codes: list[str]) -> dict[str, Any]:
    """Return the schemas of an error."""
    details = _list(_ref("ErrorDetail")) | {
        "minItems": 1,
        "maxItems": DETAILS_MAX,
        "description": "Only for `VALIDATION_ERROR`.",
    }
    message = {"type": "string", "description": "The problem and its remedy."}
    field = {"type": "string", "description": "The field or parameter, or `(body)` or `(query)` as a whole."}
    return {
        "ErrorCode": {"type": "string", "enum": codes},
        "ErrorDetail": _object(field=field, message=message),
        "ErrorBody": _object(("details",), code=_ref("ErrorCode"), message=message, details=details),
        "ErrorResponse": _envelope(success=False, error=_ref("ErrorBody")),
    }


def _service_schemas() -> dict[str, Any]:
    """Return the schemas of the services."""
    text, flag, count = {"type": "string"}, {"type": "boolean"}, {"type": "integer", "minimum": 0}
    incomplete = {
        # Without a type, openapi-python-client writes code for an optional constant that is no Python.
        "type": "boolean",
        "const": True,
        "description": "Present if services had to be left out, or counts are too low.",
    }
    return {
        "ServiceField": _object(
            name={"type": ["string", "null"], "description": "Null if the key is a single string."},
            label=text | {"description": "The name that a form shows."},
            pattern=text
            | {"description": "A regular expression (ECMA-262, with the flag `u`) that the value matches."},
            secret=flag | {"description": "False if a form may show the value."},
            required=flag,
        ),
        "ServiceKeyCounts": _object(active=count, total=count) | {"description": "Counts, without deleted keys."},
        "ServiceStatus": {
            "type": "string",
            "enum": ["operational", "rejected", "unverified", "disabled", "not_configured"],
            "description": "Of the `serving` key: verified as valid, rejected by the service, or neither. Without one: "
            "`disabled` if there are keys, `not_configured` if there are none.",
        },
        "Service": _object(
            service={"type": "string", "pattern": SERVICE_PATTERN, "description": "The name that consumers ask for."},
            title=text | {"description": "The name that people know; for an unknown service, `service`."},
            known=flag | {"description": "True if the format of its keys is known and checked."},
            verifiable=flag | {"description": "True if its keys can be verified."},
            fields=_list(_ref("ServiceField")) | {"description": "The fields of a key; empty if it is not known."},
            keys=_ref("ServiceKeyCounts"),
            serving={
                "anyOf": [_ref("ApiKey"), {"type": "null"}],
                "description": "The key that a new consumer gets; null if none.",
            },
            status=_ref("ServiceStatus"),
        ),
        "ServicesResponse": _envelope(("incomplete",), data=_list(_ref("Service")), incomplete=incomplete),
    }


def _warning_schemas() -> dict[str, Any]:
    """Return the schema of each warning of a change, and of their union.

    Enumerations of one code, because generators ignore a constant and could not tell the warnings apart.
    """
    text, key = {"type": "string"}, _ref("KeyReference")
    similar = {"type": ["string", "null"], "description": "The known service that it resembles."}
    message = text | {"description": "The effect, and how to avoid it."}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "UNKNOWN_SERVICE": ("UnknownServiceWarning", {"similar": similar}),
        "SERVING_CHANGED": ("ServingChangedWarning", {"before": key, "now": key}),
        "SERVICE_WITHOUT_ACTIVE_KEY": ("ServiceWithoutActiveKeyWarning", {"before": key}),
        "NAME_CHANGED": ("NameChangedWarning", {"before": key, "now": key}),
    }
    union = {
        "oneOf": [_ref(name) for name, _ in kinds.values()],
        "discriminator": {
            "propertyName": "code",
            "mapping": {code: _SCHEMA.format(model=name) for code, (name, _) in kinds.items()},
        },
        "description": "An effect on consumers. `before` is the key before the change, `now` the one after it.",
    }
    return {
        "ChangeWarning": union,
        "KeyReference": _object(id=text, name=text),
        **{
            name: _object((), code={"type": "string", "enum": [code]}, message=message, **fields)
            for code, (name, fields) in kinds.items()
        },
    }


def _complete(schema: dict[str, Any]) -> None:
    """Add the derived field `service` to a key, forbid other fields, and mark timestamps."""
    properties = schema["properties"]
    if "id" in properties:
        properties["service"] = {"type": "string", "description": models.StoredKey.service.__doc__}
        schema["required"].append("service")
    schema["additionalProperties"] = False
    for name, field in properties.items():
        field.pop("default", None)
        if name in _TIMESTAMP_FIELDS:
            field.get("anyOf", [field])[0]["format"] = "date-time"


def _envelope(optional: tuple[str, ...] = (), *, success: bool = True, **properties: dict[str, Any]) -> dict[str, Any]:
    request_id = {"type": "string", "description": "The id of the request in the audit log."}
    return _object(optional, success={"const": success}, **properties, requestId=request_id)


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(model: str) -> dict[str, Any]:
    return {"$ref": _SCHEMA.format(model=model)}


def _object(optional: tuple[str, ...] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


def _response(description: str, model: str, *headers: str) -> dict[str, Any]:
    named = {name: {"$ref": f"#/components/headers/{name}"} for name in (*headers, "Cache-Control", VERSION_HEADER)}
    return {"description": description, "headers": named, "content": _content(model)}


def _content(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(model)}}


if __name__ == "__main__":
    sys.stdout.write(text())
