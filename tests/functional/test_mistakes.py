"""Mistakes of administrators, over HTTP: each response states the error and its remedy, and contains no secret."""

from typing import Any

import pytest

from tests.functional.conftest import COLLECTION, SECRET, SPOTIFY_KEY, Admin, Store
from tests.support.canary import CANARY
from tests.support.mistakes import MISTAKES, NAME, NO_ROUTE, TAKEN, Mistake


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """The stored keys and their ids: created by the first test, restored by the others."""
    return {}


@pytest.fixture
def ids(http: Admin, store: Store, kept: dict[str, Any]) -> dict[str, str]:
    if not kept:
        intranet = http.create(NAME, SECRET, service="intranet")["id"]
        spotify = http.create(TAKEN, SPOTIFY_KEY, service="spotify")["id"]
        for description in "123":
            http.update(intranet, {"description": description})
        kept |= {"ids": {"{id}": intranet, "{ID}": intranet.upper(), "{spotify}": spotify}, "items": store.items()}
    for item in kept["items"]:
        store.put(item)
    ids: dict[str, str] = kept["ids"]
    return ids


def test_the_table_has_more_than_eighty_mistakes() -> None:
    """Count each mistake once, by title and method."""
    assert len({(mistake.title, mistake.method) for mistake in MISTAKES}) == len(MISTAKES) > 80


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.method} {mistake.title}")
def test_a_mistake_returns_an_error_with_advice(
    http: Admin, store: Store, ids: dict[str, str], mistake: Mistake
) -> None:
    """Return the status, code, field and text of the table, and change nothing."""
    before = store.items()
    path = mistake.path
    for placeholder, key_id in ids.items():
        path = path.replace(placeholder, key_id)

    response = http.call(mistake.method, path, body=mistake.sent, headers=mistake.headers)

    error = response.body["error"]
    details = error.get("details", [])
    assert (response.status, error["code"]) == (mistake.status, mistake.code), response.text
    if mistake.field:
        assert details == [{"field": mistake.field, "message": mistake.text}]
    elif mistake.text != NO_ROUTE:
        assert (error["message"], details) == (mistake.text, [])
    assert CANARY not in response.text
    assert store.items() == before


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json;charset=utf8", "application/json;", "application/json; version=1", "APPLICATION/JSON"),
        *("application/json; charset=iso-8859-1", 'application/json ; charset="UTF-8"', "application/json;;"),
    ],
)
def test_parameters_of_the_media_type_are_ignored(http: Admin, content_type: str) -> None:
    """Read JSON as UTF-8 for every charset parameter."""
    body = f'{{"name": "Café", "key": "{SECRET}"}}'.encode()

    response = http.call("POST", COLLECTION, body=body, headers={"Content-Type": content_type})

    assert (response.status, response.data["name"]) == (201, "Café")


def test_a_retry_is_recognized_by_its_values(http: Admin) -> None:
    """Ignore the order of fields, white space and the media type, but no value."""
    retry = {"Idempotency-Key": "a-retry-key-0123456789"}
    bodies = [
        f'{{"name": "One", "key": {{"a": "{SECRET}", "b": "c"}}}}',
        f'{{ "key": {{"b": "c", "a": "{SECRET}"}},\n "name": "One" }}',
        f'\ufeff{{"name": "\\u004fne", "key": {{"a": "{SECRET}", "b": "c"}}}}',
        f'{{"name": "One", "key": {{"a": "{SECRET}", "b": "d"}}}}',
    ]

    responses = [
        http.call("POST", COLLECTION, body=body.encode(), headers=retry | {"Content-Type": f"application/json; v={n}"})
        for n, body in enumerate(bodies)
    ]

    assert [response.status for response in responses] == [201, 201, 201, 409]
    assert [response.headers.get("Idempotency-Replayed") for response in responses] == [None, "true", "true", None]


@pytest.mark.parametrize(
    "fields", [["name", "key"], ["active", "description"], ["tags", "isActive"], ["key", "tags", "service"]]
)
def test_all_mistakes_of_a_body_are_reported_at_once(http: Admin, fields: list[str]) -> None:
    """Return one detail for each invalid field."""
    wrong = {"name": 1, "key": "••••", "active": 1, "description": 1, "tags": 1, "isActive": 1, "service": "A"}
    body = {"name": "One", "key": SECRET} | {name: wrong[name] for name in fields}

    details = http.send("POST", COLLECTION, body).body["error"]["details"]

    assert sorted(detail["field"] for detail in details) == sorted(fields)
