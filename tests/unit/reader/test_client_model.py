"""Model-based test of `ServiceKeys`: random admin actions, AWS faults and clock changes.

`ReferenceModel` holds the rules: the last snapshot decides which keys may be served.
"""

from __future__ import annotations

import base64
import json
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from service_keys import ServiceKeys
from service_keys.core.names import normalize_name
from service_keys.core.timestamps import CLOCK_SKEW_MS, format_timestamp
from service_keys.errors import (
    KeyAccessDeniedError,
    KeyCorruptedError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStoreUnavailableError,
    ServiceKeysError,
)
from tests.support.simulated_aws import SERVICES, Aws, Item

if TYPE_CHECKING:
    from service_keys import ApiKey

NAMES: Final = ("Prod", "next", "Ünused")
FRESH, STALE, HOUR, PAUSE, MAX_BACKOFF = 60, 900, 3600, 5, 30


@dataclass
class ObservedState:
    """State of one service as the client has observed it."""

    snapshot: list[Item] | None = None
    read_at: float = -math.inf
    attempted_at: float = -math.inf
    outcome: Any = None
    """Outcome of the last refresh: "up", or its error."""
    decrypted: dict[str, tuple[bytes, str, float]] = field(default_factory=dict)
    """By id: the ciphertext, its secret value, and the time of decryption."""
    confirmed_at: dict[tuple[str, str], float] = field(default_factory=dict)
    """By id and secret value: the last snapshot that contained its ciphertext."""
    failures: list[tuple[str, str, float]] = field(default_factory=list)
    """Failed calls to AWS: operation, error and time."""
    stamped: set[str] = field(default_factory=set)
    """Ids of the keys stamped since the last refresh."""


