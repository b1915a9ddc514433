"""Tests of the service definitions: key formats, probe requests, and the interpretation of each response."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from service_keys.admin.schemas import parse_create, parse_update
from service_keys.admin.services import SERVICES
from service_keys.admin.services.anthropic import Anthropic
from service_keys.admin.services.definition import ProbeRequest, ProbeResponse, interpret_by_status
from service_keys.admin.services.openai import OpenAI
from service_keys.admin.services.spotify import Spotify
from service_keys.core.secret_value import SecretValue
from service_keys.errors import FieldError
from tests.unit.admin.conftest import SECRET, new, refused

REFUSED = "but does not say that the key is wrong. The key may be restricted to other permissions, addresses or organi"
API_KEY = "sk-made-up-0123456789"
CREDENTIALS = {"clientId": "0123456789abcdef" * 2, "clientSecret": "fedcba9876543210" * 2}
BASIC = base64.b64encode(f"{CREDENTIALS['clientId']}:{CREDENTIALS['clientSecret']}".encode()).decode()
TOKEN_HEADERS = {"Authorization": f"Basic {BASIC}", "Content-Type": "application/x-www-form-urlencoded"}
MODELS = {"openai": ("GET", "api.openai.com", "/v1/models"), "anthropic": ("GET", "api.anthropic.com", "/v1/models")}
BEARER = {"Authorization": f"Bearer {API_KEY}"}


# --- key formats ----------------------------------------------------------------------------------------------------

SPOTIFY = "a Spotify key is an object with exactly clientId and clientSecret, 32 hexadecimal characters each"
SPOTIFY_FIELD = "a Spotify {} is exactly 32 hexadecimal characters; copy it from the dashboard"
OPENAI = "an OpenAI key is a string, or an object with apiKey and optionally organization and project"
OPENAI_KEY = "an OpenAI key begins with sk- and has no white space; copy it from the dashboard"
OPENAI_OPTION = "use visible ASCII characters, as in the id that the dashboard shows"
OTHER_SERVICE = "this is an Anthropic key; store it for the service anthropic, or give the OpenAI key"
ANTHROPIC = "an Anthropic key is a string that begins with sk-ant- and has no white space; copy it from the console"


@pytest.mark.parametrize("update", [False, True], ids=["create", "update"])
@pytest.mark.parametrize(
    ("service", "key", "errors"),
    [
        ("spotify", SECRET, {"key": SPOTIFY}),
        ("spotify", {"clientId": "0" * 32}, {"key.clientSecret": f"missing: {SPOTIFY}"}),
        ("spotify", CREDENTIALS | {"a": "x"}, {"key.a": f"unknown: {SPOTIFY}"}),
        ("spotify", CREDENTIALS | {"a1b2": "x", "c3d4": "y"}, {"key": f"unknown: {SPOTIFY}"}),
        ("spotify", CREDENTIALS | {"clientId": "0" * 31}, {"key.clientId": SPOTIFY_FIELD.format("clientId")}),
        (
            "spotify",
            CREDENTIALS | {"clientSecret": "g" * 32},
            {"key.clientSecret": SPOTIFY_FIELD.format("clientSecret")},
        ),
        (
            "spotify",
            {"clientId": "x", "clientSecret": "y"},
            {f"key.{name}": SPOTIFY_FIELD.format(name) for name in CREDENTIALS},
        ),
        *(("openai", key, {"key": OPENAI_KEY}) for key in (SECRET, "sk-white space")),
        ("openai", {"organization": "org-made-up"}, {"key.apiKey": f"missing: {OPENAI}"}),
        ("openai", {"apiKey": API_KEY, "a": "x"}, {"key.a": f"unknown: {OPENAI}"}),
        ("openai", {"apiKey": SECRET}, {"key.apiKey": OPENAI_KEY}),
        ("openai", "sk-ant-made-up-key", {"key": OTHER_SERVICE}),
        *(
            ("openai", {"apiKey": API_KEY, option: value}, {f"key.{option}": OPENAI_OPTION})
            for option in ("organization", "project")
            for value in ("org with space", "org\nX-Injected: 1", "örg")
        ),
        *(("anthropic", key, {"key": ANTHROPIC}) for key in (SECRET, API_KEY, "sk-ant-white space")),
        ("anthropic", {"apiKey": "sk-ant-made-up"}, {"key": ANTHROPIC}),
    ],
)
def test_a_key_must_match_the_format_of_its_service(
    service: str, key: object, errors: dict[str, str], *, update: bool
) -> None:
    """Return a message for the key, or one for each invalid field."""
    body = {"key": key} if update else new(service=service, key=key)

    assert refused(body, update=update, service=service) == tuple(FieldError(*error) for error in errors.items())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *(
            ("OpenAI", API_KEY),
            ("OpenAI", {"apiKey": API_KEY}),
            ("Anthropic", "sk-ant-made-up"),
            ("Spotify", CREDENTIALS),
        ),
        ("OpenAI", {"apiKey": API_KEY, "organization": "o", "project": "p"}),
    ],
)
def test_a_valid_key_of_a_known_service_is_accepted(name: str, key: Any) -> None:
    """Accept a string or an object; check the format of a service derived from the name, too."""
    request = parse_create(new(name=name, key=key))

    assert (request.effective_service, request.key.reveal()) == (name.lower(), key)
    assert parse_update({"key": key}, service=name.lower())["key"].reveal() == key


# --- probes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "key", "target", "headers", "body"),
    [
        (
            *("spotify", CREDENTIALS, ("POST", "accounts.spotify.com", "/api/token")),
            *(TOKEN_HEADERS, b"grant_type=client_credentials"),
        ),
        ("openai", API_KEY, MODELS["openai"], BEARER, None),
        ("openai", {"apiKey": API_KEY}, MODELS["openai"], BEARER, None),
        (
            *("openai", {"apiKey": API_KEY, "organization": "org-1"}, MODELS["openai"]),
            *(BEARER | {"OpenAI-Organization": "org-1"}, None),
        ),
        (
            *("openai", {"apiKey": API_KEY, "organization": "org-1", "project": "proj-1"}, MODELS["openai"]),
            *(BEARER | {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1"}, None),
        ),
        (
            *("anthropic", API_KEY, MODELS["anthropic"]),
            *({"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}, None),
        ),
    ],
)
def test_a_probe_has_a_fixed_host_and_the_documented_form(
    service: str, key: Any, target: tuple[str, str, str], headers: dict[str, str], body: bytes | None
) -> None:
    """Send the key in headers only, and take no part of the host from it."""
    assert SERVICES[service].build_probe(SecretValue(key)) == ProbeRequest(*target, headers, body)


def test_services_are_registered_by_name() -> None:
    """Register each definition under the name in key ids."""
    types = {name: type(service) for name, service in SERVICES.items()}

    assert types == {"spotify": Spotify, "openai": OpenAI, "anthropic": Anthropic}


def test_probe_request_and_response_hide_the_key_in_repr() -> None:
    """Omit headers and bodies."""
    probe = ProbeRequest("POST", "host", "/path", {"Authorization": SECRET}, SECRET.encode())

    assert repr(probe) == "ProbeRequest(method='POST', host='host', path='/path')"
    assert repr(ProbeResponse(200, {"access_token": SECRET})) == "ProbeResponse(status=200)"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, "Who answered, but not with what it documents (200)."),
        *(
            (status, f"Who answered in a way that says nothing of the key ({status}).")
            for status in (201, 400, 404, 499)
        ),
        *((status, f"Who refused the check ({status}), {REFUSED}") for status in (401, 403)),
        (429, "Who limits the rate of requests (429). Try again later."),
        *((status, f"Who is failing ({status}). Try again later.") for status in (500, 529)),
    ],
)
def test_interpret_by_status_is_the_same_for_every_service(status: int, words: str) -> None:
    """Return inconclusive with a reason."""
    result, detail = interpret_by_status(ProbeResponse(status, None), "Who")

    assert result == "inconclusive"
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
    (OpenAI(), 403, {"error": "unsupported_country_region_territory"}, "inconclusive", "OpenAI refused the check"),
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
    interpreted, detail = service.interpret(ProbeResponse(status, reply))

    assert interpreted == result
    assert detail.startswith(words)
    assert SECRET not in detail
