"""DELETE /api/v1/admin/api-keys/{id}: delete a key and release its name."""

from service_keys.admin.audit import audited
from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, deleted_response
from service_keys.admin.warnings import change_warnings
from service_keys.core import settings
from service_keys.store import aws_clients
from service_keys.store.recovery import KeyRecovery

keys = KeyRecovery(
    aws_clients.client("dynamodb"), settings.table_name(), history_days=settings.history_retention_days()
)
recoverable_days = settings.deleted_key_retention_days()


@api_handler
def handler(request: Request) -> Response:
    """Delete the key if it has a version in If-Match; with ``?permanent=true``, so that it cannot be restored."""
    key_id, if_match, permanent = request.key_id, request.parse_if_match(), request.parse_permanent()
    with audited("delete", key_id=key_id, fields=(), context=request.context):
        deletion = keys.delete(
            key_id, request.context, recoverable_days=recoverable_days, permanent=permanent, if_match=if_match
        )
    return deleted_response(deletion, change_warnings(keys, request.context, deletion.before, None))
