"""Tests of botocore's credential sources: each creates clients and signs with its credentials."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import pytest

from service_keys import ServiceKeys, get_api_key
from service_keys.errors import ConfigurationError, KeyAccessDeniedError, KeyStoreUnavailableError, ServiceKeysError
from service_keys.reader import default_client
from tests.support.aws_stub import EXPIRY, ISSUED, LONG_TERM, SECRET, TOKEN, AwsStub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Setting = tuple[str, dict[str, str | None]]
"""The text of ~/.aws/config, and environment variables; None removes one. `PLACEHOLDERS` are replaced in both."""
Configure = Callable[[Setting], None]


def setting(config: str = "", **variables: str | None) -> Setting:
    return config, variables


START_URL: Final = "https://made-up.awsapps.com/start"
PLACEHOLDERS: Final = {
    "role": "arn:aws:iam::123456789012:role/made-up",
    "start": START_URL,
    "sso_role": "sso_account_id = 123456789012\nsso_role_name = made-up\nsso_region = eu-west-1\n",
}
"""Further ones: {home} is the home directory, {host} and {url} are those of the stub."""
DEFAULTS: Final = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "{url}", "AWS_EC2_METADATA_DISABLED": "true"}
_PROCESS: Final = dict(zip(("AccessKeyId", "SecretAccessKey", "SessionToken"), ISSUED, strict=True)) | {"Version": 1}
FILES: Final = {
    "token": TOKEN,
    "another-token": "another-token",
    "credentials": "[default]\naws_access_key_id={}\naws_secret_access_key={}\naws_session_token={}\n".format(*ISSUED),
    "issued.json": json.dumps(_PROCESS),
    "expiring.json": json.dumps(_PROCESS | {"Expiration": EXPIRY}),
}
"""Files in the home directory."""
SSO_TOKENS: Final[dict[str, dict[str, str]]] = {
    START_URL: {},
    f"{START_URL}/refused": {"accessToken": "another-token"},
    "corp": {},
    "expired": {
        "accessToken": "expired",
        "expiresAt": "2020-01-01T00:00:00Z",
        "refreshToken": "made-up-refresh",
        "clientId": "made-up",
        "clientSecret": "made-up",
        "registrationExpiresAt": EXPIRY,
    },
}
"""Tokens in botocore's cache by start URL or session name, where they differ from a valid one."""

pytestmark = pytest.mark.slow


