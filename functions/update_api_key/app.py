"""PUT and PATCH /api/v1/admin/api-keys/{id}: change fields of a key."""

from service_keys.admin.audit import audited
from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, changed_response
from service_keys.admin.schemas import parse_update
from service_keys.admin.warnings import change_warnings
from service_keys.core import settings
from service_keys.core.ids import service_of
from service_keys.store import aws_clients
from service_keys.store.changes import EncryptedSecret, KeyChanges
from service_keys.store.encryption import encrypt

dynamodb, kms = aws_clients.clients("dynamodb", "kms")
keys = KeyChanges(dynamodb, settings.table_name(), history_days=settings.history_retention_days())
kms_key = settings.kms_key()


@api_handler
def handler(request: Request) -> Response:
    """Encrypt the new secret value, if any, and write the changes."""
    request.reject_parameters()
    key_id, context, if_match = request.key_id, request.context, request.parse_if_match()
    fields = parse_update(request.parse_body(), service=service_of(key_id))
    secret_value = fields.get("key")
    secret = (
        EncryptedSecret(encrypt(kms, kms_key, secret_value, key_id=key_id), secret_value.masked())
        if secret_value
        else None
    )
    with audited("update", key_id=key_id, fields=fields, context=context):
        change = keys.update(key_id, context, fields, secret=secret, if_match=if_match)
    warnings = change_warnings(keys, context, change.before, change.after)
    return changed_response(change.after, fields=fields.keys(), warnings=warnings)
