"""Fetching of the JWKS: caching, limits and usable keys."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from jwt.algorithms import RSAAlgorithm

from authorizer.errors import KeyUnavailableError, TokenRefusedError
from authorizer.jwks import JwksKeys
from tests.support.http_server import HttpServer
from tests.support.issuer import KeySetServer, SigningKey, first_key

if TYPE_CHECKING:
    from tests.unit.authorizer.conftest import Clock

Keys = dict[str, SigningKey]


def kid_of(issuer_keys: JwksKeys, kid: str = "RS256") -> str | None:
    key_id: str | None = first_key(issuer_keys, kid).key_id
    return key_id


def test_concurrent_tokens_share_one_fetch(server: KeySetServer) -> None:
    """100 tokens in 8 threads cause one fetch."""
    issuer_keys = JwksKeys(server.url)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: kid_of(issuer_keys), range(100)))
    assert found == ["RS256"] * 100
    assert len(server.fetches) == 1


def test_unknown_kids_cause_one_fetch_per_30_seconds(server: KeySetServer, clock: Clock) -> None:
    """Bursts of unknown kids cannot flood the issuer."""
    issuer_keys = JwksKeys(server.url, clock=clock)

    def reason(number: int) -> str:
        with pytest.raises(TokenRefusedError) as refusal:
            first_key(issuer_keys, f"unknown-{number}")
        return refusal.value.reason

    for minute in range(1, 4):
        for fetches in (2 * minute - 1, 2 * minute):
            with ThreadPoolExecutor(8) as pool:
                assert set(pool.map(reason, range(50))) == {"unknown_key"}
            assert len(server.fetches) == fetches
            clock.now += 30


def test_rotation_with_overlapping_keys(server: KeySetServer, keys: Keys, clock: Clock) -> None:
    """Both keys verify while the JWKS has them; a removed key ends with the TTL of 300 s."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    server.keys = [keys["RS256"].jwk]
    assert kid_of(issuer_keys) == "RS256"

    server.keys = [keys["foreign"].jwk, keys["RS256"].jwk]
    clock.now += 30
    assert kid_of(issuer_keys, "foreign") == "foreign"
    assert kid_of(issuer_keys) == "RS256"

    server.keys = [keys["foreign"].jwk]
    clock.now += 299
    assert kid_of(issuer_keys) == "RS256"
    clock.now += 1
    assert kid_of(issuer_keys, "foreign") == "foreign"
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        kid_of(issuer_keys)


def test_rotation_without_overlap(server: KeySetServer, keys: Keys, clock: Clock) -> None:
    """A new key is accepted 30 s after the last fetch; the old key is rejected from then on."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    server.keys = [keys["foreign"].jwk]

    clock.now += 29
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        kid_of(issuer_keys, "foreign")
    clock.now += 1
    assert kid_of(issuer_keys, "foreign") == "foreign"
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        kid_of(issuer_keys)


def test_jwks_ttl_uses_the_wall_clock(server: KeySetServer, clock: Clock) -> None:
    """The JWKS is fetched again after 300 s."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    clock.now += 299
    kid_of(issuer_keys)
    assert len(server.fetches) == 1
    clock.now += 1  # a frozen execution environment stops the monotonic clock
    kid_of(issuer_keys)
    assert len(server.fetches) == 2


def test_clock_set_back_expires_the_jwks(server: KeySetServer, clock: Clock) -> None:
    """A fetch time in the future counts as expired."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    for set_back in (0, 86_400, 1):
        clock.now -= set_back
        kid_of(issuer_keys)
    assert len(server.fetches) == 3


def test_stale_jwks_is_served_for_a_day(server: KeySetServer, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """During a transient error the JWKS is served stale for 24 h, with a warning."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    server.status = 503

    clock.now += 24 * 60 * 60 - 1
    assert kid_of(issuer_keys) == "RS256"
    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("WARNING", "key_stale")
    assert "fetched 86399 s ago serves until it is 86400 s old" in record.getMessage()
    assert "503" in record.getMessage()

    caplog.clear()
    clock.now += 30
    with pytest.raises(KeyUnavailableError, match="503"):
        kid_of(issuer_keys)
    assert caplog.records == [], "nothing serves any longer"


