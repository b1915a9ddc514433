"""How the key set is fetched: seldom, within bounds, and only keys that may verify."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from jwt.algorithms import RSAAlgorithm

from authorizer_errors import KeySetUnavailableError, TokenRefusedError
from issuer_keys import IssuerKeys
from tests.unit.authorizer.issuer import KeySetServer, SigningKey

Keys = dict[str, SigningKey]


def test_one_fetch_serves_many_threads_and_many_tokens(server: KeySetServer) -> None:
    issuer_keys = IssuerKeys(server.url)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: issuer_keys.key_for({"kid": "RS256"}).key_id, range(100)))
    assert found == ["RS256"] * 100
    assert len(server.fetches) == 1


def test_a_burst_of_unknown_key_ids_costs_one_fetch(server: KeySetServer) -> None:
    issuer_keys = IssuerKeys(server.url)

    def reason(number: int) -> str:
        with pytest.raises(TokenRefusedError) as refusal:
            issuer_keys.key_for({"kid": f"unknown-{number}"})
        return refusal.value.reason

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(reason, range(50))) == {"unknown_key"}
    assert len(server.fetches) == 1


def test_a_new_key_is_found_once_the_cooldown_is_over_and_the_old_one_is_gone(server: KeySetServer, keys: Keys) -> None:
    issuer_keys = IssuerKeys(server.url, cooldown=0)
    issuer_keys.key_for({"kid": "RS256"})
    server.keys = [keys["foreign"].jwk]

    assert issuer_keys.key_for({"kid": "foreign"}).key_id == "foreign"
    with pytest.raises(TokenRefusedError):
        issuer_keys.key_for({"kid": "RS256"})


def test_a_new_key_waits_for_the_cooldown(server: KeySetServer, keys: Keys) -> None:
    issuer_keys = IssuerKeys(server.url)
    issuer_keys.key_for({"kid": "RS256"})
    server.keys = [keys["foreign"].jwk]

    with pytest.raises(TokenRefusedError):
        issuer_keys.key_for({"kid": "foreign"})


def test_a_set_past_its_lifespan_is_fetched_again(server: KeySetServer) -> None:
    issuer_keys = IssuerKeys(server.url, lifespan=1e-9)
    issuer_keys.key_for({"kid": "RS256"})
    issuer_keys.key_for({"kid": "RS256"})
    assert len(server.fetches) == 2


def test_a_fresh_set_serves_through_an_outage(server: KeySetServer) -> None:
    issuer_keys = IssuerKeys(server.url, cooldown=0)
    issuer_keys.key_for({"kid": "RS256"})
    server.status = 503

    with pytest.raises(KeySetUnavailableError):
        issuer_keys.key_for({"kid": "perhaps-new"})
    assert issuer_keys.key_for({"kid": "RS256"}).key_id == "RS256"


def test_a_failing_endpoint_is_left_alone_for_a_while(server: KeySetServer) -> None:
    issuer_keys = IssuerKeys(server.url)
    server.status = 503
    for _ in range(10):
        with pytest.raises(KeySetUnavailableError):
            issuer_keys.key_for({"kid": "RS256"})
    assert len(server.fetches) == 1


def test_the_key_set_is_fetched_again_when_the_endpoint_has_recovered(server: KeySetServer) -> None:
    issuer_keys = IssuerKeys(server.url, pause_after_failure=0)
    server.status = 503
    with pytest.raises(KeySetUnavailableError):
        issuer_keys.key_for({"kid": "RS256"})
    server.status = 200
    assert issuer_keys.key_for({"kid": "RS256"}).key_id == "RS256"


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
def test_an_answer_that_is_no_key_set_counts_as_an_outage(body: bytes, server: KeySetServer) -> None:
    server.body = body
    with pytest.raises(KeySetUnavailableError):
        IssuerKeys(server.url).key_for({"kid": "RS256"})


def test_a_good_key_set_over_256_kib_is_refused(server: KeySetServer) -> None:
    server.body = json.dumps({"keys": server.keys, "padding": "x" * 256 * 1024}).encode()
    with pytest.raises(KeySetUnavailableError, match="256 KiB"):
        IssuerKeys(server.url).key_for({"kid": "RS256"})


def test_an_answer_cut_short_counts_as_an_outage(server: KeySetServer) -> None:
    whole = json.dumps({"keys": server.keys}).encode()
    server.headers = {"Content-Length": str(len(whole))}
    server.body = whole[:-1]
    with pytest.raises(KeySetUnavailableError):
        IssuerKeys(server.url).key_for({"kid": "RS256"})


def test_an_answer_that_is_not_http_counts_as_an_outage(server: KeySetServer) -> None:
    server.headers = {"X-Long": "x" * 70_000}
    with pytest.raises(KeySetUnavailableError, match="LineTooLong"):
        IssuerKeys(server.url).key_for({"kid": "RS256"})


def test_a_redirect_is_not_followed(server: KeySetServer) -> None:
    with (
        KeySetServer(status=302, headers={"Location": server.url}) as redirecting,
        pytest.raises(KeySetUnavailableError, match="302"),
    ):
        IssuerKeys(redirecting.url).key_for({"kid": "RS256"})
    assert server.fetches == []


def test_an_endpoint_that_does_not_answer_is_given_up(server: KeySetServer) -> None:
    server.released.clear()
    with pytest.raises(KeySetUnavailableError, match="timed out"):
        IssuerKeys(server.url, timeout=0.05).key_for({"kid": "RS256"})


def test_an_endpoint_that_is_not_there_counts_as_an_outage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    with pytest.raises(KeySetUnavailableError):
        IssuerKeys(f"http://127.0.0.1:{port}/jwks").key_for({"kid": "RS256"})


def test_a_loopback_key_set_never_goes_through_a_proxy(server: KeySetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with KeySetServer(keys=server.keys) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        IssuerKeys(server.url).key_for({"kid": "RS256"})
        assert proxy.fetches == []
    assert len(server.fetches) == 1


def test_an_https_key_set_is_never_taken_without_tls(server: KeySetServer) -> None:
    with pytest.raises(KeySetUnavailableError, match=r"(?i)ssl"):
        IssuerKeys(server.url.replace("http:", "https:")).key_for({"kid": "RS256"})
    assert server.fetches == []


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"use": None},
        {"key_ops": []},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"key_ops": None},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "RSA-OAEP"},
        {"alg": ""},
        {"alg": ["RS256"]},
        {"alg": "ES256"},
        {"kid": ""},
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
def test_a_key_that_must_not_verify_is_left_out_and_the_others_serve(
    changes: dict[str, Any], server: KeySetServer, keys: Keys
) -> None:
    server.keys = [{**keys["RS256"].jwk, **changes}, keys["ES256"].jwk]
    issuer_keys = IssuerKeys(server.url)

    with pytest.raises(TokenRefusedError, match="unknown_key"):
        issuer_keys.key_for({"kid": "RS256"})
    assert issuer_keys.key_for({"kid": "ES256"}).algorithm_name == "ES256"


def test_a_private_key_published_by_mistake_is_left_out(server: KeySetServer, keys: Keys) -> None:
    private = RSAAlgorithm.to_jwk(keys["RS256"].private, as_dict=True)
    server.keys = [{**private, "kid": "RS256", "key_ops": ["sign", "verify"]}, keys["ES256"].jwk]
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        IssuerKeys(server.url).key_for({"kid": "RS256"})


def test_a_set_without_one_usable_key_counts_as_an_outage(server: KeySetServer, keys: Keys) -> None:
    server.keys = [{**keys["RS256"].jwk, "kid": ""}]
    with pytest.raises(KeySetUnavailableError):
        IssuerKeys(server.url).key_for({"kid": "RS256"})


@pytest.mark.parametrize("operations", [["verify"], ["sign", "verify"]])
def test_a_key_may_name_its_operations_and_need_not_name_use_and_algorithm(
    operations: list[str], server: KeySetServer, keys: Keys
) -> None:
    bare = {name: value for name, value in keys["RS256"].jwk.items() if name not in {"use", "alg"}}
    server.keys = [{**bare, "key_ops": operations}]
    assert IssuerKeys(server.url).key_for({"kid": "RS256"}).algorithm_name == "RS256"
