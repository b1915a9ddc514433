"""Tests of the choice of a consumer's clients."""

from __future__ import annotations

import itertools
import os
from contextlib import closing
from typing import TYPE_CHECKING

import botocore.client
import pytest

from service_keys import ServiceKeys
from service_keys.errors import ConfigurationError
from service_keys.store import consumer_clients
from service_keys.store.consumer_clients import BOTOCORE, DIRECT, chosen
from service_keys.store.direct.client import DirectClient, DirectDynamoDB, DirectKMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Environment = Callable[[Mapping[str, str]], None]

LAMBDA = {
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
    "AWS_ACCESS_KEY_ID": "ASIAMADEUP",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_SESSION_TOKEN": "made-up",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Replace the environment, without any other setting of AWS or a proxy."""

    def replace(values: Mapping[str, str]) -> None:
        for name in list(os.environ):
            if name.startswith(("AWS_", "SERVICE_KEYS_")) or name.lower().endswith("_proxy") or name.endswith("BUNDLE"):
                monkeypatch.delenv(name)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return replace


ASKS_FOR_MORE = {
    **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://p:1"),
    **dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_KMS"), "http://127.0.0.1:1"),
    **dict.fromkeys(("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), "/made/up.pem"),
    **dict.fromkeys(("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"), "true"),
    **dict.fromkeys(("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE"), "made-up"),
}
CHOICES: dict[str, tuple[dict[str, str], str]] = {
    "Lambda": ({}, DIRECT),
    "Lambda, AWS_REGION alone": ({"AWS_DEFAULT_REGION": ""}, DIRECT),
    "Lambda, AWS_DEFAULT_REGION alone": ({"AWS_REGION": ""}, DIRECT),
    "Lambda, long-term key": ({"AWS_SESSION_TOKEN": ""}, DIRECT),
    "Lambda, China": ({"AWS_REGION": "cn-north-1", "AWS_DEFAULT_REGION": "cn-north-1"}, DIRECT),
    "Lambda, account": ({"AWS_ACCOUNT_ID": "123456789012"}, DIRECT),
    "Lambda, NO_PROXY alone": ({"NO_PROXY": "*", "no_proxy": "*"}, DIRECT),
    "Lambda, other variables of AWS": ({"AWS_SDK_UA_APP_ID": "x", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, DIRECT),
    "Lambda, FIPS turned off": ({"AWS_USE_FIPS_ENDPOINT": "False"}, DIRECT),
    "Lambda, FIPS unclear": ({"AWS_USE_FIPS_ENDPOINT": "1"}, BOTOCORE),
    "elsewhere": ({"AWS_LAMBDA_RUNTIME_API": ""}, BOTOCORE),
    "SnapStart: no access key": ({"AWS_ACCESS_KEY_ID": ""}, BOTOCORE),
    "no secret": ({"AWS_SECRET_ACCESS_KEY": ""}, BOTOCORE),
    "no region": ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, BOTOCORE),
    "unknown partition": ({"AWS_REGION": "us-iso-east-1", "AWS_DEFAULT_REGION": "us-iso-east-1"}, BOTOCORE),
    **{f"Lambda, {name}": ({name: value}, BOTOCORE) for name, value in ASKS_FOR_MORE.items()},
    **{f"Lambda, {name} empty": ({name: ""}, DIRECT) for name in ASKS_FOR_MORE},
    "botocore requested": ({"SERVICE_KEYS_CLIENT": "botocore"}, BOTOCORE),
    "empty request": ({"SERVICE_KEYS_CLIENT": ""}, DIRECT),
    "request with a newline": ({"SERVICE_KEYS_CLIENT": "botocore\n"}, BOTOCORE),
    "direct requested elsewhere": ({"SERVICE_KEYS_CLIENT": "direct", "AWS_LAMBDA_RUNTIME_API": ""}, DIRECT),
}


@pytest.mark.parametrize("title", CHOICES)
def test_the_environment_chooses_the_client(environment: Environment, title: str) -> None:
    """Choose the direct client on Lambda, unless a setting asks for more than it does."""
    changes, expected = CHOICES[title]
    environment(LAMBDA | changes)

    assert chosen() == expected


@pytest.mark.parametrize("name", ASKS_FOR_MORE)
def test_botocore_requested_allows_every_setting(environment: Environment, name: str) -> None:
    """Leave other settings to botocore."""
    environment(LAMBDA | {"SERVICE_KEYS_CLIENT": "botocore", name: ASKS_FOR_MORE[name]})

    assert chosen() == BOTOCORE


@pytest.mark.parametrize("value", ["Direct", "boto3", "direct,botocore", "true", "auto"])
def test_another_client_is_a_configuration_error(environment: Environment, value: str) -> None:
    """Name the variable and its values."""
    environment(LAMBDA | {"SERVICE_KEYS_CLIENT": value})
    with pytest.raises(ConfigurationError, match=r"SERVICE_KEYS_CLIENT is invalid\. Set it to direct or botocore"):
        ServiceKeys("table")


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "no access key": ({"AWS_ACCESS_KEY_ID": ""}, "needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "no secret": ({"AWS_SECRET_ACCESS_KEY": ""}, "needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "no region": ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "Set AWS_REGION or AWS_DEFAULT_REGION"),
    "unknown region": ({"AWS_DEFAULT_REGION": "us-iso-east-1"}, "does not know the endpoints of this AWS region"),
    **{
        name: ({name: ASKS_FOR_MORE[name]}, f"does not support {name}. Remove it, or set SERVICE_KEYS_CLIENT")
        for name in ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
    },
    **{
        name: ({name: ASKS_FOR_MORE[name]}, f"{name} names no file. Set it to a file of certificates")
        for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
    },
    **{
        name: ({name: "http://hunter2@p:1"}, f"does not support {name}")
        for name in ASKS_FOR_MORE
        if name.lower().endswith("proxy")
    },
}


@pytest.mark.parametrize("title", WRONG)
def test_direct_requested_rejects_settings_it_cannot_follow(environment: Environment, title: str) -> None:
    """Raise ConfigurationError instead of a call without the requested proxy, certificates or FIPS."""
    changes, message = WRONG[title]
    environment(LAMBDA | {"SERVICE_KEYS_CLIENT": "direct"} | changes)
    with pytest.raises(ConfigurationError, match=message) as raised:
        ServiceKeys("table")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_proxy_and_certificates_are_irrelevant_on_loopback(environment: Environment, name: str) -> None:
    """Ignore the settings if both endpoints are on this machine, without TLS."""
    local = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "SERVICE_KEYS_CLIENT": "direct"}
    environment(LAMBDA | local | {name: ASKS_FOR_MORE[name]})

    dynamodb, kms = consumer_clients.clients("dynamodb", "kms")

    assert (repr(dynamodb), repr(kms)) == (
        "<DirectDynamoDB http://127.0.0.1:4566>",
        "<DirectKMS http://127.0.0.1:4566>",
    )


@pytest.mark.parametrize(("changes", "is_direct"), [({}, True), ({"AWS_LAMBDA_RUNTIME_API": ""}, False)])
def test_the_chosen_clients_are_created(environment: Environment, changes: dict[str, str], *, is_direct: bool) -> None:
    """Create both clients, or one."""
    environment(LAMBDA | changes)
    for services in (("dynamodb", "kms"), ("kms",), ("dynamodb",)):
        for client in consumer_clients.clients(*services):
            with closing(client):
                assert isinstance(client, DirectClient if is_direct else botocore.client.BaseClient)


def test_a_given_client_is_used_as_it_is(environment: Environment) -> None:
    """Create only the client that the caller leaves out."""
    environment(LAMBDA)
    given = object()
    for names in itertools.chain.from_iterable(
        itertools.combinations(("dynamodb_client", "kms_client"), number) for number in (1, 2)
    ):
        options: dict[str, object] = dict.fromkeys(names, given)
        repository, kms = ServiceKeys("table", **options)._aws()  # type: ignore[arg-type]
        assert (repository._client is given) == ("dynamodb_client" in names)
        assert isinstance(repository._client, DirectDynamoDB) == ("dynamodb_client" not in names)
        assert (kms is given) == ("kms_client" in names)
        assert isinstance(kms, DirectKMS) == ("kms_client" not in names)
