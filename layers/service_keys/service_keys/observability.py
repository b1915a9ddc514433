"""The log. One logger for the admin functions, and one line for every change an administrator makes.

No line holds a request body, a response body, or the text of an error that this package did not write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from service_keys.models import Change

logger = Logger()
"""Service name and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL."""


def audit(what: str, *, key_id: str, fields: Iterable[str], change: Change) -> None:
    """Write the audit line of a change: who did what to which key.

    Args:
        what: ``created``, ``updated`` or ``deleted``.
        key_id: The key.
        fields: Names of the fields that the change set; never their values.
        change: Who did it, in which request.
    """
    logger.info(
        "API key %s",
        what,
        extra={
            "audit": {
                "change": what,
                "keyId": key_id,
                "fields": sorted(fields),
                "principal": change.principal,
                "requestId": change.request_id,
            }
        },
    )
