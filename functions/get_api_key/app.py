"""GET /api/v1/admin/api-keys/{id}: show one key."""

from service_keys import api, aws, settings
from service_keys.table import Table

table = Table(aws.client("dynamodb"), settings.table_name())


@api.endpoint
def handler(request: api.Request) -> api.Response:
    """Read the key, without its ciphertext."""
    return api.shown(table.get(request.key_id))
