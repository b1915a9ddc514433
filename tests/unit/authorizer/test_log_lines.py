"""Length limits of log lines for hostile tokens and for hostile responses of the issuer and SSM."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from authorizer.errors import KeyUnavailableError, UnauthorizedError
from authorizer.jwks import JwksKeys
from authorizer.key_cache import KeyCache
from authorizer.shared_secret import SharedSecret
from authorizer.telemetry import Telemetry
from tests.support import issuer
from tests.support.http_server import HttpServer
from tests.unit.authorizer.conftest import METHOD_ARN, cold_start, effect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.issuer import KeySetServer
    from tests.unit.authorizer.conftest import Clock, Keys

LONGEST_LINE = 2048
LARGE = 250_000
"""Just below the size limit of a JWKS."""
HUGE = 1_000_000
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
TOKEN = f"{issuer.encode(json.dumps({'alg': 'RS256', 'kid': 'k'}).encode())}.e30.AA"


@pytest.fixture
def one_short_line(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], bool]:
    """Return a check: the function logged one line in Lambda's JSON format; it and each metric have at most 2 KB."""
    caplog.set_level("DEBUG")

    def check() -> bool:
        (record,) = caplog.records
        line = {"timestamp": "2026-01-01T00:00:00Z", "level": record.levelname, "message": record.getMessage()}
        line |= {name: str(value) for name, value in vars(record).items() if name not in PLAIN}
        if record.exc_info:
            line["exception"] = logging.Formatter().formatException(record.exc_info)
        written = [json.dumps(line, ensure_ascii=False), *capsys.readouterr().out.splitlines()]
        return max(len(text.encode()) for text in written) <= LONGEST_LINE

    return check


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
    case: str, environment: pytest.MonkeyPatch, one_short_line: Callable[[], bool]
) -> None:
    """Write one line of at most 2 KB for a token of 50 bytes, and raise a message of at most 2 KB."""
    assert len(TOKEN) <= 60
    with HttpServer(lambda request: request.wfile.write(RESPONSES[case])) as server:
        environment.setenv("JWKS_URL", server.url)
        with pytest.raises((KeyUnavailableError, UnauthorizedError)) as raised:
            cold_start()(f"Bearer {TOKEN}")

    assert len(str(raised.value).encode()) <= LONGEST_LINE
    assert one_short_line()


@pytest.mark.parametrize("case", ["not UTF-8", "no HTTP", "huge Location", "deep JSON"])
def test_log_line_for_stale_jwks_is_bounded(
    case: str, server: KeySetServer, clock: Clock, one_short_line: Callable[[], bool]
) -> None:
    """Bound the warning about a stale JWKS, too."""
    keys = JwksKeys(server.url, clock=clock)
    keys._cache.get()
    clock.now += 301
    with HttpServer(lambda request: request.wfile.write(RESPONSES[case])) as hostile:
        keys._url = hostile.url
        keys._cache.get()

    assert one_short_line()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UnicodeDecodeError("utf-8", b"\xff" * HUGE, 0, 1, "made up"), "UnicodeDecodeError"),
        (ValueError("x" * HUGE), "x"),
    ],
)
def test_fetch_error_message_is_truncated(monkeypatch: pytest.MonkeyPatch, error: Exception, text: str) -> None:
    """Truncate the error's text, and keep the advice at the end of the message."""

    def fail(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr("authorizer.http_get.get", fail)

    with pytest.raises(KeyUnavailableError, match=r"this function can reach it\.$") as raised:
        JwksKeys(f"https://issuer.example/{'y' * 5000}")._fetch()

    assert text in str(raised.value)
    assert len(str(raised.value)) <= 600


@pytest.mark.parametrize("status", [400, 503])
def test_ssm_error_code_is_truncated(status: int) -> None:
    """Truncate the code of an SSM response, for transient and permanent errors."""

    class Ssm:
        def get_parameter(self, **_: object) -> None:
            error = {"Code": "X" * HUGE, "Message": "Y" * HUGE}
            response: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(response, "GetParameter")

    with pytest.raises(KeyUnavailableError) as raised:
        SharedSecret(issuer.PARAMETER, ssm=Ssm())._fetch()
    assert len(str(raised.value)) <= 600
    assert "Y" not in str(raised.value)


def test_key_unavailable_message_is_truncated(clock: Clock, one_short_line: Callable[[], bool]) -> None:
    """Bound the message in the exception type, so that no caller can forget it."""

    def fetch() -> str:
        raise KeyUnavailableError("z" * HUGE)

    cache = KeyCache(fetch, ttl=1, stale_if_error=1, min_refetch_interval=1, retry_delay=1, clock=clock)
    with pytest.raises(KeyUnavailableError) as raised:
        cache.get()

    Telemetry("stack", namespace="").verifier_unavailable(raised.value)
    assert one_short_line()


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        *(({"sub": "x" * HUGE}, {}), ({"sub": "\U0001f511" * 255, "role": "user"}, {})),
        *(({"sub": "x" * 255, "role": "x" * 9000}, {}), ({"iss": "x" * 9000}, {}), ({"aud": ["x" * 1000] * 9}, {})),
        *(({"x" * 9000: 1, "role": "user"}, {}), ({"exp": "9" * 4000}, {}), ({"jti": ["x" * 9000]}, {})),
        *(({"email": name, "role": "user"}, {}) for name in ("x" * 10_000, "\U0001f511" * 2500, ["x" * 9000])),
        *(({"role": "user"}, {name: "x" * 11_000}) for name in ("kid", "alg", "typ", "cty", "x5u")),
    ],
    ids=lambda members: f"{members!s:.30}",
)
def test_log_line_for_long_token_is_bounded(
    claims: dict[str, Any],
    header: dict[str, str],
    key_set_mode: pytest.MonkeyPatch,
    keys: Keys,
    one_short_line: Callable[[], bool],
) -> None:
    """Bound the line about a signed token whose claims or header are as long as a header can be."""
    key_set_mode.setenv("NAME_CLAIMS", "email")
    token = issuer.token(keys["RS256"], issuer.claims(**claims), **header)
    assert effect(cold_start(METHOD_ARN + "x" * 10_000), token) != "Allow"
    assert one_short_line()


@pytest.mark.parametrize(
    "authorization",
    [
        *("x" * HUGE, f"Bearer {'x' * HUGE}", f"Bearer {'x' * 16_000}", "Bearer a.b.c", f"Basic {'é' * HUGE}"),
        "\ud800" * HUGE,
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_log_line_for_invalid_header_is_bounded(
    authorization: str, key_set_mode: pytest.MonkeyPatch, one_short_line: Callable[[], bool]
) -> None:
    """Bound the line about a header without a token."""
    with pytest.raises(UnauthorizedError):
        cold_start()(authorization)
    assert one_short_line()
