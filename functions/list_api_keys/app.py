"""GET /api/v1/admin/api-keys: list keys, newest first."""

from service_keys import api, aws, settings
from service_keys.table import Table

table = Table(aws.client("dynamodb"), settings.table_name())


@api.endpoint
def handler(request: api.Request) -> api.Response:
    """Read one page."""
    query = request.query
    return api.listed(table.page(query), query)
