"""The TLS context of all connections: parsing the system's certificates is the largest part of a first call."""

from __future__ import annotations

import os
import ssl

_contexts: dict[tuple[str | None, str | None], ssl.SSLContext] = {}
"""The context, by the variables from which OpenSSL takes the file and the folder of the certificates."""


def context() -> ssl.SSLContext:
    """Return the shared context: TLS 1.2 or later, the system's certificates, and a check of the hostname.

    Without a lock, which a fork could leave locked: two threads may load the certificates at once, and one result
    stays. `ssl.create_default_context` would also write the keys of the connections to the file in SSLKEYLOGFILE.
    """
    source = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    found = _contexts.get(source)
    if found is None:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        found.minimum_version = ssl.TLSVersion.TLSv1_2
        found.load_default_certs()
        _contexts[source] = found
    return found
