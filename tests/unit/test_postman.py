"""The Postman collection: current, complete, and without a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tools import generate_postman


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(generate_postman.DOCUMENT.read_text())
    return loaded


@pytest.fixture(scope="module")
def collection() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(generate_postman.COLLECTION.read_text())
    return loaded


def script(item: dict[str, Any], listen: str = "test") -> str:
    return "\n".join(line for event in item["event"] if event["listen"] == listen for line in event["script"]["exec"])


def test_the_collection_is_current() -> None:
    """docs/postman_collection.json is the output of `make openapi`, the same each time."""
    assert generate_postman.COLLECTION.read_text() == generate_postman.text(), "run make openapi"
    assert generate_postman.text() == generate_postman.text()


def test_every_operation_has_a_request(collection: dict[str, Any], document: dict[str, Any]) -> None:
    """A new operation of openapi.yaml needs a request."""
    sent = {(item["request"]["method"], "/" + "/".join(item["request"]["url"]["path"])) for item in collection["item"]}

    assert sent == {
        (method.upper(), path.replace("{id}", ":id"))
        for path, operations in document["paths"].items()
        for method in operations
        if method != "parameters"
    }


def test_every_request_has_assertions(collection: dict[str, Any]) -> None:
    """Newman alone accepts any status: assert status, body, headers and the absence of secret values."""
    names = [item["name"] for item in collection["item"]]
    assert len(names) == len(set(names))
    for item in collection["item"]:
        for assertion in ("status is ", "the body is of ", "header Cache-Control", "the response has no secret value"):
            assert f'pm.test("{assertion}' in script(item), item["name"]


def test_refusals_are_asserted_with_their_codes(collection: dict[str, Any]) -> None:
    """Without a token, with an invalid body, an unknown id, a stale version and no version."""
    scripts = "\n".join(script(item) for item in collection["item"])

    for status, code in (
        (401, "AUTHENTICATION_REQUIRED"),
        (400, "VALIDATION_ERROR"),
        (404, "API_KEY_NOT_FOUND"),
        (412, "VERSION_CONFLICT"),
        (428, "PRECONDITION_REQUIRED"),
    ):
        assert f"to.have.status({status})" in scripts
        assert f'to.eql("{code}")' in scripts


def test_documented_headers_are_asserted(document: dict[str, Any]) -> None:
    """A header that openapi.yaml gains later gets its assertion without an edit of the generator."""
    document = json.loads(json.dumps(document))
    document["components"]["headers"]["X-Added"] = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
    (done,) = [document["paths"]["/api/v1/admin/services"]["get"]["responses"]["200"]]
    done["headers"]["X-Added"] = {"$ref": "#/components/headers/X-Added"}

    *_, services = generate_postman.Collection(document).build()["item"]

    assert 'pm.response.headers.get("X-Added")).to.match(new RegExp("^[0-9]+$"))' in script(services)


def test_variables_have_no_token_and_no_key(collection: dict[str, Any]) -> None:
    """The token is a secret variable, empty in the file; values of a run begin empty."""
    variables = {each["key"]: each for each in collection["variable"]}

    assert (variables["token"]["value"], variables["token"]["type"]) == ("", "secret")
    assert variables["baseUrl"]["value"] == "http://127.0.0.1:8000"
    assert not [name for name, each in variables.items() if each["value"] and name != "baseUrl"]


def test_the_key_is_inactive_and_is_removed_last(collection: dict[str, Any]) -> None:
    """No body activates the key; the removal names no version, so that it works after a failed step."""
    bodies = [json.loads(item["request"]["body"]["raw"]) for item in collection["item"] if "body" in item["request"]]
    removal = next(item for item in collection["item"] if "permanent=true" in item["request"]["url"]["raw"])

    assert [body["active"] for body in bodies if "active" in body] == [False, False, False]
    assert all(body.get("active") is False for body in bodies if "key" in body)
    assert "If-Match" not in json.dumps(removal["request"]["header"])
    assert "pm.sendRequest" in script(removal, "prerequest")
