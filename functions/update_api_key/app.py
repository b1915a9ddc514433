"""PUT and PATCH /api/v1/admin/api-keys/{id}: change what the request names."""

from service_keys import api, aws, naming, settings
from service_keys.encryption import encrypt
from service_keys.observability import audited
from service_keys.requests import parse_update
from service_keys.table import NewSecret, Table

dynamodb, kms = aws.clients("dynamodb", "kms")
table = Table(dynamodb, settings.table_name())
kms_key = settings.kms_key()


@api.endpoint
def handler(request: api.Request) -> api.Response:
    """Encrypt a new secret if there is one, and write the changes."""
    key_id, change, if_match = request.key_id, request.change, request.if_match
    fields = parse_update(request.body, service=naming.service_of(key_id))
    material = fields.get("key")
    secret = NewSecret(encrypt(kms, kms_key, material, key_id=key_id), material.masked()) if material else None
    with audited("update", key_id=key_id, fields=fields, change=change):
        key = table.update(key_id, change, fields, secret=secret, if_match=if_match)
    return api.updated(key, fields=fields.keys())
