"""POST /api/v1/admin/api-keys/{id}/restore: restore a deleted key."""

from service_keys.admin.audit import audited
from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, changed_response
from service_keys.admin.schemas import parse_restore
from service_keys.admin.warnings import change_warnings
from service_keys.core import settings
from service_keys.store import aws_clients
from service_keys.store.recovery import KeyRecovery

keys = KeyRecovery(
    aws_clients.client("dynamodb"), settings.table_name(), history_days=settings.history_retention_days()
)


@api_handler
def handler(request: Request) -> Response:
    """Restore the key, under another name if the body has one."""
    request.reject_parameters()
    key_id, if_match = request.key_id, request.parse_if_match()
    fields = parse_restore(request.parse_optional_body())
    with audited("restore", key_id=key_id, fields=fields, context=request.context):
        change = keys.restore(key_id, request.context, name=fields.get("name"), if_match=if_match)
    warnings = change_warnings(keys, request.context, change.before, change.after)
    return changed_response(change.after, warnings=warnings)
