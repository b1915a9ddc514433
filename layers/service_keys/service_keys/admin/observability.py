"""The log and the metrics of the admin functions.

No line holds a request body, a response body, or the text of an error that this package did not write. No metric has a
dimension whose values a client could choose.
"""

from __future__ import annotations

import itertools
import logging
import time
from typing import Final

from aws_lambda_powertools import Logger

from service_keys.core import settings
from service_keys.errors import LONGEST_MESSAGE

logger = Logger(location=None)
"""Service name and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL."""
STRING_MAX_LENGTH: Final = 256
"""Characters of a string in a log line, other than its message."""
ITEMS_MAX: Final = 20
"""Entries of a list or an object in a log line."""


class _Bounds(logging.Filter):
    """Cuts the fields of a log line, so that none grows with a request or with a response of AWS."""

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
    """Return the value of a log line's field without the excess of a long string, list or object."""
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
"""Where counts go; empty where they are switched off."""


def count_metric(metric: str, **dimension: str) -> dict[str, object]:
    """Return what makes a log line add one to a metric: its ``extra``, in CloudWatch's embedded metric format.

    One line for both, written once. Every metric has the dimension ``service``, which is Powertools' name for what the
    stack is called, and which Powertools writes into every line.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

    Args:
        metric: Its name, such as ``Changes``.
        dimension: At most one more, of a few values that are known beforehand.
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
