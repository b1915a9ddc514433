"""The services overview: each known service and each service with keys, as a response shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service_keys.admin.services import SERVICES

if TYPE_CHECKING:
    from service_keys.store.serving import ServiceSummary


def to_response(summary: ServiceSummary) -> dict[str, Any]:
    """Return the entry of a service."""
    known, serving = SERVICES.get(summary.service), summary.serving
    return {
        "service": summary.service,
        "title": known.title if known else summary.service,
        "known": known is not None,
        "verifiable": known is not None and known.verifiable,
        "fields": [field.to_response() for field in known.fields] if known else [],
        "keys": {"active": summary.active, "total": summary.total},
        "serving": serving and serving.to_response(),
        "status": _status(summary),
    }


def _status(summary: ServiceSummary) -> str:
    if summary.serving is None:
        return "disabled" if summary.total else "not_configured"
    verification = summary.serving.verification
    status = verification.status if verification else "inconclusive"
    return {"valid": "operational", "rejected": "rejected"}.get(status, "unverified")
