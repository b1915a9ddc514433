"""The warning about a new key of a service that is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service_keys.admin.services import SERVICES

if TYPE_CHECKING:
    from service_keys.admin.warnings import ChangeWarning

_SIMILARITY: Final = 0.75
_SIMILARITY_OF_PART: Final = 0.85
"""Higher, because a part is short: ``open`` in ``open-weather`` must not resemble ``openai`` (0.8)."""


def unknown_service_warnings(service: str) -> list[ChangeWarning]:
    """Return a warning if the service is not known: it may be misspelled, and a key's service never changes."""
    if service in SERVICES:
        return []
    similar = similar_service(service)
    advice = f"Did you mean {similar}? Then delete" if similar else "If the name is wrong, delete"
    message = (
        f"{service} is not a known service, so the format of its key was not checked, and it cannot be verified. "
        f"Consumers must ask for exactly this name. {advice} this key and store it for the right service: the service "
        "of a key never changes."
    )
    return [{"code": "UNKNOWN_SERVICE", "message": message, "similar": similar}]


def similar_service(service: str) -> str | None:
    """Return the known service that a name resembles: misspelled, or with more words, as in ``spotify-second``."""
    import difflib  # 80 KB of source that keys of known services do not need

    whole = difflib.get_close_matches(service.replace("-", ""), SERVICES, n=1, cutoff=_SIMILARITY)
    parts = (difflib.get_close_matches(part, SERVICES, n=1, cutoff=_SIMILARITY_OF_PART) for part in service.split("-"))
    return next((found[0] for found in (whole, *parts) if found), None)
