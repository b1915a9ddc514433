"""Confidentiality of secret values in the table, in responses and in logs."""

import json
import traceback

import pytest

from service_keys.errors import KeyCorruptedError
from service_keys.store import encryption
from tests.conftest import Logged
from tests.functional.conftest import COLLECTION, SPOTIFY_KEY, Admin, Store
from tests.support.canary import CANARY, LEAKS
from tests.support.fault_proxy import Fault, FaultProxy

MARKED = f"sk-marked-made-up-{CANARY}-0123456789"
REPLACED = f"sk-marked-made-up-{CANARY}-replaced00"
MARKS = ("marked", CANARY)


def shown(value: object) -> str:
    """Return a value as text, with bytes decoded as Latin-1."""
    return json.dumps(
        value, default=lambda b: b.decode("latin-1") if isinstance(b, bytes) else str(b), ensure_ascii=False
    )


def test_a_full_scan_shows_no_plaintext(admin: Admin, store: Store) -> None:
    """Search the items after creates, updates and a replay."""
    admin.create("OpenAI", key=MARKED)
    admin.create("Spotify", key=SPOTIFY_KEY)
    key = admin.create("Replaced", key=MARKED, service="openai")
    admin.update(key["id"], {"key": REPLACED})
    admin.send("POST", COLLECTION, {"name": "Again", "key": MARKED, "service": "openai"}, Idempotency_Key="k" * 16)

    table = shown(store.items())

    assert len(store.current_items()) == 9
    assert not [mark for mark in MARKS if mark in table]


def test_a_ciphertext_decrypts_for_its_own_id_only(admin: Admin, store: Store) -> None:
    """Raise KeyCorruptedError for the id of another key."""
    one, other = (admin.create(name, service="same", key=key) for name, key in (("One", MARKED), ("Other", REPLACED)))
    ciphertext = store.item(one["id"])["ciphertext"]["B"]

    assert encryption.decrypt(store.kms, ciphertext, key_id=one["id"]).reveal() == MARKED
    with pytest.raises(KeyCorruptedError, match="another key's"):
        encryption.decrypt(store.kms, ciphertext, key_id=other["id"])


def test_a_damaged_ciphertext_is_rejected(admin: Admin, store: Store) -> None:
    """Raise KeyCorruptedError if one bit differs."""
    key = admin.create(key=MARKED)
    ciphertext = store.item(key["id"])["ciphertext"]["B"]

    with pytest.raises(KeyCorruptedError, match="damaged"):
        encryption.decrypt(store.kms, ciphertext[:-1] + bytes([ciphertext[-1] ^ 1]), key_id=key["id"])


def test_a_ciphertext_of_another_shape_is_rejected(store: Store) -> None:
    """Raise KeyCorruptedError without the plaintext in its context or locals."""
    key_id = "spotify.0123456789ab"
    context = encryption.encryption_context(key_id)
    encrypted = store.kms.encrypt(KeyId=store.kms_key, Plaintext=f'["{MARKED}"]'.encode(), EncryptionContext=context)

    with pytest.raises(KeyCorruptedError, match="is not a key") as refused:
        encryption.decrypt(store.kms, encrypted["CiphertextBlob"], key_id=key_id)

    assert refused.value.__context__ is None, "the error of the JSON parser holds the plaintext"
    report = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    assert MARKED not in "".join(report.format())


def test_the_encryption_context_names_the_service_and_the_key(admin: Admin, fault_proxy: FaultProxy) -> None:
    """Bind the ciphertext to its item."""
    key = admin.create("OpenAI", key=MARKED)

    (call,) = (call for call in fault_proxy.calls if call.operation == "KMS.Encrypt")

    assert call.request["EncryptionContext"] == {"service": "openai", "id": key["id"]}


@pytest.mark.parametrize("operation", ["KMS.Encrypt", "DynamoDB.TransactWriteItems", "DynamoDB.GetItem"])
def test_a_failed_call_neither_returns_nor_logs_the_key(
    admin: Admin, fault_proxy: FaultProxy, logged: Logged, operation: str
) -> None:
    """Return 500 although the error of AWS quotes the key."""
    key = admin.create("First", key=f"another-made-up-{CANARY}")
    fault = Fault(operation, status=400, code="ValidationException", body={"message": f"cannot take {MARKED}"})
    with fault_proxy.failing(fault):
        created = admin.send("POST", COLLECTION, {"name": "OpenAI", "key": MARKED})
        updated = admin.update(key["id"], {"key": MARKED})

    assert 500 in {created.status, updated.status}
    LEAKS.expect("an error in a handler")  # only the error of AWS quotes the secret
    assert not [mark for mark in MARKS if mark in created.text + updated.text + shown(logged())]


def test_every_change_leaves_one_audit_line(admin: Admin, logged: Logged) -> None:
    """Log the fields, the principal and the request, and nothing for a delete that found no key."""
    key = admin.create("OpenAI", key=MARKED, description="Chat")
    changed = admin.update(key["id"], {"key": REPLACED, "active": False})
    deleted = admin.delete(key["id"])
    admin.delete(key["id"])

    audits = [line["audit"] for line in logged() if "audit" in line]

    assert [(line["change"], line["outcome"], line["fields"]) for line in audits] == [
        ("create", "done", ["description", "key", "name"]),
        ("update", "done", ["active", "key"]),
        ("delete", "done", []),
    ]
    assert {line["keyId"] for line in audits} == {key["id"]}
    assert {line["principal"] for line in audits} == {"ada"}
    assert [line["requestId"] for line in audits[1:]] == [changed.body["requestId"], deleted.body["requestId"]]
    assert len({line["extendedRequestId"] for line in audits}) == 3, "one of each request, which no sender chooses"
    assert not [mark for mark in MARKS if mark in shown(logged())]
