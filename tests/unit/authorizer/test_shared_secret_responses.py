"""SSM responses by error code, and the suppression of botocore's logs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from authorizer import shared_secret
from authorizer.errors import ConfigurationError, KeyRevokedError, KeyUnavailableError
from authorizer.shared_secret import Secret, SharedSecret
from tests.support import issuer
from tests.unit.authorizer.conftest import load_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.parameter_store import ParameterStore
    from tests.unit.authorizer.conftest import Clock

NAME = "/made-up/jwt-secret"
PASSING = [
    *("InternalServerError", "RequestLimitExceeded", "ServiceUnavailable", "Throttling", "ThrottlingException"),
    *("TooManyRequestsException", "ExpiredToken", "ExpiredTokenException", "RequestExpired"),
]
BOTOCORES = {"botocore.endpoint", "botocore.parsers", "botocore.hooks", "botocore.auth"}


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
def secret(ssm: Any) -> SharedSecret:
    return SharedSecret(NAME, ssm=ssm)


def answer(stub: Stubber, **parameter: str) -> None:
    stub.add_response("get_parameter", {"Parameter": parameter}, {"Name": NAME, "WithDecryption": True})


@pytest.mark.parametrize("code", PASSING)
def test_transient_ssm_errors(stub: Stubber, secret: SharedSecret, code: str) -> None:
    """The cold start succeeds, and tokens raise KeyUnavailableError."""
    stub.add_client_error("get_parameter", code)

    secret.prefetch()
    with pytest.raises(KeyUnavailableError, match=rf"SSM is busy or failing \({code}\), so {NAME} could not be read\."):
        next(secret.keys_for({}))


@pytest.mark.parametrize("status", [429, 500, 599])
def test_unknown_ssm_code_is_classified_by_status(stub: Stubber, secret: SharedSecret, status: int) -> None:
    """Unknown codes with status 429 or 5xx are transient."""
    stub.add_client_error("get_parameter", "Unheard", http_status_code=status)

    with pytest.raises(KeyUnavailableError, match=r"busy or failing \(Unheard\)"):
        next(secret.keys_for({}))


@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", 400), ("Unheard", 499), ("Unheard", 428)])
def test_permanent_ssm_errors(stub: Stubber, secret: SharedSecret, code: str, status: int) -> None:
    """The cold start fails, and tokens raise KeyRevokedError."""
    stub.add_client_error("get_parameter", code, http_status_code=status)

    with pytest.raises(ConfigurationError, match=rf"SSM refused to give {NAME} \({code}\)\. See that the parameter"):
        secret.prefetch()
    with pytest.raises(KeyRevokedError):
        next(secret.keys_for({}))


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ({"Type": "SecureString"}, f"SSM answered without the value of {NAME}"),
        ({"Type": "String", "Value": issuer.SECRET}, f"The SSM parameter {NAME} is not a SecureString"),
        ({"Type": "SecureString", "Value": "x" * 31}, f"The secret in the SSM parameter {NAME} is shorter than 32 by"),
        ({"Type": "SecureString", "Value": issuer.SECRET + "\n"}, f"in the SSM parameter {NAME} begins or ends with w"),
        (
            {"Type": "SecureString", "Value": "-----BEGIN PUBLIC KEY-----\nmade up\n-----END PUBLIC KEY-----"},
            f"The secret in the SSM parameter {NAME} is a key of another kind",
        ),
    ],
)
def test_invalid_secret_error_names_the_parameter(
    stub: Stubber, secret: SharedSecret, parameter: dict[str, str], words: str
) -> None:
    """The error does not contain the secret."""
    answer(stub, **parameter)

    with pytest.raises(KeyUnavailableError, match=words) as refused:
        next(secret.keys_for({}))
    assert issuer.SECRET not in str(refused.value)


def test_response_without_parameter_is_unavailable(stub: Stubber, secret: SharedSecret) -> None:
    """A response without the parameter raises KeyUnavailableError."""
    stub.add_response("get_parameter", {})

    with pytest.raises(KeyUnavailableError, match=f"SSM answered without the value of {NAME}"):
        next(secret.keys_for({}))


def test_stale_if_error_limit_is_900_seconds(ssm: Any, stub: Stubber, clock: Clock) -> None:
    """The secret is served stale until it is 900 s old."""
    secret = SharedSecret(NAME, ssm=ssm, clock=clock)
    answer(stub, Type="SecureString", Value=issuer.SECRET)
    assert next(secret.keys_for({})) == issuer.SECRET.encode()

    stub.add_client_error("get_parameter", "ThrottlingException")
    clock.now += 899.75
    assert next(secret.keys_for({})) == issuer.SECRET.encode()
    clock.now += 0.25
    with pytest.raises(KeyUnavailableError, match="busy or failing"):
        next(secret.keys_for({}))


def test_secret_str_is_a_placeholder() -> None:
    """Neither str nor repr contains the secret."""
    assert f"{Secret(b'made-up')} {Secret(b'made-up')!r}" == "Secret(…) Secret(…)"


def test_minimum_secret_length_is_32_bytes(stub: Stubber, secret: SharedSecret) -> None:
    """A secret of exactly 32 bytes is accepted."""
    answer(stub, Type="SecureString", Value="x" * 32)

    assert next(secret.keys_for({})) == b"x" * 32


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("Credentials were refreshed"), rf"^SSM could not be reached \(RuntimeError\), so {NAME} could"),
        (ClientError({}, "GetParameter"), rf"^SSM refused to give {NAME} \(\)\. "),
    ],
)
def test_botocore_errors_without_code(ssm: Any, secret: SharedSecret, error: Exception, words: str) -> None:
    """The message has the exception's type if there is no error code."""

    def refuse(**_: object) -> None:
        raise error

    ssm.meta.events.register("before-call.ssm", refuse, "refuse")
    try:
        with pytest.raises(KeyUnavailableError, match=words):
            next(secret.keys_for({}))
    finally:
        ssm.meta.events.unregister("before-call.ssm", unique_id="refuse")


