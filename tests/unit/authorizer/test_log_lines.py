"""Length limits of log lines for hostile tokens and for hostile responses of the issuer and SSM."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from authorizer.errors import KeyUnavailableError, TokenRefusedError, UnauthorizedError
from authorizer.jwks import JwksKeys
from authorizer.key_cache import KeyCache
from authorizer.shared_secret import SharedSecret
from authorizer.telemetry import Telemetry
from tests.support import issuer
from tests.support.http_server import HttpServer
from tests.unit.authorizer.conftest import METHOD_ARN, load_app

if TYPE_CHECKING:
    from tests.support.issuer import KeySetServer, SigningKey
    from tests.unit.authorizer.conftest import Clock

LONGEST_LINE = 2048
LARGE = 250_000
"""Just below the size limit of a JWKS."""
HUGE = 1_000_000
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
TOKEN = f"Bearer {issuer.encode(json.dumps({'alg': 'RS256', 'kid': 'k'}).encode())}.e30.AA"


def line(record: logging.LogRecord) -> str:
    """Return the line in Lambda's JSON format, with every extra field and the exception."""
    extras = {name: str(value) for name, value in vars(record).items() if name not in PLAIN}
    shown = {"timestamp": "2026-01-01T00:00:00Z", "level": record.levelname, "message": record.getMessage(), **extras}
    if record.exc_info:
        shown["exception"] = logging.Formatter().formatException(record.exc_info)
    return json.dumps(shown, ensure_ascii=False)


def longest(records: list[logging.LogRecord]) -> int:
    return max(len(line(record).encode()) for record in records)


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def jwks(**members: Any) -> bytes:
    """Return a response with a JWKS of one RSA key with these members changed."""
    key = {"kty": "RSA", "kid": "k", "alg": "RS256", "use": "sig", "n": "AQAB" * 86, "e": "AQAB"} | members
    return ok(json.dumps({"keys": [key]}).encode())


