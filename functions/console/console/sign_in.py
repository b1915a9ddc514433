"""The sign-in configuration of the page, from the stage variables."""

from __future__ import annotations

import re
from typing import Final

# Origins that a browser accepts in a CSP; http for a loopback address only. No other character gets into a header.
_ORIGIN: Final = re.compile(
    r"(https://[a-z0-9.-]+(:[0-9]{1,5})?|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?)(?=/|\Z)"
)


def sign_in_configuration(variables: dict[str, str]) -> dict[str, str | None]:
    """Return the page's `config.json` for the stage variables `signIn…`.

    `signIn` is `oidc` with a usable issuer and client id, otherwise `token`: the page then accepts a pasted token.
    """
    issuer, client_id = variables.get("signInIssuer"), variables.get("signInClientId")
    origin = origin_of(issuer)
    if origin is None or not client_id:
        return {"issuer": None, "clientId": None, "scopes": "openid", "tokenOrigin": None, "signIn": "token"}
    return {
        "issuer": issuer,
        "clientId": client_id,
        # Stage variables cannot contain spaces.
        "scopes": variables.get("signInScopes", "openid").replace(",", " "),
        "tokenOrigin": origin_of(variables.get("signInTokenOrigin")) or origin,
        "signIn": "oidc",
    }


def origin_of(url: str | None) -> str | None:
    """Return the origin of a URL, or None if it is none that a browser may connect to."""
    match = _ORIGIN.match(url or "")
    return match[1] if match else None
