"""Copy keys from a table restored from a backup into the stack's table. See docs/operations.md.

    python restore_keys.py RESTORED TABLE                 print the changes without writing
    python restore_keys.py RESTORED TABLE --write         restore all items, with new versions
    python restore_keys.py RESTORED TABLE --write --key spotify.0123456789ab    restore this key, its name, its history

A restored key gets a version above its old one, its current one and that of each entry of its history, so that earlier
`ETag`s do not match and no entry is overwritten. It keeps the current `lastUsed`. The script adds missing entries of
the history, and never changes or deletes an entry.

Skipped, with the reason in the output:

- keys that administrators deleted after the backup, as TABLE or its history shows; `--key` restores such a key
- keys that were deleted already in the backup, if the period for restoring them is over
- keys whose name belongs to a key that stays in TABLE

The script writes items before it deletes others, so that consumers always find their keys. It also restores keys that
were disabled or replaced since the backup, and previous secret values that were dropped: correct those in RESTORED
first.
"""

from __future__ import annotations

import argparse
import re
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Place = tuple[str, str]
"""The primary key of an item: partition and sort key."""
Items = dict[Place, dict[str, Any]]

NAMES = "#name"
HISTORY = "#history"
_ENTRY = re.compile(r"(.+)#([0-9]{10})")
"""The sort key of an entry of the history: the key's id and its version after the change."""


def main(arguments: list[str] | None = None, *, clock: Callable[[], float] = time.time) -> None:
    """Copy the items that the command line selects."""
    options = _parser().parse_args(arguments)
    resource: Any = boto3.resource("dynamodb")
    restored, table = resource.Table(options.restored), resource.Table(options.table)
    was, is_now = _items(restored), _items(table)
    at = int(clock())
    if options.key:
        was, is_now = _items_of(options.key, was, is_now, options.restored)
    skipped = _skipped(was, is_now, at, by_id=bool(options.key))
    if options.key and skipped:
        raise SystemExit(f"{options.key} cannot be restored: {', '.join(skipped.values())}.")
    wanted = _wanted(was, is_now, skipped, at)
    put = [item for place, item in wanted.items() if is_now.get(place) != item]
    delete = [place for place in is_now if place not in wanted]
    for word, places in (("write", [(item["service"], item["id"]) for item in put]), ("delete", delete)):
        for service, name in sorted(places):
            print(f"{word} {service} {name}")
    for (service, name), reason in sorted(skipped.items()):
        print(f"skip {service} {name}: {reason}")
    if not options.write:
        print(
            f"{len(put)} to write, {len(delete)} to delete, {len(skipped)} skipped. "
            "Nothing was changed; --write does it."
        )
        return
    # boto3 retries unprocessed items.
    with table.batch_writer() as batch:
        for item in put:
            batch.put_item(Item=item)
    with table.batch_writer() as batch:
        for service, name in delete:
            batch.delete_item(Key={"service": service, "id": name})
    print(f"{len(put)} written, {len(delete)} deleted, {len(skipped)} skipped.")


def _items_of(key_id: str, was: Items, is_now: Items, restored: str) -> tuple[Items, Items]:
    """Return the items of one key in both tables, such as the reservation of a name that it got after the backup.

    Raises:
        SystemExit: RESTORED lacks the key, or another key has its name.
    """

    def of_key(items: Items) -> Items:
        return {
            (partition, name): item
            for (partition, name), item in items.items()
            if key_id in {name, item.get("key")} or (partition == HISTORY and name.startswith(f"{key_id}#"))
        }

    selected = of_key(was)
    if not any(_is_key(place) for place in selected):
        raise SystemExit(f"{restored} has no key {key_id}. Its id stands in the API's answers and logs.")
    for place, item in selected.items():
        if place[0] == NAMES and is_now.get(place, item).get("key") != key_id:
            raise SystemExit(f"Another key has the name {place[1]!r} by now. Rename it first, or restore by hand.")
    return selected, of_key(is_now)