@pytest.fixture
def stub() -> Iterator[AwsStub]:
    with AwsStub() as stub:
        yield stub


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: AwsStub) -> Configure:
    """Remove every AWS setting of this process, and return a function that applies others."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SERVICE_KEYS_TABLE", "table")
    monkeypatch.setattr(default_client, "_default", None)
    # botocore looks up the home directory at import.
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    for provider in ("botocore.credentials.SSOProvider", "botocore.tokens.SSOTokenProvider"):
        monkeypatch.setattr(f"{provider}._SSO_TOKEN_CACHE_DIR", str(cache))
    # The fixed address of the container metadata service.
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.IP_ADDRESS", stub.host)
    for session, token in SSO_TOKENS.items():
        text = {"accessToken": TOKEN, "expiresAt": EXPIRY, "startUrl": START_URL, "region": "eu-west-1"} | token
        (cache / f"{hashlib.sha1(session.encode()).hexdigest()}.json").write_text(json.dumps(text))
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    placeholders = PLACEHOLDERS | {"home": str(tmp_path), "host": stub.host, "url": stub.url}

    def configure(setting: Setting) -> None:
        config, variables = setting
        if config:
            (tmp_path / ".aws" / "config").write_text(config.format(**placeholders))
        for name, value in (DEFAULTS | variables).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value.format(**placeholders))

    return configure


VARIABLES: Final = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), ISSUED, strict=True))
CONTAINER: Final = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container"}
WEB_IDENTITY: Final = {"AWS_ROLE_ARN": "{role}", "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token"}
BY_FILE, BY_VALUE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
SSO = "[default]\n{sso_role}"
ASSUMED = "[default]\nrole_arn = {role}\n"
BASE_PROFILE = "[profile base]\naws_access_key_id = {}\naws_secret_access_key = {}\n".format(*LONG_TERM)


def sso_session(name: str) -> str:
    return f"{SSO}sso_session = {name}\n[sso-session {name}]\nsso_start_url = {{start}}\nsso_region = eu-west-1\n"


SOURCES: dict[str, Setting] = {
    "variables": setting(**VARIABLES),
    "credentials file": setting(AWS_SHARED_CREDENTIALS_FILE="{home}/credentials"),
    "web identity": setting(**WEB_IDENTITY),
    "web identity profile": setting(
        "[profile pod]\nrole_arn = {role}\nweb_identity_token_file = {home}/token\n", AWS_PROFILE="pod"
    ),
    "credential process": setting("[default]\ncredential_process = cat {home}/issued.json\n"),
    "expiring credential process": setting("[default]\ncredential_process = cat {home}/expiring.json\n"),
    "sso": setting(f"{SSO}sso_start_url = {{start}}\n"),
    "sso session": setting(sso_session("corp")),
    "expired sso session": setting(sso_session("expired")),
    "container": setting(**CONTAINER, **{BY_FILE: "{home}/token"}),
    "container with token": setting(**CONTAINER, **{BY_VALUE: TOKEN}),
    "container by path": setting(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/container", **{BY_VALUE: TOKEN}),
    "source profile": setting(f"{ASSUMED}source_profile = base\n{BASE_PROFILE}"),
    "credential source": setting(
        f"{ASSUMED}credential_source = EcsContainer\n", **CONTAINER, **{BY_FILE: "{home}/token"}
    ),
    "instance metadata": setting(AWS_EC2_METADATA_DISABLED=None, AWS_EC2_METADATA_SERVICE_ENDPOINT="{url}"),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_credential_source_signs_the_calls(configure: Configure, stub: AwsStub, source: Setting) -> None:
    """Send Query, Decrypt and UpdateItem with the access key id and the session token of the source."""
    configure(source)

    assert ServiceKeys("table").get("one").value == SECRET

    calls = [request for request in stub.requests if request.operation]
    assert [call.operation for call in calls] == ["Query", "Decrypt", "UpdateItem"]
    assert {(call.access_key, call.headers.get("x-amz-security-token")) for call in calls} == {(ISSUED[0], ISSUED[2])}


# --- settings that are missing or wrong ------------------------------------------------------------------------------

CHECK = "Check the region, the credentials"
WRONG_SETTINGS: dict[str, tuple[str, Setting]] = {
    "no credentials": ("No AWS credentials were found", setting()),
    "half of the variables": ("missing: AWS_SECRET_ACCESS_KEY", setting(AWS_ACCESS_KEY_ID="made-up")),
    "half of a profile": ("missing: aws_secret_access_key", setting("[default]\naws_access_key_id = made-up\n")),
    "no region": ("Set AWS_REGION", setting(**VARIABLES, AWS_REGION=None)),
    "empty region": ("Set AWS_REGION", setting(**VARIABLES, AWS_REGION="", AWS_DEFAULT_REGION="")),
    "malformed region": ("Check the region", setting(**VARIABLES, AWS_DEFAULT_REGION="eu west 1!")),
    "malformed endpoint": ("the endpoint", setting(**VARIABLES, AWS_ENDPOINT_URL="made-up:hunter2@")),
    "missing profile": (r"profile \(missing\)", setting(AWS_PROFILE="missing")),
    "missing source profile": ('source_profile "missing"', setting(f"{ASSUMED}source_profile = missing\n")),
    "circular source profile": (
        "Infinite loop",
        setting(
            f"{ASSUMED}source_profile = other\n[profile other]\nrole_arn = {{role}}\nsource_profile = default\n",
        ),
    ),
    "malformed file": ("Unable to parse config file", setting("[default\naws_secret_access_key = hunter2\n")),
    "web identity without a role": ("AWS_ROLE_ARN", setting(AWS_WEB_IDENTITY_TOKEN_FILE="{home}/token")),
    "sso without a start URL": ("sso_start_url", setting(SSO)),
    "missing sso session": ("sso-session", setting(f"{SSO}sso_session = missing\n")),
    "missing process": (CHECK, setting("[default]\ncredential_process = /missing/process\n")),
    "process without JSON": (CHECK, setting("[default]\ncredential_process = echo hunter2\n")),
    "process with a list": (CHECK, setting("[default]\ncredential_process = echo []\n")),
    "foreign host": (CHECK, setting(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://example.com/container")),
    "missing container token": (CHECK, setting(**CONTAINER, **{BY_FILE: "/missing/token"})),
    "malformed number": (CHECK, setting(AWS_METADATA_SERVICE_TIMEOUT="hunter2")),
    "unknown mode": (CHECK, setting(**VARIABLES, AWS_DEFAULTS_MODE="hunter2")),
}


@pytest.mark.parametrize(("words", "wrong"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
@pytest.mark.parametrize("read", [lambda: get_api_key("one"), lambda: ServiceKeys("table")], ids=["shared", "own"])
def test_a_wrong_setting_is_a_configuration_error(
    configure: Configure, stub: AwsStub, words: str, wrong: Setting, read: Callable[[], object]
) -> None:
    """Name the wrong setting without its value, and do not call AWS."""
    configure(wrong)

    with pytest.raises(ConfigurationError, match=words) as raised:
        read()

    assert "hunter2" not in str(raised.value)
    assert getattr(raised.value.__cause__, "doc", "") == ""
    assert stub.operations() == []


def test_a_corrected_setting_is_used_by_the_next_read(configure: Configure) -> None:
    """Let `get_api_key` create its clients again after a failed attempt."""
    configure(setting())
    with pytest.raises(ConfigurationError):
        get_api_key("one")

    configure(setting(**VARIABLES))

    assert get_api_key("one").value == SECRET


# --- sources that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            setting(**CONTAINER, **{BY_FILE: "{home}/another-token"}), id="container fails", marks=pytest.mark.slow
        ),
        pytest.param(
            setting(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:9/container"),
            id="container is down",
            marks=pytest.mark.slow,
        ),
        pytest.param(setting("[default]\ncredential_process = sh -c 'echo hunter2 >&2; exit 3'\n"), id="process fails"),
        pytest.param(setting("[default]\ncredential_process = echo '{{}}'\n"), id="process of another version"),
        pytest.param(setting(f"{SSO}sso_start_url = {{start}}/missing\n"), id="no SSO login"),
        pytest.param(setting(f"{SSO}sso_start_url = {{start}}/refused\n"), id="refused SSO login"),
        pytest.param(
            setting(**WEB_IDENTITY | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/missing/token"}), id="no identity token"
        ),
    ],
)
def test_a_failing_credential_source_is_unavailable(configure: Configure, stub: AwsStub, source: Setting) -> None:
    """Raise a transient error that names the credentials rather than the table."""
    configure(source)

    with pytest.raises(KeyStoreUnavailableError, match="credentials") as raised:
        ServiceKeys("table").get("one")

    assert "hunter2" not in str(raised.value)
    assert stub.operations() == []


def sts_error(code: str, status: int) -> tuple[int, str, bytes]:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>made up</Message></Error></ErrorResponse>"
    return status, "text/xml", body.encode()


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (sts_error("ExpiredTokenException", 400), KeyStoreUnavailableError, "credentials"),
        (sts_error("IDPRejectedClaim", 403), KeyStoreUnavailableError, "credentials"),
        ((200, "text/html", b"<html>hunter2</html>"), KeyStoreUnavailableError, "credentials"),
        (sts_error("AccessDenied", 403), KeyAccessDeniedError, r"refused AssumeRoleWithWebIdentity .*Check the role"),
    ],
    ids=["expired", "rejected", "page", "denied"],
)
def test_an_error_of_sts_names_credentials_or_role(
    configure: Configure, stub: AwsStub, response: tuple[int, str, bytes], error: type[Exception], words: str
) -> None:
    """Raise a transient error unless the role is denied; name neither the table nor the KMS key."""
    configure(setting(**WEB_IDENTITY))
    stub.failing["AssumeRoleWithWebIdentity"] = response

    with pytest.raises(error, match=words) as raised:
        ServiceKeys("table").get("one")

    assert "hunter2" not in str(raised.value)
    assert stub.operations() == []


def test_credentials_unknown_to_aws_are_unavailable(configure: Configure, stub: AwsStub) -> None:
    """Treat UnrecognizedClientException as transient: it is no statement about permissions."""
    configure(setting(**VARIABLES))
    stub.accepted = ("ASIAANOTHER", None)

    with pytest.raises(KeyStoreUnavailableError, match="UnrecognizedClientException"):
        ServiceKeys("table").get("one")


# --- responses that are not AWS's ------------------------------------------------------------------------------------

AWS_JSON = "application/x-amz-json-1.0"
RESPONSES: dict[str, tuple[int, str, bytes]] = {
    "a page": (200, "text/html", b"<html>Sign in</html>"),
    "a page with an error": (502, "text/html", b"<html>Bad gateway</html>"),
    "a refusal without a code": (403, "text/html", b"<html>Forbidden</html>"),
    "nothing": (200, AWS_JSON, b""),
    "no members": (200, AWS_JSON, b"{}"),
    "a list": (200, AWS_JSON, b"[]"),
    "a text for a list": (200, AWS_JSON, b'{"Items": "x", "Plaintext": 5}'),
    "no base64": (200, AWS_JSON, b'{"Items": [{"id": {"S": "one.x"}, "ciphertext": {"B": "x"}}], "Plaintext": "x"}'),
    "half of it": (200, AWS_JSON, b'{"Items": ['),
    "an unknown code": (400, AWS_JSON, b'{"__type": "MadeUpException"}'),
    "a code that is no text": (400, AWS_JSON, b'{"__type": 5}'),
}


@pytest.mark.parametrize(("operation", "service"), [("Query", "DynamoDB"), ("Decrypt", "KMS")])
@pytest.mark.parametrize("response", RESPONSES)
def test_a_response_that_is_not_from_aws_is_unavailable(
    configure: Configure, stub: AwsStub, operation: str, service: str, response: str
) -> None:
    """Raise an error of this package for any response."""
    configure(setting(**VARIABLES))
    stub.failing[operation] = RESPONSES[response]

    with pytest.raises(KeyStoreUnavailableError, match=service):
        ServiceKeys("table").get("one")


@pytest.mark.parametrize("response", RESPONSES)
def test_a_failed_usage_stamp_does_not_fail_the_read(configure: Configure, stub: AwsStub, response: str) -> None:
    """Return the key although the response to UpdateItem is unreadable."""
    configure(setting(**VARIABLES))
    stub.failing["UpdateItem"] = RESPONSES[response]

    assert ServiceKeys("table").get("one").value == SECRET


def test_a_missing_ca_bundle_is_an_error_of_this_package(configure: Configure) -> None:
    """Raise at the first TLS connection, which reads the file."""
    configure(setting(**VARIABLES, AWS_ENDPOINT_URL="https://{host}", AWS_CA_BUNDLE="/missing.pem"))

    with pytest.raises(ServiceKeysError):
        ServiceKeys("table").get("one")