def test_botocore_logs_suppressed_only_during_fetch(
    ssm: Any, stub: Stubber, secret: SharedSecret, caplog: pytest.LogCaptureFixture
) -> None:
    """DEBUG logs of other calls remain."""

    def log(**_: object) -> None:
        for logger in BOTOCORES:
            logging.getLogger(logger).debug("of a call")

    def loggers() -> set[str]:
        found = BOTOCORES & {record.name for record in caplog.records}
        caplog.clear()
        return found

    # Register before the stub, whose response ends the event.
    ssm.meta.events.register_first("before-parameter-build.ssm", log, "log")
    try:
        with caplog.at_level(logging.DEBUG):
            for _ in range(2):
                stub.add_response("list_tags_for_resource", {})
                ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="x")
                assert loggers() == BOTOCORES

                answer(stub, Type="SecureString", Value=issuer.SECRET)
                next(SharedSecret(NAME, ssm=ssm).keys_for({}))
                assert loggers() == set()
    finally:
        ssm.meta.events.unregister("before-parameter-build.ssm", unique_id="log")


def test_ssm_timeouts_fit_the_function_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has timeouts of 1 s and makes two attempts."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = shared_secret._client()
    client.close()

    config = client.meta.config
    assert client.meta.service_model.service_name == "ssm"
    assert (config.connect_timeout, config.read_timeout) == (1, 1)
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}


def test_failed_cold_start_is_logged(
    secret_mode: pytest.MonkeyPatch, store: ParameterStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line has the level and reason of an unavailable key."""
    store.error = "AccessDeniedException"

    with pytest.raises(ConfigurationError):
        load_app()

    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("ERROR", "key_unavailable")
    assert record.getMessage().startswith("No token can be checked. SSM refused to give ")
