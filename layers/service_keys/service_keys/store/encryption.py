"""Encryption and decryption with KMS; the only module that calls it.

The encryption context binds every ciphertext to its item: KMS refuses to decrypt it for another item, and an IAM policy
can limit a consumer to the keys of one service (``kms:EncryptionContext:service``).
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from service_keys.core.ids import service_of
from service_keys.core.secret_value import SecretValue
from service_keys.errors import KeyCorruptedError
from service_keys.store.aws_errors import member, translate_aws_errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


def _without_debug_logs() -> AbstractContextManager[None]:
    """Suppress botocore's DEBUG logs inside the block. Without botocore, no client logs."""
    if "botocore" not in sys.modules:
        return nullcontext()
    from service_keys.store.debug_logs import suppressed

    return suppressed()


def encryption_context(key_id: str) -> dict[str, str]:
    """Return the encryption context of the key with this id."""
    return {"service": service_of(key_id), "id": key_id}


def encrypt(kms: KMSClient, kms_key: str, secret_value: SecretValue, *, key_id: str) -> bytes:
    """Encrypt a secret value for the item with this id.

    Raises:
        KeyStoreUnavailableError: KMS throttled, failed or is unreachable.
        KeyAccessDeniedError: KMS denied access, or the KMS key is disabled or pending deletion.
    """
    with translate_aws_errors("KMS"), _without_debug_logs():
        response = kms.encrypt(
            KeyId=kms_key, Plaintext=secret_value.to_json(), EncryptionContext=encryption_context(key_id)
        )
    ciphertext: bytes = member(response, "CiphertextBlob", "KMS")
    return ciphertext


def decrypt(kms: KMSClient, ciphertext: bytes, *, key_id: str) -> SecretValue:
    """Decrypt the ciphertext of the item with this id.

    Raises:
        KeyCorruptedError: The ciphertext is corrupted or belongs to another item.
        KeyStoreUnavailableError: KMS throttled, failed or is unreachable.
        KeyAccessDeniedError: KMS denied access, or the KMS key is disabled or pending deletion.
    """
    try:
        with translate_aws_errors("KMS"), _without_debug_logs():
            context = encryption_context(key_id)
            response = kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext=context)
    except (kms.exceptions.InvalidCiphertextException, kms.exceptions.IncorrectKeyException) as error:
        raise KeyCorruptedError(
            f"The ciphertext of {key_id} is damaged or another key's. Store the key again."
        ) from error
    secret_value = _parse_plaintext(member(response, "Plaintext", "KMS"))
    if secret_value is None:
        # Keep the plaintext out of tracebacks that include locals.
        del response
        raise KeyCorruptedError(f"What {key_id} decrypts to is not a key. Store the key again.")
    return secret_value


def _parse_plaintext(plaintext: bytes) -> SecretValue | None:
    try:
        return SecretValue.from_json(plaintext)
    except ValueError:
        return None
