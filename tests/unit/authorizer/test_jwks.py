"""Fetching of the JWKS: caching, outages and limits."""

from __future__ import annotations

import json
import socket
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from authorizer.errors import KeyUnavailableError
from authorizer.jwks import JwksKeys
from authorizer.key_cache import KeyCache
from tests.support.issuer import KeySetServer, first_key
from tests.unit.authorizer.conftest import logged

if TYPE_CHECKING:
    from tests.unit.authorizer.conftest import Clock, Keys, Verify

DAY = 24 * 60 * 60


def test_concurrent_tokens_share_one_fetch(server: KeySetServer, verify: Verify) -> None:
    """100 tokens in 8 threads cause one fetch."""
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: verify(), range(100))) == {"ok"}
    assert len(server.fetches) == 1


@pytest.mark.parametrize("header", [{"kid": ...}, {"kid": "unknown"}], ids=str)
def test_invalid_tokens_cause_one_fetch_per_30_seconds(
    header: dict[str, Any], server: KeySetServer, verify: Verify, clock: Clock
) -> None:
    """Bursts of unknown kids, and of tokens without a kid, cannot flood the issuer."""
    reason = "unknown_key" if header["kid"] == "unknown" else "bad_signature"
    for fetches in range(1, 7):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: verify("foreign", **header), range(50))) == {reason}
        assert len(server.fetches) == fetches
        clock.now += 30


def test_rotation_with_overlapping_keys(server: KeySetServer, keys: Keys, verify: Verify, clock: Clock) -> None:
    """Both keys verify while the JWKS has them; a removed key ends with the TTL of 300 s."""
    server.keys = [keys["RS256"].jwk]
    assert verify("RS256") == "ok"

    server.keys = [keys["foreign"].jwk, keys["RS256"].jwk]
    clock.now += 30
    assert (verify("foreign"), verify("RS256")) == ("ok", "ok")

    server.keys = [keys["foreign"].jwk]
    clock.now += 299
    assert verify("RS256") == "ok"
    clock.now += 1
    assert (verify("foreign"), verify("RS256")) == ("ok", "unknown_key")


def test_rotation_without_overlap(server: KeySetServer, keys: Keys, verify: Verify, clock: Clock) -> None:
    """A new key is accepted 30 s after the last fetch; the old key is rejected from then on."""
    assert verify("RS256") == "ok"
    server.keys = [keys["foreign"].jwk]

    clock.now += 29
    assert verify("foreign") == "unknown_key"
    clock.now += 1
    assert (verify("foreign"), verify("RS256")) == ("ok", "unknown_key")


def test_rotated_key_without_kid_is_fetched(server: KeySetServer, keys: Keys, verify: Verify, clock: Clock) -> None:
    """A wrong signature causes a refetch after 30 s: the issuer may have replaced its only key."""
    server.keys = [keys["RS256"].jwk | {"kid": None}]
    assert verify("RS256") == "ok"

    server.keys = [keys["foreign"].jwk | {"kid": None}]
    clock.now += 29
    assert verify("foreign") == "bad_signature"
    clock.now += 1
    assert (verify("foreign"), verify("RS256")) == ("ok", "bad_signature")


def test_wrong_signature_with_known_kid_causes_no_fetch(server: KeySetServer, verify: Verify, clock: Clock) -> None:
    """A new key has a new kid, so the cached JWKS suffices."""
    for _ in range(3):
        assert verify("foreign", kid="RS256") == "bad_signature"
        clock.now += 60
    assert len(server.fetches) == 1


def test_jwks_ttl_uses_the_wall_clock(server: KeySetServer, verify: Verify, clock: Clock) -> None:
    """The JWKS is fetched again after 300 s, or if its fetch is in the future because the clock was set back."""
    # A frozen execution environment stops the monotonic clock.
    for advance, fetches in [(0, 1), (299, 1), (1, 2), (-DAY, 3), (-1, 4)]:
        clock.now += advance
        assert verify() == "ok"
        assert len(server.fetches) == fetches


