"""Tests of the encryption context, the translation of KMS errors, and the suppressed botocore logs."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws

from service_keys.core.secret_value import SecretValue
from service_keys.errors import KeyAccessDeniedError, KeyCorruptedError, KeyNotFoundError, KeyStoreUnavailableError
from service_keys.store import encryption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY_ID, OTHER_ID = "spotify.0123456789ab", "spotify.0123456789ac"
SECRET = "made-up-secret-0123456789"
BOTOCORES = {"botocore.endpoint", "botocore.parsers", "botocore.hooks", "botocore.auth"}
"""Loggers of botocore that write sent, received or signed data at DEBUG."""


@pytest.fixture
def kms(clients: tuple[Any, Any]) -> Iterator[Any]:
    with mock_aws():
        yield clients[1]


@pytest.fixture
def kms_key(kms: Any) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


def test_the_encryption_context_names_the_service_and_the_key() -> None:
    """Raise KeyNotFoundError for a malformed id. `tests/functional/test_secrets` decrypts with another context."""
    assert encryption.encryption_context(KEY_ID) == {"service": "spotify", "id": KEY_ID}
    with pytest.raises(KeyNotFoundError):
        encryption.encryption_context("no id")


@pytest.mark.parametrize("plaintext", [b"not JSON", b"1", b'["made-up"]', b'{"part": 1}'])
def test_a_plaintext_that_is_not_a_secret_value_is_corrupted(kms: Any, kms_key: str, plaintext: bytes) -> None:
    """Raise KeyCorruptedError, which advises to store the key again."""
    context = encryption.encryption_context(KEY_ID)
    encrypted = kms.encrypt(KeyId=kms_key, Plaintext=plaintext, EncryptionContext=context)

    with pytest.raises(KeyCorruptedError, match=f"What {KEY_ID} decrypts to is not a key. Store the key again."):
        encryption.decrypt(kms, encrypted["CiphertextBlob"], key_id=KEY_ID)


@pytest.mark.parametrize(
    ("operation", "act"),
    [
        ("Encrypt", lambda kms: encryption.encrypt(kms, "key", SecretValue(SECRET), key_id=KEY_ID)),
        ("Decrypt", lambda kms: encryption.decrypt(kms, b"ciphertext", key_id=KEY_ID)),
    ],
)
@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("ThrottlingException", KeyStoreUnavailableError, r"^KMS is busy or failing \(ThrottlingException\)"),
        ("KMSInternalException", KeyStoreUnavailableError, r"^KMS is busy or failing \(KMSInternalException\)"),
        ("DisabledException", KeyAccessDeniedError, r"^KMS refused {operation} \(DisabledException\)"),
    ],
)
def test_kms_errors_are_translated_and_name_kms(
    kms: Any, operation: str, act: Callable[[Any], object], code: str, error: type[Exception], words: str
) -> None:
    """Translate errors of Encrypt and Decrypt."""
    with Stubber(kms) as stub:
        stub.add_client_error(operation.lower(), code)
        with pytest.raises(error, match=words.format(operation=operation)):
            act(kms)


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
def test_a_ciphertext_that_kms_rejects_is_corrupted(kms: Any, code: str) -> None:
    """Raise KeyCorruptedError."""
    with Stubber(kms) as stub:
        stub.add_client_error("decrypt", code)
        with pytest.raises(KeyCorruptedError, match="damaged or another key's"):
            encryption.decrypt(kms, b"ciphertext", key_id=KEY_ID)


def test_botocore_debug_logs_are_suppressed_for_kms_calls_only(
    kms: Any, kms_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Log other calls, before and after, as usual."""

    def loggers() -> set[str]:
        found = BOTOCORES & {record.name for record in caplog.records}
        caplog.clear()
        return found

    def log(**_: object) -> None:
        # Log from each logger, because the installed packages decide which of them log a call.
        for logger in BOTOCORES:
            logging.getLogger(logger).debug("of a call")

    kms.meta.events.register("before-send.kms", log, "log")
    with caplog.at_level(logging.DEBUG):
        kms.list_keys()
        assert loggers() == BOTOCORES

        ciphertext = encryption.encrypt(kms, kms_key, SecretValue(SECRET), key_id=KEY_ID)
        encryption.decrypt(kms, ciphertext, key_id=KEY_ID)
        with pytest.raises(KeyCorruptedError):
            encryption.decrypt(kms, ciphertext, key_id=OTHER_ID)
        for shown in (SECRET, base64.b64encode(SecretValue(SECRET).to_json()).decode()):
            assert shown not in caplog.text
        assert loggers() == set()

        kms.list_keys()
        assert loggers() == BOTOCORES
    kms.meta.events.unregister("before-send.kms", unique_id="log")
