"""The headers of every response, with the Content-Security-Policy and the version."""

from __future__ import annotations

import re
from typing import Final

from console.sign_in import origin_of

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src {sources}; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    # Without includeSubDomains: under a base path of a custom domain the other hosts are none of ours.
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}
# No other character gets into a header.
_VERSION: Final = re.compile(r"[0-9A-Za-z.+-]{1,40}")


def headers_for(sign_in: dict[str, str | None], version: str | None) -> dict[str, str]:
    """Return the headers; the page may connect to its own origin and to those of the sign-in."""
    origins = [origin_of(sign_in["issuer"]), sign_in["tokenOrigin"]]
    sources = " ".join(dict.fromkeys(["'self'", *filter(None, origins)]))
    shown = {"X-Service-Keys-Version": version} if version and _VERSION.fullmatch(version) else {}
    return {**_HEADERS, **shown, "Content-Security-Policy": _CSP.format(sources=sources)}