def test_stale_jwks_is_served_for_a_day(
    server: KeySetServer, verify: Verify, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """During a transient error the JWKS is served stale for 24 h, with a warning."""
    assert verify() == "ok"
    server.status = 503

    clock.now += DAY - 1
    assert verify() == "ok"
    assert logged(caplog) == {"levelname": "WARNING", "reason": "key_stale"}
    assert "fetched 86399 s ago serves until it is 86400 s old" in caplog.messages[0]
    assert "503" in caplog.messages[0]

    caplog.clear()
    clock.now += 30
    assert verify() == "unavailable"
    assert caplog.records == [], "nothing serves any longer"


def test_next_fetch_replaces_the_stale_jwks(server: KeySetServer, keys: Keys, verify: Verify, clock: Clock) -> None:
    """The first successful fetch after a transient error replaces the stale JWKS."""
    assert verify() == "ok"
    server.status = 503
    clock.now += 3600
    assert verify() == "ok"

    server.status, server.keys = 200, [keys["foreign"].jwk]
    clock.now += 30
    assert verify() == "unknown_key"


def test_unknown_kid_during_transient_error(server: KeySetServer, verify: Verify, clock: Clock) -> None:
    """An unknown kid is unavailable, not rejected: it may name a new key."""
    assert verify() == "ok"
    server.status = 503
    assert verify(kid="unknown") == "unknown_key"

    clock.now += 30
    assert {verify(kid="perhaps-new") for _ in range(10)} == {"unavailable"}
    assert verify() == "ok"
    assert len(server.fetches) == 2


def test_failed_fetches_are_repeated_at_intervals(
    server: KeySetServer, verify: Verify, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A failing endpoint gets one request per 30 s while a stale JWKS is served, and one per 5 s without a JWKS."""

    def fetches(seconds: int) -> int:
        before = len(server.fetches)
        for _ in range(seconds):
            verify()
            clock.now += 1
        return len(server.fetches) - before

    server.status = 503
    assert fetches(20) == 4
    server.status = 200
    assert verify() == "ok"

    server.status = 503
    clock.now += 300
    assert fetches(300) == 10
    assert len(caplog.records) == 10
    clock.now += DAY
    assert fetches(60) == 12


def test_hanging_endpoint_delays_one_token_per_30_seconds(server: KeySetServer, clock: Clock) -> None:
    """With a cached JWKS, one token per 30 s waits for the timeout."""
    keys = JwksKeys(server.url, deadline=0.05, clock=clock)
    first_key(keys)
    server.released.clear()
    clock.now += 300
    for _ in range(29):
        assert first_key(keys).key_id == "RS256"
        clock.now += 1
    assert len(server.fetches) == 2


@pytest.mark.parametrize("body", [b'{"keys": []}', b'{"keys": [{"kty": "RSA", "kid": "x", "use": "enc"}]}', b"<html>"])
def test_unusable_jwks_does_not_replace_a_cached_one(
    body: bytes, server: KeySetServer, verify: Verify, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A response without a usable key serves the cached JWKS stale."""
    assert verify() == "ok"
    server.body = body
    clock.now += 300
    assert verify() == "ok"
    assert logged(caplog)["reason"] == "key_stale"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"\xff\xfe\xfd", b"[]", b"null", b"{}", b'{"keys": null}', b'{"keys": {}}', b'{"keys": []}'),
        *(b'{"keys": [{}, 1, null, "key"]}', b'{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc"}]}'),
        *(b"[" * 100_000, b'{"keys": [], "padding": "' + b"x" * 300_000 + b'"}'),
    ],
    ids=lambda body: repr(body[:30]),
)
def test_invalid_jwks_raises_key_unavailable(body: bytes, server: KeySetServer, verify: Verify) -> None:
    """Other bodies than a JWKS with a usable key are transient errors."""
    server.body = body
    assert verify() == "unavailable"


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (302, {"Location": "/jwks.json"}, "status 302"),
        (503, {}, "status 503"),
        (200, {"Content-Length": "99999"}, "incomplete response"),
        (200, {"X-Long": "x" * 70_000}, "LineTooLong"),
    ],
)
def test_invalid_http_response_raises_key_unavailable(
    status: int, headers: dict[str, str], words: str, server: KeySetServer
) -> None:
    """Redirects are not followed; other statuses and broken responses are transient errors too."""
    server.status, server.headers = status, headers
    with pytest.raises(KeyUnavailableError, match=words):
        first_key(JwksKeys(server.url))
    assert len(server.fetches) == 1


def test_jwks_limit_is_256_kib(server: KeySetServer) -> None:
    """A JWKS of exactly 256 KiB is accepted; one more byte is rejected."""
    server.body = json.dumps({"keys": server.keys}).encode().ljust(256 * 1024)
    assert first_key(JwksKeys(server.url)).key_id == "RS256"

    server.body += b" "
    with pytest.raises(KeyUnavailableError, match="256 KiB"):
        first_key(JwksKeys(server.url))


def test_slow_response_times_out(server: KeySetServer) -> None:
    """The deadline covers the whole response, closes the connection, and leaves no thread."""
    before = set(threading.enumerate())
    server.dripping = True
    with pytest.raises(KeyUnavailableError, match=r"timed out after 0\.2 s"):
        first_key(JwksKeys(server.url, deadline=0.2))
    assert server.hung_up.wait(5), "the connection is still open"
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "dns-lookup"]


def test_jwks_deadline_is_3_seconds() -> None:
    """The default deadline of a JWKS fetch."""
    assert JwksKeys("https://issuer.example/jwks")._deadline == 3


def test_refused_connection_raises_key_unavailable() -> None:
    """A closed port is a transient error."""
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    with pytest.raises(KeyUnavailableError):
        first_key(JwksKeys(f"http://127.0.0.1:{port}/jwks"))


def test_https_jwks_requires_tls(server: KeySetServer) -> None:
    """A server without TLS gets no request."""
    with pytest.raises(KeyUnavailableError, match=r"(?i)ssl"):
        first_key(JwksKeys(server.url.replace("http:", "https:")))
    assert server.fetches == []


def test_cached_error_keeps_no_frames_alive(clock: Clock) -> None:
    """A cached error keeps no locals of the fetch or of the caller alive."""

    class Watched:
        pass

    references = []

    def watched() -> Watched:
        value = Watched()
        references.append(weakref.ref(value))
        return value

    def fetch() -> str:
        value = watched()
        raise KeyUnavailableError(f"made to fail by {value}")

    cache = KeyCache(fetch, ttl=300, stale_if_error=900, min_refetch_interval=30, retry_delay=5, clock=clock)

    def get() -> None:
        _token = watched()
        with suppress(KeyUnavailableError):
            cache.get()

    get()
    get()

    assert [reference() for reference in references] == [None] * 3
