"""What is sent to each external service, to which host, and what each answer means."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from service_keys.material import KeyMaterial
from service_keys.services import KNOWN_SERVICES, Anthropic, OpenAI, Question, Reply, Spotify, usual

SECRET = "sk-made-up-0123456789"
PARTS = {"clientId": "0123456789abcdef" * 2, "clientSecret": "fedcba9876543210" * 2}


def asked(question: Question) -> tuple[Any, ...]:
    return question.method, question.host, question.path, dict(question.headers), question.body


def test_spotify_is_asked_for_a_token() -> None:
    basic = base64.b64encode(f"{PARTS['clientId']}:{PARTS['clientSecret']}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}

    assert asked(Spotify().question(KeyMaterial(PARTS))) == (
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
def test_openai_is_asked_for_its_models(key: str | dict[str, str], headers: dict[str, str]) -> None:
    sent = {"Authorization": f"Bearer {SECRET}"} | headers

    assert asked(OpenAI().question(KeyMaterial(key))) == ("GET", "api.openai.com", "/v1/models", sent, None)


def test_anthropic_is_asked_for_its_models() -> None:
    sent = {"x-api-key": SECRET, "anthropic-version": "2023-06-01"}

    assert asked(Anthropic().question(KeyMaterial(SECRET))) == ("GET", "api.anthropic.com", "/v1/models", sent, None)


def test_services_are_known_by_the_names_that_keys_have() -> None:
    assert {name: type(service) for name, service in KNOWN_SERVICES.items()} == {
        "spotify": Spotify,
        "openai": OpenAI,
        "anthropic": Anthropic,
    }


def test_a_question_and_a_reply_show_nothing_of_the_key() -> None:
    shown = [
        repr(Question("POST", "host", "/path", {"Authorization": SECRET}, SECRET.encode())),
        repr(Reply(200, {"access_token": SECRET})),
    ]

    assert shown == ["Question(method='POST', host='host', path='/path')", "Reply(status=200)"]


@pytest.mark.parametrize(
    ("status", "result", "words"),
    [
        (200, "inconclusive", "Who answered, but not with what it documents (200)."),
        (201, "inconclusive", "Who answered in a way that says nothing of the key (201)."),
        (400, "inconclusive", "Who answered in a way that says nothing of the key (400)."),
        (401, "rejected", "Who refuses the key (401): it is wrong, or was revoked."),
        (403, "rejected", "Who refuses the key (403): it lacks a permission."),
        (404, "inconclusive", "Who answered in a way that says nothing of the key (404)."),
        (429, "inconclusive", "Who limits the rate of requests (429). Try again later."),
        (499, "inconclusive", "Who answered in a way that says nothing of the key (499)."),
        (500, "inconclusive", "Who is failing (500). Try again later."),
        (529, "inconclusive", "Who is failing (529). Try again later."),
    ],
)
def test_a_status_means_the_same_at_every_service(status: int, result: str, words: str) -> None:
    assert usual(Reply(status, None), "Who") == (result, words)


@pytest.mark.parametrize(
    ("service", "status", "reply", "result", "who"),
    [
        (Spotify(), 200, {"access_token": "x"}, "valid", "Spotify"),
        (Spotify(), 200, {}, "inconclusive", "Spotify"),
        (Spotify(), 200, None, "inconclusive", "Spotify"),
        (Spotify(), 201, {"access_token": "x"}, "inconclusive", "Spotify"),
        (Spotify(), 400, {"error": "invalid_client"}, "rejected", "Spotify"),
        (Spotify(), 400, {"error": "invalid_grant"}, "inconclusive", "Spotify"),
        (Spotify(), 400, None, "inconclusive", "Spotify"),
        (Spotify(), 403, {"error": "invalid_client"}, "rejected", "Spotify"),
        (OpenAI(), 200, {"data": []}, "valid", "OpenAI"),
        (OpenAI(), 200, {}, "inconclusive", "OpenAI"),
        (OpenAI(), 200, None, "inconclusive", "OpenAI"),
        (OpenAI(), 401, None, "rejected", "OpenAI"),
        (OpenAI(), 403, {"error": {"code": "unsupported_country_region_territory"}}, "inconclusive", "OpenAI"),
        (OpenAI(), 403, {"error": "unsupported_country_region_territory"}, "rejected", "OpenAI"),
        (OpenAI(), 429, {"error": {"code": "insufficient_quota"}}, "inconclusive", "OpenAI: the quota"),
        (OpenAI(), 429, {"error": {"code": "rate_limit"}}, "inconclusive", "OpenAI limits"),
        (Anthropic(), 200, {"data": []}, "valid", "Anthropic"),
        (Anthropic(), 200, {}, "inconclusive", "Anthropic"),
        (Anthropic(), 200, None, "inconclusive", "Anthropic"),
        (Anthropic(), 401, None, "rejected", "Anthropic"),
    ],
)
def test_what_an_answer_means_is_told_in_our_words(
    service: Spotify | OpenAI | Anthropic, status: int, reply: dict[str, Any] | None, result: str, who: str
) -> None:
    judged, words = service.judgement(Reply(status, reply))

    assert judged == result
    assert words.startswith(who)
