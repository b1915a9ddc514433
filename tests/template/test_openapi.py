"""openapi.yaml: current, valid and complete."""

from typing import Any

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from local.template import Template
from service_keys.admin.endpoint import INTERNAL_ERROR, STATUS_BY_ERROR
from service_keys.core.models import HISTORY_FIELDS
from tools import generate_openapi

UNDO = ("rollback", "restore")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(generate_openapi.DOCUMENT.read_text())
    return loaded


def test_the_document_is_current() -> None:
    assert generate_openapi.DOCUMENT.read_text() == generate_openapi.text(), "openapi.yaml is stale: run make openapi"


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_described(document: dict[str, Any], template: Template) -> None:
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item if method != "parameters"
    }

    assert described == {(route.method, route.path) for route in template.routes() if route.authorizer}


def test_every_error_code_is_documented(document: dict[str, Any]) -> None:
    """Codes of the functions and of the gateway responses are in the enum."""
    named = set(document["components"]["schemas"]["ErrorCode"]["enum"])

    assert {code for _, code in (*STATUS_BY_ERROR.values(), INTERNAL_ERROR)} <= named
    assert {"FORBIDDEN", "ROUTE_NOT_FOUND", "RATE_LIMIT_EXCEEDED"} <= named


def test_undo_operations_have_the_right_optional_parts(document: dict[str, Any]) -> None:
    """A rollback requires If-Match, a restore may have a body, and both return effectiveBy always."""
    operation = {name: document["paths"][f"/api/v1/admin/api-keys/{{id}}/{name}"]["post"] for name in UNDO}
    parameters = document["components"]["parameters"]

    (if_match,) = operation["rollback"]["parameters"]
    assert parameters[if_match["$ref"].rpartition("/")[2]].items() >= {("name", "If-Match"), ("required", True)}
    assert "required" not in parameters["If-Match"]
    assert "requestBody" not in operation["rollback"]
    assert operation["restore"]["requestBody"]["required"] is False
    assert "effectiveBy" in document["components"]["schemas"]["EffectiveApiKeyResponse"]["required"]


def test_responses_have_no_key_field(document: dict[str, Any]) -> None:
    """The secret value is write-only."""
    assert "key" not in document["components"]["schemas"]["ApiKey"]["properties"]
    recorded = document["components"]["schemas"]["RecordedValues"]
    assert (*recorded["properties"], recorded["additionalProperties"]) == (*HISTORY_FIELDS, False)
    assert document["components"]["schemas"]["CreateApiKey"]["properties"]["key"]["writeOnly"] is True
