"""Tests of botocore's credential sources: each creates clients and signs with its credentials."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from service_keys import ServiceKeys, get_api_key
from service_keys.errors import ConfigurationError, KeyAccessDeniedError, KeyStoreUnavailableError, ServiceKeysError
from service_keys.reader import default_client
from tests.support.aws_stub import EXPIRY, ISSUED, LONG_TERM, SECRET, TOKEN, AwsStub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROLE = "arn:aws:iam::123456789012:role/made-up"
START_URL = "https://made-up.awsapps.com/start"


@pytest.fixture
def stub() -> Iterator[AwsStub]:
    with AwsStub() as stub:
        yield stub


class Environment:
    """A process environment and a home directory without any AWS setting."""

    def __init__(self, patch: pytest.MonkeyPatch, home: Path, stub: AwsStub) -> None:
        self._patch, self.home, self.stub = patch, home, stub
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        (home / ".aws" / "sso" / "cache").mkdir(parents=True)
        patch.setenv("HOME", str(home))
        # botocore looks up the home directory at import.
        for provider in ("botocore.credentials.SSOProvider", "botocore.tokens.SSOTokenProvider"):
            patch.setattr(f"{provider}._SSO_TOKEN_CACHE_DIR", str(home / ".aws" / "sso" / "cache"))
        self.set(AWS_REGION="eu-west-1", AWS_ENDPOINT_URL=stub.url, AWS_EC2_METADATA_DISABLED="true")

    def set(self, **variables: str | None) -> None:
        for name, value in variables.items():
            if value is None:
                self._patch.delenv(name, raising=False)
            else:
                self._patch.setenv(name, value)

    def config(self, text: str) -> None:
        (self.home / ".aws" / "config").write_text(text)

    def file(self, name: str, text: str) -> str:
        path = self.home / name
        path.write_text(text)
        return str(path)

    def sso_token(self, session: str, **token: str) -> None:
        name = hashlib.sha1(session.encode()).hexdigest()
        text = {"accessToken": TOKEN, "expiresAt": EXPIRY, "startUrl": START_URL, "region": "eu-west-1"} | token
        (self.home / ".aws" / "sso" / "cache" / f"{name}.json").write_text(json.dumps(text))

    def container_host(self) -> None:
        """Put the fixed address of the container metadata service onto the loopback interface."""
        self._patch.setattr("botocore.utils.ContainerMetadataFetcher.IP_ADDRESS", self.stub.host)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: AwsStub) -> Environment:
    return Environment(monkeypatch, tmp_path, stub)


def process(environment: Environment, **more: str) -> str:
    """Return a credential process that prints the issued credentials."""
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    printed = json.dumps({"Version": 1, **dict(zip(names, ISSUED, strict=True)), **more})
    return f"{sys.executable} -c {shlex.quote(f'print({printed!r})')}"


def web_identity(environment: Environment) -> None:
    environment.set(AWS_ROLE_ARN=ROLE, AWS_WEB_IDENTITY_TOKEN_FILE=environment.file("token", TOKEN))


def web_identity_profile(environment: Environment) -> None:
    token = environment.file("token", TOKEN)
    environment.config(f"[profile pod]\nrole_arn = {ROLE}\nweb_identity_token_file = {token}\n")
    environment.set(AWS_PROFILE="pod")


def credential_process(environment: Environment) -> None:
    environment.config(f"[default]\ncredential_process = {process(environment)}\n")


def expiring_credential_process(environment: Environment) -> None:
    environment.config(f"[default]\ncredential_process = {process(environment, Expiration=EXPIRY)}\n")


SSO_ROLE = "sso_account_id = 123456789012\nsso_role_name = made-up\n"


def sso(environment: Environment) -> None:
    environment.config(f"[default]\n{SSO_ROLE}sso_start_url = {START_URL}\nsso_region = eu-west-1\n")
    environment.sso_token(START_URL)


def sso_session(environment: Environment, **token: str) -> None:
    session = f"[sso-session corp]\nsso_start_url = {START_URL}\nsso_region = eu-west-1\n"
    environment.config(f"[default]\nsso_session = corp\n{SSO_ROLE}{session}")
    environment.sso_token("corp", **token)


def expired_sso_session(environment: Environment) -> None:
    client = {"clientId": "made-up", "clientSecret": "made-up", "registrationExpiresAt": EXPIRY}
    expired = {"accessToken": "expired", "expiresAt": "2020-01-01T00:00:00Z", "refreshToken": "made-up-refresh"}
    sso_session(environment, **expired, **client)


def container(environment: Environment) -> None:
    token = environment.file("token", TOKEN)
    url = f"{environment.stub.url}/container"
    environment.set(AWS_CONTAINER_CREDENTIALS_FULL_URI=url, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=token)


def container_with_token(environment: Environment) -> None:
    url = f"{environment.stub.url}/container"
    environment.set(AWS_CONTAINER_CREDENTIALS_FULL_URI=url, AWS_CONTAINER_AUTHORIZATION_TOKEN=TOKEN)


def container_by_path(environment: Environment) -> None:
    environment.container_host()
    environment.set(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/container", AWS_CONTAINER_AUTHORIZATION_TOKEN=TOKEN)


def source_profile(environment: Environment) -> None:
    keys = "aws_access_key_id = {}\naws_secret_access_key = {}\n".format(*LONG_TERM)
    environment.config(f"[default]\nrole_arn = {ROLE}\nsource_profile = base\n[profile base]\n{keys}")


def credential_source(environment: Environment) -> None:
    container(environment)
    environment.config(f"[default]\nrole_arn = {ROLE}\ncredential_source = EcsContainer\n")


def instance_metadata(environment: Environment) -> None:
    environment.set(AWS_EC2_METADATA_DISABLED=None, AWS_EC2_METADATA_SERVICE_ENDPOINT=environment.stub.url)


def variables(environment: Environment) -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    environment.set(**dict(zip(names, ISSUED, strict=True)))


def credentials_file(environment: Environment) -> None:
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    lines = "".join(f"{name} = {value}\n" for name, value in zip(names, ISSUED, strict=True))
    environment.set(AWS_SHARED_CREDENTIALS_FILE=environment.file("made-up", f"[default]\n{lines}"))


SOURCES: list[Callable[[Environment], None]] = [
    variables,
    credentials_file,
    web_identity,
    web_identity_profile,
    credential_process,
    expiring_credential_process,
    sso,
    sso_session,
    expired_sso_session,
    container,
    container_with_token,
    container_by_path,
    source_profile,
    credential_source,
    instance_metadata,
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_every_credential_source_signs_the_calls(
    environment: Environment, stub: AwsStub, source: Callable[[Environment], None]
) -> None:
    """Send Query, Decrypt and UpdateItem with the access key id and the session token of the source."""
    source(environment)

    assert ServiceKeys("table").get("one").value == SECRET

    calls = [request for request in stub.requests if request.operation]
    assert [call.operation for call in calls] == ["Query", "Decrypt", "UpdateItem"]
    assert {(call.access_key, call.headers.get("x-amz-security-token")) for call in calls} == {(ISSUED[0], ISSUED[2])}


# --- settings that are missing or wrong ------------------------------------------------------------------------------


def no_credentials(_environment: Environment) -> None:
    pass


def half_of_the_variables(environment: Environment) -> None:
    environment.set(AWS_ACCESS_KEY_ID="made-up")


def half_of_a_profile(environment: Environment) -> None:
    environment.config("[default]\naws_access_key_id = made-up\n")


def no_region(environment: Environment) -> None:
    variables(environment)
    environment.set(AWS_REGION=None)


def empty_region(environment: Environment) -> None:
    variables(environment)
    environment.set(AWS_REGION="", AWS_DEFAULT_REGION="")


def malformed_region(environment: Environment) -> None:
    variables(environment)
    environment.set(AWS_DEFAULT_REGION="eu west 1!")


def malformed_endpoint(environment: Environment) -> None:
    variables(environment)
    environment.set(AWS_ENDPOINT_URL="made-up:hunter2@")


def missing_profile(environment: Environment) -> None:
    environment.set(AWS_PROFILE="missing")


def missing_source_profile(environment: Environment) -> None:
    environment.config(f"[default]\nrole_arn = {ROLE}\nsource_profile = missing\n")


def circular_source_profile(environment: Environment) -> None:
    environment.config(
        f"[default]\nrole_arn = {ROLE}\nsource_profile = other\n"
        f"[profile other]\nrole_arn = {ROLE}\nsource_profile = default\n"
    )


def malformed_configuration(environment: Environment) -> None:
    environment.config("[default\naws_secret_access_key = hunter2\n")


def web_identity_without_a_role(environment: Environment) -> None:
    environment.set(AWS_WEB_IDENTITY_TOKEN_FILE=environment.file("token", TOKEN))


def sso_without_a_start_url(environment: Environment) -> None:
    environment.config(f"[default]\n{SSO_ROLE}")


def missing_sso_session(environment: Environment) -> None:
    environment.config(f"[default]\nsso_session = missing\n{SSO_ROLE}")


def missing_credential_process(environment: Environment) -> None:
    environment.config("[default]\ncredential_process = /missing/process\n")


def credential_process_without_json(environment: Environment) -> None:
    environment.config("[default]\ncredential_process = echo hunter2\n")


def credential_process_with_a_list(environment: Environment) -> None:
    environment.config("[default]\ncredential_process = echo []\n")


def foreign_container_host(environment: Environment) -> None:
    environment.set(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://example.com/container")


def missing_container_token(environment: Environment) -> None:
    container(environment)
    environment.set(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="/missing/token")


def malformed_number(environment: Environment) -> None:
    environment.set(AWS_METADATA_SERVICE_TIMEOUT="hunter2")


def unknown_mode(environment: Environment) -> None:
    variables(environment)
    environment.set(AWS_DEFAULTS_MODE="hunter2")


WRONG_SETTINGS: list[tuple[Callable[[Environment], None], str]] = [
    (no_credentials, "No AWS credentials were found"),
    (half_of_the_variables, "missing: AWS_SECRET_ACCESS_KEY"),
    (half_of_a_profile, "missing: aws_secret_access_key"),
    (no_region, "Set AWS_REGION"),
    (empty_region, "Set AWS_REGION"),
    (malformed_region, "Check the region"),
    (malformed_endpoint, "the endpoint"),
    (missing_profile, r"profile \(missing\)"),
    (missing_source_profile, 'source_profile "missing"'),
    (circular_source_profile, "Infinite loop"),
    (malformed_configuration, "Unable to parse config file"),
    (web_identity_without_a_role, "AWS_ROLE_ARN"),
    (sso_without_a_start_url, "sso_start_url"),
    (missing_sso_session, "sso-session"),
    (missing_credential_process, "Check the region, the credentials"),
    (credential_process_without_json, "Check the region, the credentials"),
    (credential_process_with_a_list, "Check the region, the credentials"),
    (foreign_container_host, "Check the region, the credentials"),
    (missing_container_token, "Check the region, the credentials"),
    (malformed_number, "Check the region, the credentials"),
    (unknown_mode, "Check the region, the credentials"),
]


@pytest.mark.parametrize(("setting", "words"), WRONG_SETTINGS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_wrong_setting_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch,
    environment: Environment,
    stub: AwsStub,
    setting: Callable[[Environment], None],
    words: str,
) -> None:
    """Name the wrong setting without its value, and do not call AWS."""
    setting(environment)
    environment.set(SERVICE_KEYS_TABLE="table")
    monkeypatch.setattr(default_client, "_default", None)

    for shared in (False, True):
        with pytest.raises(ConfigurationError, match=words) as raised:
            get_api_key("one") if shared else ServiceKeys("table")
        assert "hunter2" not in str(raised.value)
        assert getattr(raised.value.__cause__, "doc", "") == ""
    assert stub.operations() == []


def test_a_corrected_setting_is_used_by_the_next_read(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    """Let `get_api_key` create its clients again after a failed attempt."""
    environment.set(SERVICE_KEYS_TABLE="table")
    monkeypatch.setattr(default_client, "_default", None)
    with pytest.raises(ConfigurationError):
        get_api_key("one")

    variables(environment)

    assert get_api_key("one").value == SECRET


# --- sources that fail -----------------------------------------------------------------------------------------------


def container_that_fails(environment: Environment) -> None:
    container(environment)
    environment.file("token", "another-token")


def container_that_is_down(environment: Environment) -> None:
    environment.set(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:9/container")


def process_that_fails(environment: Environment) -> None:
    environment.config("[default]\ncredential_process = sh -c 'echo hunter2 >&2; exit 3'\n")


def process_of_another_version(environment: Environment) -> None:
    environment.config("[default]\ncredential_process = echo '{}'\n")


def missing_sso_login(environment: Environment) -> None:
    sso(environment)
    for path in (environment.home / ".aws" / "sso" / "cache").iterdir():
        path.unlink()


def refused_sso_login(environment: Environment) -> None:
    sso(environment)
    environment.sso_token(START_URL, accessToken="another-token")


def missing_identity_token(environment: Environment) -> None:
    web_identity(environment)
    environment.set(AWS_WEB_IDENTITY_TOKEN_FILE="/missing/token")


def expired_identity_token(environment: Environment) -> None:
    web_identity(environment)
    environment.stub.failing["AssumeRoleWithWebIdentity"] = sts_error("ExpiredTokenException", 400)


def rejected_identity_token(environment: Environment) -> None:
    web_identity(environment)
    environment.stub.failing["AssumeRoleWithWebIdentity"] = sts_error("IDPRejectedClaim", 403)


def sts_that_fails(environment: Environment) -> None:
    web_identity(environment)
    environment.stub.failing["AssumeRoleWithWebIdentity"] = (200, "text/html", b"<html>hunter2</html>")


def sts_error(code: str, status: int) -> tuple[int, str, bytes]:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>made up</Message></Error></ErrorResponse>"
    return status, "text/xml", body.encode()


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(container_that_fails, marks=pytest.mark.slow),
        pytest.param(container_that_is_down, marks=pytest.mark.slow),
        process_that_fails,
        process_of_another_version,
        missing_sso_login,
        refused_sso_login,
        missing_identity_token,
        expired_identity_token,
        rejected_identity_token,
        sts_that_fails,
    ],
    ids=lambda source: source.__name__,
)
def test_a_failing_credential_source_is_unavailable(
    environment: Environment, stub: AwsStub, source: Callable[[Environment], None]
) -> None:
    """Raise a transient error that names the credentials rather than the table."""
    source(environment)

    with pytest.raises(KeyStoreUnavailableError, match="credentials") as raised:
        ServiceKeys("table").get("one")

    assert "hunter2" not in str(raised.value)
    assert stub.operations() == []


def test_a_denied_role_is_access_denied(environment: Environment) -> None:
    """Name the role, not the table or the KMS key."""
    web_identity(environment)
    environment.stub.failing["AssumeRoleWithWebIdentity"] = sts_error("AccessDenied", 403)

    with pytest.raises(KeyAccessDeniedError, match=r"refused AssumeRoleWithWebIdentity .*Check the role"):
        ServiceKeys("table").get("one")


def test_credentials_unknown_to_aws_are_unavailable(environment: Environment, stub: AwsStub) -> None:
    """Treat UnrecognizedClientException as transient: it is no statement about permissions."""
    variables(environment)
    stub.accepted = ("ASIAANOTHER", None)

    with pytest.raises(KeyStoreUnavailableError, match="UnrecognizedClientException"):
        ServiceKeys("table").get("one")


# --- responses that are not AWS's ------------------------------------------------------------------------------------

RESPONSES: dict[str, tuple[int, str, bytes]] = {
    "a page": (200, "text/html", b"<html>Sign in</html>"),
    "a page with an error": (502, "text/html", b"<html>Bad gateway</html>"),
    "a refusal without a code": (403, "text/html", b"<html>Forbidden</html>"),
    "nothing": (200, "application/x-amz-json-1.0", b""),
    "no members": (200, "application/x-amz-json-1.0", b"{}"),
    "a list": (200, "application/x-amz-json-1.0", b"[]"),
    "a text for a list": (200, "application/x-amz-json-1.0", b'{"Items": "x", "Plaintext": 5}'),
    "broken base64": (
        200,
        "application/x-amz-json-1.0",
        b'{"Items": [{"id": {"S": "one.x"}, "ciphertext": {"B": "x"}}], "Plaintext": "x"}',
    ),
    "half of it": (200, "application/x-amz-json-1.0", b'{"Items": ['),
    "an unknown code": (400, "application/x-amz-json-1.0", b'{"__type": "MadeUpException"}'),
    "a code that is no text": (400, "application/x-amz-json-1.0", b'{"__type": 5}'),
}


@pytest.mark.parametrize("operation", ["Query", "Decrypt"])
@pytest.mark.parametrize("response", RESPONSES)
def test_a_response_that_is_not_from_aws_is_unavailable(
    environment: Environment, stub: AwsStub, operation: str, response: str
) -> None:
    """Raise an error of this package for any response."""
    variables(environment)
    stub.failing[operation] = RESPONSES[response]

    with pytest.raises(KeyStoreUnavailableError, match="DynamoDB" if operation == "Query" else "KMS"):
        ServiceKeys("table").get("one")


@pytest.mark.parametrize("response", RESPONSES)
def test_a_failed_usage_stamp_does_not_fail_the_read(environment: Environment, stub: AwsStub, response: str) -> None:
    """Return the key although the response to UpdateItem is unreadable."""
    variables(environment)
    stub.failing["UpdateItem"] = RESPONSES[response]

    assert ServiceKeys("table").get("one").value == SECRET


def test_a_missing_ca_bundle_is_an_error_of_this_package(environment: Environment) -> None:
    """Raise at the first TLS connection, which reads the file."""
    variables(environment)
    environment.set(AWS_ENDPOINT_URL=environment.stub.url.replace("http:", "https:"), AWS_CA_BUNDLE="/missing.pem")

    with pytest.raises(ServiceKeysError):
        ServiceKeys("table").get("one")
