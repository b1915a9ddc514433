"""Function that reports the interpreter and the layer's native modules in a container."""

import platform
import sys
from typing import Any

import pydantic_core

import service_keys


def handler(_event: object, _context: object) -> dict[str, Any]:
    """Return the interpreter's data and the paths of the loaded modules."""
    return {
        "implementation": platform.python_implementation(),
        "version": sys.version,
        "machine": platform.machine(),
        "modules": [pydantic_core._pydantic_core.__file__, service_keys.__file__],
    }
