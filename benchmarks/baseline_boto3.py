"""Baseline of a cold start: boto3, the function's clients and its AWS calls."""

import os
from typing import Any

import boto3

_create_client: Any = boto3.client
clients: dict[str, Any] = {name: _create_client(name) for name in os.environ["BASELINE_CLIENTS"].split()}


def handler(event: dict[str, Any], _context: object) -> None:
    """Call AWS."""
    for service, operation, parameters in event["calls"]:
        clients[service]._make_api_call(operation, parameters)  # noqa: SLF001 - get_item() and the others call it
