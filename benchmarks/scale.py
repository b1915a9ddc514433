"""Scale: what a page, a create and a read consume with a hundred keys in the table, and with a hundred thousand."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config

from benchmarks.report import Options, Part, Spread, Target, run_alone
from benchmarks.report import Table as Figures
from benchmarks.stores import CHANGE, new_key, stores
from service_keys import table as tables
from service_keys.queries import ListQuery
from service_keys.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.stores import Stores

KEYS_OF_A_SERVICE = 4
DISABLED_OF = 10
"""One key in so many is disabled."""
CIPHERTEXT = b"\x01" * 180
"""As long as KMS makes it of a key of thirty characters."""
BATCH = 25
"""What BatchWriteItem takes: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""
PAGE = "list, first page of 20"
FILTERED = "list, first 20 disabled keys"

METHOD = f"""\
The product's own table, made from template.yaml, is filled step by step with keys and the claims on their names:
{KEYS_OF_A_SERVICE} keys of each service, one key in {DISABLED_OF} disabled. At each size the module that talks to
DynamoDB (`service_keys.table`) does what the functions have it do, and DynamoDB is asked what that consumed
(`ReturnConsumedCapacity`): read units, or write units, the index's included. moto does not count them; there, the
items that a Query examines stand in their place. The time is the clock's, of call and server, on this machine."""


def measure(options: Options) -> Part:
    """Fill the table, and measure at each size."""
    with stores(anywhere=True) as at:
        sizes: tuple[int, ...]
        if at.local:
            sizes = (100, 1_000, 10_000) if options.quick else (100, 10_000, 100_000)
        else:
            sizes = (100, 1_000) if options.quick else (100, 1_000, 2_000)
        consumed: dict[tuple[str, int], float] = {}
        seconds: dict[tuple[str, int], Spread] = {}
        loaded = 0
        for size in sizes:
            _load(at, loaded, size, options)
            loaded = size
            options.progress(f"scale: measuring with {size:,} keys")
            for name, used, spent in _measured(at, size, options.choose(40, 15) if at.local else 8):
                consumed[name, size], seconds[name, size] = used, spent
    what = "units consumed" if at.local else "items examined"
    names = list(dict.fromkeys(name for name, _ in consumed))
    first, last = sizes[0], sizes[-1]
    counted = [name for name in names if consumed[name, first]]
    units = [(name, *(f"{consumed[name, size]:g}" for size in sizes)) for name in counted]
    times = [(name, *(seconds[name, size].shown(1, 1000) for size in sizes)) for name in names]
    where = "DynamoDB Local" if at.local else "moto"
    notes = [
        (
            "A page that filters reads until it is full: the rarer what is asked for, the more. Here one key in "
            f"{DISABLED_OF} is disabled, so twenty of them are in two hundred; with {first} keys in the table there "
            f"are only {first // DISABLED_OF}."
        ),
        "A reader's Query reads all keys of its service, so it grows with them, and not with the table.",
    ]
    by_size = tuple(f"{size:,}" for size in sizes)
    if at.local:
        notes.append(
            "DynamoDB Local counts each write of a transaction twice as much as AWS's documentation does (two units "
            "for each KiB of an item): what a create consumes is to be compared with itself alone."
        )
    else:
        notes.append(
            f"Measured with moto, and only up to {last:,} keys: AWS_ENDPOINT_URL_DYNAMODB names no DynamoDB Local. "
            "moto looks at every item for every query, so its times grow whatever the query is."
        )
    return Part(
        f"Scale: up to {last:,} keys, in {where}",
        METHOD,
        [
            Figures((f"{what}, with so many keys", *by_size), units),
            Figures(("ms, with so many keys", *by_size), times),
        ],
        notes=notes,
        targets=[
            Target(f"{name}: {what}, {last:,} keys to {first:,}", consumed[name, last] / consumed[name, first], 1)
            for name in counted
            if name != FILTERED
        ],
        readme=[
            (
                f"a page of 20, with {last:,} keys in the table",
                f"{consumed[PAGE, last]:g} {'read unit' if at.local else what}",
                f"with {first} keys {consumed[PAGE, first]:g}",
            )
        ],
    )


