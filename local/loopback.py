"""Request filter of the local servers: reject requests from web pages, and those with a `Host` of another machine.

Any page in a browser on this machine can send requests to the loopback interface. Such requests have another `Host`
(DNS rebinding), or headers that name the sending page (`Origin`, `Sec-Fetch-Site`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?", re.IGNORECASE)
# `none`: typed URL or bookmark. `same-origin`: a page of this server, because `Host` was checked first.
_OWN_FETCHES = (None, "none", "same-origin")


def refusal(host: str | None, origin: str | None, fetch_site: str | None, *, pages: bool) -> str | None:
    """Return the reason to reject a request with these headers, or None.

    Args:
        host: The `Host` header.
        origin: The `Origin` header.
        fetch_site: The `Sec-Fetch-Site` header.
        pages: True to allow requests from pages of other origins; the server then relies on tokens.
    """
    if host is None or not _LOOPBACK.fullmatch(host):
        return "This server answers under 127.0.0.1 and localhost only. Use one of them in the URL.\n"
    if not pages and (origin is not None or fetch_site not in _OWN_FETCHES):
        return "This server is for programs on this machine, not for web pages. Call it without a browser.\n"
    return None


def loopback_only(application: WSGIApplication, *, pages: bool) -> WSGIApplication:
    """Return an application that passes on the requests for which `refusal` returns None."""

    def restricted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = (environ.get(f"HTTP_{name}") for name in ("HOST", "ORIGIN", "SEC_FETCH_SITE"))
        reason = refusal(*headers, pages=pages)
        if reason is None:
            return application(environ, start_response)
        content = reason.encode()
        start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
        return [content]

    return restricted
