"""Service definition of Deezer."""

from __future__ import annotations

from service_keys.admin.services.definition import VISIBLE_ASCII, KeyField, ServiceDefinition


class Deezer(ServiceDefinition):
    """The credentials of a Deezer application. They cannot be verified.

    They are of use in one call only, the exchange of a user's code for a token
    (https://developers.deezer.com/api/oauth), and public data needs no key at all.
    """

    name = "deezer"
    title = "Deezer"
    fields = (
        KeyField(
            "appId",
            "Application ID",
            VISIBLE_ASCII,
            "a Deezer appId has no white space; copy the Application ID from My Apps",
            secret=False,
        ),
        KeyField(
            "secretKey",
            "Secret key",
            VISIBLE_ASCII,
            "a Deezer secretKey has no white space; copy the Secret Key from My Apps",
        ),
    )
    expected = "a Deezer key is an object with exactly appId and secretKey"
