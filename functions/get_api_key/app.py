"""GET /api/v1/admin/api-keys/{id}: return one key."""

from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, key_response
from service_keys.core import settings
from service_keys.store import aws_clients
from service_keys.store.repository import KeyRepository

repository = KeyRepository(aws_clients.client("dynamodb"), settings.table_name())


@api_handler
def handler(request: Request) -> Response:
    """Read the key, without its ciphertext."""
    return key_response(repository.get(request.key_id))
