"""DELETE /api/v1/admin/api-keys/{id}: delete a key and release its name."""

from service_keys.admin.audit import audited
from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, deleted_response
from service_keys.core import settings
from service_keys.store import aws_clients
from service_keys.store.repository import KeyRepository

repository = KeyRepository(aws_clients.client("dynamodb"), settings.table_name())


@api_handler
def handler(request: Request) -> Response:
    """Delete the key if it has a version in If-Match."""
    key_id, if_match = request.key_id, request.parse_if_match()
    with audited("delete", key_id=key_id, fields=(), context=request.context):
        key = repository.delete(key_id, request.context, if_match=if_match)
    return deleted_response(key)
