"""What is bound to a ciphertext, what KMS's refusals mean, and what botocore must not log."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any

import botocore.session
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
"""The loggers of botocore that tell at DEBUG what was sent, received or signed."""


@pytest.fixture(scope="module")
def kms() -> Iterator[Any]:
    with mock_aws():
        client: Any = botocore.session.get_session().create_client(
            "kms", region_name="eu-west-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
        )
        yield client
        client.close()


@pytest.fixture(scope="module")
def kms_key(kms: Any) -> str:
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    return arn


@pytest.mark.parametrize("value", [SECRET, {"clientId": "made-up", "clientSecret": SECRET}])
def test_a_key_comes_back_as_it_was(kms: Any, kms_key: str, value: str | dict[str, str]) -> None:
    ciphertext = encryption.encrypt(kms, kms_key, SecretValue(value), key_id=KEY_ID)

    assert SECRET.encode() not in ciphertext
    assert encryption.decrypt(kms, ciphertext, key_id=KEY_ID).reveal() == value


def test_a_ciphertext_belongs_to_one_item(kms: Any, kms_key: str) -> None:
    ciphertext = encryption.encrypt(kms, kms_key, SecretValue(SECRET), key_id=KEY_ID)

    with pytest.raises(KeyCorruptedError, match=OTHER_ID):
        encryption.decrypt(kms, ciphertext, key_id=OTHER_ID)
    assert encryption.encryption_context(KEY_ID) == {"service": "spotify", "id": KEY_ID}
    with pytest.raises(KeyNotFoundError):
        encryption.encryption_context("no id")


@pytest.mark.parametrize("plaintext", [b"not JSON", b"1", b'["made-up"]', b'{"part": 1}'])
def test_what_is_no_key_is_damage(kms: Any, kms_key: str, plaintext: bytes) -> None:
    context = encryption.encryption_context(KEY_ID)
    made = kms.encrypt(KeyId=kms_key, Plaintext=plaintext, EncryptionContext=context)

    with pytest.raises(KeyCorruptedError, match=f"What {KEY_ID} decrypts to is not a key. Store the key again."):
        encryption.decrypt(kms, made["CiphertextBlob"], key_id=KEY_ID)


Act = dict[str, "Callable[[Any], object]"]
ACTS: Act = {
    "encrypt": lambda kms: encryption.encrypt(kms, "key", SecretValue(SECRET), key_id=KEY_ID),
    "decrypt": lambda kms: encryption.decrypt(kms, b"ciphertext", key_id=KEY_ID),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("code", "raised", "words"),
    [
        ("ThrottlingException", KeyStoreUnavailableError, "KMS is busy or failing .ThrottlingException."),
        ("KMSInternalException", KeyStoreUnavailableError, "KMS is busy or failing"),
        ("DisabledException", KeyAccessDeniedError, "KMS refused (Encrypt|Decrypt) .DisabledException."),
    ],
)
def test_what_kms_refuses_is_told_as_kmss(kms: Any, act: str, code: str, raised: type[Exception], words: str) -> None:
    with Stubber(kms) as stub:
        stub.add_client_error(act, code)
        with pytest.raises(raised, match=f"^{words}"):
            ACTS[act](kms)


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
def test_a_ciphertext_that_kms_does_not_take_is_damage(kms: Any, code: str) -> None:
    with Stubber(kms) as stub:
        stub.add_client_error("decrypt", code)
        with pytest.raises(KeyCorruptedError, match="damaged or another key's"):
            encryption.decrypt(kms, b"ciphertext", key_id=KEY_ID)


def test_botocore_logs_nothing_of_a_key_and_everything_else(
    kms: Any, kms_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    def loggers() -> set[str]:
        found = BOTOCORES & {record.name for record in caplog.records}
        caplog.clear()
        return found

    def log(**_: object) -> None:
        # Which of them has something to tell at a call depends on what is installed.
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
