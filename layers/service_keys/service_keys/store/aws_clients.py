"""Construction of botocore's clients: for the admin API, and for consumers if `consumer_clients` chooses them.

Uses botocore without boto3, whose import would only slow down cold starts. The boto3 clients of a caller are botocore
clients and work too.
"""

from __future__ import annotations

import os
from typing import Any

import botocore.session
from botocore.config import Config

from service_keys.errors import ConfigurationError
from service_keys.store.aws_errors import CHECK_SETTINGS, translate_setup_errors
from service_keys.store.timeouts import ADMIN_TIMEOUTS, MAX_ATTEMPTS, Timeouts


def clients(*services: str, timeouts: Timeouts = ADMIN_TIMEOUTS) -> tuple[Any, ...]:
    """Create botocore clients whose timeouts leave the function time to return an error.

    One session for all clients reads botocore's data once, which takes a fifth less time than one session each. The
    session is discarded, because threads must not share one (https://github.com/boto/botocore/issues/1246); they may
    share clients. The environment sets the region, the credentials and, for local runs, the endpoint.

    Raises:
        ConfigurationError: A setting in the environment or in a configuration file is missing or wrong.
        KeyStoreUnavailableError: The source of the credentials is unreachable.
    """
    config = Config(
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
        retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
    )
    with translate_setup_errors():
        session = _session()
        return tuple(session.create_client(service, config=config) for service in services)


def _session() -> botocore.session.Session:
    session = botocore.session.get_session()
    # botocore does not read AWS_REGION, the variable of all other AWS SDKs.
    if not session.get_config_variable("region") and os.environ.get("AWS_REGION"):
        session.set_config_variable("region", os.environ["AWS_REGION"])
    # botocore accepts an empty region until the first call.
    if not session.get_config_variable("region"):
        raise ConfigurationError("No AWS region is set. Set AWS_REGION or AWS_DEFAULT_REGION.")
    # A client without credentials never tries to load them again.
    if session.get_credentials() is None:
        raise ConfigurationError(f"No AWS credentials were found. {CHECK_SETTINGS}")
    return session


def client(service: str, timeouts: Timeouts = ADMIN_TIMEOUTS) -> Any:
    """Create one botocore client; see `clients`."""
    return clients(service, timeouts=timeouts)[0]
