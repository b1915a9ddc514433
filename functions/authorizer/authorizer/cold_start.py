"""Faster first import of PyJWT; only measures that shorten the cold start belong here.

Import this module before all others. PyJWT then takes 75 % of the time (docs/decisions/20-cold-starts.md).

PyJWT imports ``cryptography.x509`` for keys in certificates, which this function does not accept: a lazy module loads
it on first use. The garbage collector is paused during the import, because imported modules are never garbage.
"""

import gc
import sys
from importlib.util import LazyLoader, find_spec, module_from_spec

_LAZY = "cryptography.x509"

gc.disable()
try:
    import cryptography

    spec = None if _LAZY in sys.modules else find_spec(_LAZY)
    if spec is not None and spec.loader is not None:
        spec.loader = LazyLoader(spec.loader)
        module = sys.modules[_LAZY] = module_from_spec(spec)
        spec.loader.exec_module(module)
        # PyJWT's `from cryptography import x509` must find this attribute: a second import by the module's name would
        # load the lazy module (https://github.com/python/cpython/issues/127036).
        cryptography.x509 = module
    import jwt  # noqa: F401
finally:
    gc.freeze()  # exempt the imported objects from later collections
    gc.enable()
