"""Audit log: one log line and one metric for each administrator change."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service_keys.admin.observability import count_metric, logger
from service_keys.errors import KeyStoreUnavailableError, ServiceKeysError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from service_keys.core.models import ChangeContext


@dataclass(slots=True)
class AuditEntry:
    """The result of a change: ``done``, ``replayed`` or, if the store did not confirm it, ``unknown``."""

    outcome: str = "done"


@contextmanager
def audited(action: str, *, key_id: str, fields: Iterable[str], context: ChangeContext) -> Iterator[AuditEntry]:
    """Write the audit line of the change in the block: principal, action, key and outcome.

    Count a change with the outcome ``done`` in the metric ``Changes``. Write nothing for a rejected change.

    Args:
        action: ``create``, ``update``, ``rollback``, ``delete``, ``restore`` or ``verify``.
        key_id: The key.
        fields: The names of the changed fields, without their values.
        context: The principal and the request.
    """
    audit = AuditEntry()
    try:
        yield audit
    except ServiceKeysError as error:
        audit.outcome = "unknown" if isinstance(error, KeyStoreUnavailableError) else ""
        raise
    except Exception:
        audit.outcome = "unknown"
        raise
    finally:
        if audit.outcome:
            _write_audit_line(action, audit.outcome, key_id, sorted(fields), context)


def _write_audit_line(action: str, outcome: str, key_id: str, fields: list[str], context: ChangeContext) -> None:
    line = {
        "change": action,
        "outcome": outcome,
        "keyId": key_id,
        "fields": fields,
        "principal": context.principal,
        "requestId": context.request_id,
    }
    if context.principal_name:
        line["principalName"] = context.principal_name
    if context.extended_request_id:
        line["extendedRequestId"] = context.extended_request_id
    count = count_metric("Changes", change=action) if outcome == "done" else {}
    logger.info("API key %s: %s", action, outcome, extra={"audit": line, **count})
