"""Refuse web pages at servers that are meant for programs on this machine.

Every page that a browser on this machine shows can send requests to the loopback interface. Two things tell them apart:
the `Host` of a page that reaches it under a name of its own (DNS rebinding), and the headers by which browsers name the
page that sends a request (`Origin`, `Sec-Fetch-Site`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?", re.IGNORECASE)
# `none`: typed by the user, or opened from a bookmark. `same-origin`: a page of this server, as `Host` has shown.
_OWN_FETCHES = (None, "none", "same-origin")


def refusal(host: str | None, origin: str | None, fetch_site: str | None, *, pages: bool) -> str | None:
    """Return the reason to refuse a request with these headers, or None.

    Args:
        host: `Host`.
        origin: `Origin`.
        fetch_site: `Sec-Fetch-Site`.
        pages: Let pages of other origins send requests, whose tokens then decide.
    """
    if host is None or not _LOOPBACK.fullmatch(host):
        return "This server answers under 127.0.0.1 and localhost only. Use one of them in the URL.\n"
    if not pages and (origin is not None or fetch_site not in _OWN_FETCHES):
        return "This server is for programs on this machine, not for web pages. Call it without a browser.\n"
    return None


class LoopbackOnly:
    """A WSGI application that answers what `refusal` lets through, by another application."""

    def __init__(self, application: WSGIApplication, *, pages: bool) -> None:
        self._application = application
        self._pages = pages

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        headers = (environ.get(f"HTTP_{name}") for name in ("HOST", "ORIGIN", "SEC_FETCH_SITE"))
        reason = refusal(*headers, pages=self._pages)
        if reason is None:
            return self._application(environ, start_response)
        content = reason.encode()
        start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
        return [content]
