"""POST /api/v1/admin/api-keys/{id}/rollback: return to the previous secret value."""

from service_keys.admin.audit import audited
from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, changed_response
from service_keys.core import settings
from service_keys.store import aws_clients
from service_keys.store.recovery import KeyRecovery

keys = KeyRecovery(
    aws_clients.client("dynamodb"), settings.table_name(), history_days=settings.history_retention_days()
)


@api_handler
def handler(request: Request) -> Response:
    """Exchange the secret value and the previous one in the version that If-Match names."""
    request.reject_parameters()
    request.reject_fields()
    key_id, if_match = request.key_id, request.parse_if_match()
    with audited("rollback", key_id=key_id, fields=("key",), context=request.context):
        key = keys.rollback(key_id, request.context, if_match=if_match)
    return changed_response(key)
