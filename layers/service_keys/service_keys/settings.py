"""The environment, read once when a function starts, so that what is missing shows there and by name."""

from __future__ import annotations

import os

from service_keys.errors import ConfigurationError


def table_name() -> str:
    """Return the name of the DynamoDB table that holds the keys."""
    return _required("SERVICE_KEYS_TABLE", "the name of the table, output TableName of the stack")


def kms_key() -> str:
    """Return the ARN or id of the KMS key that encrypts the keys."""
    return _required("SERVICE_KEYS_KMS_KEY", "the ARN of the KMS key, output EncryptionKeyArn of the stack")


def allowed_origin() -> str:
    """Return the one web origin from which browsers may call the API."""
    return _required("ALLOWED_ORIGIN", "a web origin such as https://admin.example.com")


def _required(variable: str, meaning: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise ConfigurationError(f"The environment variable {variable} is not set. Set it to {meaning}.")
    return value
