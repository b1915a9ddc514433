"""The log and the metrics of the admin functions; one line, and one count, for every change an administrator makes.

No line holds a request body, a response body, or the text of an error that this package did not write. No metric has a
dimension whose values somebody outside could choose.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from service_keys import settings
from service_keys.errors import KeyStoreUnavailable, ServiceKeysError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from service_keys.models import Change

logger = Logger()
"""Service name and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL."""
metrics_namespace = settings.metrics_namespace()
"""Where counts go; empty where they are switched off."""


def count(metric: str, **dimension: str) -> None:
    """Add one to a metric, by a line on standard output, from which CloudWatch takes it (embedded metric format).

    Every metric has the dimension ``service``, which is Powertools' name for what the stack is called.

    Args:
        metric: Its name, such as ``Changes``.
        dimension: At most one more, of a few values that are known beforehand.
    """
    if not metrics_namespace:
        return
    dimensions = {"service": logger.service, **dimension}
    with single_metric(metric, MetricUnit.Count, value=1, namespace=metrics_namespace, default_dimensions=dimensions):
        pass


@dataclass(slots=True)
class Audit:
    """What is noted of a change; ``outcome`` is ``done``, ``replayed`` or, where no answer came, ``unknown``."""

    outcome: str = "done"


@contextmanager
def audited(what: str, *, key_id: str, fields: Iterable[str], change: Change) -> Iterator[Audit]:
    """Write the audit line of the change that the block makes: who did what to which key, and what came of it.

    What was done is counted as well, as ``Changes``. A change that is refused leaves no line: nothing happened.

    Args:
        what: ``create``, ``update``, ``delete`` or ``verify``.
        key_id: The key.
        fields: Names of the fields that the change sets; never their values.
        change: Who makes it, in which request.
    """
    audit = Audit()
    try:
        yield audit
    except ServiceKeysError as error:
        audit.outcome = "unknown" if isinstance(error, KeyStoreUnavailable) else ""
        raise
    except Exception:
        audit.outcome = "unknown"
        raise
    finally:
        if audit.outcome:
            _write(what, audit.outcome, key_id, sorted(fields), change)


def _write(what: str, outcome: str, key_id: str, fields: list[str], change: Change) -> None:
    line = {
        "change": what,
        "outcome": outcome,
        "keyId": key_id,
        "fields": fields,
        "principal": change.principal,
        "requestId": change.request_id,
    }
    logger.info("API key %s: %s", what, outcome, extra={"audit": line})
    if outcome == "done":
        count("Changes", change=what)
