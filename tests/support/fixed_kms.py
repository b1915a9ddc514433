"""A fake KMS with a fixed key, so that ciphertexts of an earlier run can be decrypted."""

from __future__ import annotations

import base64
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.http_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.http_server import HttpRequest

_MATERIAL: Final = b"made-up key material, 32 bytes ."
_ID_LENGTH: Final = 36
_NONCE_LENGTH: Final = 12


class FixedKms(HttpServer):
    """Encrypt and Decrypt with AES-GCM. As in KMS, a ciphertext names its key and is bound to its context."""

    def __init__(self) -> None:
        super().__init__(self._respond)

    def _respond(self, request: HttpRequest) -> None:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        sent = json.loads(request.body)
        try:
            answer, status = {"Encrypt": _encrypt, "Decrypt": _decrypt}[operation](sent), 200
        except InvalidTag:
            answer, status = {"__type": "InvalidCiphertextException"}, 400
        request.send(status, json.dumps(answer).encode(), {"Content-Type": "application/x-amz-json-1.1"})


def of_key(ciphertext: bytes, key_arn: str) -> bytes:
    """Return a ciphertext with the name of another key, which has the same material."""
    return _id_of(key_arn) + ciphertext[_ID_LENGTH:]


def _encrypt(sent: Mapping[str, Any]) -> dict[str, str]:
    nonce = os.urandom(_NONCE_LENGTH)
    plaintext = base64.b64decode(sent["Plaintext"])
    encrypted = AESGCM(_MATERIAL).encrypt(nonce, plaintext, _bound(sent))
    return {"CiphertextBlob": base64.b64encode(_id_of(sent["KeyId"]) + nonce + encrypted).decode()}


def _decrypt(sent: Mapping[str, Any]) -> dict[str, str]:
    sealed = base64.b64decode(sent["CiphertextBlob"])[_ID_LENGTH:]
    plaintext = AESGCM(_MATERIAL).decrypt(sealed[:_NONCE_LENGTH], sealed[_NONCE_LENGTH:], _bound(sent))
    return {"Plaintext": base64.b64encode(plaintext).decode()}


def _bound(sent: Mapping[str, Any]) -> bytes:
    return json.dumps(sent["EncryptionContext"], sort_keys=True).encode()


def _id_of(key_arn: str) -> bytes:
    match = re.search(rf"[0-9a-f-]{{{_ID_LENGTH}}}$", key_arn)
    assert match, f"{key_arn} is no id of a KMS key"
    return match[0].encode()
