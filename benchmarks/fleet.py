"""Fleet and cost: AWS calls of a fleet of containers that read one key, and their price compared with AWS's own stores.

The simulation runs the real reader on a fake store. A model of its refreshes and usage stamps predicts a fleet of one
million containers; a test compares it with the simulation.
"""

from __future__ import annotations

import bisect
import gc
import itertools
import random
from collections import Counter, deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks import prices
from benchmarks.report import Bound, Part, format_table, show_progress
from service_keys import ServiceKeys
from service_keys.core.timestamps import format_timestamp
from service_keys.reader import usage
from service_keys.reader.cache import PLAINTEXT_TTL_SECONDS, SNAPSHOT_TTL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTES = 60
READ_EVERY = 15
"""Seconds between two reads of one container."""
LATENCY = 0.01
"""Delay in seconds until a write of lastUsed is visible to other containers."""
STAMP_UNITS = 2
"""Write units of a usage stamp: the item and its index entry. A rejected stamp consumes one unit."""
PEERS_CACHE_SECONDS = 300
"""Default cache time of Powertools' parameters and of AWS's Parameters and Secrets extension.

https://docs.aws.amazon.com/powertools/python/latest/utilities/parameters/ and
https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html
"""
FLEETS = (100, 10_000, 1_000_000)
FIGURES = ("Query", "Decrypt", "UpdateItem", "UpdateItem, refused", "most stamps in a minute")
PEER_PRICES: dict[str, Callable[[float], float]] = {
    "Secrets Manager": lambda calls: prices.SECRETS_MANAGER_CALL.of(calls) + prices.SECRET.dollars,
    "Parameter Store, standard": prices.KMS_REQUEST.of,
    "Parameter Store, higher throughput": lambda calls: prices.PARAMETER_CALL.of(calls) + prices.KMS_REQUEST.of(calls),
}
"""Dollars per month, by the number of calls."""
METHOD = f"""\
Containers run the whole month, start within a minute of each other, and read one key every {READ_EVERY} seconds. The
simulation gives each container a real reader on a fake DynamoDB and KMS, for an hour of simulated time. The model
assumes one refresh every {SNAPSHOT_TTL_SECONDS} seconds and one decryption an hour, and plays through the usage stamps.
A month is {prices.HOURS_A_MONTH} such hours. Each further start of a container costs two calls here, and one elsewhere.

Dollars are list prices of us-east-1 as known in 2025 (benchmarks/prices.py; check them before you rely on them),
without free tiers. A Query of one key is one read unit. Secrets Manager decrypts without an extra charge
under AWS's own key; Parameter Store's `SecureString` is one KMS request a call. {PEERS_CACHE_SECONDS} seconds are the
default cache time of Powertools and of AWS's Parameters and Secrets extension; the other rows of both have our cache
time, so that a disabled key is out of use equally soon."""
NOTES = f"""\
- All keys share the cost of one KMS key and add none of their own; each secret has a monthly price.
- AWS throttles larger fleets that read one key: a partition of DynamoDB allows 3,000 reads a second, which is
  {3_000 * SNAPSHOT_TTL_SECONDS:,} containers of one service; Secrets Manager 10,000 calls, Parameter Store 40 or, with
  higher throughput, 10,000 (https://docs.aws.amazon.com/general/latest/gr/ssm.html)."""


class RefusedError(Exception):
    """The condition of a write failed."""


