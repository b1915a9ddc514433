"""Credentials in the formats of their services: created through the API, and read by a consumer byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service_keys import ServiceKeys
from tests.functional.conftest import COLLECTION, Admin, ClientsOf, HttpAdmin, Store
from tests.support.credentials import CREDENTIALS, GOOGLE_SERVICE_ACCOUNT

if TYPE_CHECKING:
    from local.stack import LocalStack

OLD = {"openai": "sk-made-up-key-before", "anthropic": "sk-ant-made-up-before"}
OLD_SPOTIFY = {"clientId": "0" * 32, "clientSecret": "1" * 32}


@pytest.fixture
def consumer(clients_of: ClientsOf, store: Store) -> ServiceKeys:
    """A consumer with an empty cache."""
    dynamodb, kms = clients_of("ReadAllKeys")
    return ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms)


def read(consumer: ServiceKeys, service: str) -> str | dict[str, str]:
    key = consumer.get(service)
    return dict(key) if len(key) else key.value


def test_the_credentials_cover_at_least_30_services() -> None:
    """Cover the services that small teams use."""
    assert len({service for service, _ in CREDENTIALS.values()}) >= 30
    assert len(GOOGLE_SERVICE_ACCOUNT) == 11


@pytest.mark.parametrize("title", CREDENTIALS)
def test_a_credential_reads_back_byte_for_byte(
    stack: LocalStack, store: Store, consumer: ServiceKeys, title: str
) -> None:
    """Create a key over HTTP; read it as a consumer."""
    admin = HttpAdmin(stack)
    service, key = CREDENTIALS[title]

    created = admin.send("POST", COLLECTION, {"name": title, "service": service, "key": key})

    assert created.status == 201, created.text
    assert read(consumer, service) == key


@pytest.mark.parametrize("title", CREDENTIALS)
def test_a_replacement_reads_back_byte_for_byte(
    stack: LocalStack, store: Store, consumer: ServiceKeys, title: str
) -> None:
    """Accept in an update the formats that a create accepts."""
    admin = Admin(stack)
    service, key = CREDENTIALS[title]
    before = OLD_SPOTIFY if service == "spotify" else OLD.get(service, "made-up-before")
    created = admin.create(title, before, service=service)

    updated = admin.update(created["id"], {"key": key})

    assert updated.status == 200, updated.text
    assert read(consumer, service) == key
