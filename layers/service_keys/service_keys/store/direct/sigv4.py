"""AWS Signature Version 4 in headers (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html)."""

from __future__ import annotations

import hmac
import time
from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials:
    """An access key. Its text never appears in ``repr``.

    Attributes:
        access_key: The access key id.
        secret_key: The secret access key.
        session_token: The token of temporary credentials, or None.
    """

    __slots__ = ("access_key", "secret_key", "session_token")

    def __init__(self, access_key: str, secret_key: str, session_token: str | None = None) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.session_token = session_token

    def __repr__(self) -> str:
        return "Credentials(hidden)"


def sign(  # noqa: PLR0913 - the parts of a request, and of the scope of a signature
    method: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    service: str,
    at: float,
) -> dict[str, str]:
    """Return the headers of a signed request without a query: the given ones, ``host`` and those of the signature.

    Args:
        method: The HTTP method.
        host: The Host header: with the port, unless it is the default port.
        path: The path, normalized and encoded.
        headers: The headers to sign, without ``Host``.
        body: The body.
        credentials: The access key.
        region: The region of the endpoint.
        service: The signing name of the service.
        at: The time of the signature, in seconds since the Unix epoch.
    """
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed |= {"host": host, "x-amz-date": timestamp}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = sorted(signed)
    signed_names = ";".join(names)
    lines = [method, path, "", *(f"{name}:{signed[name]}" for name in names), "", signed_names]
    canonical = "\n".join([*lines, sha256(body).hexdigest()])
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    text = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={signed_names}, Signature={signature}"
    )
    return signed
