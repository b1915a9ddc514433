"""Where the authorizer draws its lines: lists and limits that nothing but the exact value shows."""

from __future__ import annotations

import json
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from authorizer.errors import KeyUnavailableError, TokenRefusedError
from authorizer.jwks import JwksKeys
from authorizer.key_cache import KeyCache
from authorizer.token_verifier import TokenVerifier
from tests.support import issuer

if TYPE_CHECKING:
    from tests.support.issuer import KeySetServer, SigningKey
    from tests.unit.authorizer.conftest import Clock

END_OF_TIME = 253_402_300_799
"""The last second of the year 9999."""


@pytest.fixture
def verifier(server: KeySetServer) -> TokenVerifier:
    return TokenVerifier(issuer=issuer.ISSUER, audience=issuer.AUDIENCE, keys=JwksKeys(server.url))


def refusal(verifier: TokenVerifier, authorization: Any) -> str:
    with pytest.raises(TokenRefusedError) as refused:
        verifier.verify(authorization)
    return refused.value.reason


def test_a_header_of_sixteen_kibibytes_is_the_longest_that_is_read(verifier: TokenVerifier) -> None:
    longest = "Bearer " + "x" * (16 * 1024 - len("Bearer "))

    assert refusal(verifier, longest) == "malformed"
    assert refusal(verifier, longest + "x") == "too_long"


def test_a_token_ends_with_the_year_9999_at_the_latest(verifier: TokenVerifier, keys: dict[str, SigningKey]) -> None:
    def sent(at: float) -> str:
        return "Bearer " + issuer.token(keys["RS256"], issuer.claims(exp=at))

    assert verifier.verify(sent(END_OF_TIME))["exp"] == END_OF_TIME
    assert refusal(verifier, sent(END_OF_TIME + 1)) == "bad_claim"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_may_begin_with_the_epoch(verifier: TokenVerifier, keys: dict[str, SigningKey], claim: str) -> None:
    assert verifier.verify("Bearer " + issuer.token(keys["RS256"], issuer.claims(**{claim: 0})))[claim] == 0
    assert refusal(verifier, "Bearer " + issuer.token(keys["RS256"], issuer.claims(**{claim: -1}))) == "bad_claim"


def test_a_token_serves_for_less_than_ten_seconds_after_its_end(
    verifier: TokenVerifier, keys: dict[str, SigningKey]
) -> None:
    def sent(ended_before: int) -> str:
        return "Bearer " + issuer.token(keys["RS256"], issuer.claims(exp=int(time.time()) - ended_before))

    assert verifier.verify(sent(5))
    assert refusal(verifier, sent(10)) == "expired"


@pytest.mark.parametrize("authorization", [None, 7, b"Bearer a.b.c", ["Bearer a.b.c"], "", "Basic YTpi"])
def test_what_is_no_bearer_token_is_malformed(verifier: TokenVerifier, authorization: Any) -> None:
    assert refusal(verifier, authorization) == "malformed"


def test_an_issuer_has_three_seconds() -> None:
    assert JwksKeys("https://issuer.example/jwks")._deadline == 3


@pytest.mark.parametrize("length", [1, 255])
def test_a_subject_has_one_to_255_characters(verifier: TokenVerifier, keys: dict[str, SigningKey], length: int) -> None:
    def sent(length: int) -> str:
        return "Bearer " + issuer.token(keys["RS256"], issuer.claims(sub="x" * length))

    assert verifier.verify(sent(length))["sub"] == "x" * length
    assert refusal(verifier, sent(0)) == "bad_claim"
    assert refusal(verifier, sent(256)) == "bad_claim"


def test_tokens_are_signed_by_asymmetric_algorithms_alone() -> None:
    rsa, pss, curves = ("RS256", "RS384", "RS512"), ("PS256", "PS384", "PS512"), ("ES256", "ES384", "ES512")

    assert JwksKeys.algorithms == (*rsa, *pss, *curves, "EdDSA")


def test_a_key_set_of_256_kibibytes_is_the_largest(server: KeySetServer) -> None:
    whole = json.dumps({"keys": server.keys}).encode()
    server.body = whole.ljust(256 * 1024)
    assert issuer.first_key(JwksKeys(server.url)).key_id == "RS256"

    server.body += b" "
    with pytest.raises(KeyUnavailableError, match="256 KiB"):
        issuer.first_key(JwksKeys(server.url))


@pytest.mark.parametrize("stray", [17, "RSA", None, [], True])
def test_what_is_no_key_is_not_in_the_way_of_one(server: KeySetServer, stray: Any) -> None:
    server.keys = [stray, *server.keys, stray]

    assert issuer.first_key(JwksKeys(server.url)).key_id == "RS256"


def test_once_the_last_value_serves_no_longer_the_next_is_asked_for_more_often(clock: Clock) -> None:
    fetched: list[float] = []

    def fetch() -> str:
        fetched.append(clock.now)
        if len(fetched) > 1:
            raise KeyUnavailableError("made to fail")
        return "value"

    cache = KeyCache(fetch, ttl=300, stale_if_error=900, min_refetch_interval=30, retry_delay=5, clock=clock)
    cache.get()

    def tries(seconds: int) -> int:
        before = len(fetched)
        for _ in range(seconds):
            clock.now += 1
            with suppress(KeyUnavailableError):
                cache.get()
        return len(fetched) - before

    clock.now += 300
    assert tries(60) == 2, "bridged: one in thirty seconds"
    clock.now += 600
    assert tries(60) == 12, "nobody gets in: one in five seconds"


def test_a_failure_keeps_neither_what_was_fetched_nor_what_was_asked_for(clock: Clock) -> None:
    class Watched:
        pass

    watched = []

    def watch() -> Watched:
        made = Watched()
        watched.append(weakref.ref(made))
        return made

    def fetch() -> str:
        answer = watch()
        raise KeyUnavailableError(f"made to fail by {answer}")

    cache = KeyCache(fetch, ttl=300, stale_if_error=900, min_refetch_interval=30, retry_delay=5, clock=clock)

    def ask() -> None:
        _token = watch()
        with suppress(KeyUnavailableError):
            cache.get()

    ask()
    ask()

    assert [each() for each in watched] == [None] * 3
