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
from service_keys.core import models
from service_keys.core.names import normalize_name
from service_keys.core.timestamps import format_timestamp
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
FRESH, STALE, HOUR, PAUSE, LONGEST_PAUSE = 60, 900, 3600, 5, 30


@dataclass
class ObservedState:
    """State of one service as the client has observed it."""

    look: list[Item] | None = None
    look_at: float = -math.inf
    tried_at: float = -math.inf
    outcome: Any = None
    """Outcome of the last refresh: "up", or its error."""
    decrypted: dict[str, tuple[bytes, str, float]] = field(default_factory=dict)
    """By id: the ciphertext, its secret value, and the time of decryption."""
    seen_at: dict[tuple[str, str], float] = field(default_factory=dict)
    """By id and secret value: the last snapshot that contained its ciphertext."""
    trouble: list[tuple[str, str, float]] = field(default_factory=list)
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
        if seen.outcome == "up" and now >= seen.tried_at:
            assert now - seen.tried_at >= PAUSE, "looks that work are five seconds apart"
        seen.tried_at, seen.outcome = now, outcome if isinstance(outcome, str) else "up"
        if seen.outcome != "up":
            seen.trouble.append(("Query", seen.outcome, now))
        if seen.outcome == "denied":
            seen.look = None
            seen.decrypted.clear()
            seen.seen_at.clear()
        if seen.outcome != "up":
            return
        seen.look, seen.look_at = outcome["Items"], now
        seen.stamped.clear()
        active = {item["id"]["S"] for item in seen.look if _readable(item) and item["active"]["BOOL"]}
        seen.decrypted = {key_id: held for key_id, held in seen.decrypted.items() if key_id in active}
        seen.seen_at = {key: at for key, at in seen.seen_at.items() if key[0] in active}

    def _decrypt(self, seen: ObservedState, request: dict[str, Any], outcome: Any) -> None:
        now, key_id = self._aws.now, request["EncryptionContext"]["id"]
        ciphertext = base64.b64decode(request["CiphertextBlob"])
        held = seen.decrypted.get(key_id)
        if held and held[0] == ciphertext and now >= held[2]:
            assert now - held[2] >= HOUR, "a ciphertext is decrypted once an hour"
        if isinstance(outcome, str):
            seen.trouble.append(("Decrypt", outcome, now))
            if outcome == "denied":
                seen.decrypted.pop(key_id, None)
                seen.seen_at = {key: at for key, at in seen.seen_at.items() if key[0] != key_id}
            return
        seen.decrypted[key_id] = (ciphertext, json.loads(outcome["Plaintext"]), now)

    def _updateitem(self, seen: ObservedState, request: dict[str, Any], _outcome: Any) -> None:
        key_id, values = request["Key"]["id"]["S"], request["ExpressionAttributeValues"]
        assert values[":usedAt"]["S"] == format_timestamp(int(self._aws.now * 1000)), "a stamp tells the time of use"
        ages = [format_timestamp(int((self._aws.now - age) * 1000)) for age in (60, 45)]
        assert ages[0] <= values[":since"]["S"] <= ages[1]
        assert key_id not in seen.stamped, "one stamp for each look"
        (shown,) = [item for item in seen.look or [] if item["id"]["S"] == key_id]
        last_used = shown.get("lastUsed", {"S": ""})["S"]
        assert last_used <= values[":since"]["S"] or self._is_false(last_used), "only what is due is stamped"
        assert values.get(":false") == ({"S": last_used} if self._is_false(last_used) else None)
        seen.stamped.add(key_id)

    def _is_false(self, stamp: str) -> bool:
        """Return True if no consumer with a correct clock can have written this `lastUsed` yet."""
        return stamp > format_timestamp(int(self._aws.now * 1000) + models.CLOCK_SKEW_MS)

    def served(self, service: str, name: str | None, key: ApiKey, *, quiet: bool) -> None:
        """Check a served key. ``quiet``: the read made no call."""
        seen, now = self.seen[service], self._aws.now
        assert seen.look is not None, "what was never shown, or is denied by now, is not served"
        self._is_recent_enough(seen)
        wanted = _wanted(seen.look, name)
        assert not isinstance(wanted, type), f"the last look calls for {wanted}"
        (item,) = [item for item in wanted if item["id"]["S"] == key.id]
        assert (key.name, key.service, key.version) == (item["name"]["S"], service, int(item["version"]["N"]))
        held = seen.decrypted.get(key.id)
        if held and held[0] == item["ciphertext"]["B"] and held[1] == key.value and item is wanted[0]:
            seen.seen_at[key.id, key.value] = max(seen.look_at, seen.seen_at.get((key.id, key.value), -math.inf))
            if now - held[2] >= HOUR + FRESH:
                assert self._in_trouble(seen, "Decrypt", "failing", LONGEST_PAUSE)
        else:
            # Only a transient error of KMS justifies an older key or secret value, for less than 15 minutes.
            assert self._in_trouble(seen, "Decrypt", "failing", LONGEST_PAUSE), (
                "while KMS works, the newest key is served"
            )
            assert now - seen.seen_at[key.id, key.value] < STALE
        last_used = item.get("lastUsed", {"S": ""})["S"]
        if (
            not quiet
            and seen.outcome == "up"
            and (last_used <= format_timestamp(int((now - 60) * 1000)) or self._is_false(last_used))
        ):
            assert key.id in seen.stamped, "the first use after a look is noted"

    def refused(self, service: str, name: str | None, error: ServiceKeysError) -> None:
        """Check that an error was justified."""
        seen, now = self.seen[service], self._aws.now
        seen.trouble = seen.trouble[-50:]
        match error:
            case KeyStoreUnavailableError():
                assert self._in_trouble(seen, "", "failing", PAUSE)
            case KeyAccessDeniedError():
                assert self._in_trouble(seen, "", "denied", PAUSE)
            case _ if seen.look is None:
                assert self._in_trouble(seen, "Query", "denied", PAUSE), "what was refused just before stays refused"
            case _:
                assert seen.look is not None
                assert _wanted(seen.look, name) is type(error)
                # Snapshot and cached error may each be as old as PAUSE, since an administrator may have fixed the key;
                # a malformed item remains until the snapshot expires.
                assert now - seen.tried_at < (FRESH + PAUSE if isinstance(error, KeyCorruptedError) else 2 * PAUSE)

    def _in_trouble(self, seen: ObservedState, operation: str, how: str, within: float) -> bool:
        """Return True if AWS denied a call, or failed otherwise, less than `within` seconds ago."""
        return any(
            operation in {"", called} and (how == "denied") == (came == "denied") and 0 <= self._aws.now - at < within
            for called, came, at in seen.trouble
        )

    def _is_recent_enough(self, seen: ObservedState) -> None:
        now = self._aws.now
        assert now >= seen.look_at, "a clock that was set back makes the reader look"
        if seen.outcome == "up":
            assert now - seen.look_at < FRESH
        else:
            tried = now - seen.tried_at < LONGEST_PAUSE or now - seen.look_at < FRESH
            assert tried, "in an outage, the reader tries again at least so often"
            assert now - seen.look_at < STALE


def _readable(item: Item) -> bool:
    return "ciphertext" in item


def _wanted(look: list[Item], name: str | None) -> list[Item] | type[ServiceKeysError]:
    """Return the keys that may be served, best first, or the expected error."""
    named = [item for item in look if name is None or normalize_name(item["name"]["S"]) == normalize_name(name)]
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
    witness = ReferenceModel(aws)
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
            witness.take(service)
            witness.refused(service, name, error)
        else:
            quiet = not aws.calls
            witness.take(service)
            witness.served(service, name, key, quiet=quiet)
