"""How the key set is fetched: seldom, within bounds, and only keys that may verify."""

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
from tests.support.issuer import KeySetServer, SigningKey, first_key

if TYPE_CHECKING:
    from tests.unit.authorizer.conftest import Clock

Keys = dict[str, SigningKey]


def kid_of(issuer_keys: JwksKeys, kid: str = "RS256") -> str | None:
    key_id: str | None = first_key(issuer_keys, kid).key_id
    return key_id


def test_one_fetch_serves_many_threads_and_many_tokens(server: KeySetServer) -> None:
    issuer_keys = JwksKeys(server.url)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: kid_of(issuer_keys), range(100)))
    assert found == ["RS256"] * 100
    assert len(server.fetches) == 1


def test_a_burst_of_unknown_key_ids_costs_one_fetch_in_half_a_minute(server: KeySetServer, clock: Clock) -> None:
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


def test_a_rotation_with_both_keys_side_by_side_refuses_nobody(server: KeySetServer, keys: Keys, clock: Clock) -> None:
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


def test_a_new_key_waits_for_the_cooldown_and_puts_an_end_to_the_old_one(
    server: KeySetServer, keys: Keys, clock: Clock
) -> None:
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


def test_a_set_is_fetched_again_after_five_minutes_of_the_wall_clock(server: KeySetServer, clock: Clock) -> None:
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    clock.now += 299
    kid_of(issuer_keys)
    assert len(server.fetches) == 1
    clock.now += 1  # as when the environment was frozen meanwhile: only the wall clock knows
    kid_of(issuer_keys)
    assert len(server.fetches) == 2


def test_a_set_from_the_future_is_old(server: KeySetServer, clock: Clock) -> None:
    issuer_keys = JwksKeys(server.url, clock=clock)
    for set_back in (0, 86_400, 1):
        clock.now -= set_back
        kid_of(issuer_keys)
    assert len(server.fetches) == 3


