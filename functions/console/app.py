"""GET /console and /console/{proxy+}: serve the static files of the web console, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}
TEXT: Final = "text/plain; charset=utf-8"
# Origins that a browser accepts in a CSP; http for a loopback address only. No other character gets into a header.
_ORIGIN: Final = re.compile(
    r"(https://[a-z0-9.-]+(:[0-9]{1,5})?|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?)(?=/|\Z)"
)
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


class File(NamedTuple):
    """The text of a response and its content type."""

    text: str
    content_type: str


def _load(folder: Path) -> dict[str, File]:
    """Return the files of a folder by their path in URLs."""
    return {
        path.relative_to(folder).as_posix(): File(path.read_text(encoding="utf-8"), CONTENT_TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in CONTENT_TYPES
    }


FILES: Final = _load(Path(__file__).parent / "static")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return a file of the console, its configuration or the redirect to its page; 404 for every other path."""
    sign_in = sign_in_configuration(event.get("stageVariables") or {})
    headers = {**_HEADERS, "Content-Security-Policy": _CSP.format(sources=_connect_sources(sign_in))}
    path = (event.get("pathParameters") or {}).get("proxy")
    if path is None:
        # One slash at the start: browsers take // for another host.
        location = f"/{event['requestContext']['path'].strip('/')}/index.html"
        return _response(302, File("", TEXT), {**headers, "Location": location})
    file = File(json.dumps(sign_in), "application/json") if path == "config.json" else FILES.get(path)
    if file is None:
        return _response(404, File("There is no such file. The console is at index.html.\n", TEXT), headers)
    etag = _etag(file, headers)
    if _matches(event.get("headers") or {}, etag):
        return _response(304, File("", file.content_type), {**headers, "ETag": etag})
    return _response(200, file, {**headers, "ETag": etag})


def sign_in_configuration(variables: dict[str, str]) -> dict[str, str | None]:
    """Return the page's `config.json` for the stage variables `signIn…`.

    `signIn` is `oidc` with a usable issuer and client id, otherwise `token`: the page then accepts a pasted token.
    """
    issuer, client_id = variables.get("signInIssuer"), variables.get("signInClientId")
    origin = _origin(issuer)
    if origin is None or not client_id:
        return {"issuer": None, "clientId": None, "scopes": "openid", "tokenOrigin": None, "signIn": "token"}
    return {
        "issuer": issuer,
        "clientId": client_id,
        # Stage variables cannot contain spaces.
        "scopes": variables.get("signInScopes", "openid").replace(",", " "),
        "tokenOrigin": _origin(variables.get("signInTokenOrigin")) or origin,
        "signIn": "oidc",
    }


def _connect_sources(sign_in: dict[str, str | None]) -> str:
    origins = [_origin(sign_in["issuer"]), sign_in["tokenOrigin"]]
    return " ".join(dict.fromkeys(["'self'", *filter(None, origins)]))


def _origin(url: str | None) -> str | None:
    """Return the origin of a URL, or None if it is none that a browser may connect to."""
    match = _ORIGIN.match(url or "")
    return match[1] if match else None


def _etag(file: File, headers: dict[str, str]) -> str:
    # With the headers, because Chromium keeps the cached Content-Security-Policy after a 304.
    return f'"{hashlib.sha256(json.dumps([file, headers]).encode()).hexdigest()[:32]}"'


def _matches(headers: dict[str, str], etag: str) -> bool:
    """Return True if `If-None-Match` names the entity tag; weakly, as RFC 9110 has it."""
    given = next((value for name, value in headers.items() if name.lower() == "if-none-match"), "")
    return given.strip() == "*" or etag in (each.strip().removeprefix("W/") for each in given.split(","))


def _response(status: int, file: File, headers: dict[str, str]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Content-Type": file.content_type, **headers}, "body": file.text}
