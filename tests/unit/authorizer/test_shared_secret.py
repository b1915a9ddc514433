"""Fetching, rotation and revocation of the shared secret, and its absence from logs and errors."""

from __future__ import annotations

import logging
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from authorizer import shared_secret
from authorizer.errors import ConfigurationError, KeyRevokedError, KeyUnavailableError
from authorizer.shared_secret import Secret, SharedSecret
from tests.support import issuer
from tests.support.issuer import PARAMETER, SECRET, SigningKey
from tests.unit.authorizer.conftest import Clock, cold_start, logged, verifier_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.parameter_store import ParameterStore
    from tests.unit.authorizer.conftest import Verify

NEXT = "made-up-secret-that-comes-after-it"
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nmade up\n-----END PUBLIC KEY-----"
BOTOCORES = {"botocore.endpoint", "botocore.parsers", "botocore.hooks", "botocore.auth"}
"""Loggers that write the response of SSM at DEBUG."""


def token(secret: str = SECRET) -> str:
    return issuer.token(SigningKey("HS256", "HS256", secret.encode()))


@pytest.fixture
def verify(store: ParameterStore, clock: Clock) -> Verify:
    """Return a function that verifies a token signed with a secret."""
    verify = verifier_of(SharedSecret(PARAMETER, clock=clock))
    return lambda secret=SECRET: verify(token(secret))


@pytest.fixture(scope="module")
def ssm() -> Iterator[Any]:
    client = botocore.session.get_session().create_client(
        "ssm", region_name="eu-west-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
    )
    yield client
    client.close()


@pytest.fixture
def stub(ssm: Any) -> Iterator[Stubber]:
    with Stubber(ssm) as stub:
        yield stub


@pytest.fixture
def source(ssm: Any) -> SharedSecret:
    """Return a source of keys with the stubbed client."""
    return SharedSecret(PARAMETER, ssm=ssm)


def add_parameter(stub: Stubber, **parameter: str) -> None:
    asked = {"Name": PARAMETER, "WithDecryption": True}
    stub.add_response("get_parameter", {"Parameter": {"Type": "SecureString"} | parameter}, asked)


# --- rotation, outage and revocation ----------------------------------------------------------------------------------


def test_concurrent_tokens_share_one_fetch(verify: Verify, store: ParameterStore) -> None:
    """50 tokens in 8 threads cause one GetParameter with decryption."""
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: verify(), range(50))) == {"ok"}
    assert store.requests == [{"Name": PARAMETER, "WithDecryption": True}]


def test_rotation_after_wrong_signature(verify: Verify, store: ParameterStore, clock: Clock) -> None:
    """A wrong signature 30 s after the last fetch causes a refetch, which ends the old secret."""
    assert verify() == "ok"
    store.value = NEXT

    clock.now += 29
    assert (verify(NEXT), verify()) == ("bad_signature", "ok")
    clock.now += 1
    assert (verify(NEXT), verify()) == ("ok", "bad_signature")
    assert len(store.requests) == 2


def test_rotation_without_new_tokens(verify: Verify, store: ParameterStore, clock: Clock) -> None:
    """The old secret ends with its TTL of 300 s."""
    assert verify() == "ok"
    store.value = NEXT

    clock.now += 299
    assert verify() == "ok"
    clock.now += 1
    assert verify() == "bad_signature"
    assert len(store.requests) == 2


def test_wrong_signatures_cause_one_fetch_per_30_seconds(verify: Verify, store: ParameterStore, clock: Clock) -> None:
    """Bursts of wrong signatures cannot flood SSM."""
    for fetches in range(1, 6):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: verify("made-up-" * 8), range(50))) == {"bad_signature"}
        assert len(store.requests) == fetches
        clock.now += 30


