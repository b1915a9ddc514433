"""A consumer: a Lambda function that reads a key."""

from functools import cache
from typing import Any

from service_keys import ServiceKeys, get_api_key
from service_keys.reader import default_client


def handler(_event: object, _context: object) -> str:
    """Return the secret value."""
    return get_api_key("openai").value


@cache
def _clients() -> dict[str, Any]:
    import botocore.session

    session: Any = botocore.session.get_session()
    return {f"{service}_client": session.create_client(service) for service in ("dynamodb", "kms")}


def empty_cache() -> None:
    """Empty the cache, so that the next read is a cold read; keep the clients."""
    default_client._default = ServiceKeys(**_clients())  # noqa: SLF001 - the instance of get_api_key()
