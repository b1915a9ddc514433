"""The stored items of a released version: how they are made, kept and loaded.

Later versions must read the items of each released version. `play` calls the API with every kind of change; the items
and the responses are kept as a fixture in tests/functional/stored_items. `python -m tools.store_fixture` makes it.
"""

from __future__ import annotations

import base64
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from tests.functional.conftest import COLLECTION, Admin, Store
from tests.support.canary import CANARY
from tests.support.fixed_kms import of_key
from tests.support.fixtures import Fixtures
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from local.stack import LocalStack
    from service_keys import ServiceKeys

FIXTURES: Final = Fixtures(ROOT / "tests" / "functional" / "stored_items")
START_MS: Final = 2_524_608_000_000
"""2050-01-01 in UTC: no item expires while a test runs against a DynamoDB that removes expired items."""
_STEP_MS: Final = 3_600_000
IDEMPOTENCY_KEY: Final = "made-up-key-of-a-request"
RETRIED: Final[dict[str, Any]] = {
    "name": "Spotify production",
    "service": "spotify",
    "description": "Charts & playlists, Zürich",
    "key": {"clientId": f"{CANARY}0123456789abcdefcdef", "clientSecret": f"{CANARY}fedcba98765432103210"},
}
_PEM: Final = f"-----BEGIN MADE-UP KEY-----\n{CANARY}+/0123456789==\n\tindented\n-----END MADE-UP KEY-----\n"


@dataclass
class Clock:
    """The time of the API and of consumers, in milliseconds since the Unix epoch."""

    now_ms: int = START_MS

    def seconds(self) -> float:
        """Return the time in seconds."""
        return self.now_ms / 1000

    def milliseconds(self) -> int:
        """Return the time in milliseconds."""
        return self.now_ms

    def tick(self) -> None:
        """Go on by an hour."""
        self.now_ms += _STEP_MS


@contextmanager
def running_at(stack: LocalStack, clock: Clock) -> Iterator[None]:
    """Give the functions of a stack another clock."""
    with ExitStack() as exits:
        for module in ("endpoint", "responses", "warnings"):
            exits.enter_context(mock.patch(f"service_keys.admin.{module}.now_ms", clock.milliseconds))
        for name, function in stack.functions.items():
            variables = getattr(function._handler, "__wrapped__", function._handler).__globals__
            for value in (variables.get("keys"), variables.get("repository")):
                if name != "Authorizer" and value is not None:
                    exits.enter_context(mock.patch.object(value, "_clock", clock.seconds))
        yield


