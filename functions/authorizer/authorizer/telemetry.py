"""The authorizer's log lines and metrics.

The metric filter AuthorizerErrors counts errors from the log, including failed starts and timeouts.

RefusedTokens is written in CloudWatch's embedded metric format without Powertools, whose import would take more of the
cold start than everything else. Lambda passes stdout to CloudWatch unchanged in every log format.
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
    """Log and count rejected requests. Callers must pass no part of a token except its subject."""

    def __init__(self, stack: str, *, namespace: str, clock: Callable[[], float] = time.time) -> None:
        """Set the stack's name and the metrics namespace. An empty namespace disables metrics."""
        self._stack = stack
        self._namespace = namespace
        self._clock = clock

    def token_rejected(self, refusal: TokenRefusedError) -> None:
        """Log and count an invalid token (401)."""
        details = {"reason": refusal.reason, "claim": refusal.claim, "hint": refusal.hint}
        _logger.info("Token refused", extra={name: value for name, value in details.items() if value})
        self._count("RefusedTokens", reason=refusal.reason)

    def access_denied(self, subject: str, *, claim: str, hint: str) -> None:
        """Log and count a valid token that does not match the admin rule (403)."""
        details = {"reason": Reason.NOT_ADMINISTRATOR, "sub": subject, "claim": claim, "hint": hint}
        _logger.info("Token refused", extra=details)
        self._count("RefusedTokens", reason=Reason.NOT_ADMINISTRATOR)

    def verifier_unavailable(self, error: ConfigurationError | KeyUnavailableError) -> None:
        """Log an error that prevents the verification of tokens (503)."""
        _logger.error("No token can be checked. %s", error, extra={"reason": "key_unavailable"})

    def _count(self, metric: str, **dimensions: str) -> None:
        if not self._namespace:
            return
        # The dimension's name in Powertools, which the other functions use.
        named = {"service": self._stack, **dimensions}
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [list(named)],
            "Metrics": [{"Name": metric, "Unit": "Count"}],
        }
        metadata = {"Timestamp": int(self._clock() * 1000), "CloudWatchMetrics": [directive]}
        # One write: print() writes the line end separately, and another thread's line could come between.
        sys.stdout.write(json.dumps({"_aws": metadata, **named, metric: 1}) + "\n")
