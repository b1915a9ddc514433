"""Endpoints of DynamoDB and KMS: by region and account, or from ``AWS_ENDPOINT_URL…``.

A test compares the names with botocore's rules for every region of the known partitions.
"""

from __future__ import annotations

import os
import re

from service_keys.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PARTITIONS: Final = (
    (r"us-gov-\w+-\d+", "amazonaws.com"),
    (r"cn-\w+-\d+", "amazonaws.com.cn"),
    (r"(?:us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+", "amazonaws.com"),
)
"""Pattern of the regions and DNS suffix of aws-us-gov, aws-cn and aws, from botocore's partitions.json."""
_ACCOUNT_ID: Final = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_HOST: Final = r"[0-9A-Za-z._:-]+"
_LOOPBACK: Final = r"localhost|127(?:\.[0-9]{1,3}){3}|::1"
_ACCOUNT_MODES: Final = ("preferred", "disabled", "required")


class Endpoint:
    """The address of a service.

    Attributes:
        host: Name or address of the host, without brackets.
        port: The TCP port.
        tls: False for http.
        authority: The Host header.
    """

    __slots__ = ("authority", "host", "port", "tls")

    def __init__(self, host: str, port: int | None = None, *, tls: bool = True) -> None:
        default = 443 if tls else 80
        self.host = host
        self.port = port or default
        self.tls = tls
        name = f"[{host}]" if ":" in host else host
        self.authority = name if self.port == default else f"{name}:{self.port}"

    def __repr__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def is_loopback(self) -> bool:
        """True for this machine."""
        return re.fullmatch(_LOOPBACK, self.host) is not None


def is_known(region: str) -> bool:
    """Return True if the region belongs to a partition whose names are known here."""
    return _suffix(region) is not None


def endpoint_of(service: str, region: str) -> Endpoint:
    """Return the endpoint of ``dynamodb`` or ``kms``: the one in the environment, or AWS's.

    Raises:
        ConfigurationError: The region, the URL or a setting of account endpoints is invalid.
    """
    return _from_environment(service) or _of_aws(service, region)


def _of_aws(service: str, region: str) -> Endpoint:
    suffix = _suffix(region)
    if suffix is None:
        raise ConfigurationError(
            "The direct client does not know the endpoints of this AWS region. "
            "Check AWS_REGION, or set SERVICE_KEYS_CLIENT to botocore."
        )
    account = _account() if service == "dynamodb" else None
    # In the partition aws, an account has an endpoint of its own for DynamoDB.
    return Endpoint(f"{account}.ddb.{region}.{suffix}" if account else f"{service}.{region}.{suffix}")


def _suffix(region: str) -> str | None:
    for pattern, suffix in _PARTITIONS:
        if re.fullmatch(pattern, region) and region.isascii():
            return suffix
    return None


def _account() -> str | None:
    """Return the account whose endpoint to use, or None for the endpoint of the region."""
    mode = os.environ.get("AWS_ACCOUNT_ID_ENDPOINT_MODE", "").lower() or "preferred"
    account = os.environ.get("AWS_ACCOUNT_ID")
    if mode not in _ACCOUNT_MODES:
        raise ConfigurationError(
            f"AWS_ACCOUNT_ID_ENDPOINT_MODE is invalid. Set it to one of {', '.join(_ACCOUNT_MODES)}."
        )
    if mode == "required" and not account:
        raise ConfigurationError("AWS_ACCOUNT_ID_ENDPOINT_MODE requires an account. Set AWS_ACCOUNT_ID.")
    if mode == "disabled" or not account:
        return None
    if not re.fullmatch(_ACCOUNT_ID, account):
        raise ConfigurationError("AWS_ACCOUNT_ID is invalid. Set it to the 12 digits of the account, or leave it out.")
    return account


def _from_environment(service: str) -> Endpoint | None:
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    for name in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            return _parse(url, name)
    return None


def _parse(url: str, name: str) -> Endpoint:
    # Imported here, because AWS's endpoints need no URL.
    from urllib.parse import urlsplit

    invalid = ConfigurationError(f"{name} is invalid. Set it to a URL such as https://host:8000, without a path.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise invalid from None
    is_plain = parts.path in {"", "/"} and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme not in {"http", "https"} or not re.fullmatch(_HOST, host) or not is_plain:
        raise invalid
    endpoint = Endpoint(host, port, tls=parts.scheme == "https")
    if not endpoint.tls and not endpoint.is_loopback:
        raise ConfigurationError(f"{name} begins with http://, which is only for this machine. Use https://.")
    return endpoint
