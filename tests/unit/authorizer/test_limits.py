"""Exact limits and lists of the authorizer."""

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


def test_header_limit_is_16_kib(verifier: TokenVerifier) -> None:
    """A header of exactly 16 KiB is parsed; one more character is too long."""
    longest = "Bearer " + "x" * (16 * 1024 - len("Bearer "))

    assert refusal(verifier, longest) == "malformed"
    assert refusal(verifier, longest + "x") == "too_long"


def test_latest_expiry_is_the_year_9999(verifier: TokenVerifier, keys: dict[str, SigningKey]) -> None:
    """A later `exp` is a bad claim."""

    def sent(at: float) -> str:
        return "Bearer " + issuer.token(keys["RS256"], issuer.claims(exp=at))

    assert verifier.verify(sent(END_OF_TIME))["exp"] == END_OF_TIME
    assert refusal(verifier, sent(END_OF_TIME + 1)) == "bad_claim"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_times_before_the_epoch_rejected(verifier: TokenVerifier, keys: dict[str, SigningKey], claim: str) -> None:
    """The claims `nbf` and `iat` may be 0, not negative."""
    assert verifier.verify("Bearer " + issuer.token(keys["RS256"], issuer.claims(**{claim: 0})))[claim] == 0
    assert refusal(verifier, "Bearer " + issuer.token(keys["RS256"], issuer.claims(**{claim: -1}))) == "bad_claim"


def test_expiry_leeway_is_10_seconds(verifier: TokenVerifier, keys: dict[str, SigningKey]) -> None:
    """A token that expired 10 s ago is rejected."""

    def sent(ended_before: int) -> str:
        return "Bearer " + issuer.token(keys["RS256"], issuer.claims(exp=int(time.time()) - ended_before))

    assert verifier.verify(sent(5))
    assert refusal(verifier, sent(10)) == "expired"


@pytest.mark.parametrize("authorization", [None, 7, b"Bearer a.b.c", ["Bearer a.b.c"], "", "Basic YTpi"])
def test_other_authorization_is_malformed(verifier: TokenVerifier, authorization: Any) -> None:
    """Values of other types and schemes are malformed."""
    assert refusal(verifier, authorization) == "malformed"


def test_jwks_deadline_is_3_seconds() -> None:
    """The default deadline of a JWKS fetch."""
    assert JwksKeys("https://issuer.example/jwks")._deadline == 3


@pytest.mark.parametrize("length", [1, 255])
def test_a_subject_has_one_to_255_characters(verifier: TokenVerifier, keys: dict[str, SigningKey], length: int) -> None:
    def sent(length: int) -> str:
        return "Bearer " + issuer.token(keys["RS256"], issuer.claims(sub="x" * length))

    assert verifier.verify(sent(length))["sub"] == "x" * length
    assert refusal(verifier, sent(0)) == "bad_claim"
    assert refusal(verifier, sent(256)) == "bad_claim"


def test_jwks_algorithms_are_asymmetric() -> None:
    """JWKS mode accepts these algorithms only."""
    rsa, pss, curves = ("RS256", "RS384", "RS512"), ("PS256", "PS384", "PS512"), ("ES256", "ES384", "ES512")

    assert JwksKeys.algorithms == (*rsa, *pss, *curves, "EdDSA")


def test_jwks_limit_is_256_kib(server: KeySetServer) -> None:
    """A JWKS of exactly 256 KiB is accepted; one more byte is rejected."""
    whole = json.dumps({"keys": server.keys}).encode()
    server.body = whole.ljust(256 * 1024)
    assert issuer.first_key(JwksKeys(server.url)).key_id == "RS256"

    server.body += b" "
    with pytest.raises(KeyUnavailableError, match="256 KiB"):
        issuer.first_key(JwksKeys(server.url))


@pytest.mark.parametrize("stray", [17, "RSA", None, [], True])
def test_malformed_jwk_ignored(server: KeySetServer, stray: Any) -> None:
    """Elements that are not objects are skipped."""
    server.keys = [stray, *server.keys, stray]

    assert issuer.first_key(JwksKeys(server.url)).key_id == "RS256"


def test_retry_delay_after_stale_if_error(clock: Clock) -> None:
    """Failed fetches repeat every 30 s while a stale value is served, then every 5 s."""
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


def test_cached_error_keeps_no_frames_alive(clock: Clock) -> None:
    """A cached error keeps no locals of the fetch or of the caller alive."""

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
