"""A server with TLS, and the direct clients that call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from service_keys.store.direct import trust
from service_keys.store.direct.client import DirectDynamoDB, DirectKMS
from service_keys.store.direct.endpoints import Endpoint
from service_keys.store.timeouts import Timeouts
from tests.support.canary import CANARY
from tests.support.scripted_server import ScriptedServer
from tests.support.tls import certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Create = Callable[..., Any]

ACCESS_KEY, SECRET_KEY, TOKEN = "AKIAMADEUP", f"{CANARY}-secret", f"{CANARY}/token+="
NOW = 1_800_000_000.0


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, pem: Path) -> None:
    """Credentials, and the server's certificate in place of those of the system."""
    monkeypatch.setattr(trust, "_current", {})
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    for name in ("SSL_CERT_DIR", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.delenv("AWS_SDK_UA_APP_ID", raising=False)


@pytest.fixture
def server(pem: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(pem) as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    """The seconds for which the client waited between attempts."""
    return []


@pytest.fixture
def create(server: ScriptedServer, waits: list[float]) -> Iterator[Create]:
    """Create a client of the server that waits for no time, with a fixed clock."""
    created: list[DirectDynamoDB | DirectKMS] = []

    def create(kind: type[Any] = DirectDynamoDB, **options: Any) -> Any:
        address = Endpoint(
            options.pop("host", "localhost"), options.pop("port", server.port), tls=options.pop("tls", True)
        )
        timeouts = options.pop("timeouts", Timeouts(30, 30))
        chosen = {"clock": lambda: NOW, "sleep": waits.append, "jitter": lambda: 0.5, **options}
        service = "kms" if kind is DirectKMS else "dynamodb"
        created.append(kind(service, address, "eu-west-1", timeouts, **chosen))
        return created[-1]

    yield create
    for client in created:
        client.close()


@pytest.fixture
def dynamodb(create: Create) -> DirectDynamoDB:
    client: DirectDynamoDB = create()
    return client
