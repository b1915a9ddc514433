"""The environment, read once when a function starts, so that what is missing shows there and by name."""

from __future__ import annotations

import os
import re
from typing import Final

from service_keys.errors import ConfigurationError

CONSUMER_CACHE_TTL_SECONDS: Final = 60
"""How long consumers serve a key without looking for changes: the cache's lifetime, and `effectiveBy` of a change."""
FAKE_SERVICES_URL_VARIABLE: Final = "SERVICE_KEYS_FAKE_SERVICES_URL"
"""No template declares it, so no deployment has it."""


def table_name() -> str:
    """Return the name of the DynamoDB table that holds the keys."""
    return _required("SERVICE_KEYS_TABLE", "the name of the table, output TableName of the stack")


def kms_key() -> str:
    """Return the ARN or id of the KMS key that encrypts the keys."""
    return _required("SERVICE_KEYS_KMS_KEY", "the ARN of the KMS key, output EncryptionKeyArn of the stack")


def allowed_origin() -> str:
    """Return the one web origin from which browsers may call the API; empty if pages of other origins may not."""
    if "ALLOWED_ORIGIN" not in os.environ:
        raise ConfigurationError(
            "The environment variable ALLOWED_ORIGIN is not set. Set it to a web origin such as "
            "https://admin.example.com, or to an empty value to let no other origin call the API."
        )
    return os.environ["ALLOWED_ORIGIN"]


def metrics_namespace() -> str:
    """Return the CloudWatch namespace that counts go to; empty where metrics are switched off."""
    return os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "")


def fake_services_url() -> str | None:
    """Return what stands for the external services in a local run or a test; None on AWS, where it cannot be set.

    Raises:
        ConfigurationError: It is no address of this machine.
    """
    url = os.environ.get(FAKE_SERVICES_URL_VARIABLE)
    if url and not re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", url):
        raise ConfigurationError(
            f"{FAKE_SERVICES_URL_VARIABLE} is for local runs: http://127.0.0.1 and a port. Leave it unset on AWS."
        )
    return url or None


def _required(variable: str, meaning: str) -> str:
    # A value that was read from a file often ends in a newline.
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigurationError(f"The environment variable {variable} is not set. Set it to {meaning}.")
    return value
