"""A consumer whose keys are in another account: it assumes a role there, for its reads of keys and nothing else."""

from typing import Any

import botocore.session
from botocore.config import Config

from service_keys import ServiceKeys

# Clients of this session assume the role of service_keys.ini and renew its credentials before they expire.
session = botocore.session.Session(profile="service-keys")


def client(service: str) -> Any:
    """Create a client that gives up in time: botocore's own timeouts are 60 seconds."""
    config = Config(connect_timeout=0.5, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
    return session.create_client(service, config=config)


keys = ServiceKeys(dynamodb_client=client("dynamodb"), kms_client=client("kms"))


def handler(event: object, context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Read the key; return its id and version, which are not secret."""
    key = keys.get("spotify")
    return {"id": key.id, "version": key.version}
