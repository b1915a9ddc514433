"""DELETE /api/v1/admin/api-keys/{id}: delete a key and free its name."""

from service_keys import api, aws, settings
from service_keys.observability import audit
from service_keys.table import Table

table = Table(aws.client("dynamodb"), settings.table_name())


@api.endpoint
def handler(request: api.Request) -> api.Response:
    """Delete the key, if it is in the version that the request expects."""
    key = table.delete(request.key_id, if_match=request.if_match)
    audit("deleted", key_id=key.id, fields=(), change=request.change)
    return api.deleted()
