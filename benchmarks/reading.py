"""A function that reads a key."""

from service_keys import get_api_key


def handler(_event: object, _context: object) -> str:
    """Read it, without a cache when it is called for the first time, and as often as the benchmark forgets it."""
    return get_api_key("openai").value
