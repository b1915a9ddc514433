"""Credentials in the formats of their services: created through the API, and read by a consumer byte for byte."""

import pytest

from service_keys import ServiceKeys
from tests.functional.conftest import Admin, ConsumerOf, HttpAdmin, admin_fixture
from tests.support.credentials import CREDENTIALS, GOOGLE_SERVICE_ACCOUNT
from tests.support.example_keys import KEYS

admin = admin_fixture(Admin)


def read(consumer: ServiceKeys, service: str) -> str | dict[str, str]:
    key = consumer.get(service)
    return dict(key) if len(key) else key.value


def test_the_credentials_cover_at_least_30_services() -> None:
    """Cover the services that small teams use."""
    assert len({service for service, _ in CREDENTIALS.values()}) >= 30
    assert len(GOOGLE_SERVICE_ACCOUNT) == 11


@pytest.mark.parametrize("title", CREDENTIALS)
def test_a_credential_reads_back_byte_for_byte(http: HttpAdmin, consumer_of: ConsumerOf, title: str) -> None:
    """Create a key over HTTP; read it as a consumer."""
    service, key = CREDENTIALS[title]

    http.create(title, key, service=service)

    assert read(consumer_of(), service) == key


@pytest.mark.parametrize("title", CREDENTIALS)
def test_a_replacement_reads_back_byte_for_byte(admin: Admin, consumer_of: ConsumerOf, title: str) -> None:
    """Accept in an update the formats that a create accepts."""
    service, key = CREDENTIALS[title]
    created = admin.create(title, KEYS.get(service, "made-up-before"), service=service)

    updated = admin.update(created["id"], {"key": key})

    assert updated.status == 200, updated.text
    assert read(consumer_of(), service) == key