def _measured(at: Stores, size: int, times: int) -> Iterator[tuple[str, float, Spread]]:
    """Yield, for each thing that is done, the units that it consumed and the time it took."""
    client, units = at.client("dynamodb"), _Units()
    (units.watch_units if at.local else units.watch_items)(client)
    table = Table(client, at.table_name)
    middle = new_key(_service(size // 2), size // 2).id
    service = _service(size // 2)
    fresh = itertools.count(10_000_000 + size)

    def create() -> None:
        table.create(new_key("measured", next(fresh)), CIPHERTEXT, CHANGE)

    done: dict[str, Callable[[], object]] = {
        PAGE: lambda: table.page(ListQuery(limit=20)),
        "list, a page in the middle": lambda: table.page(ListQuery(limit=20, after=middle)),
        "list, one service": lambda: table.page(ListQuery(limit=20, service=service)),
        FILTERED: lambda: table.page(ListQuery(limit=20, active=False)),
        "get": lambda: table.get(middle),
        "read, the reader's Query": lambda: table.readable(service),
        "create": create,
    }
    spent: dict[str, list[float]] = defaultdict(list)
    for name, act in done.items():
        act()
        units.total = 0.0
        act()
        once = units.total
        for _ in range(times):
            began = time.perf_counter()
            act()
            spent[name].append(time.perf_counter() - began)
        yield name, once, Spread.of(spent[name])
    for key in [*table.readable("measured")]:
        table.delete(key.id, CHANGE)


class _Units:
    """Counts what the calls of a client consume; with moto, the items that they examine."""

    def __init__(self) -> None:
        self.total = 0.0

    def watch_units(self, client: Any) -> None:
        def ask(params: dict[str, Any], **_: object) -> dict[str, Any]:
            return params | {"ReturnConsumedCapacity": "TOTAL"}

        def count(parsed: dict[str, Any], **_: object) -> None:
            consumed = parsed.get("ConsumedCapacity", [])
            for each in consumed if isinstance(consumed, list) else [consumed]:
                self.total += each["CapacityUnits"]

        client.meta.events.register("provide-client-params.dynamodb", ask)
        client.meta.events.register("after-call.dynamodb", count)

    def watch_items(self, client: Any) -> None:
        def count(parsed: dict[str, Any], **_: object) -> None:
            self.total += parsed.get("ScannedCount", 0)

        client.meta.events.register("after-call.dynamodb.Query", count)


def _service(number: int) -> str:
    return f"service-{number // KEYS_OF_A_SERVICE}"


def _load(at: Stores, begin: int, end: int, options: Options) -> None:
    """Write keys and the claims on their names, from one number up to another."""
    threads = 4 if at.local else 1
    # What is written is in DynamoDB's notation already, and the product's own writes are validated elsewhere.
    config = Config(parameter_validation=False, max_pool_connections=threads, retries={"mode": "standard"})
    settings: dict[str, Any] = at.settings("dynamodb")
    client: Any = botocore.session.get_session().create_client("dynamodb", config=config, **settings)

    def write(first: int) -> int:
        numbers = range(first, min(first + BATCH, end))
        keys = [new_key(_service(number), number, active=number % DISABLED_OF > 0) for number in numbers]
        for items in (
            [tables._to_item(key, CIPHERTEXT) for key in keys],  # noqa: SLF001 - a hundred thousand creates take minutes
            [tables._claim(key.name, key.id) for key in keys],  # noqa: SLF001
        ):
            requests = [{"PutRequest": {"Item": item}} for item in items]
            while requests:
                answer = client.batch_write_item(RequestItems={at.table_name: requests})
                requests = answer["UnprocessedItems"].get(at.table_name, [])
        return numbers.stop

    with ThreadPoolExecutor(threads) as pool:
        for number, stop in enumerate(pool.map(write, range(begin, end, BATCH))):
            if number % 40 == 0:
                options.progress(f"scale: loading, {stop:,} of {end:,} keys")


if __name__ == "__main__":
    run_alone(__doc__, measure)
