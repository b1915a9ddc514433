"""The events of `make sam-invoke`, invoked in this process."""

import json

import pytest

from local.events import rest_event
from local.sam import EVENTS, ID, SamError, load_event
from local.stack import LocalStack
from tests.functional.conftest import Store

FUNCTIONS = (
    *("CreateApiKey", "ListApiKeys", "GetApiKey", "UpdateApiKey", "VerifyApiKey"),
    *("DeleteApiKey", "RollbackApiKey", "RestoreApiKey", "GetApiKeyHistory", "ListServices"),
)


def test_every_function_has_an_event(stack: LocalStack) -> None:
    """Name each event after the folder of its function."""
    events = {path.stem for path in EVENTS.iterdir()}

    assert events == {function.code.name for function in stack.template.functions().values()}
    assert {*FUNCTIONS, "Authorizer", "WebConsole"} == set(stack.functions)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_succeeds_with_its_event(stack: LocalStack, store: Store, function: str) -> None:
    """Return the success status of the function."""
    response = stack.functions[function].invoke(load_event(function, stack))

    assert response["statusCode"] == (201 if function == "CreateApiKey" else 200), response["body"]
    if function in {"ListApiKeys", "GetApiKeyHistory"}:
        assert len(json.loads(response["body"])["data"]) == 1


def test_the_authorizers_event_has_a_valid_token(stack: LocalStack) -> None:
    """Return an Allow policy."""
    response = stack.functions["Authorizer"].invoke(load_event("Authorizer", stack))

    assert response["policyDocument"]["Statement"][0]["Effect"] == "Allow"


def test_the_consoles_event_gets_its_page(stack: LocalStack) -> None:
    """Return the HTML; no key is stored for this event."""
    response = stack.functions["WebConsole"].invoke(load_event("WebConsole", stack))

    assert response["statusCode"] == 200
    assert response["body"].startswith("<!doctype html>")


@pytest.mark.parametrize("function", [*FUNCTIONS, "WebConsole"])
def test_an_event_has_the_fields_of_api_gateway(stack: LocalStack, store: Store, function: str) -> None:
    """Compare the event with one that the local gateway builds."""
    event = load_event(function, stack)
    ours = rest_event("GET", "/", authorizer=None if function == "WebConsole" else {})

    assert event.keys() == ours.keys()
    assert ours["requestContext"].keys() <= event["requestContext"].keys()
    assert ID not in json.dumps(event)
    routes = {(route.method, route.path): route.function for route in stack.template.routes()}
    assert routes[event["httpMethod"], event["resource"]] == function


def test_an_unknown_function_lists_the_known_ones(stack: LocalStack) -> None:
    """Raise SamError with the names of all functions."""
    with pytest.raises(SamError, match=r"There is no function Nope\. .* Authorizer \| CreateApiKey \| "):
        load_event("Nope", stack)
