"""Function that reads a key and reports which client read it."""

import sys
from typing import Any

import service_keys


def handler(event: dict[str, str], _context: object) -> dict[str, Any]:
    """Return one field of the key, and True if botocore was loaded."""
    key = service_keys.get_api_key(event["service"])
    return {"clientId": key["clientId"], "botocore": "botocore" in sys.modules}
