"""DELETE /api/v1/admin/api-keys/{id}: delete a key and free its name."""

from service_keys import api, aws, settings
from service_keys.observability import audited
from service_keys.table import Table

table = Table(aws.client("dynamodb"), settings.table_name())


@api.endpoint
def handler(request: api.Request) -> api.Response:
    """Delete the key, if it is in the version that the request expects."""
    key_id, if_match = request.key_id, request.if_match
    with audited("delete", key_id=key_id, fields=(), change=request.change):
        key = table.delete(key_id, request.change, if_match=if_match)
    return api.deleted(key)
