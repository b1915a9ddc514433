"""A fleet of containers that read one key: what it calls, and what that costs beside the stores that AWS offers.

The simulation runs the real reader on a simulated store. A fleet of a million is predicted by a model of its looks and
stamps alone, which is held against the simulation at sizes that both can do.
"""

from __future__ import annotations

import argparse
import bisect
import gc
import itertools
import json
import random
import sys
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from benchmarks import prices
from benchmarks.report import LAYER, Options, Part, Table, Target, to_stderr

sys.path.insert(0, str(LAYER))

from service_keys import ServiceKeys, reader, usage
from service_keys.naming import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTES = 60
READ_EVERY = 15
"""Seconds between two reads of one container."""
LATENCY = 0.01
"""Seconds that a look and the stamp after it take: who looks meanwhile does not see the stamp."""
KEY_ID = "spotify.0123456789ab"
STAMP_UNITS = 2
"""Write units of a stamp: the item, and its entry in the index. One that is refused consumes one."""
THEIR_SECONDS = 300
"""How long Powertools' parameters and AWS's Parameters and Secrets extension hold a value, unless told otherwise.

https://docs.aws.amazon.com/powertools/python/latest/utilities/parameters/ and
https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html
"""
MOST_STAMPS_A_MINUTE = 3

METHOD = f"""\
Containers run the whole month, start within a minute of each other, and read one key every {READ_EVERY} seconds. The
simulation gives each its own reader, the real one, on a simulated DynamoDB and KMS, for an hour of simulated time;
the model knows that a container looks every {reader.FRESH_SECONDS} seconds and decrypts once an hour, and plays
through who notes the last use. A month is {prices.HOURS_A_MONTH} such hours. Containers that start and end more often
cost each of the ways about one call more for each start, and ours two.

Dollars are list prices of {prices.REGION} as known in {prices.AS_OF} (benchmarks/prices.py, with their sources; check
them before you rely on them), without free tiers. A Query of one key is one read unit. Secrets Manager decrypts under
its own KMS key, for which nothing is counted here; Parameter Store's `SecureString` is decrypted by KMS at each call,
which is charged under AWS's own key as well. The cache time is that of Powertools (`get_secret`, `get_parameter`) and
of AWS's Parameters and Secrets extension, {THEIR_SECONDS} seconds; the second line of each has it brought down to
ours, so that a disabled key is out of use as soon."""


class Refused(Exception):
    """The condition of a write does not hold."""


class SimulatedStore:
    """One key, as DynamoDB and KMS answer for it. Time passes when told to."""

    class exceptions:  # noqa: N801 - botocore's name
        ConditionalCheckFailedException = Refused
        InvalidCiphertextException = Refused
        IncorrectKeyException = Refused

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.calls: Counter[str] = Counter()
        self.stamps: list[float] = []
        self._seen = self._last_used = timestamp(0)
        self._seen_from = 0.0

    def clock(self) -> float:
        return self.now

    def query(self, **_: Any) -> dict[str, Any]:
        self.calls["Query"] += 1
        if self.now >= self._seen_from:
            self._seen = self._last_used
        item = {
            "id": {"S": KEY_ID},
            "name": {"S": "Spotify"},
            "active": {"BOOL": True},
            "ciphertext": {"B": b"made up"},
            "version": {"N": "1"},
            "lastUsed": {"S": self._seen},
        }
        return {"Items": [item]}

    def decrypt(self, **_: Any) -> dict[str, Any]:
        self.calls["Decrypt"] += 1
        return {"Plaintext": b'"made up"'}

    def update_item(self, **request: Any) -> dict[str, Any]:
        self.calls["UpdateItem"] += 1
        values = request["ExpressionAttributeValues"]
        if self._last_used > values[":since"]["S"]:
            self.calls["UpdateItem, refused"] += 1
            raise Refused
        self._last_used, self._seen_from = values[":usedAt"]["S"], self.now + LATENCY
        self.stamps.append(self.now)
        return {}


