"""Verifying a key: the probe of its service and the recorded result."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier, Event
from typing import Any

import pytest

from local.fake_services import FakeServices
from service_keys.admin import service_probe
from service_keys.admin.services import VERIFIABLE_SERVICES
from service_keys.core.secret_value import SecretValue
from service_keys.store import encryption
from tests.conftest import Logged
from tests.functional.conftest import Admin, Store
from tests.support.canary import CANARY
from tests.support.example_keys import KEYS
from tests.support.fault_proxy import FaultProxy

OPENAI_KEY, ANTHROPIC_KEY = KEYS["openai"], KEYS["anthropic"]
SECRETS = [text for key in KEYS.values() for text in (key.values() if isinstance(key, dict) else [key])]


@pytest.fixture(autouse=True)
def fake_services_at_rest(fake_services: FakeServices) -> Iterator[None]:
    fake_services.requests.clear()
    yield
    fake_services.before_answer = lambda: None


def basic(user: str, password: str) -> str:
    """Return the value of a header for basic authentication."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def stored(admin: Admin, service: str, **fields: Any) -> str:
    key_id: str = admin.create(f"Key of {service}", service=service, key=KEYS[service], **fields)["id"]
    return key_id


@pytest.mark.parametrize("service", VERIFIABLE_SERVICES)
def test_a_result_is_stored_and_changes_nothing_else(admin: Admin, service: str) -> None:
    """Return the result with the key, in get and list as well; keep version and lastUsed."""
    key_id = stored(admin, service)
    before = admin.get(key_id)

    response = admin.verify(key_id)

    assert response.status == 200
    assert response.headers["ETag"] == before.headers["ETag"] == '"1"'
    result = response.data["verification"]
    assert result["status"] == "valid"
    assert datetime.fromisoformat(result["checkedAt"]) >= datetime.fromisoformat(before.data["createdAt"])
    assert response.data == before.data | {"verification": result}, "nothing else changes, lastUsed included"
    assert admin.get(key_id).data == response.data
    assert admin.listing().data == [response.data]


EVERY = {
    "valid": ("valid", ""),
    "wrong": ("rejected", ""),
    "revoked": ("rejected", ""),
    "forbidden": ("inconclusive", "permission"),
    "firewall": ("inconclusive", "403"),
    "gateway": ("inconclusive", "401"),
    "rate-limited": ("inconclusive", "limits the rate"),
    "quota": ("inconclusive", ""),
    "failing": ("inconclusive", "500"),
    "html": ("inconclusive", "not with what it documents"),
    "garbage": ("inconclusive", "not with what it documents"),
    "redirect": ("inconclusive", "302"),
    "huge": ("inconclusive", "too large"),
    "reset": ("inconclusive", "connection failed"),
    "no_http": ("inconclusive", "no HTTP"),
    "hang": ("inconclusive", "in time"),
    "drip": ("inconclusive", "in time"),
}


OWN = ("valid", "wrong", "revoked", "forbidden", "rate-limited", "quota")
"""The responses that differ between the services; the fast tests send the others for two services only."""


@pytest.mark.parametrize(
    ("service", "response"),
    [
        pytest.param(service, response, marks=[pytest.mark.slow] if slow else [])
        for service in VERIFIABLE_SERVICES
        for response in EVERY
        for slow in [response in {"drip", "hang"} or (response not in OWN and service not in {"spotify", "lastfm"})]
    ],
)
def test_every_response_has_a_result_that_does_not_quote_it(
    stack: Any,
    store: Store,
    fake_services: FakeServices,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    response: str,
) -> None:
    """Map each response of a service to a status and a detail in words of this project."""
    if response in {"hang", "drip"}:
        monkeypatch.setattr(service_probe, "DEADLINE", 0.5)
    admin = Admin(stack)
    key_id = stored(admin, service)
    fake_services.chosen[service] = response
    begun = time.monotonic()

    verified = admin.verify(key_id)

    status, words = EVERY[response]
    result = verified.data["verification"]
    assert result["status"] == status
    assert words in result["detail"]
    assert time.monotonic() - begun < stack.functions["VerifyApiKey"].definition.timeout
    shown = verified.text + json.dumps(logged()) + str(store.items())
    assert not [secret for secret in (*SECRETS, "Incorrect API key", "made-up-id") if secret in shown]
    assert not [path for _, path, _ in fake_services.requests if "elsewhere" in path], "no redirect is followed"


