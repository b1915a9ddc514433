"""Leaves out of a cold start what PyJWT imports for others: a quarter of this function's.

To be imported before PyJWT. A module named here is loaded when somebody asks for something in it, by the recipe of
https://docs.python.org/3/library/importlib.html#implementing-lazy-imports.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

UNUSED = (
    "cryptography.x509",  # keys that come as certificates; ours come as JWKs
    "urllib.request",  # PyJWT's own fetch of a key set; ours is in bounded_download
)


def postpone(name: str) -> None:
    """Let a module wait until it is used. Does nothing where it is loaded already."""
    parent, _, child = name.rpartition(".")
    package = importlib.import_module(parent)
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    setattr(package, child, module)


for _name in UNUSED:
    postpone(_name)