def simulate(readers: int, minutes: int = MINUTES) -> dict[str, float]:
    """Let `readers` containers read one key for so long; return what they called, and the stamps' greatest density."""
    store: Any = SimulatedStore()
    fleet = [
        ServiceKeys("table", dynamodb_client=store, kms_client=store, clock=store.clock).get for _ in range(readers)
    ]
    begun = store.now
    waiting = deque((begun + start, fleet[number]) for number, start in enumerate(_starts(readers)))
    reads = 0
    # Nothing here is garbage before the end, and looking for it among so much takes a quarter of the time.
    gc.disable()
    try:
        while waiting[0][0] < begun + minutes * 60:
            store.now, get = waiting.popleft()
            get("spotify")
            reads += 1
            waiting.append((store.now + READ_EVERY, get))
    finally:
        gc.enable()
    return {"reads": reads, **store.calls, **_density([at - begun for at in store.stamps])}


def predict(readers: int, minutes: int = MINUTES) -> dict[str, float]:
    """Return what `simulate` would, up to the dice of the stamps, from the looks alone.

    Of the looks only those matter at which a stamp may be due: those within `LATENCY` of a stamp, which do not see it
    yet, and those from the shortest age that a container may take for due.
    """
    starts = _starts(readers)
    chance = random.Random(5)
    looks = readers * minutes
    youngest = usage.STAMP_SECONDS - usage.SPREAD_SECONDS
    calls = Counter(Query=looks, Decrypt=readers * -(-minutes * 60 // reader.PLAINTEXT_SECONDS))
    stamps: list[float] = []
    seen, last_used, seen_from = -float("inf"), -float("inf"), 0.0
    number = 0
    while number < looks:
        at = number // readers * reader.FRESH_SECONDS + starts[number % readers]
        if at >= seen_from:
            seen = last_used
            if at - seen < youngest:
                number = _first_look(starts, seen + youngest, number + 1)
                continue
        # As `usage.stamp_if_due` draws it.
        since = at - (usage.STAMP_SECONDS - usage.SPREAD_SECONDS * chance.random())
        if seen <= since:
            calls["UpdateItem"] += 1
            if last_used > since:
                calls["UpdateItem, refused"] += 1
            else:
                last_used, seen_from = at, at + LATENCY
                stamps.append(at)
        number += 1
    return {**calls, **_density(stamps)}


def _starts(readers: int) -> list[float]:
    # Staggered: each container starts somewhere in the first minute, and reads at its own moment of every period.
    chance = random.Random(4)
    return sorted(chance.uniform(0, 60) for _ in range(readers))


def _first_look(starts: list[float], at: float, after: int) -> int:
    """Return the number of the first look at or after a time, and not before the look `after`."""
    minute = int(at // reader.FRESH_SECONDS)
    return max(after, minute * len(starts) + bisect.bisect_left(starts, at - minute * reader.FRESH_SECONDS))


def _density(stamps: list[float]) -> dict[str, float]:
    minutes = Counter(int(at // 60) for at in stamps)
    gaps = (later - earlier for earlier, later in itertools.pairwise(stamps))
    return {"most stamps in a minute": max(minutes.values()), "most seconds between stamps": max(gaps)}


def measure(options: Options) -> Part:
    """Simulate, predict, and reckon what it costs."""
    simulated = (100, 1_000) if options.quick else (100, 10_000)
    fleets = (100, 10_000, 1_000_000)
    figures = ("Query", "Decrypt", "UpdateItem", "UpdateItem, refused", "most stamps in a minute")
    rows = []
    for readers in sorted({*simulated, *fleets}):
        for who, of in (("simulated", simulate if readers in simulated else None), ("model", predict)):
            if of:
                options.progress(f"fleet: {readers:,} readers, {who}")
                found = of(readers)
                rows.append((f"{readers:,} readers, {who}", *(f"{found.get(name, 0):,.0f}" for name in figures)))
    million = predict(fleets[-1])
    return Part(
        "Fleet and cost: containers that read one key",
        METHOD,
        [
            Table(("calls in an hour", *figures), rows),
            Table(
                ("dollars a month", "out of use within, s", *(f"{size:,} readers" for size in fleets)),
                [*_costs(fleets)],
            ),
            Table(("list price", "dollars", "source"), [price.row() for price in prices.PRICES]),
            Table(("limit", "requests", "source"), [quota.row() for quota in prices.QUOTAS]),
        ],
        notes=[
            (
                "A figure in brackets is beyond what AWS takes for one key (the last table): requests would be "
                "throttled. For ours that is the partition of one service in DynamoDB, reached at "
                f"{prices.DYNAMODB_PARTITION.per_second * reader.FRESH_SECONDS:,} containers that read one service: "
                "other services are other partitions."
            ),
            "All keys cost one KMS key together, and nothing each; a secret costs its monthly price each.",
        ],
        targets=[Target("stamps in a minute, of a million", million["most stamps in a minute"], MOST_STAMPS_A_MINUTE)],
        readme=[
            (
                "a month of 10,000 containers reading a key",
                f"${_ours(10_000):,.0f}",
                (
                    f"Secrets Manager ${_secrets_manager(10_000, THEIR_SECONDS):,.0f} (its cache: 5 minutes), "
                    f"${_secrets_manager(10_000, reader.FRESH_SECONDS):,.0f} (1 minute, as here)"
                ),
            )
        ],
    )


def _costs(fleets: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each way to keep a key, in dollars a month."""
    fresh = reader.FRESH_SECONDS
    ways: list[tuple[str, int, Any, prices.Quota]] = [("service_keys", fresh, _ours, prices.DYNAMODB_PARTITION)]
    for seconds in (THEIR_SECONDS, fresh):
        for name, cost, quota in (
            ("Secrets Manager", _secrets_manager, prices.GET_SECRET_VALUE),
            ("Parameter Store, standard", _parameter_store, prices.GET_PARAMETER),
            ("Parameter Store, higher throughput", _parameter_store_higher, prices.GET_PARAMETER_HIGHER),
            ("Parameter Store, advanced, higher throughput", _parameter_store_advanced, prices.GET_PARAMETER_HIGHER),
        ):
            ways.append((name, seconds, lambda readers, s=seconds, cost=cost: cost(readers, s), quota))
    for name, seconds, cost, quota in ways:
        shown = [f"{cost(readers):,.2f}" for readers in fleets]
        within = [readers / seconds <= quota.per_second for readers in fleets]
        yield name, str(seconds), *(text if fits else f"({text})" for text, fits in zip(shown, within, strict=True))


def _calls(readers: int, seconds: float) -> float:
    return readers * 3600 / seconds * prices.HOURS_A_MONTH


def _ours(readers: int) -> float:
    hour = predict(readers)
    refused = hour.get("UpdateItem, refused", 0)
    writes = (hour["UpdateItem"] - refused) * STAMP_UNITS + refused
    an_hour = (
        prices.DYNAMODB_READ.of_so_many(hour["Query"])
        + prices.DYNAMODB_WRITE.of_so_many(writes)
        + prices.KMS_REQUEST.of_so_many(hour["Decrypt"])
    )
    return an_hour * prices.HOURS_A_MONTH + prices.KMS_KEY.dollars


def _secrets_manager(readers: int, seconds: float) -> float:
    return prices.SECRETS_MANAGER_CALL.of_so_many(_calls(readers, seconds)) + prices.SECRET.dollars


def _parameter_store(readers: int, seconds: float) -> float:
    return prices.KMS_REQUEST.of_so_many(_calls(readers, seconds))


def _parameter_store_higher(readers: int, seconds: float) -> float:
    interactions = prices.PARAMETER_INTERACTION.of_so_many(_calls(readers, seconds))
    return interactions + _parameter_store(readers, seconds)


def _parameter_store_advanced(readers: int, seconds: float) -> float:
    return _parameter_store_higher(readers, seconds) + prices.PARAMETER_ADVANCED.dollars


def main() -> None:
    """Print the part, or one simulation as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="simulate a thousand readers at most")
    parser.add_argument("--readers", type=int, help="simulate so many, and print what they called as JSON")
    parser.add_argument("--minutes", type=int, default=MINUTES, help=f"for so long ({MINUTES})")
    parser.add_argument("--predict", action="store_true", help="by the model instead")
    given = parser.parse_args()
    if given.readers:
        print(json.dumps((predict if given.predict else simulate)(given.readers, given.minutes)))
        return
    part = measure(Options(quick=given.quick, progress=to_stderr))
    print(part.text())


if __name__ == "__main__":
    main()