def _skipped(was: Items, is_now: Items, at: int, *, by_id: bool) -> dict[Place, str]:
    """Return the keys of the backup that are not restored, with the reasons.

    Args:
        was: The items of the backup.
        is_now: The items of the stack's table.
        at: The current time, in seconds since the Unix epoch.
        by_id: True if an operator named the key. Then a later deletion is no reason.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
    newest = _newest_entries({**was, **is_now})
    skipped: dict[Place, str] = {}
    for place, item in was.items():
        if not _is_key(place):
            continue
        if "deletedAt" in item and str(item.get("recoverableUntil", "")) <= now:
            skipped[place] = "deleted before the backup, and the period for restoring it is over"
        elif not by_id and _was_deleted_later(item, is_now.get(place, {}), *newest.get(place[1], (0, ""))):
            skipped[place] = "deleted by an administrator after the backup; --key restores it"
    while clash := next(_names_taken(was, is_now, skipped), None):
        skipped[clash] = "another key has its name"
    return skipped


def _was_deleted_later(item: dict[str, Any], there: dict[str, Any], version: int, change: str) -> bool:
    """Return True if an administrator deleted a key after the backup.

    Args:
        item: The key's item in the backup.
        there: The key's item in the stack's table.
        version: The version of the newest entry of the key's history.
        change: The kind of change in that entry.
    """
    before, now = _version(item), _version(there)
    if "deletedAt" in there:
        return now > before
    # An existing key in a later version than its deletion was restored by this script, which adds no entry.
    return change == "delete" and version > max(before, now)


def _names_taken(was: Items, is_now: Items, skipped: dict[Place, str]) -> Iterator[Place]:
    """Yield the keys that would get a name that belongs to a key that stays in the stack's table."""
    staying = {name for service, name in skipped if "deletedAt" not in is_now.get((service, name), {"deletedAt": ""})}
    restored = {place[1]: place for place in was if _is_key(place) and place not in skipped}
    for place, item in was.items():
        if place[0] == NAMES and item.get("key") in restored and is_now.get(place, {}).get("key") in staying:
            yield restored[item["key"]]


def _wanted(was: Items, is_now: Items, skipped: dict[Place, str], at: int) -> Items:
    """Return the items of the stack's table after the restore."""
    versions = {key_id: version for key_id, (version, _) in _newest_entries({**was, **is_now}).items()}
    wanted = {place: item for place, item in is_now.items() if place in skipped or place[0] == HISTORY}
    for place, item in was.items():
        if place[0] == NAMES or place in wanted or place in skipped:
            continue
        if _is_key(place):
            wanted[place] = _restored(item, is_now.get(place), at=at, entry_version=versions.get(place[1], 0))
        else:
            wanted[place] = item
    # No name stays reserved without a key: a reservation is taken from the table from which its key's item is.
    keys = {place[1]: place for place, item in wanted.items() if _is_key(place) and "deletedAt" not in item}
    for items, are_current in ((was, False), (is_now, True)):
        for place, item in items.items():
            key = keys.get(item.get("key", "")) if place[0] == NAMES else None
            if key and (key in skipped) is are_current:
                wanted[place] = item
    return wanted


def _restored(item: dict[str, Any], there: dict[str, Any] | None, *, at: int, entry_version: int) -> dict[str, Any]:
    """Return the item to write in place of ``there``; ``there`` itself if only its `lastUsed` and version differ.

    A lost key may have had later versions than the backup, and its history may be lost too. Its new version is at least
    the seconds since 1970, which is above all of them if the key changed less than once a second.

    Args:
        item: The key's item in the backup.
        there: The key's item in the stack's table.
        at: The current time, in seconds since the Unix epoch.
        entry_version: The version of the newest entry of the key's history; 0 without a history.
    """
    if not _version(item):
        return item
    former = max(_version(item), entry_version)
    if there is None or not _version(there):
        return item | {"version": max(former + 1, at)}
    kept = {name: value for name, value in item.items() if name != "lastUsed"} | {"version": there["version"]}
    if "lastUsed" in there:
        kept["lastUsed"] = there["lastUsed"]
    if kept == there and former <= _version(there):
        return there
    return kept | {"version": max(former, _version(there)) + 1}


def _newest_entries(items: Items) -> dict[str, tuple[int, str]]:
    """Return the version and the kind of the newest change in the history of each key."""
    newest = {}
    for (partition, name), item in sorted(items.items(), key=lambda entry: entry[0]):
        if partition == HISTORY and (match := _ENTRY.fullmatch(name)):
            newest[match[1]] = int(match[2]), item.get("change", "")
    return newest


def _is_key(place: Place) -> bool:
    return not place[0].startswith("#")


def _version(item: dict[str, Any]) -> int:
    """Return the version of a key's item; 0 if it has none, or another type than a number."""
    version = item.get("version")
    return int(version) if isinstance(version, (int, Decimal)) else 0


def _items(table: Any) -> Items:
    """Return all items by primary key. Items contain ciphertexts, never plaintext."""
    found: Items = {}
    request: dict[str, Any] = {"ConsistentRead": True}
    while True:
        answer = table.scan(**request)
        found |= {(item["service"], item["id"]): item for item in answer["Items"]}
        if "LastEvaluatedKey" not in answer:
            return found
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Copy keys from a table that was restored from a backup.")
    parser.add_argument("restored", metavar="RESTORED", help="the table that point-in-time recovery created")
    parser.add_argument("table", metavar="TABLE", help="the stack's table, output TableName")
    parser.add_argument("--key", metavar="ID", help="only this key, its name and its history")
    parser.add_argument("--write", action="store_true", help="write the changes; without it, only print them")
    return parser


if __name__ == "__main__":
    main()
