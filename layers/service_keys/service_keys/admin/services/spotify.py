"""Service definition of the Spotify Web API."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from service_keys.admin.services.definition import (
    KeyField,
    ProbeRequest,
    VerifiableService,
    interpret_by_status,
    nested,
)

if TYPE_CHECKING:
    from service_keys.admin.services.definition import ProbeResponse, ProbeResult
    from service_keys.core.secret_value import SecretValue


class Spotify(VerifiableService):
    """The credentials of a Spotify Web API application.

    Sources: https://developer.spotify.com/documentation/web-api/concepts/apps,
    https://developer.spotify.com/documentation/web-api/tutorials/client-credentials-flow
    """

    name = "spotify"
    title = "Spotify Web API"
    fields = tuple(
        KeyField(
            name,
            label,
            "^[0-9a-fA-F]{32}$",
            f"a Spotify {name} is exactly 32 hexadecimal characters; copy it from the dashboard",
            secret=secret,
        )
        for name, label, secret in (("clientId", "Client ID", False), ("clientSecret", "Client secret", True))
    )
    expected = "a Spotify key is an object with exactly clientId and clientSecret, 32 hexadecimal characters each"

    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return a request for a token; clients can get any number of them."""
        fields: Any = secret_value.reveal()
        basic = base64.b64encode(f"{fields['clientId']}:{fields['clientSecret']}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        return ProbeRequest("POST", "accounts.spotify.com", "/api/token", headers, b"grant_type=client_credentials")

    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Interpret the token endpoint's OAuth 2.0 errors (RFC 6749, section 5.2).

        - 400 or 401 ``invalid_client`` means that the id or the secret is wrong ("Invalid client", "Invalid client
          secret"): rejected.
        - ``unauthorized_client`` (this client may not use this grant), ``access_denied``, ``server_error`` and all
          other errors do not concern the secret: inconclusive. So is an HTML page, such as the 403 of the service's
          load balancer (https://github.com/kraxarn/spotify-qt/issues/247).
        """
        if (
            response.status == HTTPStatus.OK
            and response.json is not None
            and isinstance(response.json.get("access_token"), str)
        ):
            return "valid", "Spotify gave a token for the key."
        error = nested(response, "error")
        if response.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED) and error == "invalid_client":
            return "rejected", "Spotify does not know this client, or its secret is another one by now."
        if (
            response.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
            and error == "unauthorized_client"
        ):
            return (
                "inconclusive",
                f"Spotify does not let this client ask for a token ({response.status}). See its dashboard.",
            )
        return interpret_by_status(response, "Spotify")
