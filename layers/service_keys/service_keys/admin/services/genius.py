"""Service definition of Genius."""

from __future__ import annotations

import dataclasses
from http import HTTPStatus
from typing import TYPE_CHECKING

from service_keys.admin.services.definition import (
    VISIBLE_ASCII,
    KeyField,
    ProbeRequest,
    VerifiableService,
    interpret_by_status,
    nested,
)

if TYPE_CHECKING:
    from service_keys.admin.services.definition import ProbeResponse, ProbeResult
    from service_keys.core.secret_value import SecretValue


class Genius(VerifiableService):
    """The client access token of a Genius API client, optionally with the client's id and secret for users' sign-in.

    Source: https://docs.genius.com (making requests, authentication), which states no format.
    """

    name = "genius"
    title = "Genius"
    fields = (
        KeyField(
            None,
            "Client access token",
            VISIBLE_ASCII,
            "a Genius client access token has no white space; generate it on the page of your API clients",
        ),
    )
    object_fields = (
        dataclasses.replace(fields[0], name="accessToken"),
        *(
            KeyField(
                name,
                label,
                VISIBLE_ASCII,
                f"a Genius {name} has no white space; copy it from the page of your API clients",
                secret=secret,
                required=False,
            )
            for name, label, secret in (("clientId", "Client ID", False), ("clientSecret", "Client secret", True))
        ),
    )
    expected = "a Genius key is a string, or an object with accessToken and optionally clientId and clientSecret"

    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return a search, which needs no user."""
        key = secret_value.reveal()
        token = key if isinstance(key, str) else key["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}
        return ProbeRequest("GET", "api.genius.com", "/search?q=genius&per_page=1", headers)

    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Interpret the OAuth 2.0 error (RFC 6750, section 3.1).

        - 401 ``invalid_token``: "expired, revoked, malformed or invalid for other reasons"
          (https://github.com/zyrouge/node-genius-lyrics/issues/34): rejected.
        - 401 with ``meta`` only ("This call requires an access_token",
          https://github.com/DuncteBot/java-timed-lyrics/issues/3) says that no token arrived: inconclusive. So is the
          HTML page of a firewall, which the first report shows as well.
        """
        if response.status == HTTPStatus.OK and isinstance(nested(response, "response", "hits"), list):
            return "valid", "Genius answered a search with the token."
        if response.status == HTTPStatus.UNAUTHORIZED and nested(response, "error") == "invalid_token":
            return "rejected", "Genius refuses the token (401): it is wrong, has expired, or was revoked."
        return interpret_by_status(response, "Genius")
