"""The headers of every response, with the Content-Security-Policy."""

from __future__ import annotations

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


def headers_for(sign_in: dict[str, str | None]) -> dict[str, str]:
    """Return the headers; the page may connect to its own origin and to those of the sign-in."""
    origins = [origin_of(sign_in["issuer"]), sign_in["tokenOrigin"]]
    sources = " ".join(dict.fromkeys(["'self'", *filter(None, origins)]))
    return {**_HEADERS, "Content-Security-Policy": _CSP.format(sources=sources)}
