"""Scale: the capacity that list, get, create and a consumer's read consume in a small and in a large table."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks.report import Bound, Part, format_table, show_progress
from benchmarks.stores import Stores, stores
from local.aws import client
from service_keys.admin.schemas import CreateApiKey
from service_keys.core.ids import RANDOM_BITS, new_id
from service_keys.core.list_query import ListQuery
from service_keys.core.models import ChangeContext, StoredKey
from service_keys.store.consumer_repository import ConsumerRepository
from service_keys.store.recovery import KeyRecovery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS_OF_A_SERVICE = 4
DISABLED_EVERY = 10
CIPHERTEXT = b"\x01" * 180
"""Dummy data with the length of KMS's ciphertext of a 30-character secret."""
CHANGE = ChangeContext(at_ms=1_780_000_000_000, principal="admin-1", request_id="made-up")
FIRST_PAGE = "list, first page of 20"
FILTERED = "list, first 20 disabled keys"
METHOD = f"""\
The product's own table, created from template.yaml, is filled by the product's own create: {KEYS_OF_A_SERVICE} keys of
each service, one key in {DISABLED_EVERY} disabled. At each size, the product's repository makes the calls of its
functions, and DynamoDB returns the units that they consume (`ReturnConsumedCapacity`), those of the index included.
moto returns none; there, the items that a Query examines are counted instead."""
NOTES = f"""\
- A filtered page reads until it is full, so rare values cost more. Here one key in {DISABLED_EVERY} is disabled, so 20
  of them are in 200 keys; a table of 100 keys has only 10.
- A consumer's Query reads all keys of its service: it grows with them, not with the table.
- DynamoDB Local rounds the sum of the items of a transaction, where AWS rounds each item: compare the units of a create
  only with each other. docs/operations.md has the units of each change."""


def measure(*, quick: bool) -> Part:
    """Fill the table and measure at each size."""
    consumed: dict[str, list[float]] = {}
    with stores(allow_dynamodb_local=True) as at:
        local = at.dynamodb != at.moto
        full_sizes = (100, 10_000, 100_000) if local else (100, 500)
        sizes = (100, 1_000 if local else 200) if quick else full_sizes
        for before, size in itertools.pairwise((0, *sizes)):
            _create_keys(at, range(before, size))
            for name, units in _measure(at, size):
                consumed.setdefault(name, []).append(units)
    unit = "units consumed" if local else "items examined"
    emulator = "DynamoDB Local" if local else "moto, for lack of AWS_ENDPOINT_URL_DYNAMODB"
    counted = {name: figures for name, figures in consumed.items() if figures[0]}
    rows = [(name, *(f"{each:g}" for each in figures)) for name, figures in counted.items()]
    return Part(
        f"Scale: up to {sizes[-1]:,} keys, in {emulator}",
        METHOD,
        [format_table((unit, *(f"{size:,} keys" for size in sizes)), rows)],
        bounds=[
            Bound(f"{name}: {unit}, {sizes[-1]:,} keys to {sizes[0]:,}", figures[-1] / figures[0], 1)
            for name, figures in counted.items()
            if name != FILTERED
        ],
        readme=[
            (
                f"a page of 20 keys from a table of {sizes[-1]:,}",
                f"{consumed[FIRST_PAGE][-1]:g} {'read unit' if local else unit}",
                f"from a table of {sizes[0]}: {consumed[FIRST_PAGE][0]:g}",
            )
        ],
        notes=NOTES,
    )


def _measure(at: Stores, size: int) -> Iterator[tuple[str, float]]:
    """Yield the name of each operation and the units that it consumes."""
    dynamodb = client("dynamodb", at.dynamodb)
    units = _count_units(dynamodb, local=at.dynamodb != at.moto)
    table = KeyRecovery(dynamodb, at.table_name, history_days=400)
    consumer = ConsumerRepository(dynamodb, at.table_name)
    middle = _key(size // 2)
    operations: dict[str, Callable[[], object]] = {
        FIRST_PAGE: lambda: table.list_page(ListQuery(limit=20)),
        "list, a page in the middle": lambda: table.list_page(ListQuery(limit=20, start_after=middle.id)),
        "list, one service": lambda: table.list_page(ListQuery(limit=20, service=middle.service)),
        FILTERED: lambda: table.list_page(ListQuery(limit=20, active=False)),
        "get": lambda: table.get(middle.id),
        "read, the consumer's Query": lambda: consumer.list_for_service(middle.service),
        "create": lambda: table.create(_key(10_000_000 + size, "measured"), CIPHERTEXT, CHANGE, fields=()),
    }
    for name, operation in operations.items():
        units.clear()
        operation()
        yield name, sum(units)
    for key in consumer.list_for_service("measured"):
        table.delete(key.id, CHANGE, recoverable_days=0)


def _count_units(dynamodb: Any, *, local: bool) -> list[float]:
    """Return a list that collects the consumed units of each call; with moto, the number of examined items."""
    units: list[float] = []

    def request_units(params: dict[str, Any], **_: object) -> dict[str, Any]:
        return params | {"ReturnConsumedCapacity": "TOTAL"}

    def count(parsed: dict[str, Any], **_: object) -> None:
        consumed = parsed.get("ConsumedCapacity", []) if local else {"CapacityUnits": parsed.get("ScannedCount", 0)}
        units.extend(each["CapacityUnits"] for each in (consumed if isinstance(consumed, list) else [consumed]))

    if local:
        dynamodb.meta.events.register("provide-client-params.dynamodb", request_units)
    dynamodb.meta.events.register("after-call.dynamodb", count)
    return units


def _key(number: int, service: str = "") -> StoredKey:
    """Return a key; higher numbers are created later."""
    service = service or f"service-{number // KEYS_OF_A_SERVICE}"
    request = CreateApiKey(
        name=f"{service} production {number}",
        service=service,
        description="For the assistant of the editorial team",
        active=number % DISABLED_EVERY > 0,
        key="made-up-secret-0123456789cdef",  # type: ignore[arg-type]
    )
    key_id = new_id(service, at_ms=CHANGE.at_ms + number, random_bits=number % 2**RANDOM_BITS)
    return request.to_stored_key(key_id, CHANGE)


def _create_keys(at: Stores, numbers: range) -> None:
    table = KeyRecovery(client("dynamodb", at.dynamodb), at.table_name, history_days=400)
    with ThreadPoolExecutor(4) as pool:
        created = pool.map(lambda number: table.create(_key(number), CIPHERTEXT, CHANGE, fields=()), numbers)
        for number, _ in zip(numbers, created, strict=True):
            if number % 1000 == 0:
                show_progress(f"scale: creating keys, {number:,} of {numbers.stop:,}")
