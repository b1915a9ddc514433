"""Generate openapi.yaml from the template (routes, API Gateway's errors) and the models (schemas).

This module adds only descriptions, and the request and responses of each route.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "openapi.yaml"
sys.path.insert(0, str(ROOT / "layers" / "service_keys"))

import yaml  # noqa: E402 - the layer must be on the path first
from pydantic import ConfigDict, TypeAdapter, with_config  # noqa: E402

from local.template import EXAMPLE_PARAMETERS, Template  # noqa: E402
from service_keys.admin.endpoint import DETAILS_MAX, INTERNAL_ERROR, STATUS_BY_ERROR  # noqa: E402
from service_keys.admin.pagination import LIMIT_MAX, VERIFICATION_FILTERS  # noqa: E402
from service_keys.admin.schemas import CreateApiKey, UpdateApiKey  # noqa: E402
from service_keys.core import models  # noqa: E402
from service_keys.core.ids import ID_PATTERN, SERVICE_MAX_LENGTH, SERVICE_PATTERN  # noqa: E402
from service_keys.core.list_query import LIMIT_DEFAULT  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable

_REF: Final = "#/components/schemas/{model}"
_TIMESTAMP_FIELDS: Final = (
    "createdAt",
    "updatedAt",
    "keyUpdatedAt",
    "lastUsed",
    "checkedAt",
    "deletedAt",
    "recoverableUntil",
)

_DESCRIPTIONS: Final = {
    400: "The request is not valid; `details` say what to correct, field by field.",
    401: "There is no valid token. Nothing was changed.",
    403: "The token is valid, but not an administrator's. Nothing was changed.",
    404: "There is no such key.",
    409: "An API key with this name already exists. Nothing was changed.",
    412: "`If-Match` does not name the key's version. Nothing was changed.",
    413: "The body is larger than 16 KiB.",
    415: "The body is not declared as `application/json`. Parameters of the media type are ignored.",
    429: "Too many requests. Try again after `Retry-After` seconds.",
    500: "An internal error. Report the `requestId` if it persists.",
    502: "A function failed before it could respond. Report the `requestId` if it persists.",
    503: "DynamoDB, KMS or the issuer of tokens is busy or out of reach. Try again after `Retry-After` seconds.",
    504: "A function did not answer in time. Read the key to see whether a change took effect, then try again.",
}
_ALWAYS: Final = (401, 403, 429, 500, 502, 503, 504)
# API Gateway's defaults for gateway responses without a status in the template.
_DEFAULT_STATUS: Final = {"INTEGRATION_FAILURE": 504, "INTEGRATION_TIMEOUT": 504}
_WITH_BODY: Final = (400, 413, 415)

_HEADERS: Final = {
    "ETag": ("The key's version, for `If-Match`.", {"type": "string", "pattern": '^"[1-9][0-9]*"$'}),
    "Location": ("Where the key is.", {"type": "string", "format": "uri-reference"}),
    "Idempotency-Replayed": ("There, and `true`, where this answers a repeated request.", {"const": "true"}),
    "Retry-After": ("Seconds.", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("The scheme to authenticate with.", {"const": "Bearer"}),
    "Cache-Control": ("Nothing is to be stored.", {"const": "no-store"}),
}


@dataclass(frozen=True)
class _Operation:
    """Description, request and responses of one route, except for the responses that all routes share."""

    id: str
    summary: str
    description: str
    answer: str
    status: int = 200
    body: str | None = None
    parameters: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()


_OPERATIONS: Final = {
    "CreateApiKey": _Operation(
        "createApiKey",
        "Store a new key",
        "With `Idempotency-Key`, the same request sent again within a day answers the same and creates nothing.",
        "ApiKeyAnswer",
        status=201,
        body="CreateApiKey",
        parameters=("Idempotency-Key",),
        headers=("ETag", "Location", "Idempotency-Replayed"),
        errors=(*_WITH_BODY, 409),
    ),
    "ListApiKeys": _Operation(
        "listApiKeys",
        "List keys, newest first",
        "A list may trail a change by a moment; getting a key never does.",
        "ApiKeyList",
        parameters=("active", "service", "verification", "limit", "cursor"),
        errors=(400,),
    ),
    "GetApiKey": _Operation(
        "getApiKey", "Show a key", "Everything but the key itself.", "ApiKeyAnswer", headers=("ETag",), errors=(404,)
    ),
    "UpdateApiKey": _Operation(
        "updateApiKey",
        "Change a key",
        "PUT and PATCH alike change only what the body names. Without `If-Match`, two administrators who change "
        "different fields both win. `service` never changes.",
        "ApiKeyChanged",
        body="UpdateApiKey",
        parameters=("If-Match",),
        headers=("ETag",),
        errors=(*_WITH_BODY, 404, 409, 412),
    ),
    "VerifyApiKey": _Operation(
        "verifyApiKey",
        "Ask the key's service whether it takes the key",
        "The result is shown beside the key from then on, until `key` is replaced. Checking is not using: `lastUsed`, "
        "`version` and the `ETag` stay. An inactive key can be checked too.",
        "ApiKeyAnswer",
        headers=("ETag",),
        errors=(400, 404, 412),
    ),
    "DeleteApiKey": _Operation(
        "deleteApiKey",
        "Delete a key",
        "The key is gone at once, and its name is free. Readers act on it within 60 seconds.",
        "ApiKeyDeleted",
        parameters=("If-Match",),
        errors=(400, 404, 412),
    ),
}


@dataclass
class _Schemas:
    """The document's schemas, generated from the models."""

    known: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        documented = with_config(ConfigDict(use_attribute_docstrings=True))
        for shown in (models.VerificationResponse, models.ApiKeyResponse, models.DeletedApiKey):
            documented(shown)
        adapters = [
            ("Create", "validation", TypeAdapter(CreateApiKey)),
            ("Update", "validation", TypeAdapter(UpdateApiKey)),
            ("Shown", "serialization", TypeAdapter(models.ApiKeyResponse)),
            ("Deleted", "serialization", TypeAdapter(models.DeletedApiKey)),
        ]
        _, made = TypeAdapter.json_schemas(adapters, ref_template=_REF)  # type: ignore[arg-type]
        self.known = {name: _without_titles(schema) for name, schema in made["$defs"].items()}
        for model in ("ApiKeyResponse", "VerificationResponse", "DeletedApiKey"):
            properties = self.known[model]["properties"]
            self.known[model]["additionalProperties"] = False
            for name in properties.keys() & set(_TIMESTAMP_FIELDS):
                _time(properties[name])
        self.known["ApiKeyResponse"]["properties"]["id"]["pattern"] = ID_PATTERN
        self.known["ApiKeyResponse"]["properties"]["version"]["minimum"] = 1
        self._add_envelopes()

    def _add_envelopes(self) -> None:
        key = {"$ref": _REF.format(model="ApiKeyResponse")}
        effective_by = {
            "type": "string",
            "format": "date-time",
            "description": "There where `active` or `key` changed: by when every reader acts on it.",
        }
        pagination = _object(
            limit={"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
            nextCursor={"type": ["string", "null"], "description": "`cursor` of the next page; null on the last one."},
        )
        self.known |= {
            "ApiKeyAnswer": _success(data=key),
            "ApiKeyChanged": _success(("effectiveBy",), data=key, effectiveBy=effective_by),
            "ApiKeyList": _success(data={"type": "array", "items": key}, pagination=pagination),
            "ApiKeyDeleted": _success(
                message={"const": "API key deleted successfully"},
                data={"$ref": _REF.format(model="DeletedApiKey")},
                effectiveBy={
                    "type": "string",
                    "format": "date-time",
                    "description": "When the last reader treats the key as absent.",
                },
            ),
        }

    def add_error(self, codes: Iterable[str]) -> None:
        detail = _object(field={"type": "string"}, message={"type": "string"})
        error = _object(
            ("details",),
            code={"enum": sorted(codes)},
            message={"type": "string", "description": "What is wrong, and what to do."},
            details={
                "type": "array",
                "items": detail,
                "minItems": 1,
                "maxItems": DETAILS_MAX,
                "description": "For `VALIDATION_ERROR` alone.",
            },
        )
        self.known["Error"] = _object(success={"const": False}, error=error, requestId={"type": "string"})


def build() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    template = Template.load(EXAMPLE_PARAMETERS)
    codes = _codes(template)
    schemas = _Schemas()
    schemas.add_error({code for of_status in codes.values() for code in of_status})
    paths: dict[str, Any] = {}
    for route in template.routes():
        if route.function is None:
            continue
        operation = _OPERATIONS[route.function]
        # Operation ids must be unique, and one function handles two methods.
        suffix = "ByPut" if route.method == "PUT" else ""
        path = paths.setdefault(route.path, {})
        path[route.method.lower()] = _operation(operation, suffix, codes)
        if "{id}" in route.path:
            path["parameters"] = [{"$ref": "#/components/parameters/id"}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Service Keys",
            "version": "1",
            "summary": "Administer the API keys of external services.",
            "description": "Keys go in and are never shown again. Times are UTC. Every answer has a `requestId`.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [
            {"url": "http://127.0.0.1:8000", "description": "`make run`"},
            {
                "url": "https://{api}.execute-api.{region}.amazonaws.com/" + template.stage(),
                "description": "A deployed stack: its output ApiUrl, up to the stage",
                "variables": {"api": {"default": "api"}, "region": {"default": "eu-west-1"}},
            },
        ],
        "security": [{"token": []}],
        "tags": [{"name": "API keys"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An administrator's token, as the deployment's claim rule names administrators.",
                }
            },
            "parameters": _parameters(),
            "headers": {name: {"description": words, "schema": schema} for name, (words, schema) in _HEADERS.items()},
            "responses": {str(status): _error_response(status) for status in _DESCRIPTIONS},
            "schemas": dict(sorted(schemas.known.items())),
        },
    }


