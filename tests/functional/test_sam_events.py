"""The events of `make sam-invoke`, invoked in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local.events import rest_event
from local.sam import EVENTS, ID, SamError, load_event

if TYPE_CHECKING:
    from local.stack import LocalStack
    from tests.functional.conftest import Store

STATUS = {
    "CreateApiKey": 201,
    "ListApiKeys": 200,
    "GetApiKey": 200,
    "UpdateApiKey": 200,
    "VerifyApiKey": 200,
    "DeleteApiKey": 200,
}


def test_every_function_has_an_event(stack: LocalStack) -> None:
    events = {path.stem for path in EVENTS.iterdir()}

    assert events == {function.code.name for function in stack.template.functions().values()}
    assert {*STATUS, "Authorizer"} == set(stack.functions)


@pytest.mark.parametrize(("function", "status"), STATUS.items())
def test_each_function_succeeds_with_its_event(stack: LocalStack, store: Store, function: str, status: int) -> None:
    """Return the success status of the function."""
    answer = stack.functions[function].invoke(load_event(function, stack))

    assert answer["statusCode"] == status, answer["body"]
    if function == "ListApiKeys":
        assert len(json.loads(answer["body"])["data"]) == 1


def test_the_authorizers_event_has_a_valid_token(stack: LocalStack) -> None:
    """Return an Allow policy."""
    answer = stack.functions["Authorizer"].invoke(load_event("Authorizer", stack))

    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"


@pytest.mark.parametrize("function", STATUS)
def test_an_event_has_the_fields_of_api_gateway(stack: LocalStack, store: Store, function: str) -> None:
    """Compare the event with one that the local gateway builds."""
    event = load_event(function, stack)
    ours = rest_event("GET", "/", authorizer={})

    assert event.keys() == ours.keys()
    assert ours["requestContext"].keys() <= event["requestContext"].keys()
    assert ID not in json.dumps(event)
    routes = {(route.method, route.path): route.function for route in stack.template.routes()}
    assert routes[event["httpMethod"], event["resource"]] == function


def test_an_unknown_function_lists_the_known_ones(stack: LocalStack) -> None:
    """Raise SamError with the names of all functions."""
    with pytest.raises(SamError, match=r"There is no function Nope\. .* Authorizer \| CreateApiKey \| "):
        load_event("Nope", stack)
