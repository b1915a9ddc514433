"""POST /api/v1/admin/api-keys/{id}/verify: ask the key's service whether it takes the key."""

from service_keys import api, aws, settings
from service_keys.encryption import decrypt
from service_keys.models import Verification
from service_keys.observability import audited, counted, logger
from service_keys.table import Table
from service_keys.verification import known_service, verify

# The patience of readers: what asks somebody else as well has less time for AWS.
dynamodb, kms = aws.clients("dynamodb", "kms", patience=aws.READER_PATIENCE)
table = Table(dynamodb, settings.table_name())
stand_in = settings.providers_url()


@api.endpoint
def handler(request: api.Request) -> api.Response:
    """Decrypt the key, ask its service, and note the answer beside the key it was about."""
    key_id = request.key_id
    # Without the ciphertext, which the role may read of services that can be asked, and of no other.
    service = known_service(table.get(key_id).service)
    secret = table.secret(key_id)
    material = decrypt(kms, secret.ciphertext, key_id=key_id)
    checked_at = api.now()
    status, detail = verify(service, material, stand_in=stand_in)
    verification = Verification(status=status, checked_at=checked_at, detail=detail)
    with audited("verify", key_id=key_id, fields=("verification",), change=request.change):
        table.note_verification(key_id, verification, of=secret.key_updated_at)
    logger.info("API key checked", extra=counted("Verifications", status=status))
    return api.shown(table.get(key_id))
