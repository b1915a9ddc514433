"""Confidentiality of secret values in the table, in responses and in logs."""

import base64
import io
import json
import logging
import traceback
from typing import Any

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
    admin.create("OpenAI", key=MARKED)
    admin.create("Spotify", key=SPOTIFY_KEY)
    key = admin.create("Replaced", key=MARKED, service="openai")
    admin.update(key["id"], {"key": REPLACED})
    admin.send("POST", COLLECTION, {"name": "Again", "key": MARKED, "service": "openai"}, Idempotency_Key="k" * 16)

    table = shown(store.items())

    assert len(store.items()) == 9
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
    made = store.kms.encrypt(KeyId=store.kms_key, Plaintext=f'["{MARKED}"]'.encode(), EncryptionContext=context)

    with pytest.raises(KeyCorruptedError, match="is not a key") as refused:
        encryption.decrypt(store.kms, made["CiphertextBlob"], key_id=key_id)

    assert refused.value.__context__ is None, "the error of the JSON parser holds the plaintext"
    report = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    assert MARKED not in "".join(report.format())


def test_the_encryption_context_names_the_service_and_the_key(admin: Admin, fault_proxy: FaultProxy) -> None:
    key = admin.create("OpenAI", key=MARKED)

    (call,) = (call for call in fault_proxy.calls if call.operation == "KMS.Encrypt")

    assert call.request["EncryptionContext"] == {"service": "openai", "id": key["id"]}


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x" * 200, "key": MARKED},
        {"name": "OpenAI", "key": f" {MARKED}"},
        {"name": "OpenAI", "key": f"••••{MARKED}"},
        {"name": "OpenAI", "key": [MARKED]},
        {"name": "OpenAI", "key": {MARKED: {"a": MARKED}}},
        {"name": "OpenAI", "service": MARKED.upper(), "key": MARKED},
        {"name": "OpenAI", "active": MARKED, "key": MARKED},
        {"name": "OpenAI", "key": MARKED, MARKED: MARKED},
        {"name": "Spotify", "key": MARKED},
        MARKED,
    ],
)
def test_a_rejected_key_is_neither_returned_nor_logged(admin: Admin, logged: Logged, body: Any) -> None:
    """Return 400 for a body with the key in any field."""
    answer = admin.send("POST", COLLECTION, body)

    assert answer.status == 400
    assert not [mark for mark in MARKS if mark in answer.text + shown(logged())]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("KMS.Encrypt", status=500),
        Fault("KMS.Encrypt", status=400, code="ValidationException", body={"message": f"cannot take {MARKED}"}),
        Fault("DynamoDB.TransactWriteItems", status=400, code="ValidationException", body={"message": MARKED}),
        Fault("DynamoDB.GetItem", status=400, code="ValidationException", body={"message": MARKED}),
    ],
    ids=lambda fault: f"{fault.operation} {fault.code}",
)
def test_a_failed_call_neither_returns_nor_logs_the_key(
    admin: Admin, fault_proxy: FaultProxy, logged: Logged, fault: Fault
) -> None:
    """Return 500 or 503 although the error of AWS quotes the key."""
    key = admin.create("First", key=f"another-made-up-{CANARY}")
    with fault_proxy.failing(fault):
        answers = [
            admin.send("POST", COLLECTION, {"name": "OpenAI", "key": MARKED}),
            admin.update(key["id"], {"key": MARKED}),
        ]

    assert {answer.status for answer in answers} & {500, 503}
    if fault.body:
        # Only the error contains the secret, which KMS and DynamoDB might quote.
        LEAKS.expect("an error in a handler")
    assert not [mark for mark in MARKS if mark in shown([answer.text for answer in answers]) + shown(logged())]


def test_debug_logs_of_all_libraries_contain_no_key(admin: Admin, store: Store) -> None:
    """Create, update, verify and decrypt with the root logger at DEBUG."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        key = admin.create("OpenAI", key=MARKED)
        admin.update(key["id"], {"key": REPLACED})
        admin.verify(key["id"])
        encryption.decrypt(store.kms, store.item(key["id"])["ciphertext"]["B"], key_id=key["id"])
    finally:
        root.removeHandler(handler)
        root.setLevel(level)

    log = written.getvalue()
    assert "botocore.endpoint" not in log or "Making request" in log
    # The beginning of the base64 depends on the quotation mark before the secret.
    encoded = [base64.b64encode(f'"{secret}"'.encode()).decode()[:24] for secret in (MARKED, REPLACED)]
    assert not [mark for mark in (*MARKS, *encoded) if mark in log]


def test_every_change_leaves_one_audit_line(admin: Admin, logged: Logged) -> None:
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