X = "x" * LARGE
RESPONSES: dict[str, bytes] = {
    "not UTF-8": ok(b"\xff" * LARGE),
    "not UTF-8 at the end": ok(b'{"keys": ["' + b"x" * LARGE + b'\xff"]}'),
    "1 MB that is not UTF-8": ok(b"\xff" * HUGE),
    "deep JSON": ok(b"[" * LARGE),
    "deep keys": ok(b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "huge number": ok(b'{"keys": ' + b"1" * LARGE + b"}"),
    "no JSON": ok(b"x" * LARGE),
    "a string": ok(json.dumps(X).encode()),
    "no array": ok(json.dumps({"keys": X}).encode()),
    "control characters": ok(b"\x00\x1b\n" * 50_000),
    "keys of nothing": ok(json.dumps({"keys": [X]}).encode()),
    "huge status line": b"HTTP/1.1 200 " + b"x" * HUGE + b"\r\n\r\n",
    "status line of 60 kB": b"HTTP/1.1 503 " + b"x" * 60_000 + b"\r\n\r\n",
    "huge status": b"HTTP/1.1 " + b"9" * 60_000 + b" x\r\n\r\n",
    "huge protocol": b"HTTP/" + b"9" * 60_000 + b" 200 x\r\n\r\n",
    "no HTTP": b"x" * 60_000 + b"\r\n",
    "no HTTP, not UTF-8": b"\xff" * 60_000 + b"\r\n",
    "huge header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * HUGE + b"\r\n\r\n",
    "huge Location": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/" + b"x" * 60_000 + b"\r\n\r\n",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 60_000 + b"\r\n\r\n",
    "huge chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"z" * 60_000 + b"\r\n",
    "huge error page": b"HTTP/1.1 500 X\r\n\r\n" + b"x" * HUGE,
    "nothing": b"",
    **{f"huge {name}": jwks(**{name: X}) for name in ("kty", "kid", "alg", "use", "n", "e", "key_ops", "crv", "x5c")},
    **{f"{name} a number": jwks(**{name: 7}) for name in ("kty", "kid", "alg", "use", "n", "e", "key_ops")},
    **{f"{name} an object": jwks(**{name: {X: X[:1000]}}) for name in ("kty", "kid", "alg", "n", "e", "key_ops")},
    "huge EC curve": jwks(kty="EC", crv=X, x="AQAB", y="AQAB", alg="ES256"),
    "EC curve a list": jwks(kty="EC", crv=[X], x="AQAB", y="AQAB", alg="ES256"),
    "huge EC point": jwks(kty="EC", crv="P-256", x=X, y=X, alg="ES256"),
    "EC point a number": jwks(kty="EC", crv="P-256", x=7, y=7, alg="ES256"),
    "no EC point": jwks(kty="EC", crv="P-256", alg="ES256"),
    "huge OKP curve": jwks(kty="OKP", crv=X, x="AQAB", alg="EdDSA"),
    "OKP curve a number": jwks(kty="OKP", crv=7, x="AQAB", alg="EdDSA"),
    "huge OKP point": jwks(kty="OKP", crv="Ed25519", x=X, alg="EdDSA"),
    "OKP point not ASCII": jwks(kty="OKP", crv="Ed25519", x="é" * 1000, alg="EdDSA"),
    "modulus of zero": jwks(n="AA"),
    "even modulus": jwks(n="AAAA" * 86),
    "private prime": jwks(p=X),
}


@pytest.mark.parametrize("case", RESPONSES)
def test_log_line_for_hostile_jwks_response_is_bounded(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    """Write one line of at most 2 KB for a token of 50 bytes, and raise a message of at most 2 KB."""
    caplog.set_level("DEBUG")
    assert len(TOKEN) <= 60
    with HttpServer(lambda request: request.wfile.write(RESPONSES[case])) as server:
        environment.setenv("JWKS_URL", server.url)
        app = load_app()
        event = {"type": "TOKEN", "authorizationToken": TOKEN, "methodArn": METHOD_ARN}
        with pytest.raises((KeyUnavailableError, UnauthorizedError)) as raised:
            app.handler(event, None)

    assert len(str(raised.value).encode()) <= LONGEST_LINE
    assert len(caplog.records) == 1
    assert longest(caplog.records) <= LONGEST_LINE
    assert max([0, *(len(written.encode()) for written in capsys.readouterr().out.splitlines())]) <= LONGEST_LINE


@pytest.mark.parametrize("case", ["not UTF-8", "no HTTP", "huge Location", "deep JSON"])
def test_log_line_for_stale_jwks_is_bounded(
    server: KeySetServer, clock: Clock, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """Bound the warning about a stale JWKS, too."""
    keys = JwksKeys(server.url, clock=clock)
    keys._cache.get()
    clock.now += 301
    with HttpServer(lambda request: request.wfile.write(RESPONSES[case])) as hostile:
        keys._url = hostile.url
        keys._cache.get()

    assert len(caplog.records) == 1
    assert longest(caplog.records) <= LONGEST_LINE


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (UnicodeDecodeError("utf-8", b"\xff" * HUGE, 0, 1, "made up"), "UnicodeDecodeError"),
        (ValueError("x" * HUGE), "x"),
    ],
)
def test_fetch_error_message_is_truncated(monkeypatch: pytest.MonkeyPatch, kind: Exception, text: str) -> None:
    """Truncate the error's text, and keep the advice at the end of the message."""

    def fail(*_: object, **__: object) -> bytes:
        raise kind

    monkeypatch.setattr("authorizer.http_get.get", fail)

    with pytest.raises(KeyUnavailableError, match=r"this function can reach it\.$") as raised:
        JwksKeys(f"https://issuer.example/{'y' * 5000}")._fetch()

    assert text in str(raised.value)
    assert len(str(raised.value)) <= 600


def test_ssm_error_code_is_truncated() -> None:
    """Truncate the code of an SSM response, for transient and permanent errors."""

    class Ssm:
        def __init__(self, status: int) -> None:
            self.status = status

        def get_parameter(self, **_: object) -> None:
            response: Any = {
                "Error": {"Code": "X" * HUGE, "Message": "Y" * HUGE},
                "ResponseMetadata": {"HTTPStatusCode": self.status},
            }
            raise ClientError(response, "GetParameter")

    for status in (400, 503):
        with pytest.raises(KeyUnavailableError) as raised:
            SharedSecret(issuer.PARAMETER, ssm=Ssm(status))._fetch()
        assert len(str(raised.value)) <= 600
        assert "Y" not in str(raised.value)


def test_key_unavailable_message_is_truncated(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Bound the message in the exception type, so that no caller can forget it."""

    def fetch() -> str:
        raise KeyUnavailableError("z" * HUGE)

    cache = KeyCache(fetch, ttl=1, stale_if_error=1, min_refetch_interval=1, retry_delay=1, clock=clock)
    with pytest.raises(KeyUnavailableError) as raised:
        cache.get()

    Telemetry("stack", namespace="").verifier_unavailable(raised.value)
    assert longest(caplog.records) <= LONGEST_LINE


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "x" * HUGE},
        {"sub": "\U0001f511" * 255, "role": "user"},
        {"sub": "x" * 255, "role": "x" * 9000},
        {"iss": "x" * 9000},
        {"aud": ["x" * 1000] * 9},
        {"x" * 9000: 1, "role": "user"},
        {"exp": "9" * 4000},
        {"jti": ["x" * 9000]},
    ],
)
def test_log_line_for_long_claims_is_bounded(
    key_set_mode: pytest.MonkeyPatch,
    keys: dict[str, SigningKey],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
) -> None:
    """Bound the line about a signed token whose claims are as long as a header can be."""
    caplog.set_level("DEBUG", "authorizer")
    app = load_app()
    event = {
        "authorizationToken": f"Bearer {issuer.token(keys['RS256'], issuer.claims(**changes))}",
        "methodArn": METHOD_ARN + "x" * 10_000,
    }
    with suppress(UnauthorizedError):
        app.handler(event, None)

    assert len(caplog.records) == 1
    assert longest(caplog.records) <= LONGEST_LINE
    assert all(len(written.encode()) <= LONGEST_LINE for written in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    "authorization",
    [
        "x" * HUGE,
        f"Bearer {'x' * HUGE}",
        f"Bearer {'x' * 16_000}",
        "Bearer a.b.c",
        f"Basic {'é' * HUGE}",
        "\ud800" * HUGE,
    ],
)
def test_log_line_for_invalid_header_is_bounded(
    key_set_mode: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, authorization: str
) -> None:
    """Bound the line about a header without a token."""
    caplog.set_level("DEBUG", "authorizer")
    app = load_app()

    with pytest.raises(UnauthorizedError):
        app.handler({"authorizationToken": authorization, "methodArn": METHOD_ARN}, None)

    assert len(caplog.records) == 1
    assert longest(caplog.records) <= LONGEST_LINE


@pytest.mark.parametrize("member", ["kid", "alg", "typ", "cty", "x5u"])
def test_log_line_for_token_header_is_bounded(
    key_set_mode: pytest.MonkeyPatch, keys: dict[str, SigningKey], caplog: pytest.LogCaptureFixture, member: str
) -> None:
    """Bound the line about a token whose header has a member of maximum length."""
    caplog.set_level("DEBUG", "authorizer")
    app = load_app()
    event = {
        "authorizationToken": f"Bearer {issuer.token(keys['RS256'], **{member: 'x' * 11_000})}",
        "methodArn": METHOD_ARN,
    }
    try:
        app.handler(event, None)
    except (UnauthorizedError, TokenRefusedError):
        assert len(caplog.records) == 1
        assert longest(caplog.records) <= LONGEST_LINE
