"""Tests of the service definitions: key formats, probe requests, and the interpretation of each response."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from service_keys.admin.schemas import parse_create, parse_update
from service_keys.admin.services import SERVICES, VERIFIABLE_SERVICES
from service_keys.admin.services.anthropic import Anthropic
from service_keys.admin.services.definition import ProbeRequest, ProbeResponse, VerifiableService, interpret_by_status
from service_keys.admin.services.gemini import Gemini
from service_keys.admin.services.genius import Genius
from service_keys.admin.services.lastfm import LastFm
from service_keys.admin.services.mistral import Mistral
from service_keys.admin.services.openai import OpenAI
from service_keys.admin.services.spotify import Spotify
from service_keys.admin.services.youtube import YouTube
from service_keys.core.secret_value import SecretValue
from service_keys.errors import FieldError
from tests.support.example_keys import KEYS
from tests.unit.admin.conftest import SECRET, new, refused

if TYPE_CHECKING:
    from service_keys.admin.services.definition import KeyField

REFUSED = "but does not say that the key is wrong. The key may be restricted to other permissions, addresses or organi"
API_KEY = "sk-made-up-0123456789"
CREDENTIALS = {"clientId": "0123456789abcdef" * 2, "clientSecret": "fedcba9876543210" * 2}
BASIC = base64.b64encode(f"{CREDENTIALS['clientId']}:{CREDENTIALS['clientSecret']}".encode()).decode()
TOKEN_HEADERS = {"Authorization": f"Basic {BASIC}", "Content-Type": "application/x-www-form-urlencoded"}
MODELS = {"openai": ("GET", "api.openai.com", "/v1/models"), "anthropic": ("GET", "api.anthropic.com", "/v1/models")}
GOOGLE_KEY = "AI" + "zaSyMadeUp0123456789abcdefghijklmnopqrs"
LASTFM_CREDENTIALS = {"apiKey": "0123456789abcdef" * 2, "sharedSecret": "fedcba9876543210" * 2}
LASTFM_BODY = f"method=chart.gettopartists&limit=1&format=json&api_key={LASTFM_CREDENTIALS['apiKey']}".encode()
BEARER = {"Authorization": f"Bearer {API_KEY}"}


# --- key formats ----------------------------------------------------------------------------------------------------

SPOTIFY = "a Spotify key is an object with exactly clientId and clientSecret, 32 hexadecimal characters each"
SPOTIFY_FIELD = "a Spotify {} is exactly 32 hexadecimal characters; copy it from the dashboard"
OPENAI = "an OpenAI key is a string, or an object with apiKey and optionally organization and project"
OPENAI_KEY = "an OpenAI key begins with sk- and has no white space; copy it from the dashboard"
OPENAI_OPTION = "use visible ASCII characters, as in the id that the dashboard shows"
MISTRAL = "a Mistral key is a string without white space; copy it from the console"
GOOGLE = "a Google API key is a string without white space; copy it from Google AI Studio or the Cloud console"
LASTFM = "a Last.fm key is an object with apiKey and optionally sharedSecret"
LASTFM_KEY = "a Last.fm apiKey is exactly 32 letters and digits; copy it from the page of your API accounts"
GENIUS = "a Genius key is a string, or an object with accessToken and optionally clientId and clientSecret"
GENIUS_TOKEN = "a Genius client access token has no white space; generate it on the page of your API clients"
DEEZER = "a Deezer key is an object with exactly appId and secretKey"
ELSEWHERE = "this is an {} key; store it for the service {}, or give the {} key"
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
        *(("mistral", key, {"key": MISTRAL}) for key in ("white space", "schlüssel", {"apiKey": "made-up-key"})),
        ("mistral", "sk-ant-made-up", {"key": ELSEWHERE.format("Anthropic", "anthropic", "Mistral")}),
        ("mistral", "sk-proj-made-up", {"key": ELSEWHERE.format("OpenAI", "openai", "Mistral")}),
        (
            "mistral",
            GOOGLE_KEY,
            {"key": "this is a Google key; store it for the service gemini or youtube, or give the Mistral key"},
        ),
        *(
            (name, key, {"key": GOOGLE})
            for name in ("gemini", "youtube")
            for key in ("white space", {"key": GOOGLE_KEY})
        ),
        *(
            (name, "sk-ant-made-up", {"key": ELSEWHERE.format("Anthropic", "anthropic", "Google")})
            for name in ("gemini", "youtube")
        ),
        ("gemini", "sk-svcacct-made-up", {"key": ELSEWHERE.format("OpenAI", "openai", "Google")}),
        (
            "youtube",
            "ya29.made-up",
            {"key": "this is an OAuth access token, which expires within an hour; give an API key"},
        ),
        ("lastfm", LASTFM_CREDENTIALS["apiKey"], {"key": LASTFM}),
        ("lastfm", {"sharedSecret": "x"}, {"key.apiKey": f"missing: {LASTFM}"}),
        *(
            ("lastfm", {"apiKey": key}, {"key.apiKey": LASTFM_KEY})
            for key in ("0" * 31, "0" * 33, "ä" * 32, "0" * 31 + "-")
        ),
        ("lastfm", LASTFM_CREDENTIALS | {"secret": "x"}, {"key.secret": f"unknown: {LASTFM}"}),
        ("genius", "white space", {"key": GENIUS_TOKEN}),
        ("genius", {"clientId": "x", "clientSecret": "y"}, {"key.accessToken": f"missing: {GENIUS}"}),
        ("genius", {"accessToken": "white space"}, {"key.accessToken": GENIUS_TOKEN}),
        ("deezer", "made-up-secret", {"key": DEEZER}),
        ("deezer", {"appId": "1"}, {"key.secretKey": f"missing: {DEEZER}"}),
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
        ("Mistral", "0123456789abcdefGHIJKLMNOPQRSTUV"),
        *(
            (name, key)
            for name in ("Gemini", "YouTube")
            for key in (GOOGLE_KEY, "AQ.Ab8RN6made-up_", "of-another-form")
        ),
        *(("LastFM", key) for key in (LASTFM_CREDENTIALS, {"apiKey": "0" * 32})),
        *(("Genius", key) for key in ("made-up-token", {"accessToken": "x"}, {"accessToken": "x", "clientId": "y"})),
        ("Deezer", {"appId": "123456", "secretKey": "0" * 32}),
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
        ("mistral", API_KEY, ("GET", "api.mistral.ai", "/v1/models"), BEARER, None),
        (
            *("gemini", API_KEY, ("GET", "generativelanguage.googleapis.com", "/v1beta/models?pageSize=1")),
            *({"X-Goog-Api-Key": API_KEY}, None),
        ),
        (
            *("youtube", API_KEY, ("GET", "youtube.googleapis.com", "/youtube/v3/i18nLanguages?part=snippet")),
            *({"X-Goog-Api-Key": API_KEY}, None),
        ),
        *(
            ("genius", key, ("GET", "api.genius.com", "/search?q=genius&per_page=1"), BEARER, None)
            for key in (API_KEY, {"accessToken": API_KEY, "clientId": "x", "clientSecret": "y"})
        ),
        (
            *("lastfm", LASTFM_CREDENTIALS, ("POST", "ws.audioscrobbler.com", "/2.0/")),
            *({"Content-Type": "application/x-www-form-urlencoded"}, LASTFM_BODY),
        ),
    ],
)
def test_a_probe_has_a_fixed_host_and_the_documented_form(
    service: str, key: Any, target: tuple[str, str, str], headers: dict[str, str], body: bytes | None
) -> None:
    """Send the key in a header or a form only, and take no part of the host from it."""
    assert VERIFIABLE_SERVICES[service].build_probe(SecretValue(key)) == ProbeRequest(*target, headers, body)


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


def google(reason: str | None, message: str = f"made up of {SECRET}") -> dict[str, Any]:
    """Return Google's error object, with the reason in the form of google.rpc.ErrorInfo."""
    details = [{"@type": "type.googleapis.com/google.rpc.Help"}, {"reason": reason}]
    return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": details}}