def test_an_outage_locks_nobody_out_for_a_day(
    server: KeySetServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
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


def test_after_an_outage_the_first_set_decides(server: KeySetServer, keys: Keys, clock: Clock) -> None:
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    server.status = 503
    clock.now += 3600
    kid_of(issuer_keys)

    server.status, server.keys = 200, [keys["foreign"].jwk]
    clock.now += 30
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        kid_of(issuer_keys)


def test_in_an_outage_an_unknown_key_may_be_a_new_one(server: KeySetServer, clock: Clock) -> None:
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


def test_an_endpoint_that_fails_is_left_alone_for_half_a_minute_while_there_is_a_set(
    server: KeySetServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer_keys = JwksKeys(server.url, clock=clock)
    kid_of(issuer_keys)
    server.status = 503
    clock.now += 300
    for _ in range(300):
        clock.now += 1
        assert kid_of(issuer_keys) == "RS256"
    assert len(server.fetches) == 1 + 10
    assert len(caplog.records) == 10


def test_an_endpoint_that_fails_is_left_alone_for_five_seconds_while_there_is_none(
    server: KeySetServer, clock: Clock
) -> None:
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
def test_a_set_without_one_usable_key_does_not_take_the_place_of_a_good_one(
    body: bytes, server: KeySetServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
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
def test_an_answer_that_is_no_key_set_counts_as_an_outage(body: bytes, server: KeySetServer) -> None:
    server.body = body
    with pytest.raises(KeyUnavailableError):
        first_key(JwksKeys(server.url))


def test_a_good_key_set_over_256_kib_is_refused(server: KeySetServer) -> None:
    server.body = json.dumps({"keys": server.keys, "padding": "x" * 256 * 1024}).encode()
    with pytest.raises(KeyUnavailableError, match="256 KiB"):
        first_key(JwksKeys(server.url))


def test_an_answer_cut_short_counts_as_an_outage(server: KeySetServer) -> None:
    whole = json.dumps({"keys": server.keys}).encode()
    server.headers = {"Content-Length": str(len(whole))}
    server.body = whole[:-1]
    with pytest.raises(KeyUnavailableError):
        first_key(JwksKeys(server.url))


def test_an_answer_that_is_not_http_counts_as_an_outage(server: KeySetServer) -> None:
    server.headers = {"X-Long": "x" * 70_000}
    with pytest.raises(KeyUnavailableError, match="LineTooLong"):
        first_key(JwksKeys(server.url))


def test_a_redirect_is_not_followed(server: KeySetServer) -> None:
    with (
        KeySetServer(status=302, headers={"Location": server.url}) as redirecting,
        pytest.raises(KeyUnavailableError, match="302"),
    ):
        first_key(JwksKeys(redirecting.url))
    assert server.fetches == []


def test_an_endpoint_that_does_not_answer_is_given_up(server: KeySetServer) -> None:
    server.released.clear()
    with pytest.raises(KeyUnavailableError, match="timed out"):
        kid_of(JwksKeys(server.url, deadline=0.05))


@pytest.mark.parametrize("dripping", ["headers", "body"])
def test_an_endpoint_that_drips_for_ever_is_given_up_and_cut_off(dripping: str, server: KeySetServer) -> None:
    server.dripping = dripping
    with pytest.raises(KeyUnavailableError, match=r"timed out after 0\.2 s"):
        kid_of(JwksKeys(server.url, deadline=0.2))
    assert server.hung_up.wait(5), "the connection is still open"


def test_a_name_server_that_hangs_is_given_up_and_nothing_is_asked_once_it_answers(
    server: KeySetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_hang_delays_the_holder_of_a_known_key_once_in_half_a_minute(server: KeySetServer, clock: Clock) -> None:
    issuer_keys = JwksKeys(server.url, deadline=0.05, clock=clock)
    kid_of(issuer_keys)
    server.released.clear()
    clock.now += 300
    for _ in range(29):
        assert kid_of(issuer_keys) == "RS256"
        clock.now += 1
    assert len(server.fetches) == 2


def test_an_endpoint_that_is_not_there_counts_as_an_outage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    with pytest.raises(KeyUnavailableError):
        first_key(JwksKeys(f"http://127.0.0.1:{port}/jwks"))


def test_a_loopback_key_set_never_goes_through_a_proxy(server: KeySetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with KeySetServer(keys=server.keys) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        first_key(JwksKeys(server.url))
        assert proxy.fetches == []
    assert len(server.fetches) == 1


def test_an_https_key_set_is_never_taken_without_tls(server: KeySetServer) -> None:
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
def test_a_key_that_must_not_verify_is_left_out_and_the_others_serve(
    changes: dict[str, Any], server: KeySetServer, keys: Keys
) -> None:
    server.keys = [{**keys["RS256"].jwk, **changes}, keys["ES256"].jwk]
    issuer_keys = JwksKeys(server.url)

    with pytest.raises(TokenRefusedError, match="unknown_key"):
        first_key(issuer_keys)
    assert first_key(issuer_keys, "ES256", "ES256").algorithm_name == "ES256"


def test_a_private_key_published_by_mistake_is_left_out(server: KeySetServer, keys: Keys) -> None:
    private = RSAAlgorithm.to_jwk(keys["RS256"].private, as_dict=True)
    server.keys = [{**private, "kid": "RS256", "key_ops": ["sign", "verify"]}, keys["ES256"].jwk]
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        first_key(JwksKeys(server.url))


def test_a_set_without_one_usable_key_counts_as_an_outage(server: KeySetServer, keys: Keys) -> None:
    server.keys = [{**keys["RS256"].jwk, "use": "enc"}]
    with pytest.raises(KeyUnavailableError):
        first_key(JwksKeys(server.url))


def test_megabytes_are_not_read_to_their_end(server: KeySetServer) -> None:
    # More than the buffers of two sockets take.
    server.body = b'{"keys": [' + b" " * 32 * 1024 * 1024 + b"]}"
    with pytest.raises(KeyUnavailableError, match="256 KiB"):
        kid_of(JwksKeys(server.url))
    assert server.hung_up.wait(5), "the server could send all of it"


@pytest.mark.parametrize("operations", [["verify"], ["sign", "verify"]])
def test_a_key_may_name_its_operations_and_need_not_name_use_and_algorithm(
    operations: list[str], server: KeySetServer, keys: Keys
) -> None:
    bare = {name: value for name, value in keys["RS256"].jwk.items() if name not in {"use", "alg"}}
    server.keys = [{**bare, "key_ops": operations}]
    assert first_key(JwksKeys(server.url)).algorithm_name == "RS256"
