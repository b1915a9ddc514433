"""Tests of the endpoints: compared with botocore's rules, and from the environment."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import botocore.session
import pytest
from botocore.endpoint_provider import EndpointProvider

from service_keys.errors import ConfigurationError
from service_keys.store.direct.endpoints import endpoint_of, is_known
from tests.support.slow import with_slow

KNOWN_PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
PARTITIONS: list[dict[str, Any]] = json.loads((files("botocore") / "data" / "partitions.json").read_text())[
    "partitions"
]
REGIONS = {
    partition["id"]: [name for name in partition["regions"] if not name.endswith("-global")] for partition in PARTITIONS
}
ACCOUNT = "123456789012"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_KMS", "AWS_ACCOUNT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", raising=False)
    monkeypatch.delenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", raising=False)


def by_botocore(service: str, region: str, **parameters: str) -> str:
    loader = botocore.session.get_session().get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    provider = EndpointProvider(rules, loader.load_data("partitions"))
    given = {"Region": region, "UseFIPS": False, "UseDualStack": False, **parameters}
    url: str = provider.resolve_endpoint(**given).url
    return url


@pytest.mark.parametrize("service", ["dynamodb", "kms"])
@pytest.mark.parametrize("partition", KNOWN_PARTITIONS)
def test_the_endpoint_of_each_region_is_botocores(service: str, partition: str) -> None:
    """Compare the endpoints of all regions of a known partition."""
    assert REGIONS[partition]
    for region in REGIONS[partition]:
        assert is_known(region)
        assert repr(endpoint_of(service, region)) == by_botocore(service, region)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", with_slow(["", "preferred", "PREFERRED", "required", "disabled"], "preferred", "PREFERRED")
)
@pytest.mark.parametrize("partition", KNOWN_PARTITIONS)
def test_the_endpoint_of_an_account_is_botocores(monkeypatch: pytest.MonkeyPatch, partition: str, mode: str) -> None:
    """Use the account's endpoint for DynamoDB, unless the mode is disabled, and not for KMS."""
    monkeypatch.setenv("AWS_ACCOUNT_ID", ACCOUNT)
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", mode)
    for region in REGIONS[partition]:
        expected = by_botocore("dynamodb", region, AccountId=ACCOUNT, AccountIdEndpointMode=mode.lower() or "preferred")
        assert repr(endpoint_of("dynamodb", region)) == expected
        assert repr(endpoint_of("kms", region)) == by_botocore("kms", region)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"AWS_ACCOUNT_ID_ENDPOINT_MODE": "sometimes"}, "AWS_ACCOUNT_ID_ENDPOINT_MODE is invalid. Set it to one of"),
        ({"AWS_ACCOUNT_ID_ENDPOINT_MODE": "required"}, "Set AWS_ACCOUNT_ID"),
        ({"AWS_ACCOUNT_ID": "made.up"}, "AWS_ACCOUNT_ID is invalid"),
        ({"AWS_ACCOUNT_ID": "1\r\nX-Header: 1"}, "AWS_ACCOUNT_ID is invalid"),
    ],
)
def test_a_wrong_account_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str
) -> None:
    """Raise ConfigurationError with the variable and its valid values."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=message):
        endpoint_of("dynamodb", "eu-west-1")


OTHER_REGIONS = [
    *(region for partition in PARTITIONS if partition["id"] not in KNOWN_PARTITIONS for region in partition["regions"]),
    *(f"{name}-global" for name in KNOWN_PARTITIONS),
    *("local", "", "eu-west-1.example.com", "eu-west-1/", "eu-west-1\r\nX: 1", "eu-west-1\n", "xx-west-1", "eu-wést-1"),
]


@pytest.mark.parametrize("region", OTHER_REGIONS)
def test_another_region_is_unknown(region: str) -> None:
    """Know neither regions of other partitions nor malformed ones."""
    assert not is_known(region)
    with pytest.raises(ConfigurationError, match="SERVICE_KEYS_CLIENT to botocore"):
        endpoint_of("kms", region)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://127.0.0.1:4566", "127.0.0.1:4566"),
        ("http://localhost:4566/", "localhost:4566"),
        ("http://localhost", "localhost"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com", "vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com"),
        ("https://example.com:443", "example.com"),
        ("https://example.com:8443", "example.com:8443"),
        ("https://10.0.0.1:80", "10.0.0.1:80"),
    ],
)
def test_an_endpoint_url_is_used(monkeypatch: pytest.MonkeyPatch, url: str, authority: str) -> None:
    """Take the service's own variable first, and omit the default port in the Host header."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://other.example.com")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", url)

    endpoint = endpoint_of("kms", "eu-west-1")

    assert endpoint.authority == authority
    assert endpoint.tls == url.startswith("https")
    assert endpoint_of("dynamodb", "eu-west-1").authority == "other.example.com"


def test_endpoint_urls_can_be_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Honour AWS_IGNORE_CONFIGURED_ENDPOINT_URLS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://other.example.com")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True")

    assert repr(endpoint_of("kms", "eu-west-1")) == "https://kms.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "no URL",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://example.com/path",
            "https://example.com?x",
        ),
        *(
            "https://example.com#x",
            "https://user:hunter2@example.com",
            "https://example.com:x",
            "https://example.com:99999",
        ),
        *("https://exa mple.com", "https://example.com\\@other", "https://[::1", "https://ex%61mple.com"),
    ],
)
def test_an_invalid_endpoint_url_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Raise ConfigurationError with the variable, without the URL, which may contain a password."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(ConfigurationError, match=r"^AWS_ENDPOINT_URL is invalid\. Set it to a URL such as") as raised:
        endpoint_of("kms", "eu-west-1")
    assert "hunter2" not in f"{raised.value}{raised.value.__cause__}"


@pytest.mark.parametrize("host", ["example.com", "10.0.0.1", "127.0.0.1.example.com", "[::2]", "169.254.169.254"])
def test_http_is_refused_for_other_machines(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Send plaintexts in clear text to this machine only."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://{host}:8000")
    with pytest.raises(ConfigurationError, match=r"^AWS_ENDPOINT_URL_KMS begins with http://"):
        endpoint_of("kms", "eu-west-1")
