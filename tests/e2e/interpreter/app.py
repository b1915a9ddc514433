"""Tells which interpreter and which of the layer's native modules a container runs."""

import platform
import sys
from typing import Any

import pydantic_core

import service_keys


def handler(_event: object, _context: object) -> dict[str, Any]:
    """Answer with what this process has loaded."""
    return {
        "implementation": platform.python_implementation(),
        "version": sys.version,
        "machine": platform.machine(),
        "modules": [pydantic_core._pydantic_core.__file__, service_keys.__file__],
    }
