"""POST /api/v1/admin/api-keys/{id}/verify: verify a key with its service."""

from service_keys.admin.audit import audited
from service_keys.admin.endpoint import api_handler
from service_keys.admin.observability import count_metric, logger
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, current_timestamp, key_response
from service_keys.admin.service_probe import get_service, verify
from service_keys.core import settings
from service_keys.core.models import Verification
from service_keys.store import aws_clients
from service_keys.store.encryption import decrypt
from service_keys.store.repository import KeyRepository
from service_keys.store.timeouts import CONSUMER_TIMEOUTS

# Use the shorter timeouts: the probe needs up to 6 s as well.
dynamodb, kms = aws_clients.clients("dynamodb", "kms", timeouts=CONSUMER_TIMEOUTS)
repository = KeyRepository(dynamodb, settings.table_name())
fake_services_url = settings.fake_services_url()


@api_handler
def handler(request: Request) -> Response:
    """Decrypt the key, probe its service, and store the result."""
    key_id = request.key_id
    # Get the service before the ciphertext: the role can read ciphertexts of verifiable services only.
    service = get_service(repository.get(key_id).service)
    secret = repository.get_ciphertext(key_id)
    secret_value = decrypt(kms, secret.ciphertext, key_id=key_id)
    checked_at = current_timestamp()
    status, detail = verify(service, secret_value, base_url=fake_services_url)
    verification = Verification(status=status, checked_at=checked_at, detail=detail)
    with audited("verify", key_id=key_id, fields=("verification",), context=request.context):
        repository.set_verification(key_id, verification, expected_key_updated_at=secret.key_updated_at)
    logger.info("API key checked", extra=count_metric("Verifications", status=status))
    return key_response(repository.get(key_id))