SPECIAL = [
    ("openai", "restricted", "inconclusive", "may be restricted"),
    ("openai", "deactivated", "rejected", "deactivated the account"),
    ("openai", "other-organization", "inconclusive", "organization or project"),
    ("anthropic", "billing", "inconclusive", "billing"),
    ("anthropic", "overloaded", "inconclusive", "529"),
    ("openai", "elsewhere", "inconclusive", ""),
    ("spotify", "quota", "inconclusive", "429"),
    ("mistral", "billing", "inconclusive", "billing"),
    ("lastfm", "suspended", "rejected", "suspended"),
    ("lastfm", "rate-limited", "inconclusive", "error 29"),
    ("genius", "without-token", "inconclusive", "401"),
    ("gemini", "elsewhere", "inconclusive", "region"),
    ("gemini", "standard-key", "inconclusive", "type of key"),
    *((service, "leaked", "rejected", "published") for service in ("gemini", "youtube")),
    *((service, "restricted", "inconclusive", "other APIs") for service in ("gemini", "youtube")),
    *((service, "other-address", "inconclusive", "other addresses") for service in ("gemini", "youtube")),
    *((service, "disabled", "inconclusive", "not enabled") for service in ("gemini", "youtube")),
    ("youtube", "quota", "inconclusive", "quota"),
]


@pytest.mark.parametrize(("service", "response", "status", "words"), SPECIAL)
def test_only_an_error_about_the_key_rejects_it(
    admin: Admin, fake_services: FakeServices, service: str, response: str, status: str, words: str
) -> None:
    """Reject a key for an error about the key, not for one about its permissions, billing or the caller's region."""
    key_id = stored(admin, service)
    fake_services.chosen[service] = response

    result = admin.verify(key_id).data["verification"]

    assert result["status"] == status
    assert words in result["detail"]


def test_an_exceeded_quota_differs_from_a_rate_limit(admin: Admin, fake_services: FakeServices) -> None:
    """Return different details for the two kinds of 429."""
    key_id = stored(admin, "openai")
    details = []
    for response in ("quota", "rate-limited"):
        fake_services.chosen["openai"] = response
        details.append(admin.verify(key_id).data["verification"]["detail"])

    assert "quota" in details[0]
    assert "rate" in details[1]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PROBES: dict[str, tuple[str, str, dict[str, str]]] = {
    "spotify": ("POST", "/api/token", FORM | {"Authorization": basic(*KEYS["spotify"].values())}),
    "openai": ("GET", "/v1/models", {"Authorization": f"Bearer {OPENAI_KEY}"}),
    "anthropic": ("GET", "/v1/models", {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}),
    "gemini": ("GET", "/v1beta/models?pageSize=1", {"X-Goog-Api-Key": KEYS["gemini"]}),
    "mistral": ("GET", "/v1/models", {"Authorization": f"Bearer {KEYS['mistral']}"}),
    "lastfm": ("POST", "/2.0/", FORM),
    "genius": ("GET", "/search?q=genius&per_page=1", {"Authorization": f"Bearer {KEYS['genius']}"}),
    "youtube": ("GET", "/youtube/v3/i18nLanguages?part=snippet", {"X-Goog-Api-Key": KEYS["youtube"]}),
}


@pytest.mark.parametrize("service", VERIFIABLE_SERVICES)
def test_a_probe_follows_the_services_documentation(admin: Admin, fake_services: FakeServices, service: str) -> None:
    """Send the documented method, path and headers, and no part of the key in the path."""
    admin.verify(stored(admin, service))

    ((method, path, headers),) = fake_services.requests
    expected_method, expected_path, expected_headers = PROBES[service]
    assert (method, path) == (expected_method, f"/{service}{expected_path}")
    assert {name: headers[name] for name in expected_headers} == expected_headers