def play(admin: Admin, store: Store, clock: Clock, consumer: Callable[[], ServiceKeys]) -> dict[str, Any]:
    """Store keys in every state, by the API; return the items, the secret values and the responses.

    Args:
        admin: The administrator.
        store: The table.
        clock: The clock of the API.
        consumer: Creates a consumer with this clock.
    """
    admin.name = "ada@example.com"
    secrets: dict[str, Any] = {}

    def create(key: Any, body: Mapping[str, Any], **headers: str) -> str:
        clock.tick()
        response = admin.send("POST", COLLECTION, {**body, "key": key}, **headers)
        assert response.status == 201, response.text
        secrets[response.data["id"]] = key
        return str(response.data["id"])

    def replace(key_id: str, key: Any, **fields: Any) -> None:
        clock.tick()
        assert admin.update(key_id, {"key": key, **fields}).status == 200
        secrets[key_id] = key

    def text(number: int) -> str:
        return f"sk-made-up-{CANARY}-{number:08}"

    create(RETRIED["key"], RETRIED, Idempotency_Key=IDEMPOTENCY_KEY)
    spotify = create({**RETRIED["key"], "clientId": "0" * 32}, {"name": "Spotify ＴＥＳＴ", "service": "spotify"})
    replace(spotify, {**RETRIED["key"], "clientSecret": "f" * 32})
    openai = create(text(1), {"name": "OpenAI", "service": "openai"})
    replace(openai, text(2))
    replace(openai, text(3), name="OpenAI batch", description="Nightly")
    clock.tick()
    assert admin.rollback(openai, If_Match='"3"').status == 200
    secrets[openai] = text(2)
    assert admin.verify(openai).data["verification"]["status"] == "valid"
    create(_PEM, {"name": "Größe, Apple Music", "service": "apple-music"})
    disabled = create(f"made-up-{CANARY}-disabled", {"name": "Genius", "service": "genius", "active": False})
    admin.name = None
    replace(disabled, f"made-up-{CANARY}-replaced", keepPrevious=False)
    restored = create("short-one", {"name": "Restored", "service": "restored"})
    clock.tick()
    assert admin.delete(restored).status == 200
    assert admin.restore(restored, {"name": "Restored once"}).status == 200
    gone = create("short-one", {"name": "Gone", "service": "gone"})
    clock.tick()
    assert admin.delete_permanently(gone).status == 200
    deleted = create(text(4), {"name": "Deleted", "service": "openai", "description": "By mistake"})
    replace(deleted, text(5))
    clock.tick()
    for service in ("spotify", "openai", "apple-music"):
        consumer().get(service)
    assert admin.delete(deleted).status == 200
    del secrets[gone]
    return {
        "at": clock.now_ms,
        "secrets": secrets,
        "deleted": deleted,
        "permanentlyDeleted": gone,
        "items": [_with_base64(item) for item in sorted(store.items(), key=_primary_key)],
        **responses(admin, [*secrets, gone], deleted),
    }


def responses(admin: Admin, key_ids: Iterable[str], deleted: str) -> dict[str, Any]:
    """Return the responses of the reading operations, and the cursors of their second pages."""
    ids = list(key_ids)
    histories = {key_id: admin.history(key_id, limit="100").data for key_id in ids}
    first = admin.listing(limit="2")
    return {
        "keys": {key_id: response.data for key_id in ids if (response := admin.get(key_id)).status == 200},
        "list": admin.listing(limit="100").data,
        "deletedList": admin.listing(deleted="true").data,
        "services": [each for each in admin.services().data if each["keys"]["total"]],
        "histories": histories,
        "cursors": {
            "list": first.body["pagination"]["nextCursor"],
            "service": admin.listing(limit="1", service="spotify").body["pagination"]["nextCursor"],
            "history": admin.history(deleted, limit="1").body["pagination"]["nextCursor"],
        },
    }


def put(fixture: Mapping[str, Any], store: Store) -> None:
    """Write the items of a fixture into an empty table, with ciphertexts of the stack's KMS key."""
    store.put_all([_with_bytes(item, store.kms_key) for item in fixture["items"]])


def shapes(items: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the attributes of items with their types, by the kind of the item."""
    found = set()
    for item in items:
        partition = item["service"]["S"]
        kind = partition if partition.startswith("#") else "deleted key" if "deletedAt" in item else "key"
        found |= {f"{kind}: {path}" for path in _paths("", {"M": item})}
    return found


def _paths(path: str, value: Mapping[str, Any]) -> Iterator[str]:
    ((kind, content),) = value.items()
    yield f"{path} {kind}"
    if kind == "M":
        for name, member in content.items():
            # Fields of a masked key have the names that the administrator gave them.
            yield from _paths(f"{path}.{'*' if path.endswith('maskedKey') else name}", member)
    if kind == "L":
        for member in content:
            yield from _paths(f"{path}[]", member)


def _primary_key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["service"]["S"], item["id"]["S"]


def _with_base64(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"B": base64.b64encode(value["B"]).decode()} if "B" in value else value for name, value in item.items()
    }


def _with_bytes(item: Mapping[str, Any], key_arn: str) -> dict[str, Any]:
    return {
        name: {"B": of_key(base64.b64decode(value["B"]), key_arn)} if "B" in value else value
        for name, value in item.items()
    }
