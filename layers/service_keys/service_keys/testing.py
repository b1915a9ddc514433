"""Fake keys for the tests of consumers: no AWS, no environment, no clock.

from service_keys.testing import fake_api_keys

def test_play() -> None:
    with fake_api_keys({"spotify": {"clientId": "made-up", "clientSecret": "made-up"}}) as keys:
        play()
        assert keys.reads == ["spotify"]

        keys.disable("spotify")
        with pytest.raises(KeyDisabledError):
            play()

`stored_api_keys` stores the keys in an emulator of AWS instead, such as moto, so that a test includes the calls to it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from service_keys.api_key import ApiKey
from service_keys.core.ids import is_valid_service
from service_keys.core.names import normalize_name
from service_keys.core.secret_value import SecretValue
from service_keys.errors import KeyDisabledError, KeyNotFoundError, ServiceKeysError
from service_keys.reader.client import ServiceKeys, check_arguments
from service_keys.reader.default_client import override_default
from service_keys.store.emulated import create_key_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient

_NO_SERVICE = "No key can have the service {service!r}. Services are lower-case, such as spotify."

__all__ = ["FakeServiceKeys", "fake_api_keys", "stored_api_keys"]


class FakeServiceKeys:
    """A fake of `service_keys.ServiceKeys` that a test controls.

    Attributes:
        reads: The requested services, in order.
        refreshes: The services requested with ``refresh=True``, in order.
    """

    def __init__(self, keys: Mapping[str, str | Mapping[str, str]]) -> None:
        """Store one active key for each service, named as the service."""
        self.reads: list[str] = []
        self.refreshes: list[str] = []
        self._keys: dict[str, list[ApiKey]] = {}
        self._disabled: set[str] = set()
        self._failures: dict[str, ServiceKeysError] = {}
        for service, value in keys.items():
            self.store(service, value)

    def store(self, service: str, value: str | Mapping[str, str], *, name: str | None = None) -> None:
        """Store a new key, the newest of its service. The name defaults to the service.

        Raises:
            ValueError: The service is invalid, or already has a key with this name.
        """
        if not is_valid_service(service):
            raise ValueError(_NO_SERVICE.format(service=service))
        stored = self._keys.setdefault(service, [])
        if self._named(service, name or service):
            raise ValueError(f"The test stored a key named {name or service!r} already. Give this one another name.")
        key_id = f"{service}.{len(stored):012}"
        stored.insert(0, ApiKey(SecretValue(value), id=key_id, name=name or service, service=service, version=1))

    def disable(self, service: str, *, name: str | None = None) -> None:
        """Disable every key of a service, or only the key with this name."""
        self._disabled |= {key.id for key in self._named(service, name)}

    def enable(self, service: str, *, name: str | None = None) -> None:
        """Enable every key of a service, or only the key with this name."""
        self._disabled -= {key.id for key in self._named(service, name)}

    def delete(self, service: str, *, name: str | None = None) -> None:
        """Delete every key of a service, or only the key with this name."""
        gone = {key.id for key in self._named(service, name)}
        self._keys[service] = [key for key in self._keys.get(service, []) if key.id not in gone]

    def fail(self, service: str, error: ServiceKeysError) -> None:
        """Raise this error on every read of the service, such as ``KeyStoreUnavailableError("made up")``."""
        self._failures[service] = error

    def recover(self, service: str) -> None:
        """Undo `fail`."""
        self._failures.pop(service, None)

    def get(self, service: str, *, name: str | None = None, refresh: bool = False) -> ApiKey:
        """Return the newest active key of a service, or the key with this name, like `ServiceKeys.get`."""
        self.reads.append(service)
        if refresh:
            self.refreshes.append(service)
        check_arguments(service, name)
        if service in self._failures:
            error = self._failures[service]
            raise type(error)(*error.args)
        candidates = self._named(service, name)
        for key in candidates:
            if key.id not in self._disabled:
                return key
        which = f"the service {service!r}" + (f" with the name {name!r}" if name else "")
        if candidates:
            raise KeyDisabledError(f"The test disabled every key of {which}.")
        raise KeyNotFoundError(f"The test stored no key of {which}.")

    def _named(self, service: str, name: str | None) -> list[ApiKey]:
        stored = self._keys.get(service, [])
        return [key for key in stored if name is None or normalize_name(key.name) == normalize_name(name)]


@contextmanager
def fake_api_keys(keys: Mapping[str, str | Mapping[str, str]] | None = None) -> Iterator[FakeServiceKeys]:
    """Make `service_keys.get_api_key` return these keys, by service, inside the block.

    Yields:
        The fake, to change its keys and to inspect the reads.
    """
    fake = FakeServiceKeys(keys or {})
    with override_default(fake):
        yield fake


@contextmanager
def stored_api_keys(
    keys: Mapping[str, str | Mapping[str, str]],
    *,
    dynamodb_client: DynamoDBClient,
    kms_client: KMSClient,
    table_name: str = "service-keys",
) -> Iterator[ServiceKeys]:
    """Store these keys, by service, in an emulator of AWS, and make `get_api_key` read them inside the block.

    Args:
        keys: The value of each key, by service.
        dynamodb_client: A botocore or boto3 client of the emulator. On AWS it would create a real table.
        kms_client: Likewise, with a real KMS key.
        table_name: The table, which must not exist.

    Yields:
        The reader behind `get_api_key`.
    """
    create_key_store(dynamodb_client, kms_client, table_name, keys)
    reader = ServiceKeys(table_name, dynamodb_client=dynamodb_client, kms_client=kms_client)
    with override_default(reader):
        yield reader
