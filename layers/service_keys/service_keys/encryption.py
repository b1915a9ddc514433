"""The only module that talks to KMS.

Every ciphertext is bound to its item by the encryption context: moved to another item it does not decrypt, and an IAM
policy can let a reader decrypt one service's keys alone (``kms:EncryptionContext:service``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service_keys import naming
from service_keys.aws import meaning
from service_keys.errors import KeyCorrupted
from service_keys.material import KeyMaterial

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


def encryption_context(key_id: str) -> dict[str, str]:
    """Return the encryption context of the key with this id."""
    return {"service": naming.service_of(key_id), "id": key_id}


def encrypt(kms: KMSClient, kms_key: str, material: KeyMaterial, *, key_id: str) -> bytes:
    """Encrypt a key for the item with this id.

    Raises:
        KeyStoreUnavailable: KMS throttled, failed or could not be reached.
        KeyAccessDenied: KMS refused, or the KMS key is disabled or about to be deleted.
    """
    with meaning("KMS"):
        answer = kms.encrypt(KeyId=kms_key, Plaintext=material.to_json(), EncryptionContext=encryption_context(key_id))
    return answer["CiphertextBlob"]


def decrypt(kms: KMSClient, ciphertext: bytes, *, key_id: str) -> KeyMaterial:
    """Decrypt the ciphertext of the item with this id.

    Raises:
        KeyCorrupted: The ciphertext is damaged, or belongs to another item.
        KeyStoreUnavailable: KMS throttled, failed or could not be reached.
        KeyAccessDenied: KMS refused, or the KMS key is disabled or about to be deleted.
    """
    try:
        with meaning("KMS"):
            answer = kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext=encryption_context(key_id))
        return KeyMaterial.from_json(answer["Plaintext"])
    except (kms.exceptions.InvalidCiphertextException, kms.exceptions.IncorrectKeyException) as error:
        raise KeyCorrupted(f"The ciphertext of {key_id} is damaged or another key's. Store the key again.") from error
    except ValueError:
        # Not chained: the error of the JSON parser holds the plaintext.
        raise KeyCorrupted(f"What {key_id} decrypts to is not a key. Store the key again.") from None
