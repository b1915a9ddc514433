"""Fetching, rotation and revocation of the shared secret, and its absence from logs and errors."""

from __future__ import annotations

import logging
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authorizer.errors import ConfigurationError, KeyUnavailableError, TokenRefusedError
from authorizer.shared_secret import Secret, SharedSecret
from authorizer.token_verifier import TokenVerifier
from tests.support import issuer
from tests.support.issuer import PARAMETER, SECRET, SigningKey
from tests.unit.authorizer.conftest import Clock, load_app

if TYPE_CHECKING:
    from tests.support.parameter_store import ParameterStore

NEXT = "made-up-secret-that-comes-after-it"


class Api:
    """A verifier with a shared secret, and the issuer's tokens."""

    def __init__(self, clock: Clock) -> None:
        self.verifier = TokenVerifier(
            issuer=issuer.ISSUER, audience=issuer.AUDIENCE, keys=SharedSecret(PARAMETER, clock=clock)
        )

    def answer(self, secret: str = SECRET) -> str:
        """Return ``ok``, ``unavailable`` or the reason of the rejection for a token signed with this secret."""
        token = issuer.token(SigningKey("HS256", "HS256", secret.encode()))
        try:
            self.verifier.verify(f"Bearer {token}")
        except TokenRefusedError as refusal:
            return refusal.reason
        except KeyUnavailableError:
            return "unavailable"
        return "ok"


@pytest.fixture
def api(store: ParameterStore, clock: Clock) -> Api:
    return Api(clock)


def test_concurrent_tokens_share_one_fetch(api: Api, store: ParameterStore) -> None:
    """50 tokens in 8 threads cause one GetParameter with decryption."""
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: api.answer(), range(50))) == {"ok"}
    assert store.requests == [{"Name": PARAMETER, "WithDecryption": True}]


def test_rotation_after_wrong_signature(api: Api, store: ParameterStore, clock: Clock) -> None:
    """A wrong signature 30 s after the last fetch causes a refetch, which ends the old secret."""
    assert api.answer() == "ok"
    store.value = NEXT

    clock.now += 29
    assert (api.answer(NEXT), api.answer()) == ("bad_signature", "ok")
    clock.now += 1
    assert (api.answer(NEXT), api.answer()) == ("ok", "bad_signature")
    assert len(store.requests) == 2


def test_rotation_without_new_tokens(api: Api, store: ParameterStore, clock: Clock) -> None:
    """The old secret ends with its TTL of 300 s."""
    assert api.answer() == "ok"
    store.value = NEXT

    clock.now += 299
    assert api.answer() == "ok"
    clock.now += 1
    assert api.answer() == "bad_signature"
    assert len(store.requests) == 2