def test_openai_receives_organization_and_project(admin: Admin, fake_services: FakeServices) -> None:
    """Send the options of the object form as headers."""
    fields = {"apiKey": OPENAI_KEY, "organization": "org-made-up", "project": "proj-made-up"}
    admin.verify(admin.create("OpenAI", key=fields)["id"])

    ((_, _, headers),) = fake_services.requests
    sent = [headers[name] for name in ("Authorization", "OpenAI-Organization", "OpenAI-Project")]
    assert sent == [f"Bearer {OPENAI_KEY}", "org-made-up", "proj-made-up"]


def test_a_verification_decrypts_once_and_writes_the_result(admin: Admin, fault_proxy: FaultProxy) -> None:
    """Write no attribute but `verification`."""
    key_id = stored(admin, "openai")
    fault_proxy.clear()

    admin.verify(key_id)

    assert fault_proxy.counts() == {"DynamoDB.GetItem": 3, "KMS.Decrypt": 1, "DynamoDB.UpdateItem": 1}
    (write,) = (call.request for call in fault_proxy.calls if call.operation == "DynamoDB.UpdateItem")
    assert write["UpdateExpression"] == "SET verification = :result"


def test_an_inactive_key_can_be_verified(admin: Admin) -> None:
    """Return the result of a key that is not active."""
    assert admin.verify(stored(admin, "openai", active=False)).data["verification"]["status"] == "valid"


@pytest.mark.parametrize(
    ("service", "words"),
    [("soundcloud", "no way to check keys of 'soundcloud'"), ("deezer", "Deezer has no free and harmless call")],
)
def test_a_key_without_a_probe_cannot_be_verified(
    admin: Admin, fault_proxy: FaultProxy, fake_services: FakeServices, service: str, words: str
) -> None:
    """Return 400 with the reason and the verifiable services; read no ciphertext and send no probe."""
    key = admin.create("Another", KEYS.get(service, "made-up-key"), service=service)
    fault_proxy.clear()

    response = admin.verify(key["id"])

    assert (response.status, response.code) == (400, "VERIFICATION_NOT_SUPPORTED")
    assert words in response.body["error"]["message"]
    assert f"It can be done for {', '.join(VERIFIABLE_SERVICES)}." in response.body["error"]["message"]
    assert fault_proxy.counts() == {"DynamoDB.GetItem": 1}
    assert fake_services.requests == []
    assert admin.get(key["id"]).data["verification"] is None


@pytest.mark.parametrize("key_id", ["openai.0123456789ab", "nonsense"])
def test_verifying_a_missing_key_returns_404(admin: Admin, fake_services: FakeServices, key_id: str) -> None:
    """Send no probe for an id without a key."""
    assert admin.verify(key_id).code == "API_KEY_NOT_FOUND"
    assert fake_services.requests == []


@pytest.mark.parametrize(
    "key", [f"line one\nline two of the marked {CANARY}", f"schlüssel-marked-{CANARY}", {"part": f"marked-{CANARY}"}]
)
@pytest.mark.parametrize("service", VERIFIABLE_SERVICES)
def test_a_stored_key_of_invalid_format_is_not_sent(
    admin: Admin, store: Store, fake_services: FakeServices, logged: Logged, capfd: Any, service: str, key: Any
) -> None:
    """Send no probe for a key that was stored before its service and format were known."""
    key_id = stored(admin, service)
    ciphertext = encryption.encrypt(store.kms, store.kms_key, SecretValue(key), key_id=key_id)
    store.put(store.item(key_id) | {"ciphertext": {"B": ciphertext}})

    response = admin.verify(key_id)

    assert response.data["verification"]["status"] == "inconclusive"
    assert "Replace it" in response.data["verification"]["detail"]
    assert fake_services.requests == []
    assert "marked" not in response.text + json.dumps(logged()) + "".join(capfd.readouterr())


