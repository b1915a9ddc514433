"""Service definition of Last.fm."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

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


class LastFm(VerifiableService):
    """The credentials of a Last.fm API account; the shared secret signs calls on behalf of a user.

    Sources: https://www.last.fm/api/authspec ("your 32-character API key"), https://www.last.fm/api/rest,
    https://www.last.fm/api/errorcodes
    """

    name = "lastfm"
    title = "Last.fm"
    fields = (
        KeyField(
            "apiKey",
            "API key",
            "^[0-9A-Za-z]{32}$",
            "a Last.fm apiKey is exactly 32 letters and digits; copy it from the page of your API accounts",
        ),
        KeyField(
            "sharedSecret",
            "Shared secret",
            VISIBLE_ASCII,
            "a Last.fm sharedSecret has no white space; copy it from the page of your API accounts",
            required=False,
        ),
    )
    expected = "a Last.fm key is an object with apiKey and optionally sharedSecret"
    _STATEMENTS: ClassVar[dict[object, ProbeResult]] = {
        10: ("rejected", "Last.fm refuses the API key (error 10): it is wrong, or was deleted."),
        26: ("rejected", "Last.fm has suspended the API key (error 26)."),
        29: ("inconclusive", "Last.fm limits the rate of requests (error 29). Try again later."),
    }

    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return a request for the first artist of the chart.

        Last.fm takes the API key as a parameter only. In the body of a POST, which serves reads as well (pylast sends
        all calls so: https://github.com/pylast/pylast/blob/main/src/pylast/__init__.py), it is not part of the URL. The
        shared secret is not checked: that would need a user's approval.
        """
        key: Any = secret_value.reveal()
        parameters = {"method": "chart.gettopartists", "limit": "1", "format": "json", "api_key": key["apiKey"]}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return ProbeRequest("POST", "ws.audioscrobbler.com", "/2.0/", headers, urlencode(parameters).encode())

    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Interpret the number in ``error``, which comes with a status of 400 or 403.

        - 10 "Invalid API key" (https://github.com/mihaiolteanu/lastfm.el/issues/6) and 26 "API Key Suspended"
          (https://github.com/rembo10/headphones/issues/3257) concern the key: rejected.
        - 4 (no permission), 8, 11 and 16 (failures), 29 (rate limit), all others and an HTML page: inconclusive.
        """
        if response.status == HTTPStatus.OK and isinstance(nested(response, "artists", "artist"), list):
            return "valid", "Last.fm gave its chart for the API key."
        error = nested(response, "error")
        if response.status < HTTPStatus.INTERNAL_SERVER_ERROR and type(error) is int and error in self._STATEMENTS:
            return self._STATEMENTS[error]
        return interpret_by_status(response, "Last.fm")
