"""POST /api/v1/admin/api-keys: store a new key."""

import secrets

from service_keys import api, aws, naming, settings
from service_keys.encryption import encrypt
from service_keys.observability import audited
from service_keys.requests import parse_create
from service_keys.table import Table

dynamodb, kms = aws.clients("dynamodb", "kms")
table = Table(dynamodb, settings.table_name())
kms_key = settings.kms_key()


@api.endpoint
def handler(request: api.Request) -> api.Response:
    """Encrypt the key and write it, unless the same request did so before."""
    body, change = request.body, request.change
    new = parse_create(body)
    idempotency = request.idempotency(body)
    random_bits = secrets.randbits(naming.RANDOM_BITS)
    key_id = naming.new_id(new.service_or_slug, at_ms=change.at_ms, random_bits=random_bits)
    key = new.as_stored(key_id, principal=change.principal)
    ciphertext = encrypt(kms, kms_key, new.key, key_id=key_id)
    with audited("create", key_id=key_id, fields=new.model_fields_set, change=change) as audit:
        before = table.create(key, ciphertext, change, idempotency=idempotency)
        audit.outcome = "replayed" if before else "done"
    if before:
        first = new.as_stored(before.key_id, principal=change.principal)
        return api.created(first, request, replayed=True)
    return api.created(key, request)
