"""GET /api/v1/admin/services: list the known services and those with keys, with the key that consumers get."""

from service_keys.admin import overview
from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, services_response
from service_keys.admin.services import SERVICES
from service_keys.core import settings
from service_keys.store import aws_clients
from service_keys.store.repository import KeyRepository

repository = KeyRepository(aws_clients.client("dynamodb"), settings.table_name())


@api_handler
def handler(request: Request) -> Response:
    """Summarize the services, without ciphertexts."""
    request.reject_parameters()
    found = repository.overview(tuple(SERVICES))
    return services_response([overview.to_response(summary) for summary in found.services], complete=found.complete)
