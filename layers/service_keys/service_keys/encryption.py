"""The only module that talks to KMS.

Every ciphertext is bound to its item by the encryption context: moved to another item it does not decrypt, and an IAM
policy can let a reader decrypt one service's keys alone (``kms:EncryptionContext:service``).
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from service_keys import naming
from service_keys.aws import meaning, member
from service_keys.errors import KeyCorrupted
from service_keys.material import KeyMaterial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_kms import KMSClient


_secret_on_the_wire: ContextVar[bool] = ContextVar("secret_on_the_wire", default=False)


class _NothingOfKms(logging.Filter):
    """Drops what botocore logs at DEBUG of a call to KMS: parameters and answers, and with them the key."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the base class's signature
        return not _secret_on_the_wire.get()


for _name in ("botocore.endpoint", "botocore.parsers", "botocore.hooks", "botocore.auth"):
    logging.getLogger(_name).addFilter(_NothingOfKms())


@contextmanager
def _unlogged() -> Iterator[None]:
    token = _secret_on_the_wire.set(True)
    try:
        yield
    finally:
        _secret_on_the_wire.reset(token)


def encryption_context(key_id: str) -> dict[str, str]:
    """Return the encryption context of the key with this id."""
    return {"service": naming.service_of(key_id), "id": key_id}


def encrypt(kms: KMSClient, kms_key: str, material: KeyMaterial, *, key_id: str) -> bytes:
    """Encrypt a key for the item with this id.

    Raises:
        KeyStoreUnavailable: KMS throttled, failed or could not be reached.
        KeyAccessDenied: KMS refused, or the KMS key is disabled or about to be deleted.
    """
    with meaning("KMS"), _unlogged():
        answer = kms.encrypt(KeyId=kms_key, Plaintext=material.to_json(), EncryptionContext=encryption_context(key_id))
    ciphertext: bytes = member(answer, "CiphertextBlob", "KMS")
    return ciphertext


def decrypt(kms: KMSClient, ciphertext: bytes, *, key_id: str) -> KeyMaterial:
    """Decrypt the ciphertext of the item with this id.

    Raises:
        KeyCorrupted: The ciphertext is damaged, or belongs to another item.
        KeyStoreUnavailable: KMS throttled, failed or could not be reached.
        KeyAccessDenied: KMS refused, or the KMS key is disabled or about to be deleted.
    """
    try:
        with meaning("KMS"), _unlogged():
            context = encryption_context(key_id)
            answer = kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext=context)
    except (kms.exceptions.InvalidCiphertextException, kms.exceptions.IncorrectKeyException) as error:
        raise KeyCorrupted(f"The ciphertext of {key_id} is damaged or another key's. Store the key again.") from error
    material = _material(member(answer, "Plaintext", "KMS"))
    if material is None:
        # A traceback that shows variables must not show this one.
        del answer
        raise KeyCorrupted(f"What {key_id} decrypts to is not a key. Store the key again.")
    return material


def _material(plaintext: bytes) -> KeyMaterial | None:
    try:
        return KeyMaterial.from_json(plaintext)
    except ValueError:
        return None
