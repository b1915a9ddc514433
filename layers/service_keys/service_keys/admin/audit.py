"""The audit entry, one log line and one metric, of every change that an administrator makes."""

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
    """What is noted of a change; ``outcome`` is ``done``, ``replayed`` or, where no answer came, ``unknown``."""

    outcome: str = "done"


@contextmanager
def audited(action: str, *, key_id: str, fields: Iterable[str], context: ChangeContext) -> Iterator[AuditEntry]:
    """Write the audit line of the change that the block makes: who did what to which key, and what came of it.

    What was done is counted as well, as ``Changes``. A change that is refused leaves no line: nothing happened.

    Args:
        action: ``create``, ``update``, ``delete`` or ``verify``.
        key_id: The key.
        fields: Names of the fields that the change sets; never their values.
        context: Who makes it, in which request.
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
    if context.extended_request_id:
        line["extendedRequestId"] = context.extended_request_id
    count = count_metric("Changes", change=action) if outcome == "done" else {}
    logger.info("API key %s: %s", action, outcome, extra={"audit": line, **count})