def test_stale_secret_is_served_for_15_minutes(
    verify: Verify, store: ParameterStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A transient error of SSM serves the secret stale until it is 900 s old, with a warning."""
    assert verify() == "ok"
    store.error = "ThrottlingException"

    clock.now += 899.75
    assert verify() == "ok"
    assert logged(caplog) == {"levelname": "WARNING", "reason": "key_stale"}
    # A newer secret may have signed it.
    assert verify(NEXT) == "unavailable"
    clock.now += 0.25
    assert verify() == "unavailable"

    store.error = ""
    clock.now += 30
    assert verify() == "ok"


@pytest.mark.parametrize(
    "change",
    [
        *({"error": "AccessDeniedException"}, {"error": "ParameterNotFound"}, {"error": "InvalidKeyId"}),
        *({"error": "AnyNewName"}, {"value": "made-up-and-a-byte-too-short-xx"}, {"value": ""}, {"kind": "String"}),
        *({"kind": "StringList"}, {"value": f"{SECRET}\n"}, {"value": f" {SECRET}"}),
    ],
    ids=str,
)
def test_permanent_ssm_error_drops_secret(
    change: dict[str, str], verify: Verify, store: ParameterStore, clock: Clock
) -> None:
    """The cached secret is dropped; tokens are unavailable, not rejected."""
    assert verify() == "ok"
    before = vars(store).copy()
    vars(store).update(change)

    clock.now += 300
    assert {verify() for _ in range(10)} == {"unavailable"}
    assert len(store.requests) == 2

    vars(store).update({name: before[name] for name in change})
    clock.now += 5
    assert verify() == "ok"


@pytest.mark.parametrize("secret", ["x" * 32, "é" * 16])
def test_secret_of_32_bytes_accepted(secret: str, verify: Verify, store: ParameterStore) -> None:
    """The minimum counts bytes, not characters."""
    store.value = secret
    assert verify(secret) == "ok"


# --- errors of SSM ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *(("Throttling", 400), ("ThrottlingException", 400), ("TooManyRequestsException", 400), ("AnyNewName", 429)),
        *(("InternalServerError", 400), ("ServiceUnavailable", 400), ("RequestLimitExceeded", 400)),
        *(("ExpiredToken", 400), ("ExpiredTokenException", 400), ("RequestExpired", 400)),
        *(("AnyNewName", 500), ("AnyNewName", 503), ("AnyNewName", 599)),
    ],
)
def test_transient_ssm_errors(code: str, status: int, stub: Stubber, source: SharedSecret) -> None:
    """The cold start succeeds, and tokens raise KeyUnavailableError."""
    stub.add_client_error("get_parameter", code, http_status_code=status)

    source.prefetch()
    words = rf"SSM is busy or failing \({code}\), so {PARAMETER} could not be read\."
    with pytest.raises(KeyUnavailableError, match=words) as error:
        next(source.keys_for({}))
    assert not isinstance(error.value, KeyRevokedError)


@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", 400), ("Unheard", 499), ("Unheard", 428)])
def test_permanent_ssm_errors(code: str, status: int, stub: Stubber, source: SharedSecret) -> None:
    """The cold start fails, and tokens raise KeyRevokedError."""
    stub.add_client_error("get_parameter", code, http_status_code=status)

    words = rf"SSM refused to give {PARAMETER} \({code}\)\. See that the parameter"
    with pytest.raises(ConfigurationError, match=words):
        source.prefetch()
    with pytest.raises(KeyRevokedError):
        next(source.keys_for({}))


def test_response_without_value_is_unavailable(stub: Stubber, source: SharedSecret) -> None:
    """A response without the parameter, or without its value, is a transient error."""
    stub.add_response("get_parameter", {})
    add_parameter(stub)

    for _ in range(2):
        with pytest.raises(KeyUnavailableError, match=f"SSM responded without the value of {PARAMETER}"):
            source._fetch()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("Credentials were refreshed"), rf"^SSM could not be reached \(RuntimeError\), so {PARAMETER} "),
        (ClientError({}, "GetParameter"), rf"^SSM refused to give {PARAMETER} \(\)\. "),
    ],
)
def test_botocore_errors_without_code(error: Exception, words: str) -> None:
    """The message has the exception's type if there is no error code."""

    class Ssm:
        def get_parameter(self, **_: object) -> None:
            raise error

    with pytest.raises(KeyUnavailableError, match=words):
        next(SharedSecret(PARAMETER, ssm=Ssm()).keys_for({}))


@pytest.mark.slow
def test_ssm_timeout_is_unavailable(verify: Verify, store: ParameterStore) -> None:
    """SSM times out after two attempts."""
    store.released.clear()
    assert verify() == "unavailable"
    assert len(store.requests) == 2  # botocore retries once


def test_invalid_ssm_response_is_unavailable(
    verify: Verify, store: ParameterStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body without JSON and a refused connection are transient errors."""
    store.body = b"<html>"
    assert verify() == "unavailable"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    assert verifier_of(SharedSecret(PARAMETER, clock=clock))(token()) == "unavailable"


def test_missing_credentials_are_unavailable(store: ParameterStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing AWS credentials are a transient error and cause no request."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert verifier_of(SharedSecret(PARAMETER))(token()) == "unavailable"
    assert store.requests == []


def test_ssm_timeouts_fit_the_function_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has timeouts of 1 s and makes two attempts."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = shared_secret._client()
    client.close()

    config = client.meta.config
    assert client.meta.service_model.service_name == "ssm"
    assert (config.connect_timeout, config.read_timeout) == (1, 1)
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}


# --- cold start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": "made-up-and-a-byte-too-short-xx"}, f"secret in the SSM parameter {PARAMETER} is shorter than 32 b"),
        ({"value": "é" * 15}, f"The secret in the SSM parameter {PARAMETER} is shorter than 32 bytes"),
        ({"value": f"{SECRET}\n"}, f"in the SSM parameter {PARAMETER} begins or ends with white space"),
        ({"value": PUBLIC_KEY}, f"The secret in the SSM parameter {PARAMETER} is a key of another kind"),
        ({"kind": "String"}, f"The SSM parameter {PARAMETER} is not a SecureString"),
        ({"error": "ParameterNotFound"}, f"SSM refused to give {PARAMETER} .*See that the parameter exists"),
        ({"error": "AccessDeniedException"}, f"SSM refused to give {PARAMETER} .*ssm:GetParameter"),
    ],
    ids=str,
)
def test_invalid_secret_fails_the_cold_start(
    change: dict[str, str],
    words: str,
    secret_mode: pytest.MonkeyPatch,
    store: ParameterStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error is logged, names the parameter and the remedy, and does not contain the secret."""
    vars(store).update(change)
    with pytest.raises(ConfigurationError, match=words) as refusal:
        cold_start()
    assert "made-up-" not in str(refusal.value).replace(PARAMETER, "")
    assert logged(caplog) == {"levelname": "ERROR", "reason": "key_unavailable"}
    assert caplog.messages == [f"No token can be checked. {refusal.value}"]


def test_transient_error_at_the_cold_start(
    secret_mode: pytest.MonkeyPatch, store: ParameterStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The cold start logs a warning and succeeds; the first token raises the error."""
    store.error = "ThrottlingException"
    authorize = cold_start()
    assert logged(caplog) == {"levelname": "WARNING", "reason": "key_unavailable"}
    with pytest.raises(KeyUnavailableError, match="ThrottlingException"):
        authorize(f"Bearer {token()}")


# --- no leak of the secret --------------------------------------------------------------------------------------------


def test_debug_logs_do_not_contain_the_secret(verify: Verify, caplog: pytest.LogCaptureFixture) -> None:
    """The logs of botocore and of the authorizer at DEBUG omit the secret."""
    caplog.set_level(logging.DEBUG)
    assert (verify(), verify("made-up-" * 8)) == ("ok", "bad_signature")
    assert [record for record in caplog.records if record.name.startswith("botocore")], "nothing was logged at all"
    assert not [record for record in caplog.records if SECRET in repr(vars(record)) or SECRET in record.getMessage()]


def test_botocore_logs_suppressed_only_during_fetch(
    ssm: Any, stub: Stubber, source: SharedSecret, caplog: pytest.LogCaptureFixture
) -> None:
    """DEBUG logs of other calls remain."""

    def log(**_: object) -> None:
        for logger in BOTOCORES:
            logging.getLogger(logger).debug("of a call")

    def loggers() -> set[str]:
        found = BOTOCORES & {record.name for record in caplog.records}
        caplog.clear()
        return found

    caplog.set_level(logging.DEBUG)
    # Register before the stub, whose response ends the event.
    ssm.meta.events.register_first("before-parameter-build.ssm", log, "log")
    try:
        for _ in range(2):
            stub.add_response("list_tags_for_resource", {})
            ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="x")
            assert loggers() == BOTOCORES

            add_parameter(stub, Value=SECRET)
            assert source._fetch() == SECRET.encode()
            assert loggers() == set()
    finally:
        ssm.meta.events.unregister("before-parameter-build.ssm", unique_id="log")


def test_error_does_not_contain_the_secret(store: ParameterStore) -> None:
    """Neither the message nor the locals in the traceback contain a rejected secret."""
    store.value = "made-up-and-too-short"
    with pytest.raises(KeyUnavailableError) as refusal:
        next(SharedSecret(PARAMETER).keys_for({}))
    text = "".join(traceback.TracebackException.from_exception(refusal.value, capture_locals=True).format())
    assert "shorter than 32 bytes" in text
    assert store.value not in text


def test_secret_repr_is_masked(store: ParameterStore) -> None:
    """No formatting of the secret or of its source contains its text."""
    source = SharedSecret(PARAMETER)
    secret = next(source.keys_for({}))
    assert (type(secret), secret) == (Secret, SECRET.encode())
    assert [f"{Secret(secret)}", f"{[secret]}"] == ["Secret(…)", "[Secret(…)]"]
    assert SECRET not in f"{source!r} {vars(source)} {vars(source._cache)}"
