"""Service definition of the YouTube Data API."""

from __future__ import annotations

from service_keys.admin.services.google import GoogleService


class YouTube(GoogleService):
    """An API key for the YouTube Data API.

    The probe costs one of the 10,000 units that a project has each day, and no money:
    https://developers.google.com/youtube/v3/docs/i18nLanguages/list
    """

    name = "youtube"
    title = "YouTube Data API"
    host = "youtube.googleapis.com"
    path = "/youtube/v3/i18nLanguages?part=snippet"
    items = "items"
