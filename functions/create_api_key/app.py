"""POST /api/v1/admin/api-keys: store a new key."""

import secrets

from service_keys.admin.audit import audited
from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, created_response
from service_keys.admin.schemas import parse_create
from service_keys.admin.unknown_service import unknown_service_warnings
from service_keys.admin.warnings import change_warnings
from service_keys.core import settings
from service_keys.core.ids import RANDOM_BITS, new_id
from service_keys.store import aws_clients
from service_keys.store.changes import KeyChanges
from service_keys.store.encryption import encrypt

dynamodb, kms = aws_clients.clients("dynamodb", "kms")
keys = KeyChanges(dynamodb, settings.table_name(), history_days=settings.history_retention_days())
kms_key = settings.kms_key()


@api_handler
def handler(request: Request) -> Response:
    """Encrypt and write the key, or replay the response of an idempotent request."""
    body, context = request.parse_body(), request.context
    new = parse_create(body)
    fingerprint = request.idempotency_fingerprint(body)
    random_bits = secrets.randbits(RANDOM_BITS)
    key_id = new_id(new.effective_service, at_ms=context.at_ms, random_bits=random_bits)
    key = new.to_stored_key(key_id, context)
    ciphertext = encrypt(kms, kms_key, new.key, key_id=key_id)
    with audited("create", key_id=key_id, fields=new.model_fields_set, context=context) as audit:
        created = keys.create(key, ciphertext, context, fields=new.model_fields_set, idempotency=fingerprint)
        audit.outcome = "replayed" if created.replayed else "done"
    if created.replayed:
        original = new.to_stored_key(created.key_id, context)
        return created_response(original, request, replayed=True)
    warnings = unknown_service_warnings(key.service) + change_warnings(keys, context, None, key)
    return created_response(key, request, warnings=warnings)
