"""A fleet of containers that read one key for an hour, and what it costs: the real reader on a simulated store."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from collections import Counter, deque
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "service_keys"))

from service_keys import ServiceKeys
from service_keys.naming import timestamp

HOUR = 3600
READ_EVERY = 15
"""Seconds between two reads of one container."""
LATENCY = 0.01
"""Seconds that a look and the stamp after it take: who looks meanwhile does not see the stamp."""
KEY_ID = "spotify.0123456789ab"


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


def simulate(readers: int) -> dict[str, float]:
    """Let `readers` containers read one key for an hour; return what they called, and the stamps' greatest density."""
    store: Any = SimulatedStore()
    fleet = [
        ServiceKeys("table", dynamodb_client=store, kms_client=store, clock=store.clock).get for _ in range(readers)
    ]
    begun = store.now
    # Staggered: each container starts somewhere in the first minute, and reads at its own moment of every period.
    chance = random.Random(4)
    starts = sorted((chance.uniform(0, 60), number) for number in range(readers))
    waiting = deque((begun + start, fleet[number]) for start, number in starts)
    reads = 0
    while waiting[0][0] < begun + HOUR:
        store.now, get = waiting.popleft()
        get("spotify")
        reads += 1
        waiting.append((store.now + READ_EVERY, get))
    minutes = Counter(int((at - begun) // 60) for at in store.stamps)
    gaps = (later - earlier for earlier, later in itertools.pairwise(store.stamps))
    return {
        "reads": reads,
        **store.calls,
        "most stamps in a minute": max(minutes.values()),
        "most seconds between stamps": max(gaps),
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=10_000, help="how many containers (10000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    figures = simulate(options.readers)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{options.readers:,} containers reading one key for an hour\n")
    for name, figure in figures.items():
        rate = "" if name.startswith("most") else f"{figure / 60:>12,.1f} a minute"
        print(f"{name:28} {figure:>12,.0f} {rate}")


if __name__ == "__main__":
    main()
