"""GET /api/v1/admin/api-keys/{id}/history: list the changes of a key, newest first."""

from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, history_response
from service_keys.core import settings
from service_keys.store import aws_clients
from service_keys.store.repository import KeyRepository

repository = KeyRepository(aws_clients.client("dynamodb"), settings.table_name())


@api_handler
def handler(request: Request) -> Response:
    """Return one page, also for a deleted key."""
    query = request.parse_history_query()
    return history_response(repository.history_page(query), query)