LEAKED = "Your API key was reported as leaked. Please use another API key."
NOT_VALID = "API key not valid. Please pass a valid API key."
RESPONSES: list[tuple[VerifiableService, int, Any, str, str]] = [
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
    (Mistral(), 200, {"object": "list", "data": []}, "valid", "Mistral"),
    (Mistral(), 200, {"data": {}}, "inconclusive", "Mistral answered, but"),
    (Mistral(), 401, {"detail": "Unauthorized"}, "rejected", "Mistral refuses the key (401)"),
    (Mistral(), 401, {"message": "Unauthorized", "request_id": "x"}, "rejected", "Mistral refuses the key (401)"),
    (Mistral(), 401, {"message": "No API key found in request"}, "inconclusive", "Mistral refused the check (401)"),
    (Mistral(), 401, {"error": "Unauthorized"}, "inconclusive", "Mistral refused the check (401)"),
    (Mistral(), 401, None, "inconclusive", "Mistral refused the check (401)"),
    (Mistral(), 402, None, "inconclusive", "Mistral: a problem with billing"),
    (Mistral(), 403, {"detail": "Unauthorized"}, "inconclusive", "Mistral refused the check (403)"),
    (Mistral(), 429, {"message": "Unauthorized"}, "inconclusive", "Mistral limits"),
    (Mistral(), 500, {"detail": "Unauthorized"}, "inconclusive", "Mistral is failing"),
    (Gemini(), 200, {"models": []}, "valid", "Google Gemini gave a list"),
    (Gemini(), 200, {"items": []}, "inconclusive", "Google Gemini answered, but"),
    (YouTube(), 200, {"items": []}, "valid", "YouTube Data API gave a list"),
    (YouTube(), 200, {"models": []}, "inconclusive", "YouTube Data API answered, but"),
    (Gemini(), 400, google("API_KEY_INVALID"), "rejected", "Google refuses the key (400)"),
    (Gemini(), 400, google(None, "API key expired. Please renew the API key."), "rejected", "Google refuses the key"),
    (Gemini(), 400, google("FIELD_INVALID"), "inconclusive", "Google Gemini answered in a way"),
    (Gemini(), 400, {"error": {"status": "FAILED_PRECONDITION"}}, "inconclusive", "Google Gemini does not serve"),
    (Gemini(), 401, google("ACCESS_TOKEN_TYPE_UNSUPPORTED"), "inconclusive", "Google does not accept this type of key"),
    (Gemini(), 401, google("API_KEY_INVALID"), "inconclusive", "Google Gemini refused the check (401)"),
    (Gemini(), 403, google("CONSUMER_SUSPENDED"), "rejected", "Google has suspended"),
    (Gemini(), 403, google(None, LEAKED), "rejected", "Google has blocked"),
    (Gemini(), 403, google(None, f"{LEAKED} {SECRET}"), "inconclusive", "Google Gemini refused the check (403)"),
    (Gemini(), 403, google("API_KEY_SERVICE_BLOCKED"), "inconclusive", "Google: the key is restricted to other APIs"),
    (Gemini(), 403, google("SERVICE_DISABLED"), "inconclusive", "Google: this API is not enabled"),
    *(
        (
            Gemini(),
            403,
            google(f"API_KEY_{caller}_BLOCKED"),
            "inconclusive",
            "Google: the key is restricted to other addre",
        )
        for caller in ("HTTP_REFERRER", "IP_ADDRESS", "ANDROID_APP", "IOS_APP")
    ),
    (Gemini(), 403, google("IAM_PERMISSION_DENIED"), "inconclusive", "Google Gemini refused the check (403)"),
    (
        Gemini(),
        403,
        {"error": {"details": "API_KEY_INVALID", "errors": ["x", 1]}},
        "inconclusive",
        "Google Gemini refused",
    ),
    (Gemini(), 429, google("RATE_LIMIT_EXCEEDED"), "inconclusive", "Google Gemini limits"),
    (Gemini(), 503, google("API_KEY_INVALID"), "inconclusive", "Google Gemini is failing"),
    (YouTube(), 400, {"error": {"errors": [{"reason": "keyInvalid"}]}}, "rejected", "Google refuses the key (400)"),
    (
        YouTube(),
        400,
        {"error": {"errors": [{"reason": "badRequest"}], "message": NOT_VALID}},
        "rejected",
        "Google refuses",
    ),
    (YouTube(), 400, {"error": {"errors": [{"reason": "badRequest"}]}}, "inconclusive", "YouTube Data API answered in"),
    (YouTube(), 403, {"error": {"errors": [{"reason": "quotaExceeded"}]}}, "inconclusive", "Google: the quota"),
    (YouTube(), 403, {"error": {"errors": [{"reason": "accessNotConfigured"}]}}, "inconclusive", "Google: this API is"),
    (YouTube(), 403, {"error": {"errors": [{"reason": ["keyInvalid"]}]}}, "inconclusive", "YouTube Data API refused"),
    (LastFm(), 200, {"artists": {"artist": []}}, "valid", "Last.fm gave"),
    (LastFm(), 200, {"artists": []}, "inconclusive", "Last.fm answered, but"),
    (LastFm(), 200, {"error": 10}, "rejected", "Last.fm refuses the API key (error 10)"),
    (LastFm(), 403, {"error": 10, "message": SECRET}, "rejected", "Last.fm refuses the API key (error 10)"),
    (LastFm(), 403, {"error": 26}, "rejected", "Last.fm has suspended"),
    (LastFm(), 403, {"error": "10"}, "inconclusive", "Last.fm refused the check (403)"),
    (LastFm(), 403, {"error": 4}, "inconclusive", "Last.fm refused the check (403)"),
    (LastFm(), 400, {"error": [10]}, "inconclusive", "Last.fm answered in a way"),
    (LastFm(), 400, {"error": 29}, "inconclusive", "Last.fm limits the rate of requests (error 29)"),
    (LastFm(), 500, {"error": 10}, "inconclusive", "Last.fm is failing"),
    (LastFm(), 500, {"error": 8}, "inconclusive", "Last.fm is failing"),
    (LastFm(), 403, None, "inconclusive", "Last.fm refused the check (403)"),
    (Genius(), 200, {"meta": {"status": 200}, "response": {"hits": []}}, "valid", "Genius answered a search"),
    (Genius(), 200, {"meta": {"status": 200}}, "inconclusive", "Genius answered, but"),
    (Genius(), 401, oauth("invalid_token"), "rejected", "Genius refuses the token (401)"),
    (Genius(), 401, oauth("invalid_request"), "inconclusive", "Genius refused the check (401)"),
    (Genius(), 401, {"meta": {"status": 401, "message": "…"}}, "inconclusive", "Genius refused the check (401)"),
    (Genius(), 401, None, "inconclusive", "Genius refused the check (401)"),
    (Genius(), 403, oauth("invalid_token"), "inconclusive", "Genius refused the check (403)"),
    (Genius(), 403, oauth("insufficient_scope"), "inconclusive", "Genius refused the check (403)"),
    (Genius(), 429, None, "inconclusive", "Genius limits"),
    (Genius(), 503, None, "inconclusive", "Genius is failing"),
]


