"""Tests of the service definitions: probe requests, hosts, and the interpretation of each response."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from service_keys.admin.services import SERVICES
from service_keys.admin.services.anthropic import Anthropic
from service_keys.admin.services.definition import ProbeRequest, ProbeResponse, interpret_by_status
from service_keys.admin.services.openai import OpenAI
from service_keys.admin.services.spotify import Spotify
from service_keys.core.secret_value import SecretValue

REFUSED = "but does not say that the key is wrong. The key may be restricted to other permissions, addresses or organi"
SECRET = "sk-made-up-0123456789"
PARTS = {"clientId": "0123456789abcdef" * 2, "clientSecret": "fedcba9876543210" * 2}


def asked(question: ProbeRequest) -> tuple[Any, ...]:
    return question.method, question.host, question.path, dict(question.headers), question.body


def test_spotify_probe_requests_a_token() -> None:
    """Send the client credentials in a Basic header."""
    basic = base64.b64encode(f"{PARTS['clientId']}:{PARTS['clientSecret']}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}

    assert asked(Spotify().build_probe(SecretValue(PARTS))) == (
        *("POST", "accounts.spotify.com", "/api/token"),
        *(headers, b"grant_type=client_credentials"),
    )


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        (SECRET, {}),
        ({"apiKey": SECRET}, {}),
        ({"apiKey": SECRET, "organization": "org-1"}, {"OpenAI-Organization": "org-1"}),
        (
            {"apiKey": SECRET, "organization": "org-1", "project": "proj-1"},
            {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1"},
        ),
    ],
)
def test_openai_probe_lists_models(key: str | dict[str, str], headers: dict[str, str]) -> None:
    """Send organization and project as headers if the key has them."""
    sent = {"Authorization": f"Bearer {SECRET}"} | headers

    assert asked(OpenAI().build_probe(SecretValue(key))) == ("GET", "api.openai.com", "/v1/models", sent, None)


def test_anthropic_probe_lists_models() -> None:
    """Send the key in `x-api-key`."""
    sent = {"x-api-key": SECRET, "anthropic-version": "2023-06-01"}

    assert asked(Anthropic().build_probe(SecretValue(SECRET))) == ("GET", "api.anthropic.com", "/v1/models", sent, None)


def test_services_are_registered_by_name() -> None:
    """Register each definition under the name in key ids."""
    assert {name: type(service) for name, service in SERVICES.items()} == {
        "spotify": Spotify,
        "openai": OpenAI,
        "anthropic": Anthropic,
    }


def test_probe_request_and_response_hide_the_key_in_repr() -> None:
    """Omit headers and bodies."""
    shown = [
        repr(ProbeRequest("POST", "host", "/path", {"Authorization": SECRET}, SECRET.encode())),
        repr(ProbeResponse(200, {"access_token": SECRET})),
    ]

    assert shown == ["ProbeRequest(method='POST', host='host', path='/path')", "ProbeResponse(status=200)"]


@pytest.mark.parametrize(
    ("status", "result", "words"),
    [
        (200, "inconclusive", "Who answered, but not with what it documents (200)."),
        (201, "inconclusive", "Who answered in a way that says nothing of the key (201)."),
        (400, "inconclusive", "Who answered in a way that says nothing of the key (400)."),
        (401, "inconclusive", f"Who refused the check (401), {REFUSED}"),
        (403, "inconclusive", f"Who refused the check (403), {REFUSED}"),
        (404, "inconclusive", "Who answered in a way that says nothing of the key (404)."),
        (429, "inconclusive", "Who limits the rate of requests (429). Try again later."),
        (499, "inconclusive", "Who answered in a way that says nothing of the key (499)."),
        (500, "inconclusive", "Who is failing (500). Try again later."),
        (529, "inconclusive", "Who is failing (529). Try again later."),
    ],
)
def test_interpret_by_status_is_the_same_for_every_service(status: int, result: str, words: str) -> None:
    """Return inconclusive with a reason."""
    judged, detail = interpret_by_status(ProbeResponse(status, None), "Who")

    assert judged == result
    assert detail.startswith(words)
    assert len(detail) < 160


def openai(code: str | None, kind: str = "invalid_request_error") -> dict[str, Any]:
    """Return OpenAI's error object."""
    return {"error": {"message": f"made up of {SECRET}", "type": kind, "param": None, "code": code}}


