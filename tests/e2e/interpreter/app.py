"""Function that reports the interpreter, and the modules of both layers with their bytecode, in a container."""

import platform
import sys
from pathlib import Path
from typing import Any

import pydantic_core

import service_keys
from service_keys.admin import endpoint


def handler(_event: object, _context: object) -> dict[str, Any]:
    """Return the interpreter's data, and the paths of loaded modules and of their bytecode."""
    return {
        "implementation": platform.python_implementation(),
        "version": sys.version,
        "machine": platform.machine(),
        "modules": [pydantic_core._pydantic_core.__file__, service_keys.__file__],
        "bytecode": [module.__cached__ for module in (service_keys, endpoint) if Path(module.__cached__).is_file()],
    }
