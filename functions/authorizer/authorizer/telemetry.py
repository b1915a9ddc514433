"""What operators learn of refusals and outages: a log line for each, and a metric of refusals, from one place.

Outages are counted from the log, by the metric filter AuthorizerErrors, which sees a failed start and a timeout too.

The metric is a line in CloudWatch's embedded metric format, written here by hand: Powertools would cost the cold start
more than all else. On Lambda, what is written to stdout reaches CloudWatch as it is, whatever the format of the log.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING

from authorizer.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from authorizer.errors import ConfigurationError, KeyUnavailableError, TokenRefusedError

_logger = logging.getLogger("authorizer")


class Telemetry:
    """Writes them; must not be given anything of a token but its subject."""

    def __init__(self, stack: str, *, namespace: str, clock: Callable[[], float] = time.time) -> None:
        """Take the stack's name, and the namespace of its metrics; where that is empty, none are written."""
        self._stack = stack
        self._namespace = namespace
        self._clock = clock

    def token_rejected(self, refusal: TokenRefusedError) -> None:
        """A client gets 401: its token is not a valid one."""
        details = {"reason": refusal.reason, "claim": refusal.claim, "hint": refusal.hint}
        _logger.info("Token refused", extra={name: value for name, value in details.items() if value})
        self._count("RefusedTokens", reason=refusal.reason)

    def access_denied(self, subject: str, *, claim: str, hint: str) -> None:
        """A client gets 403: its token is valid, but not an administrator's."""
        details = {"reason": Reason.NOT_ADMINISTRATOR, "sub": subject, "claim": claim, "hint": hint}
        _logger.info("Token refused", extra=details)
        self._count("RefusedTokens", reason=Reason.NOT_ADMINISTRATOR)

    def verifier_unavailable(self, error: ConfigurationError | KeyUnavailableError) -> None:
        """A client gets 503: its token could not be checked."""
        _logger.error("No token can be checked. %s", error, extra={"reason": "key_unavailable"})

    def _count(self, metric: str, **dimensions: str) -> None:
        if not self._namespace:
            return
        # As Powertools calls it, which the other functions use.
        named = {"service": self._stack, **dimensions}
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [list(named)],
            "Metrics": [{"Name": metric, "Unit": "Count"}],
        }
        metadata = {"Timestamp": int(self._clock() * 1000), "CloudWatchMetrics": [directive]}
        # In one piece: print writes the end of the line by itself, and another line could come between.
        sys.stdout.write(json.dumps({"_aws": metadata, **named, metric: 1}) + "\n")
