"""Gets an access token for the Spotify Web API, with the key that an administrator stored."""

import base64
import json
import os
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from service_keys import ApiKey, get_api_key

TOKEN_URL = os.environ["SPOTIFY_ACCOUNTS_URL"] + "/api/token"


class _NoRedirects(HTTPRedirectHandler):
    """Raises HTTPError for a redirect: urllib would send the Authorization header to any address it names."""

    def redirect_request(self, *_args: object, **_options: object) -> None:
        """Return no request to go on with."""


_opener = build_opener(_NoRedirects)


def handler(_event: object, _context: object) -> dict[str, Any]:
    """Tell how long the token is valid; a real function would call the Web API with it."""
    return {"expiresIn": access_token()["expires_in"]}


def access_token() -> dict[str, Any]:
    """Ask Spotify for a token; where it refuses the key, look once whether an administrator has replaced that."""
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
    # The template lets nothing but http and https through.
    request = Request(TOKEN_URL, data=b"grant_type=client_credentials", headers=headers, method="POST")  # noqa: S310
    with _opener.open(request, timeout=5) as response:
        token: dict[str, Any] = json.load(response)
    return token