def text() -> str:
    """Return the text of openapi.yaml."""
    head = "# Made by `make openapi` from the models and template.yaml. Change those, then make it again.\n"
    return head + yaml.dump(build(), sort_keys=False, allow_unicode=True, width=120, Dumper=_Dumper)


def main() -> None:
    """Print the document."""
    sys.stdout.write(text())


class _Dumper(yaml.SafeDumper):
    """YAML dumper without anchors and aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True


def _operation(operation: _Operation, suffix: str, codes: dict[int, set[str]]) -> dict[str, Any]:
    answer = {
        "description": "Done.",
        "headers": _headers(*operation.headers, "Cache-Control"),
        "content": _json(operation.answer),
    }
    failures = sorted({*operation.errors, *(status for status in _ALWAYS if status in codes or status == 502)})  # noqa: PLR2004
    described: dict[str, Any] = {
        "operationId": operation.id + suffix,
        "tags": ["API keys"],
        "summary": operation.summary,
        "description": operation.description,
    }
    if operation.parameters:
        described["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in operation.parameters]
    if operation.body:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    failed = {str(status): {"$ref": f"#/components/responses/{status}"} for status in failures}
    return described | {"responses": {str(operation.status): answer, **failed}}


def _error_response(status: int) -> dict[str, Any]:
    own = ("WWW-Authenticate",) if status == 401 else ("Retry-After",) if status in (429, 503, 504) else ()  # noqa: PLR2004
    return {
        "description": _DESCRIPTIONS[status],
        "headers": _headers(*own, "Cache-Control"),
        "content": _json("Error"),
    }


def _parameters() -> dict[str, Any]:
    def query(name: str, words: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "in": "query", "description": words, "schema": schema}

    def header(name: str, words: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "in": "header", "description": words, "schema": schema}

    limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    service = {"type": "string", "pattern": SERVICE_PATTERN, "maxLength": SERVICE_MAX_LENGTH}
    return {
        "id": {
            "name": "id",
            "in": "path",
            "required": True,
            "description": "The key's id. Whatever is not there is a 404, whatever its form.",
            "schema": {"type": "string", "minLength": 1, "examples": ["spotify.6p3k0m2v9xqa"]},
        },
        "active": query("active", "Only keys that are, or are not, active.", {"type": "boolean"}),
        "service": query("service", "Only keys of this service.", service),
        "verification": query(
            "verification",
            "Only keys whose last check with their service had this result.",
            {"enum": list(VERIFICATION_FILTERS)},
        ),
        "limit": query("limit", "How many keys a page holds at most.", limit),
        "cursor": query("cursor", "`nextCursor` of the page before, with the same filters.", {"type": "string"}),
        "If-Match": header(
            "If-Match",
            "Change the key only in this version: its `ETag`, with the quotation marks. A weak tag never matches.",
            {"type": "string", "examples": ['"1"']},
        ),
        "Idempotency-Key": header(
            "Idempotency-Key",
            "Names this request, so that it can be repeated safely.",
            {"type": "string", "pattern": "^[!-~]{16,128}$"},
        ),
    }


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


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _json(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model)}}}


def _success(optional: tuple[str, ...] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    return _object(optional, success={"const": True}, **properties, requestId={"type": "string"})


def _object(optional: tuple[str, ...] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


def _time(schema: dict[str, Any]) -> None:
    for variant in schema.get("anyOf", [schema]):
        if variant.get("type") == "string":
            variant["format"] = "date-time"


def _without_titles(schema: Any) -> Any:
    """Remove the titles that pydantic generates from names."""
    if isinstance(schema, dict):
        return {
            name: _without_titles(value)
            for name, value in schema.items()
            if not (name == "title" and isinstance(value, str))
        }
    return [_without_titles(item) for item in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    main()
