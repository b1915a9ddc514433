"""The clients of a consumer: the direct ones on Lambda, botocore's elsewhere."""

from __future__ import annotations

import os

from service_keys.errors import ConfigurationError
from service_keys.store.timeouts import CONSUMER_TIMEOUTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from service_keys.store.timeouts import Timeouts

CLIENT_VARIABLE: Final = "SERVICE_KEYS_CLIENT"
DIRECT, BOTOCORE = "direct", "botocore"
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_CERTIFICATES: Final = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
_OTHER_ENDPOINTS: Final = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
_ENDPOINT_URLS: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_KMS")
_CONFIGURATION: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE")


def clients(*services: str, timeouts: Timeouts = CONSUMER_TIMEOUTS) -> tuple[Any, ...]:
    """Create the clients of ``dynamodb`` and ``kms`` that the environment chooses.

    Raises:
        ConfigurationError: A setting in the environment or in a configuration file is missing or wrong.
        KeyStoreUnavailableError: The source of the credentials is unreachable.
    """
    if chosen() == DIRECT:
        return _direct(services, timeouts)
    # Imported only here: botocore takes most of the time of a first read.
    from service_keys.store import aws_clients

    return aws_clients.clients(*services, timeouts=timeouts)


def chosen() -> str:
    """Return the kind of client that the environment chooses: `DIRECT` or `BOTOCORE`.

    Raises:
        ConfigurationError: SERVICE_KEYS_CLIENT has another value, or ``direct`` lacks a setting.
    """
    requested = os.environ.get(CLIENT_VARIABLE, "").strip()
    if requested not in {"", DIRECT, BOTOCORE}:
        raise ConfigurationError(
            f"{CLIENT_VARIABLE} is invalid. Set it to {DIRECT} or {BOTOCORE}, or leave it out to use the direct client "
            "on Lambda only."
        )
    if requested == DIRECT:
        _require_settings()
    return requested or (DIRECT if _is_plain_lambda() else BOTOCORE)


def _is_plain_lambda() -> bool:
    """Return True on Lambda with keys in the environment, if no setting requires a feature of botocore."""
    from service_keys.store.direct import endpoints

    return (
        _is_set("AWS_LAMBDA_RUNTIME_API")
        and _has_credentials()
        and endpoints.is_known(_region())
        and not any(map(_asks, (*_PROXIES, *_CERTIFICATES, *_OTHER_ENDPOINTS, *_ENDPOINT_URLS, *_CONFIGURATION)))
    )


def _require_settings() -> None:
    if not _has_credentials():
        raise ConfigurationError(
            f"{CLIENT_VARIABLE} is {DIRECT}, which needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
            f"environment. Set them, or set {CLIENT_VARIABLE} to {BOTOCORE}."
        )
    if not _region():
        raise ConfigurationError("No AWS region is set. Set AWS_REGION or AWS_DEFAULT_REGION.")
    _reject(_OTHER_ENDPOINTS)


def _check_certificates() -> None:
    for name in _CERTIFICATES:
        if _is_set(name) and not os.path.isfile(os.environ[name]):  # noqa: PTH113 - pathlib costs an import
            raise ConfigurationError(
                f"{name} names no file. Set it to a file of certificates in PEM, or leave it out to trust the system's."
            )


def _reject(names: tuple[str, ...]) -> None:
    """Reject settings instead of a call without the requested proxy or endpoint."""
    for name in filter(_asks, names):
        raise ConfigurationError(
            f"{CLIENT_VARIABLE} is {DIRECT}, which does not support {name}. Remove it, or set {CLIENT_VARIABLE} to "
            f"{BOTOCORE}."
        )


def _direct(services: tuple[str, ...], timeouts: Timeouts) -> tuple[Any, ...]:
    from service_keys.store.direct import endpoints
    from service_keys.store.direct.client import DirectDynamoDB, DirectKMS

    kinds = {"dynamodb": DirectDynamoDB, "kms": DirectKMS}
    region = _region()
    found = {service: endpoints.endpoint_of(service, region) for service in services}
    if not all(endpoint.is_loopback for endpoint in found.values()):
        _reject(_PROXIES)
    if any(endpoint.tls for endpoint in found.values()):
        _check_certificates()
    return tuple(kinds[service](service, found[service], region, timeouts) for service in services)


def _has_credentials() -> bool:
    return _is_set("AWS_ACCESS_KEY_ID") and _is_set("AWS_SECRET_ACCESS_KEY")


def _region() -> str:
    # In the order of `aws_clients`.
    return os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or ""


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name))


def _asks(name: str) -> bool:
    """Return True if a variable is set; FIPS and dual-stack also have a value that turns them off."""
    value = os.environ.get(name, "")
    return bool(value) and not (name in _OTHER_ENDPOINTS and value.lower() == "false")