def test_a_malformed_key_is_not_sent(admin: Admin, store: Store, fake_services: FakeServices) -> None:
    """Return 500 and send no probe if the ciphertext is invalid or missing."""
    key_id = stored(admin, "openai")
    item = store.item(key_id)
    store.put(item | {"ciphertext": {"B": b"not a ciphertext"}})
    assert admin.verify(key_id).status == 500
    del item["ciphertext"]
    store.put(item)

    assert admin.verify(key_id).status == 500
    assert fake_services.requests == []


# --- concurrent changes ---------------------------------------------------------------------------------------------


def test_a_result_is_not_stored_for_a_replaced_secret(admin: Admin, fake_services: FakeServices) -> None:
    """Return 412 if the secret value was replaced during the probe."""
    key_id = stored(admin, "openai")
    fake_services.chosen["openai"] = "wrong"
    fake_services.before_answer = lambda: admin.update(key_id, {"key": f"sk-made-up-{CANARY}-replacement"})  # type: ignore[assignment]

    response = admin.verify(key_id)

    assert (response.status, response.code) == (412, "VERSION_CONFLICT")
    assert "Check it again" in response.body["error"]["message"]
    assert admin.get(key_id).data["verification"] is None


def test_a_change_during_a_verification_is_kept(admin: Admin, fake_services: FakeServices) -> None:
    """Store the result without undoing a concurrent change of `active`."""
    key_id = stored(admin, "openai")
    fake_services.before_answer = lambda: admin.update(key_id, {"active": False})  # type: ignore[assignment]

    after = admin.verify(key_id).data

    assert (after["active"], after["version"], after["verification"]["status"]) == (False, 2, "valid")


def test_a_key_deleted_during_its_verification_stays_deleted(
    admin: Admin, fake_services: FakeServices, store: Store
) -> None:
    """Return 404 and write no item."""
    key_id = stored(admin, "openai")
    fake_services.before_answer = lambda: admin.delete(key_id)  # type: ignore[assignment]

    assert admin.verify(key_id).code == "API_KEY_NOT_FOUND"
    assert store.current_items() == []


def test_the_later_of_two_verifications_wins(stack: Any, store: Store, fake_services: FakeServices) -> None:
    """Discard the result of a verification that started earlier but ended later."""
    admin = Admin(stack)
    key_id = stored(admin, "openai")
    first_asks, second_is_done = Event(), Event()

    def delay_the_first() -> None:
        if not first_asks.is_set():
            first_asks.set()
            second_is_done.wait(10)

    fake_services.before_answer = delay_the_first
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(admin.verify, key_id)
        first_asks.wait(10)
        later = admin.verify(key_id).data["verification"]
        second_is_done.set()
        assert first.result().status == 200

    assert first.result().data["verification"] == admin.get(key_id).data["verification"] == later


def test_concurrent_verifications_all_succeed(admin: Admin) -> None:
    """Return 200 for eight verifications at the same time."""
    key_id = stored(admin, "openai")
    barrier = Barrier(8)

    def check(_: int) -> int:
        barrier.wait()
        return admin.verify(key_id).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(check, range(8))) == {200}


# --- lists ----------------------------------------------------------------------------------------------------------


def test_a_list_can_be_filtered_by_result(admin: Admin, fake_services: FakeServices) -> None:
    """List keys by verification status, with and without other filters."""
    names = {"valid": "Good", "wrong": "Bad", "failing": "Unclear"}
    for response, name in names.items():
        fake_services.chosen["openai"] = response
        key = admin.create(name, service="openai", key=OPENAI_KEY, active=response != "wrong")
        admin.verify(key["id"])
    admin.create("Unchecked", service="openai", key=OPENAI_KEY)

    def listed(**query: str) -> list[str]:
        return [key["name"] for page in admin.pages(**query) for key in page]

    assert listed(verification="valid") == ["Good"]
    assert listed(verification="rejected") == ["Bad"]
    assert listed(verification="inconclusive", limit="1") == ["Unclear"]
    assert listed(verification="none", service="openai") == ["Unchecked"]
    assert listed(verification="rejected", active="true") == []
    assert admin.listing(verification="bad").status == 400
