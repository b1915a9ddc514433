"""Get an access token for the Spotify Web API with a stored key."""

import base64
import json
import os
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from service_keys import ApiKey, get_api_key

TOKEN_URL = os.environ["SPOTIFY_ACCOUNTS_URL"] + "/api/token"


class _NoRedirects(HTTPRedirectHandler):
    """Raises HTTPError for a redirect: urllib would send the Authorization header to the redirect target."""

    def redirect_request(self, *_args: object, **_options: object) -> None:
        """Return no request, so that urllib raises HTTPError."""


_opener = build_opener(_NoRedirects)


def handler(_event: object, _context: object) -> dict[str, Any]:
    """Return the token's lifetime in seconds; a real function would call the Web API with the token."""
    return {"expiresIn": access_token()["expires_in"]}


def access_token() -> dict[str, Any]:
    """Request a token from Spotify; if it rejects the key, refresh once, because the key may have been replaced."""
    try:
        return _ask_spotify(get_api_key("spotify"))
    except HTTPError as error:
        error.close()
        if error.code not in {400, 401}:
            raise
    return _ask_spotify(get_api_key("spotify", refresh=True))


def _ask_spotify(key: ApiKey) -> dict[str, Any]:
    # https://developer.spotify.com/documentation/web-api/tutorials/client-credentials-flow
    credentials = base64.b64encode(f"{key['clientId']}:{key['clientSecret']}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    # The template allows only http and https URLs.
    request = Request(TOKEN_URL, data=b"grant_type=client_credentials", headers=headers, method="POST")  # noqa: S310
    with _opener.open(request, timeout=5) as response:
        token: dict[str, Any] = json.load(response)
    return token
