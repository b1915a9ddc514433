"""The page judges keys, names and descriptions as the API does: the same corpus through both."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from service_keys.admin import schemas, secret_rules
from service_keys.admin.services import SERVICES
from service_keys.errors import InvalidRequestError
from tests.browser.corpus import characters, keys, texts, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.console import Console

    Rules = Callable[[str, list[Any]], list[Any]]


@pytest.fixture
def rules(console: Console) -> Rules:
    """Map values with a function of the page's module."""
    console.open()

    def mapped(function: str, values: list[Any]) -> list[Any]:
        # As JSON text, so that lone surrogates and `__proto__` pass.
        call = f"""async (text) => {{
          const rules = await import(new URL("js/rules.js", location));
          return JSON.stringify(JSON.parse(text).map({function}));
        }}"""
        results: list[Any] = json.loads(console.page.evaluate(call, json.dumps(values)))
        return results

    return mapped


def unnamed(message: str | None) -> str | None:
    """Remove the names of characters, of which the page knows the usual ones, and the numbers of fields."""
    return message and re.sub(r"(U\+[0-9A-F]+) [A-Z0-9 -]+|^field \d+: ", r"\1", message)


@pytest.mark.parametrize("operation", ["create", "update"])
def test_a_key_has_the_same_problems_as_in_the_api(rules: Rules, operation: str) -> None:
    """Compare the messages for 3,400 keys, of one string and of named fields."""
    update = operation == "update"
    expected = [[unnamed(each.message) for each in secret_rules.problems(key, update=update)] for key in keys()]

    found = rules(f"(key) => rules.secretProblems(key, {json.dumps(update)}).map((each) => each.message)", keys())

    assert len(found) > 3000
    judged = [[unnamed(each) for each in messages] for messages in found]
    assert [case for case in zip(keys(), expected, judged, strict=True) if case[1] != case[2]] == []


def test_each_character_is_judged_as_in_the_api(rules: Rules) -> None:
    """Compare the problem of every assigned character in a key, a name and a description."""
    values = [f"made-up-{character}-0123456789" for character in characters()]
    expected = [[unnamed(each.message) for each in secret_rules.problems(value, update=False)] for value in values]

    found = rules("(value) => rules.secretProblems(value).map((each) => each.message)", values)

    judged = [[unnamed(each) for each in messages] for messages in found]
    different = [case for case in zip(values, expected, judged, strict=True) if case[1] != case[2]]
    assert (len(values) > 140_000, different[:20]) == (True, [])


@pytest.mark.parametrize("service", SERVICES)
def test_the_format_of_a_service_is_judged_as_in_the_api(rules: Rules, service: str) -> None:
    """Apply the patterns of the field description to every text of the corpus."""
    for field in SERVICES[service].fields:
        expected = [field.problem(text) is None for text in texts()]

        found = rules(f"(text) => rules.patternProblem(text, {json.dumps(field.to_response())}) === null", texts())

        assert any(expected)
        assert [case for case in zip(texts(), expected, found, strict=True) if case[1] != case[2]] == []


@pytest.mark.parametrize("name", ["name", "description"])
def test_a_text_has_the_same_problem_as_in_the_api(rules: Rules, name: str) -> None:
    """Compare the messages for names and descriptions, with joiners and with every kind of character."""
    every_kind = [f"a {character} b" for character in characters() if not character.isalpha()]
    values = [*written(), *texts(), *every_kind]
    expected = [unnamed(problem_in_api(name, value)) for value in values]

    found = [unnamed(each) for each in rules(f"rules.{name}Problem", values)]

    different = [case for case in zip(values, expected, found, strict=True) if case[1] != case[2]]
    assert different[:20] == []


def problem_in_api(name: str, value: str) -> str | None:
    """Return the message about a field of a create request."""
    try:
        schemas.parse_create({"name": "New", "key": "made-up-0123456789"} | {name: value} | {"service": "new"})
    except InvalidRequestError as error:
        (detail,) = error.details
        return detail.message
    return None
