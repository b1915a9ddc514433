"""openapi.yaml: current, valid and complete."""

from collections.abc import Iterator
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


def parts(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object of the document, with its place."""
    if isinstance(value, dict):
        yield place, value
        for name, part in value.items():
            yield from parts(part, f"{place}/{name}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from parts(part, f"{place}/{number}")


def test_requests_and_parameters_have_no_default(document: dict[str, Any]) -> None:
    """openapi-typescript makes a field with a default a required one."""
    components = {name: document["components"][name] for name in ("schemas", "parameters")}

    assert [place for place, part in parts(components) if "default" in part] == []
    assert document["components"]["schemas"]["CreateApiKey"]["required"] == ["name", "key"]
    assert (
        "By default true." in document["components"]["schemas"]["CreateApiKey"]["properties"]["active"]["description"]
    )


def test_every_object_and_enumeration_has_a_name(document: dict[str, Any]) -> None:
    """A generated client would number the others; the one code of a warning needs none."""
    for name, schema in document["components"]["schemas"].items():
        for place, part in parts(schema):
            assert not place or "properties" not in part or place.endswith("/properties"), f"{name}{place}"
            assert not place or len(part.get("enum", "1")) == 1, f"{name}{place}"


def test_enumerations_and_optional_constants_have_a_type(document: dict[str, Any]) -> None:
    """Without one, openapi-typescript writes `unknown`, and openapi-python-client code that is no Python."""
    for place, part in parts(document["components"]):
        assert "type" in part or not isinstance(part.get("enum"), list), place
    for name, schema in document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            assert "const" not in part or "type" in part or field in schema["required"], f"{name}.{field}"


def test_links_name_operations_and_their_parameters(document: dict[str, Any]) -> None:
    """Every link is used, and leads to a parameter of the operation that it names."""
    components = document["components"]
    accepted: dict[str, set[str]] = {}
    used: set[str] = set()
    for item in document["paths"].values():
        for operation in (item[method] for method in item if method != "parameters"):
            references = [
                each["$ref"].rpartition("/")[2]
                for each in (*item.get("parameters", []), *operation.get("parameters", []))
            ]
            accepted[operation["operationId"]] = {components["parameters"][name]["name"] for name in references}
            used |= {name for response in operation["responses"].values() for name in response.get("links", {})}

    assert used == set(components["links"])
    for link in components["links"].values():
        assert link["parameters"].keys() <= accepted[link["operationId"]]