def test_next_fetch_replaces_the_stale_jwks(server: KeySetServer, keys: Keys, clock: Clock) -> None:
    """The first successful fetch after a transient error replaces the stale JWKS."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    server.status = 503
    clock.now += 3600
    kid_of(issuer_keys)

    server.status, server.keys = 200, [keys["foreign"].jwk]
    clock.now += 30
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        kid_of(issuer_keys)


def test_unknown_kid_during_transient_error(server: KeySetServer, clock: Clock) -> None:
    """An unknown kid is unavailable, not rejected: it may name a new key."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    server.status = 503
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        kid_of(issuer_keys, "not-there-a-moment-ago")

    clock.now += 30
    for _ in range(10):
        with pytest.raises(KeyUnavailableError, match="503"):
            kid_of(issuer_keys, "perhaps-new")
    assert kid_of(issuer_keys) == "RS256"
    assert len(server.fetches) == 2


def test_refetch_interval_with_a_stale_jwks(
    server: KeySetServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """While a stale JWKS is served, a failing endpoint gets one request per 30 s."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    server.status = 503
    clock.now += 300
    for _ in range(300):
        clock.now += 1
        assert kid_of(issuer_keys) == "RS256"
    assert len(server.fetches) == 1 + 10
    assert len(caplog.records) == 10


def test_retry_delay_without_a_jwks(server: KeySetServer, clock: Clock) -> None:
    """Without a cached JWKS, a failing endpoint gets one request per 5 s."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    server.status = 503
    for _ in range(20):
        with pytest.raises(KeyUnavailableError, match="503"):
            kid_of(issuer_keys)
        clock.now += 1
    assert len(server.fetches) == 4

    server.status = 200
    assert kid_of(issuer_keys) == "RS256"


@pytest.mark.parametrize("body", [b'{"keys": []}', b'{"keys": [{"kty": "RSA", "kid": "x", "use": "enc"}]}', b"<html>"])
def test_unusable_jwks_does_not_replace_a_cached_one(
    body: bytes, server: KeySetServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A response without a usable key serves the cached JWKS stale."""
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    server.body = body
    clock.now += 300
    assert kid_of(issuer_keys) == "RS256"
    assert [vars(record)["reason"] for record in caplog.records] == ["key_stale"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe\xfd",
        b"[]",
        b"null",
        b"{}",
        b'{"keys": null}',
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [{}, 1, null, "key"]}',
        b"[" * 100_000,
        b'{"keys": [], "padding": "' + b"x" * 300_000 + b'"}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_invalid_jwks_raises_key_unavailable(body: bytes, server: KeySetServer) -> None:
    """Other bodies than a JWKS are transient errors."""
    server.body = body
    with pytest.raises(KeyUnavailableError):
        first_key(JwksKeys(server.url))


def test_jwks_over_256_kib_rejected(server: KeySetServer) -> None:
    """The limit applies to a valid JWKS too."""
    server.body = json.dumps({"keys": server.keys, "padding": "x" * 256 * 1024}).encode()
    with pytest.raises(KeyUnavailableError, match="256 KiB"):
        first_key(JwksKeys(server.url))


def test_truncated_response_raises_key_unavailable(server: KeySetServer) -> None:
    """A body shorter than its Content-Length is a transient error."""
    whole = json.dumps({"keys": server.keys}).encode()
    server.headers = {"Content-Length": str(len(whole))}
    server.body = whole[:-1]
    with pytest.raises(KeyUnavailableError):
        first_key(JwksKeys(server.url))


def test_invalid_http_response_raises_key_unavailable(server: KeySetServer) -> None:
    """A header line over http.client's limit is a transient error."""
    server.headers = {"X-Long": "x" * 70_000}
    with pytest.raises(KeyUnavailableError, match="LineTooLong"):
        first_key(JwksKeys(server.url))


def test_a_redirect_is_not_followed(server: KeySetServer) -> None:
    """A redirect is a transient error."""
    with (
        HttpServer(lambda request: request.send(302, headers={"Location": server.url})) as redirecting,
        pytest.raises(KeyUnavailableError, match="302"),
    ):
        first_key(JwksKeys(redirecting.url))
    assert server.fetches == []


def test_fetch_times_out(server: KeySetServer) -> None:
    """An endpoint that sends no response is a transient error."""
    server.released.clear()
    with pytest.raises(KeyUnavailableError, match="timed out"):
        kid_of(JwksKeys(server.url, deadline=0.05))


@pytest.mark.parametrize("dripping", ["headers", "body"])
def test_slow_response_times_out(dripping: str, server: KeySetServer) -> None:
    """The deadline covers the whole response, and closes the connection."""
    server.dripping = dripping
    with pytest.raises(KeyUnavailableError, match=r"timed out after 0\.2 s"):
        kid_of(JwksKeys(server.url, deadline=0.2))
    assert server.hung_up.wait(5), "the connection is still open"


def test_slow_dns_times_out(server: KeySetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline covers DNS, and a late DNS response causes no request."""
    answers, look_up, before = threading.Event(), socket.getaddrinfo, set(threading.enumerate())

    def hang(*args: Any, **kwargs: Any) -> Any:
        answers.wait(10)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(KeyUnavailableError, match="timed out"):
        kid_of(JwksKeys(server.url, deadline=0.05))
    (left,) = (thread for thread in set(threading.enumerate()) - before if thread.name == "dns-lookup")
    answers.set()
    left.join(5)
    assert not left.is_alive()
    assert server.fetches == []


def test_hanging_endpoint_delays_one_token_per_30_seconds(server: KeySetServer, clock: Clock) -> None:
    """With a cached JWKS, one token per 30 s waits for the timeout."""
    issuer_keys = JwksKeys(server.url, deadline=0.05, clock=clock)
    kid_of(issuer_keys)
    server.released.clear()
    clock.now += 300
    for _ in range(29):
        assert kid_of(issuer_keys) == "RS256"
        clock.now += 1
    assert len(server.fetches) == 2


def test_refused_connection_raises_key_unavailable() -> None:
    """A closed port is a transient error."""
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    with pytest.raises(KeyUnavailableError):
        first_key(JwksKeys(f"http://127.0.0.1:{port}/jwks"))


def test_loopback_jwks_bypasses_the_proxy(server: KeySetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's HTTP proxy is not used for the loopback."""
    with KeySetServer(*server.keys) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        first_key(JwksKeys(server.url))
        assert proxy.fetches == []
    assert len(server.fetches) == 1


def test_https_jwks_requires_tls(server: KeySetServer) -> None:
    """A server without TLS gets no request."""
    with pytest.raises(KeyUnavailableError, match=r"(?i)ssl"):
        first_key(JwksKeys(server.url.replace("http:", "https:")))
    assert server.fetches == []


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"key_ops": []},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "RSA-OAEP"},
        {"alg": ""},
        {"alg": ["RS256"]},
        {"alg": "ES256"},
        {"kid": 1},
        {"kid": ["RS256"]},
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": None},
        {"kty": "oct", "alg": None},
        {"kty": ["RSA"]},
        {"kty": "unknown"},
        {"n": 1},
        {"n": "AA", "e": "AA"},
        {"d": "AQAB"},
    ],
    ids=str,
)
def test_unsuitable_keys_are_skipped(changes: dict[str, Any], server: KeySetServer, keys: Keys) -> None:
    """Malformed keys and keys of other uses or algorithms are skipped; the other key verifies."""
    server.keys = [{**keys["RS256"].jwk, **changes}, keys["ES256"].jwk]
    issuer_keys = JwksKeys(server.url)

    with pytest.raises(TokenRefusedError, match="unknown_key"):
        first_key(issuer_keys)
    assert first_key(issuer_keys, "ES256", "ES256").algorithm_name == "ES256"