class FakeStore:
    """DynamoDB and KMS with one key, and a clock that the simulation sets."""

    SECRET = "made-up-secret-0123456789"

    exceptions = SimpleNamespace(
        ConditionalCheckFailedException=RefusedError,
        InvalidCiphertextException=RefusedError,
        IncorrectKeyException=RefusedError,
    )

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.calls: Counter[str] = Counter()
        self.stamps: list[float] = []
        self._visible = self._last_used = format_timestamp(0)
        self._visible_from = 0.0

    def query(self, **_: Any) -> dict[str, Any]:
        """Return the key with the currently visible usage stamp."""
        self.calls["Query"] += 1
        if self.now >= self._visible_from:
            self._visible = self._last_used
        item: dict[str, Any] = {"id": {"S": "openai.0123456789ab"}, "name": {"S": "OpenAI"}, "active": {"BOOL": True}}
        item |= {"ciphertext": {"B": b"made up"}, "version": {"N": "1"}, "lastUsed": {"S": self._visible}}
        return {"Items": [item]}

    def decrypt(self, **_: Any) -> dict[str, Any]:
        """Return the secret."""
        self.calls["Decrypt"] += 1
        return {"Plaintext": f'"{self.SECRET}"'.encode()}

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Write a usage stamp if its condition holds."""
        self.calls["UpdateItem"] += 1
        values = request["ExpressionAttributeValues"]
        if self._last_used > values[":since"]["S"]:
            self.calls["UpdateItem, refused"] += 1
            raise RefusedError
        self._last_used, self._visible_from = values[":usedAt"]["S"], self.now + LATENCY
        self.stamps.append(self.now)
        return {}


def simulate(containers: int, minutes: int = MINUTES) -> dict[str, float]:
    """Simulate containers that read one key; return the number of calls and the maximum rate of usage stamps."""
    store: Any = FakeStore()
    began = store.now
    waiting = deque(
        (began + start, ServiceKeys("table", dynamodb_client=store, kms_client=store, clock=lambda: store.now).get)
        for start in _starts(containers)
    )
    gc.disable()  # collections would take 25 % of the time and find no garbage
    try:
        while waiting[0][0] < began + minutes * 60:
            store.now, get = waiting.popleft()
            get("openai")
            waiting.append((store.now + READ_EVERY, get))
    finally:
        gc.enable()
    return {**store.calls, **_density([at - began for at in store.stamps])}


def predict(containers: int, minutes: int = MINUTES) -> dict[str, float]:
    """Predict the results of `simulate`, up to the random intervals of its usage stamps.

    Only two kinds of refresh matter: those within `LATENCY` after a stamp, which do not see it yet, and those at least
    the shortest random interval after it.
    """
    starts = _starts(containers)
    chance = random.Random(5)
    refreshes = containers * minutes
    shortest = usage.STAMP_INTERVAL_SECONDS - usage.STAMP_JITTER_SECONDS
    calls = Counter(Query=refreshes, Decrypt=containers * -(-minutes * 60 // PLAINTEXT_TTL_SECONDS))
    stamps: list[float] = []
    visible, last_used, visible_from = -float("inf"), -float("inf"), 0.0
    number = 0
    while number < refreshes:
        at = number // containers * SNAPSHOT_TTL_SECONDS + starts[number % containers]
        if at >= visible_from:
            visible = last_used
            if at - visible < shortest:
                minute, second = divmod(visible + shortest, SNAPSHOT_TTL_SECONDS)
                number = max(number + 1, int(minute) * containers + bisect.bisect_left(starts, second))
                continue
        # As in usage.stamp_if_due.
        since = at - usage.STAMP_INTERVAL_SECONDS + usage.STAMP_JITTER_SECONDS * chance.random()
        if visible <= since:
            calls["UpdateItem"] += 1
            if last_used > since:
                calls["UpdateItem, refused"] += 1
            else:
                last_used, visible_from = at, at + LATENCY
                stamps.append(at)
        number += 1
    return {**calls, **_density(stamps)}


def _starts(containers: int) -> list[float]:
    """Return the sorted start times, spread over the first minute."""
    chance = random.Random(4)
    return sorted(chance.uniform(0, 60) for _ in range(containers))


def _density(stamps: list[float]) -> dict[str, float]:
    minutes = Counter(int(at // 60) for at in stamps)
    gaps = (later - earlier for earlier, later in itertools.pairwise(stamps))
    return {"most stamps in a minute": max(minutes.values()), "most seconds between stamps": max(gaps)}


def measure(*, quick: bool) -> Part:
    """Simulate and predict the calls, and calculate the cost."""
    simulated = (100, 1_000) if quick else (100, 10_000)
    rows = []
    found: dict[str, float] = {}
    for containers in sorted({*simulated, *FLEETS}):
        for name, method in (("simulated", simulate), ("model", predict)):
            if method is predict or containers in simulated:
                show_progress(f"fleet: {containers:,} containers, {name}")
                found = method(containers)
                rows.append((f"{containers:,} containers, {name}", *(f"{found.get(each, 0):,.0f}" for each in FIGURES)))
    costs = {("service_keys", SNAPSHOT_TTL_SECONDS): [_ours(size) for size in FLEETS]}
    for seconds in (PEERS_CACHE_SECONDS, SNAPSHOT_TTL_SECONDS):
        for name, price in PEER_PRICES.items():
            costs[name, seconds] = [price(size * 3600 / seconds * prices.HOURS_A_MONTH) for size in FLEETS]
    cost_rows = [(*map(str, key), *(f"{each:,.2f}" for each in dollars)) for key, dollars in costs.items()]
    theirs = [costs["Secrets Manager", seconds][1] for seconds in (PEERS_CACHE_SECONDS, SNAPSHOT_TTL_SECONDS)]
    sizes = [f"{size:,} containers" for size in FLEETS]
    return Part(
        "Fleet and cost: containers that read one key",
        METHOD,
        [
            format_table(("calls in an hour", *FIGURES), rows),
            format_table(("dollars a month", "cache, s", *sizes), cost_rows),
            format_table(("list price", "dollars", "source"), [price.row() for price in prices.PRICES]),
        ],
        # The last row of the loop above: the prediction for a million containers.
        bounds=[Bound("stamps in a minute, of a million", found["most stamps in a minute"], 3)],
        readme=[
            (
                "a month of 10,000 containers that read a key",
                f"${_ours(10_000):,.0f}",
                f"Secrets Manager ${theirs[0]:,.0f} (its cache: 5 minutes), ${theirs[1]:,.0f} (1 minute, as here)",
            )
        ],
        notes=NOTES,
    )


def _ours(containers: int) -> float:
    """Return the dollars per month of a fleet that reads one key."""
    hour = predict(containers)
    refused = hour.get("UpdateItem, refused", 0)
    writes = (hour["UpdateItem"] - refused) * STAMP_UNITS + refused
    dollars = prices.DYNAMODB_READ.of(hour["Query"]) + prices.DYNAMODB_WRITE.of(writes)
    return (dollars + prices.KMS_REQUEST.of(hour["Decrypt"])) * prices.HOURS_A_MONTH + prices.KMS_KEY.dollars
