"""Logs and metrics of the admin functions.

No log line contains a request body, a response body, or the message of another package's error. Clients control no
metric dimension's values.
"""

from __future__ import annotations

import itertools
import logging
import time
from typing import Final

from service_keys.admin.dependencies import missing
from service_keys.core import settings
from service_keys.errors import LONGEST_MESSAGE

try:
    from aws_lambda_powertools import Logger
except ImportError as error:
    raise missing(error) from error

logger = Logger(location=None)
"""Reads its service name and level from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL."""
STRING_MAX_LENGTH: Final = 256
"""Maximum characters of a string in a log line, except the message."""
ITEMS_MAX: Final = 20
"""Maximum entries of a list or an object in a log line."""


class _Bounds(logging.Filter):
    """Truncate the fields of log lines, whose values can come from large requests or AWS responses."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if len(message) > LONGEST_MESSAGE:
            record.msg, record.args = f"{message[: LONGEST_MESSAGE - 1]}…", None
        for name, value in record.__dict__.items():
            if name not in _OWN_ATTRIBUTES:
                record.__dict__[name] = bounded(value)
        return True


_OWN_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({})))


def bounded(value: object) -> object:
    """Return the value of a log field with long strings, lists and objects truncated."""
    match value:
        case str():
            return value if len(value) <= STRING_MAX_LENGTH else f"{value[: STRING_MAX_LENGTH - 1]}…"
        case dict():
            return {bounded(key): bounded(each) for key, each in itertools.islice(value.items(), ITEMS_MAX)}
        case list() | tuple():
            return [bounded(each) for each in value[:ITEMS_MAX]]
    return value


logger.registered_handler.addFilter(_Bounds())
metrics_namespace = settings.metrics_namespace()
"""Namespace of the metrics; empty disables them."""


def count_metric(metric: str, **dimension: str) -> dict[str, object]:
    """Return ``extra`` fields that turn a log line into an EMF document counting 1.

    Every metric has the dimension ``service``, the stack's name, which Powertools adds to every log line.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

    Args:
        metric: The name, such as ``Changes``.
        dimension: At most one additional dimension, with a small fixed set of values.
    """
    if not metrics_namespace:
        return {}
    directive = {
        "Namespace": metrics_namespace,
        "Dimensions": [["service", *dimension]],
        "Metrics": [{"Name": metric, "Unit": "Count"}],
    }
    return {
        "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]},
        **dimension,
        metric: 1,
    }
