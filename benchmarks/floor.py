"""The floor: boto3, the clients that a function needs, and the function's own calls, with nothing around them."""

import os
from typing import Any

import boto3

_client: Any = boto3.client
clients: dict[str, Any] = {name: _client(name) for name in os.environ["FLOOR_CLIENTS"].split()}


def handler(event: dict[str, Any], _context: object) -> None:
    """Make the calls."""
    for service, operation, parameters in event["calls"]:
        clients[service]._make_api_call(operation, parameters)  # noqa: SLF001 - what get_item() and the others are
