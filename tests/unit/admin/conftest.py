"""An endpoint to call, and invalid bodies, for the tests of the admin API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from local.events import rest_event
from service_keys.admin.endpoint import api_handler
from service_keys.admin.schemas import parse_create, parse_update
from service_keys.errors import FieldError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from service_keys.admin.request import Request
    from service_keys.admin.responses import Response

COLLECTION = "/api/v1/admin/api-keys"
ORIGIN = "https://admin.example.com"
SECRET = "made-up-secret-0123456789"


@pytest.fixture(autouse=True)
def _allowed_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGIN", ORIGIN)


def event(**members: Any) -> dict[str, Any]:
    """Return an event with a JSON media type; `members` replace its top-level members."""
    headers = {"Content-Type": "application/json"}
    return rest_event("POST", COLLECTION, headers=headers, authorizer={"sub": "ada"}, request_id="request-1") | members


def respond(handle: Callable[[Request], Response], sent: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the response of an endpoint to an event."""
    return api_handler(handle)(sent or event(), None)


def failing(error: Exception) -> Callable[[Request], Response]:
    """Return a handler that raises the error."""

    def handle(_: Request) -> Response:
        raise error

    return handle


def new(**fields: object) -> dict[str, object]:
    """Return the body of a valid create request with these fields."""
    return {"name": "One", "key": SECRET} | fields


def refused(body: object, *, update: bool = False, service: str = "x") -> tuple[FieldError, ...]:
    """Return the details of an invalid body; neither they nor the error's context contain a secret."""
    with pytest.raises(InvalidRequestError) as raised:
        parse_update(body, service=service) if update else parse_create(body)
    assert raised.value.__context__ is None, "pydantic's error holds the input"
    assert SECRET not in repr(raised.value.details)
    return raised.value.details
