"""Imports PyJWT the short way, which takes a third off this function's cold start. To be imported before all else.

That import is nearly all of this function's cold start. Of what it loads for others, modules that nothing here uses
wait until somebody does; and no garbage is looked for meanwhile, since what is imported stays.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

UNUSED = (
    "ast",  # inspect's, for signatures in C
    "cryptography.x509",  # keys that come as certificates; ours come as JWKs
    "ipaddress",  # urllib.parse's, for addresses in brackets
    "locale",  # calendar's, for names of days
    "selectors",  # socket's, for sending files
    "shutil",  # tempfile's, for removing folders
    "tokenize",  # inspect's, for source code
)
"""Modules that others import as a whole (``import shutil``): ``from shutil import rmtree`` would load it at once.

And of which nothing is used by the modules that they import in turn, while those are imported: what would be a circular
import, of which Python's own locks take care, could here make two threads wait for each other, as with `LazyLoader`.
"""


def postpone(name: str) -> None:
    """Let a module wait until somebody asks for something in it. Does nothing where it is loaded already.

    `importlib.util.LazyLoader` would, but its modules load as soon as they are imported a second time
    (https://github.com/python/cpython/issues/127036), so this rests on a module's ``__getattr__`` (PEP 562) instead.
    """
    parent, _, child = name.rpartition(".")
    package = importlib.import_module(parent) if parent else None
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader, module = spec.loader, importlib.util.module_from_spec(spec)
    contents = vars(module)
    # Reentrant: while it loads, a module may look for something in itself that is not there yet.
    lock, loading = RLock(), False

    def load_and_get(attribute: str) -> Any:
        nonlocal loading
        with lock:
            if loading:
                message = f"module {name!r} has no attribute {attribute!r}"
                raise AttributeError(message)
            if contents.get("__getattr__") is load_and_get:
                loading = True
                try:
                    loader.exec_module(module)
                finally:
                    loading = False
                # Unless it has one of its own by now.
                if contents["__getattr__"] is load_and_get:
                    del contents["__getattr__"]
        return getattr(module, attribute)

    contents["__getattr__"] = load_and_get
    sys.modules[name] = module
    if package is not None:
        setattr(package, child, module)


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile, and never for any among what is there by then."""
    gc.disable()
    try:
        yield
    finally:
        # Or the first collection would go through all of it.
        gc.freeze()
        gc.enable()


with uncollected():
    for _name in UNUSED:
        postpone(_name)
    importlib.import_module("jwt")