def test_wrong_signatures_cause_one_fetch_per_30_seconds(api: Api, store: ParameterStore, clock: Clock) -> None:
    """Bursts of wrong signatures cannot flood SSM."""
    for fetches in range(1, 6):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: api.answer("made-up-" * 8), range(50))) == {"bad_signature"}
        assert len(store.requests) == fetches
        clock.now += 30


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("ThrottlingException", 400),
        ("TooManyRequestsException", 400),
        ("ExpiredTokenException", 400),
        ("AnyNewName", 429),
        ("InternalServerError", 500),
        ("ServiceUnavailable", 503),
    ],
)
def test_stale_secret_is_served_for_15_minutes(
    error: str, status: int, api: Api, store: ParameterStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A transient error of SSM serves the secret stale, with a warning."""
    assert api.answer() == "ok"
    store.error, store.status = error, status

    clock.now += 15 * 60 - 1
    assert api.answer() == "ok"
    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("WARNING", "key_stale")
    # A newer secret may have signed it.
    assert api.answer(NEXT) == "unavailable"
    clock.now += 1
    assert api.answer() == "unavailable"

    store.error = ""
    clock.now += 30
    assert api.answer() == "ok"


@pytest.mark.parametrize(
    "change",
    [
        {"error": "AccessDeniedException"},
        {"error": "ParameterNotFound"},
        {"error": "InvalidKeyId"},
        {"error": "AnyNewName"},
        {"value": "made-up-and-a-byte-too-short-xx"},
        {"value": ""},
        {"kind": "String"},
        {"kind": "StringList"},
        {"value": f"{SECRET}\n"},
        {"value": f" {SECRET}"},
    ],
    ids=str,
)
def test_permanent_ssm_error_drops_secret(
    change: dict[str, str], api: Api, store: ParameterStore, clock: Clock
) -> None:
    """The cached secret is dropped; tokens are unavailable, not rejected."""
    assert api.answer() == "ok"
    before = vars(store).copy()
    vars(store).update(change)

    clock.now += 300
    for _ in range(10):
        assert api.answer() == "unavailable"
    assert len(store.requests) == 2

    vars(store).update({name: before[name] for name in change})
    clock.now += 5
    assert api.answer() == "ok"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": "made-up-and-a-byte-too-short-xx"}, "shorter than 32 bytes"),
        ({"value": "é" * 15}, "shorter than 32 bytes"),
        ({"value": f"{SECRET}\n"}, "white space"),
        ({"kind": "String"}, "not a SecureString"),
        ({"error": "ParameterNotFound"}, "See that the parameter exists"),
        ({"error": "AccessDeniedException"}, "ssm:GetParameter"),
    ],
    ids=str,
)
def test_invalid_secret_fails_the_cold_start(
    change: dict[str, str],
    words: str,
    secret_mode: pytest.MonkeyPatch,
    store: ParameterStore,
) -> None:
    """The error names the parameter and the remedy, and does not contain the secret."""
    vars(store).update(change)
    with pytest.raises(ConfigurationError, match=words) as refusal:
        load_app()
    assert PARAMETER in str(refusal.value)
    assert "made-up-" not in str(refusal.value).replace(PARAMETER, "")


def test_public_key_rejected_as_secret(
    secret_mode: pytest.MonkeyPatch, store: ParameterStore, keys: dict[str, SigningKey]
) -> None:
    """A PEM public key is not a shared secret."""
    public = keys["RS256"].private.public_key()
    store.value = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()
    with pytest.raises(ConfigurationError, match="a key of another kind"):
        load_app()


def test_secret_of_32_bytes_accepted(api: Api, store: ParameterStore) -> None:
    """The minimum counts bytes, not characters."""
    store.value = "é" * 16
    assert api.answer("é" * 16) == "ok"


def test_transient_error_at_the_cold_start(
    secret_mode: pytest.MonkeyPatch, store: ParameterStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The cold start logs a warning and succeeds; the first token raises the error."""
    store.error = "ThrottlingException"
    app = load_app()
    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("WARNING", "key_unavailable")

    event = {"authorizationToken": f"Bearer {issuer.token(SigningKey('x', 'HS256', SECRET.encode()))}"}
    with pytest.raises(KeyUnavailableError, match="ThrottlingException"):
        app.handler({**event, "methodArn": "arn/live/GET/x"}, None)


@pytest.mark.slow
def test_ssm_timeout_is_unavailable(api: Api, store: ParameterStore) -> None:
    """SSM times out after two attempts."""
    store.released.clear()
    assert api.answer() == "unavailable"
    assert len(store.requests) == 2  # botocore retries once


def test_invalid_ssm_response_is_unavailable(
    store: ParameterStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body without JSON and a refused connection are transient errors."""
    store.body = b"<html>"
    assert Api(clock).answer() == "unavailable"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    assert Api(clock).answer() == "unavailable"


def test_missing_credentials_are_unavailable(
    store: ParameterStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing AWS credentials are a transient error and cause no request."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert Api(clock).answer() == "unavailable"
    assert store.requests == []


def test_debug_logs_do_not_contain_the_secret(
    store: ParameterStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The logs of botocore and of the authorizer at DEBUG omit the secret."""
    caplog.set_level(logging.DEBUG)
    api = Api(clock)
    assert (api.answer(), api.answer("made-up-" * 8)) == ("ok", "bad_signature")
    assert [record for record in caplog.records if record.name.startswith("botocore")], "nothing was logged at all"
    assert not [record for record in caplog.records if SECRET in repr(vars(record)) or SECRET in record.getMessage()]


def test_error_does_not_contain_the_secret(api: Api, store: ParameterStore) -> None:
    """Neither the message nor the locals in the traceback contain a rejected secret."""
    store.value = "made-up-and-too-short"
    with pytest.raises(KeyUnavailableError) as refusal:
        api.verifier.verify(f"Bearer {issuer.token(SigningKey('x', 'HS256', SECRET.encode()))}")
    shown = "".join(traceback.TracebackException.from_exception(refusal.value, capture_locals=True).format())
    assert "shorter than 32 bytes" in shown
    assert store.value not in shown


def test_secret_repr_is_masked(api: Api, store: ParameterStore) -> None:
    """No formatting of the secret or of the verifier contains its text."""
    secret = Secret(SECRET, "utf-8")
    assert secret == SECRET.encode()
    assert SECRET not in f"{secret} {secret!r} {[secret]} {secret:}"
    assert api.answer() == "ok"
    assert SECRET not in repr(vars(api.verifier))