def anthropic(kind: str) -> dict[str, Any]:
    """Return Anthropic's error object."""
    return {"type": "error", "error": {"type": kind, "message": f"made up of {SECRET}"}}


def oauth(error: str) -> dict[str, Any]:
    """Return an OAuth 2.0 error as Spotify's token endpoint does."""
    return {"error": error, "error_description": f"made up of {SECRET}"}


RESPONSES: list[tuple[Spotify | OpenAI | Anthropic, int, Any, str, str]] = [
    (Spotify(), 200, {"access_token": "x"}, "valid", "Spotify"),
    (Spotify(), 200, {}, "inconclusive", "Spotify"),
    (Spotify(), 200, None, "inconclusive", "Spotify"),
    (Spotify(), 200, {"access_token": None}, "inconclusive", "Spotify"),
    (Spotify(), 201, {"access_token": "x"}, "inconclusive", "Spotify"),
    (Spotify(), 400, oauth("invalid_client"), "rejected", "Spotify"),
    (Spotify(), 401, oauth("invalid_client"), "rejected", "Spotify"),
    (Spotify(), 400, oauth("unauthorized_client"), "inconclusive", "Spotify does not let this client"),
    (Spotify(), 400, oauth("invalid_grant"), "inconclusive", "Spotify"),
    (Spotify(), 400, oauth("invalid_request"), "inconclusive", "Spotify"),
    (Spotify(), 400, oauth("unsupported_grant_type"), "inconclusive", "Spotify"),
    (Spotify(), 400, {"error": {"status": 400, "message": "invalid_client"}}, "inconclusive", "Spotify"),
    (Spotify(), 400, {"error": ["invalid_client"]}, "inconclusive", "Spotify"),
    (Spotify(), 400, None, "inconclusive", "Spotify"),
    (Spotify(), 401, None, "inconclusive", "Spotify refused the check"),
    (Spotify(), 403, None, "inconclusive", "Spotify refused the check"),
    (Spotify(), 403, oauth("access_denied"), "inconclusive", "Spotify refused the check"),
    (Spotify(), 403, oauth("invalid_client"), "inconclusive", "Spotify refused the check"),
    (Spotify(), 429, None, "inconclusive", "Spotify limits"),
    (Spotify(), 500, oauth("server_error"), "inconclusive", "Spotify is failing"),
    (Spotify(), 503, oauth("invalid_client"), "inconclusive", "Spotify is failing"),
    (OpenAI(), 200, {"data": []}, "valid", "OpenAI"),
    (OpenAI(), 200, {}, "inconclusive", "OpenAI"),
    (OpenAI(), 200, None, "inconclusive", "OpenAI"),
    (OpenAI(), 200, {"data": None}, "inconclusive", "OpenAI"),
    (OpenAI(), 401, openai("invalid_api_key"), "rejected", "OpenAI refuses the key (401)"),
    (OpenAI(), 401, openai("account_deactivated"), "rejected", "OpenAI has deactivated the account"),
    (OpenAI(), 401, None, "inconclusive", "OpenAI refused the check (401)"),
    (OpenAI(), 401, openai(None), "inconclusive", "OpenAI refused the check (401)"),
    (OpenAI(), 401, openai("made_up_later"), "inconclusive", "OpenAI refused the check (401)"),
    (OpenAI(), 401, {"error": "invalid_api_key"}, "inconclusive", "OpenAI refused the check (401)"),
    (OpenAI(), 401, {"error": {"code": ["invalid_api_key"]}}, "inconclusive", "OpenAI refused the check (401)"),
    (OpenAI(), 401, openai("no_organization"), "inconclusive", "OpenAI does not accept the key for the organization"),
    (OpenAI(), 401, openai("invalid_organization"), "inconclusive", "OpenAI refused the check (401)"),
    (OpenAI(), 401, openai("mismatched_organization"), "inconclusive", "OpenAI does not accept the key for the organi"),
    (OpenAI(), 401, openai("mismatched_project"), "inconclusive", "OpenAI refused the check (401)"),
    (OpenAI(), 401, openai("ip_not_authorized"), "inconclusive", "OpenAI refused the check (401)"),
    (OpenAI(), 403, openai("ip_not_authorized"), "inconclusive", "OpenAI refused the check (403)"),
    (OpenAI(), 403, openai("unsupported_country_region_territory"), "inconclusive", "OpenAI does not serve the region"),
    (OpenAI(), 403, openai(None), "inconclusive", "OpenAI refused the check (403)"),
    (OpenAI(), 403, openai("invalid_api_key"), "inconclusive", "OpenAI refused the check (403)"),
    (OpenAI(), 403, None, "inconclusive", "OpenAI refused the check (403)"),
    (
        OpenAI(),
        403,
        {"error": "unsupported_country_region_territory"},
        "inconclusive",
        "OpenAI refused the check (403)",
    ),
    (OpenAI(), 404, openai("invalid_api_key"), "inconclusive", "OpenAI"),
    (OpenAI(), 429, openai("insufficient_quota"), "inconclusive", "OpenAI: the quota"),
    (OpenAI(), 429, openai("credit_balance_exhausted", "insufficient_quota"), "inconclusive", "OpenAI: the quota"),
    (OpenAI(), 429, openai("rate_limit_exceeded"), "inconclusive", "OpenAI limits"),
    (OpenAI(), 503, openai("server_is_overloaded"), "inconclusive", "OpenAI is failing"),
    (Anthropic(), 200, {"data": []}, "valid", "Anthropic"),
    (Anthropic(), 200, {}, "inconclusive", "Anthropic"),
    (Anthropic(), 200, None, "inconclusive", "Anthropic"),
    (Anthropic(), 401, anthropic("authentication_error"), "rejected", "Anthropic refuses the key (401)"),
    (Anthropic(), 401, None, "inconclusive", "Anthropic refused the check (401)"),
    (Anthropic(), 401, {"error": "authentication_error"}, "inconclusive", "Anthropic refused the check (401)"),
    (Anthropic(), 401, anthropic("permission_error"), "inconclusive", "Anthropic refused the check (401)"),
    (Anthropic(), 403, anthropic("permission_error"), "inconclusive", "Anthropic refused the check (403)"),
    (Anthropic(), 403, anthropic("forbidden"), "inconclusive", "Anthropic refused the check (403)"),
    (Anthropic(), 403, anthropic("authentication_error"), "inconclusive", "Anthropic refused the check (403)"),
    (Anthropic(), 403, None, "inconclusive", "Anthropic refused the check (403)"),
    (Anthropic(), 400, anthropic("invalid_request_error"), "inconclusive", "Anthropic"),
    (Anthropic(), 402, anthropic("billing_error"), "inconclusive", "Anthropic: a problem with billing"),
    (Anthropic(), 404, anthropic("not_found_error"), "inconclusive", "Anthropic"),
    (Anthropic(), 429, anthropic("rate_limit_error"), "inconclusive", "Anthropic limits"),
    (Anthropic(), 500, anthropic("api_error"), "inconclusive", "Anthropic is failing"),
    (Anthropic(), 529, anthropic("overloaded_error"), "inconclusive", "Anthropic is failing"),
]


@pytest.mark.parametrize(("service", "status", "reply", "result", "words"), RESPONSES)
def test_only_a_documented_error_rejects_a_key(
    service: Spotify | OpenAI | Anthropic, status: int, reply: dict[str, Any] | None, result: str, words: str
) -> None:
    """Interpret documented and undocumented responses without repeating their text."""
    judged, detail = service.interpret(ProbeResponse(status, reply))

    assert judged == result
    assert detail.startswith(words)
    assert SECRET not in detail