def test_published_private_key_is_skipped(server: KeySetServer, keys: Keys) -> None:
    """A JWK with private members never verifies."""
    private = RSAAlgorithm.to_jwk(keys["RS256"].private, as_dict=True)
    server.keys = [{**private, "kid": "RS256", "key_ops": ["sign", "verify"]}, keys["ES256"].jwk]
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        first_key(JwksKeys(server.url))


def test_jwks_without_usable_key_raises_key_unavailable(server: KeySetServer, keys: Keys) -> None:
    """A JWKS of unusable keys is a transient error."""
    server.keys = [{**keys["RS256"].jwk, "use": "enc"}]
    with pytest.raises(KeyUnavailableError):
        first_key(JwksKeys(server.url))


def test_oversized_response_is_not_read_fully(server: KeySetServer) -> None:
    """The connection closes at 256 KiB."""
    # More than two socket buffers hold.
    server.body = b'{"keys": [' + b" " * 32 * 1024 * 1024 + b"]}"
    with pytest.raises(KeyUnavailableError, match="256 KiB"):
        kid_of(JwksKeys(server.url))
    assert server.hung_up.wait(5), "the server could send all of it"


@pytest.mark.parametrize("operations", [["verify"], ["sign", "verify"]])
def test_key_ops_without_use_and_alg(operations: list[str], server: KeySetServer, keys: Keys) -> None:
    """A key with `key_ops` verifies without `use` and `alg`."""
    bare = {name: value for name, value in keys["RS256"].jwk.items() if name not in {"use", "alg"}}
    server.keys = [{**bare, "key_ops": operations}]
    assert first_key(JwksKeys(server.url)).algorithm_name == "RS256"
