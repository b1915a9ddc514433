"""Warnings of changes: effects on consumers that an administrator may not expect. A warning is not an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service_keys.admin.observability import count_metric, logger
from service_keys.core.names import normalize_name
from service_keys.core.timestamps import now_ms
from service_keys.errors import KeyAccessDeniedError

if TYPE_CHECKING:
    from service_keys.core.models import ChangeContext, StoredKey
    from service_keys.store.repository import KeyRepository
    from service_keys.store.serving import ServedKey

ChangeWarning = dict[str, Any]
"""The warning as in a response: ``code``, ``message`` and, by code, ``similar``, ``before`` and ``now``."""
_LATEST_MS: Final = 15_000
"""Latest start of the Query, in milliseconds after the request: it must end before the function's timeout."""


def change_warnings(
    repository: KeyRepository, context: ChangeContext, before: StoredKey | None, after: StoredKey | None
) -> list[ChangeWarning]:
    """Return the warnings of a change that has been written, whose response must not depend on them.

    Args:
        repository: The table of keys.
        context: The request.
        before: The changed key before the change; None if it is new.
        after: The changed key after the change; None if it was deleted.
    """
    return [*_name_warnings(before, after), *_serving_warnings(repository, context, before, after)]


def _name_warnings(before: StoredKey | None, after: StoredKey | None) -> list[ChangeWarning]:
    if not before or not after or normalize_name(before.name) == normalize_name(after.name):
        return []
    message = (
        "The key has another name now. Consumers that read it by its former name get an error: change name= in their "
        "code, or rename the key back."
    )
    return [{"code": "NAME_CHANGED", "message": message, "before": _to_response(before), "now": _to_response(after)}]


def _serving_warnings(
    repository: KeyRepository, context: ChangeContext, before: StoredKey | None, after: StoredKey | None
) -> list[ChangeWarning]:
    try:
        if now_ms() - context.at_ms > _LATEST_MS:
            raise TimeoutError  # noqa: TRY301 - handled like a failed Query
        found = repository.serving_change(before, after)
    except Exception as error:  # noqa: BLE001 - the change is written, so its response must be a success
        count = count_metric("AccessDenied") if isinstance(error, KeyAccessDeniedError) else {}
        logger.warning(
            "The effect of a change on consumers could not be read, so its response has no warning of it",
            extra={"requestId": context.request_id, "errorType": type(error).__qualname__, **count},
        )
        return []
    if found is None or found.before is None or found.before == found.now:
        return []
    if found.now is None:
        message = (
            "The service has no active key any more: consumers get an error within 60 seconds. Enable, restore or "
            "store a key if they still need one."
        )
        return [{"code": "SERVICE_WITHOUT_ACTIVE_KEY", "message": message, "before": _to_response(found.before)}]
    message = (
        "Consumers of the service get another key within 60 seconds, because they get the newest active one. If that "
        "is not intended, disable the key in now, or undo this change."
    )
    pair = {"before": _to_response(found.before), "now": _to_response(found.now)}
    return [{"code": "SERVING_CHANGED", "message": message, **pair}]


def _to_response(key: ServedKey | StoredKey) -> dict[str, str]:
    return {"id": key.id, "name": key.name}
