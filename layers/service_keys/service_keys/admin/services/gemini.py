"""Service definition of Google Gemini."""

from __future__ import annotations

from service_keys.admin.services.google import GoogleService


class Gemini(GoogleService):
    """An API key for the Gemini API.

    Source: https://ai.google.dev/api/models#method:-models.list
    """

    name = "gemini"
    title = "Google Gemini"
    host = "generativelanguage.googleapis.com"
    path = "/v1beta/models?pageSize=1"
    items = "models"