@pytest.mark.parametrize(("service", "status", "reply", "result", "words"), RESPONSES)
def test_only_a_documented_error_rejects_a_key(
    service: VerifiableService, status: int, reply: dict[str, Any] | None, result: str, words: str
) -> None:
    """Interpret documented and undocumented responses without repeating their text."""
    interpreted, detail = service.interpret(ProbeResponse(status, reply))

    assert interpreted == result
    assert detail.startswith(words)
    assert SECRET not in detail


# --- fields ---------------------------------------------------------------------------------------------------------

ALL_FIELDS = [
    (service.name, field) for service in SERVICES.values() for field in (*service.fields, *service.object_fields)
]
CORPUS = (
    *(text for key in KEYS.values() for text in (key.values() if isinstance(key, dict) else [key])),
    *(
        "",
        " ",
        "x",
        "a b",
        "a\tb",
        "key\n",
        "\nkey",
        "key\r\n",
        "a\u2028b",
        "schlüssel",
        "密码",
        "🔑",
        "\x00",
        "\x7f",
        "\x1b",
    ),
    *("sk-x", "sk-ant-x", "sk-ant", "sk-proj-x", "SK-ANT-x", " sk-x", "AIzaSyx", "AIzaX", "ya29.x", "ya29-x", "AQ.x"),
    *("0" * 31, "0" * 32, "0" * 33, "g" * 32, "F" * 32, "\uff10" * 32, "\u0660" * 32, "ſ" * 32, "0" * 32 + "\n"),
)
"""Valid and invalid values, and characters that Python and JavaScript could treat differently."""


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_describes_its_fields_completely(name: str) -> None:
    """Register a service under its name; one nameless field is a string, several have distinct names and a message."""
    service = SERVICES[name]
    names = [field.name for field in service.fields]

    assert service.name == name
    assert (names == [None]) or (None not in names and len(set(names)) == len(names) and service.expected)
    assert service.fields[0].required
    assert not service.object_fields or (names == [None] and service.expected)
    assert service.verifiable == isinstance(service, VerifiableService) == (name in VERIFIABLE_SERVICES)
    assert service.title
    assert not service.validate(SecretValue(KEYS[name]))
    for field in service.fields:
        assert field.to_response().keys() == {"name", "label", "pattern", "secret", "required"}
        assert all(prefix and field.problem(f"{prefix}0123456789") == message for prefix, message in field.foreign)


@pytest.mark.parametrize(("name", "field"), ALL_FIELDS)
def test_a_pattern_means_the_same_in_javascript(name: str, field: KeyField) -> None:
    """Use the common subset of the two languages: anchors, ASCII, classes, groups, lookaheads and counts."""
    assert re.fullmatch(r"\^(?:[A-Za-z0-9-]|\[[!-Z^-~]+\]|\(\?[:!]|[()|+]|\{[0-9]+\})+\$", field.pattern), name


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_every_pattern_decides_alike_in_node() -> None:
    """Let JavaScript and Python decide on every value by every pattern."""
    patterns = sorted({field.pattern for _, field in ALL_FIELDS})
    script = (
        "const [p, c] = JSON.parse(require('fs').readFileSync(0)); "
        "console.log(JSON.stringify(p.map(x => c.map(v => new RegExp(x, 'u').test(v)))))"
    )
    run = subprocess.run(
        ["node", "-e", script], input=json.dumps([patterns, CORPUS]), capture_output=True, text=True, check=True
    )
    decided = [[bool(re.fullmatch(pattern, value, re.ASCII)) for value in CORPUS] for pattern in patterns]

    assert json.loads(run.stdout) == decided
    assert all(True in each and False in each for each in decided)