class ReferenceModel:
    """Model of the cache that checks every call and every result."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self.seen = {service: ObservedState() for service in SERVICES}

    def take(self, service: str) -> None:
        """Record the calls since the last read; all of them belong to this service."""
        for operation, request, outcome in self._aws.calls:
            getattr(self, f"_{operation.lower()}")(self.seen[service], request, outcome)
        self._aws.calls.clear()

    def _query(self, seen: ObservedState, _request: dict[str, Any], outcome: Any) -> None:
        now = self._aws.now
        if seen.outcome == "up" and now >= seen.attempted_at:
            assert now - seen.attempted_at >= PAUSE, "successful refreshes are five seconds apart"
        seen.attempted_at, seen.outcome = now, outcome if isinstance(outcome, str) else "up"
        if seen.outcome == "denied":
            seen.snapshot = None
            seen.decrypted.clear()
            seen.confirmed_at.clear()
        if seen.outcome != "up":
            seen.failures.append(("Query", seen.outcome, now))
            return
        seen.snapshot, seen.read_at = outcome["Items"], now
        seen.stamped.clear()
        active = {item["id"]["S"] for item in seen.snapshot if _readable(item) and item["active"]["BOOL"]}
        seen.decrypted = {key_id: plaintext for key_id, plaintext in seen.decrypted.items() if key_id in active}
        seen.confirmed_at = {key: at for key, at in seen.confirmed_at.items() if key[0] in active}

    def _decrypt(self, seen: ObservedState, request: dict[str, Any], outcome: Any) -> None:
        now, key_id = self._aws.now, request["EncryptionContext"]["id"]
        ciphertext = base64.b64decode(request["CiphertextBlob"])
        plaintext = seen.decrypted.get(key_id)
        if plaintext and plaintext[0] == ciphertext and now >= plaintext[2]:
            assert now - plaintext[2] >= HOUR, "a ciphertext is decrypted once an hour"
        if isinstance(outcome, str):
            seen.failures.append(("Decrypt", outcome, now))
            if outcome == "denied":
                seen.decrypted.pop(key_id, None)
                seen.confirmed_at = {key: at for key, at in seen.confirmed_at.items() if key[0] != key_id}
            return
        seen.decrypted[key_id] = (ciphertext, json.loads(outcome["Plaintext"]), now)

    def _updateitem(self, seen: ObservedState, request: dict[str, Any], _outcome: Any) -> None:
        key_id, values = request["Key"]["id"]["S"], request["ExpressionAttributeValues"]
        assert values[":usedAt"]["S"] == format_timestamp(int(self._aws.now * 1000)), "a stamp is the time of use"
        ages = [format_timestamp(int((self._aws.now - age) * 1000)) for age in (60, 45)]
        assert ages[0] <= values[":since"]["S"] <= ages[1]
        assert key_id not in seen.stamped, "one stamp for each snapshot"
        (stored,) = [item for item in seen.snapshot or [] if item["id"]["S"] == key_id]
        last_used = stored.get("lastUsed", {"S": ""})["S"]
        assert last_used <= values[":since"]["S"] or self._is_false(last_used), "only a due stamp is written"
        assert values.get(":false") == ({"S": last_used} if self._is_false(last_used) else None)
        seen.stamped.add(key_id)

    def _is_false(self, stamp: str) -> bool:
        """Return True if no consumer with a correct clock can have written this `lastUsed` yet."""
        return stamp > format_timestamp(int(self._aws.now * 1000) + CLOCK_SKEW_MS)

    def served(self, service: str, name: str | None, key: ApiKey, *, quiet: bool) -> None:
        """Check a served key. ``quiet``: the read made no call."""
        seen, now = self.seen[service], self._aws.now
        assert seen.snapshot is not None, "a key is served from a snapshot only, and not after access was denied"
        self._is_recent_enough(seen)
        expected = _expected(seen.snapshot, name)
        assert not isinstance(expected, type), f"the last snapshot requires {expected}"
        (item,) = [item for item in expected if item["id"]["S"] == key.id]
        assert (key.name, key.service, key.version) == (item["name"]["S"], service, int(item["version"]["N"]))
        plaintext = seen.decrypted.get(key.id)
        if plaintext and plaintext[0] == item["ciphertext"]["B"] and plaintext[1] == key.value and item is expected[0]:
            seen.confirmed_at[key.id, key.value] = max(
                seen.read_at, seen.confirmed_at.get((key.id, key.value), -math.inf)
            )
            if now - plaintext[2] >= HOUR + FRESH:
                assert self._has_failed(seen, "Decrypt", "failing", MAX_BACKOFF)
        else:
            # Only a transient error of KMS justifies an older key or secret value, for less than 15 minutes.
            assert self._has_failed(seen, "Decrypt", "failing", MAX_BACKOFF), (
                "while KMS works, the newest key is served"
            )
            assert now - seen.confirmed_at[key.id, key.value] < STALE
        last_used = item.get("lastUsed", {"S": ""})["S"]
        if (
            not quiet
            and seen.outcome == "up"
            and (last_used <= format_timestamp(int((now - 60) * 1000)) or self._is_false(last_used))
        ):
            assert key.id in seen.stamped, "the first use after a refresh is stamped"

    def refused(self, service: str, name: str | None, error: ServiceKeysError) -> None:
        """Check that an error was justified."""
        seen, now = self.seen[service], self._aws.now
        seen.failures = seen.failures[-50:]
        match error:
            case KeyStoreUnavailableError():
                assert self._has_failed(seen, "", "failing", PAUSE)
            case KeyAccessDeniedError():
                assert self._has_failed(seen, "", "denied", PAUSE)
            case _ if seen.snapshot is None:
                assert self._has_failed(seen, "Query", "denied", PAUSE), (
                    "the error was cached less than five seconds ago"
                )
            case _:
                assert seen.snapshot is not None
                assert _expected(seen.snapshot, name) is type(error)
                # Snapshot and cached error may each be as old as PAUSE, since an administrator may have fixed the key;
                # a malformed item remains until the snapshot expires.
                assert now - seen.attempted_at < (FRESH + PAUSE if isinstance(error, KeyCorruptedError) else 2 * PAUSE)

    def _has_failed(self, seen: ObservedState, operation: str, kind: str, within: float) -> bool:
        """Return True if AWS denied a call, or failed otherwise, less than `within` seconds ago."""
        return any(
            operation in {"", called} and (kind == "denied") == (error == "denied") and 0 <= self._aws.now - at < within
            for called, error, at in seen.failures
        )

    def _is_recent_enough(self, seen: ObservedState) -> None:
        now = self._aws.now
        assert now >= seen.read_at, "a clock that was set back causes a refresh"
        if seen.outcome == "up":
            assert now - seen.read_at < FRESH
        else:
            tried = now - seen.attempted_at < MAX_BACKOFF or now - seen.read_at < FRESH
            assert tried, "in an outage, refreshes continue at least so often"
            assert now - seen.read_at < STALE


def _readable(item: Item) -> bool:
    return "ciphertext" in item


def _expected(snapshot: list[Item], name: str | None) -> list[Item] | type[ServiceKeysError]:
    """Return the keys that may be served, best first, or the expected error."""
    named = [item for item in snapshot if name is None or normalize_name(item["name"]["S"]) == normalize_name(name)]
    on = [item for item in named if not _readable(item) or item["active"]["BOOL"]]
    if on and not _readable(on[0]):
        return KeyCorruptedError
    return [item for item in on if _readable(item)] or (KeyDisabledError if named else KeyNotFoundError)


def random_admin_action(aws: Aws, chance: random.Random) -> None:
    service = chance.choice(SERVICES)
    items = aws.items[service]
    action = chance.choice(["create", "key", "key", "toggle", "toggle", "rename", "delete", "damage"])
    if action == "create" or not items:
        if len(items) < 4:
            aws.create(service, chance.choice(NAMES))
        return
    item = items[chance.choice(sorted(items))]
    match action:
        case "key":
            aws.replace_key(item)
        case "toggle":
            item["active"] = {"BOOL": not item["active"]["BOOL"]}
        case "rename":
            item["name"] = {"S": chance.choice(NAMES)}
        case "delete":
            del items[item["id"]["S"]]
        case "damage":
            # Repair the item if it is already malformed.
            if item.pop("ciphertext", None) is None:
                aws.replace_key(item)


def random_aws_fault(aws: Aws, chance: random.Random) -> None:
    operation = chance.choice(["Query", "Query", "Decrypt", "Decrypt", "UpdateItem"])
    states = ["up", "up", "throttled", "unreachable"] + ["denied"] * (chance.random() < 0.3)
    aws.state[operation] = chance.choice(states)


@pytest.mark.parametrize("seed", range(10))
def test_random_sequences_follow_the_reference_model(aws: Aws, clients: tuple[Any, Any], seed: int) -> None:
    """Compare 400 random events with the reference model."""
    chance = random.Random(seed)
    keys = ServiceKeys("table", dynamodb_client=clients[0], kms_client=clients[1], clock=lambda: aws.now)
    model = ReferenceModel(aws)
    for _ in range(400):
        event = chance.random()
        if event < 0.15:
            random_admin_action(aws, chance)
        elif event < 0.22:
            random_aws_fault(aws, chance)
        elif event < 0.24:
            aws.now -= chance.choice([0.5, 70, 4000])
        elif event < 0.6:
            aws.now += chance.choice([0.5, 1, 4.75, 5, 10, 29, 30, 59.5, 60, 61, 300, 899, 900, 3600])
        service = chance.choice(SERVICES)
        name = chance.choice([None, None, *NAMES, "PROD"])
        try:
            key = keys.get(service, name=name, refresh=chance.random() < 0.2)
        except ServiceKeysError as error:
            model.take(service)
            model.refused(service, name, error)
        else:
            quiet = not aws.calls
            model.take(service)
            model.served(service, name, key, quiet=quiet)
