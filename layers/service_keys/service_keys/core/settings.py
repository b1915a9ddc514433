"""Settings from environment variables. Functions read them at import, so a missing one fails the start by name."""

from __future__ import annotations

import os
import re

from service_keys.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CONSUMER_CACHE_TTL_SECONDS: Final = 60
"""Cache TTL of consumers; the API derives `effectiveBy` of a change from it."""
FAKE_SERVICES_URL_VARIABLE: Final = "SERVICE_KEYS_FAKE_SERVICES_URL"
"""Only for local runs and tests: no template declares it."""


def table_name() -> str:
    """Return the name of the DynamoDB table."""
    return _required("SERVICE_KEYS_TABLE", "the name of the table, output TableName of the stack")


def kms_key() -> str:
    """Return the ARN or id of the KMS key that encrypts secret values."""
    return _required("SERVICE_KEYS_KMS_KEY", "the ARN of the KMS key, output EncryptionKeyArn of the stack")


def allowed_origin() -> str:
    """Return the allowed CORS origin of the API; empty if there is none."""
    if "ALLOWED_ORIGIN" not in os.environ:
        raise ConfigurationError(
            "The environment variable ALLOWED_ORIGIN is not set. Set it to a web origin such as "
            "https://admin.example.com, or to an empty value to let no other origin call the API."
        )
    return os.environ["ALLOWED_ORIGIN"]


def deleted_key_retention_days() -> int:
    """Return for how many days a deleted key can be restored; 0 to delete at once."""
    return _days("DELETED_KEY_RETENTION_DAYS", range(31))


def history_retention_days() -> int:
    """Return for how many days an entry of a key's history is kept."""
    return _days("HISTORY_RETENTION_DAYS", range(1, 3654))


def metrics_namespace() -> str:
    """Return the CloudWatch namespace of the metrics; empty if metrics are disabled."""
    return os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "")


def fake_services_url() -> str | None:
    """Return the base URL of the fake services in a local run or test; None on AWS.

    Raises:
        ConfigurationError: The URL is not a loopback address.
    """
    url = os.environ.get(FAKE_SERVICES_URL_VARIABLE)
    if url and not re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", url):
        raise ConfigurationError(
            f"{FAKE_SERVICES_URL_VARIABLE} is for local runs: http://127.0.0.1 and a port. Leave it unset on AWS."
        )
    return url or None


def _days(variable: str, allowed: range) -> int:
    meaning = f"a whole number of days from {allowed[0]} to {allowed[-1]}, parameter of the stack"
    text = _required(variable, meaning)
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) not in allowed:
        raise ConfigurationError(f"The environment variable {variable} is invalid. Set it to {meaning}.")
    return int(text)


def _required(variable: str, meaning: str) -> str:
    # Values read from files often end in a newline.
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigurationError(f"The environment variable {variable} is not set. Set it to {meaning}.")
    return value
