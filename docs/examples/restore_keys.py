"""Copy keys from a table restored from a backup into the stack's table. See docs/operations.md.

    python restore_keys.py RESTORED TABLE                 print the changes without writing
    python restore_keys.py RESTORED TABLE --write         restore all items, with new versions
    python restore_keys.py RESTORED TABLE --write --key spotify.0123456789ab    restore this key and its reservation

A restored key gets a version above both its old and its current one, so that earlier `ETag`s do not match. It keeps
the current `lastUsed`.

The script writes items before it deletes others, so that consumers always find their keys. It also restores keys that
were disabled, replaced or deleted since the backup: correct those in RESTORED first.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = "#name"


def main(arguments: list[str] | None = None, *, clock: Callable[[], float] = time.time) -> None:
    """Copy the items that the command line selects."""
    options = _parser().parse_args(arguments)
    resource: Any = boto3.resource("dynamodb")
    restored, table = resource.Table(options.restored), resource.Table(options.table)
    was, is_now = _items(restored), _items(table)
    if options.key:
        was = {place: item for place, item in was.items() if options.key in {item["id"], item.get("key")}}
        if not was:
            raise SystemExit(
                f"{options.restored} has no key {options.key}. Its id stands in the API's answers and logs."
            )
        taken = [
            place for place, item in was.items() if place[0] == NAMES and place in is_now and is_now[place] != item
        ]
        if taken:
            raise SystemExit(f"Another key has the name {taken[0][1]!r} by now. Rename it first, or restore by hand.")
        # Only items of this key, such as the reservation of a name that it got after the backup.
        is_now = {place: item for place, item in is_now.items() if options.key in {item["id"], item.get("key")}}
    copies = {place: _restored(item, is_now.get(place), at=int(clock())) for place, item in was.items()}
    put = [item for place, item in copies.items() if is_now.get(place) != item]
    delete = [place for place in is_now if place not in was]
    for word, places in (("write", [(item["service"], item["id"]) for item in put]), ("delete", delete)):
        for service, name in sorted(places):
            print(f"{word} {service} {name}")
    if not options.write:
        print(f"{len(put)} to write, {len(delete)} to delete. Nothing was changed; --write does it.")
        return
    # boto3 retries unprocessed items.
    with table.batch_writer() as batch:
        for item in put:
            batch.put_item(Item=item)
    with table.batch_writer() as batch:
        for service, name in delete:
            batch.delete_item(Key={"service": service, "id": name})
    print(f"{len(put)} written, {len(delete)} deleted.")


def _restored(item: dict[str, Any], there: dict[str, Any] | None, *, at: int) -> dict[str, Any]:
    """Return the item to write in place of ``there``; ``there`` itself if only `lastUsed` differs.

    A deleted key may have had later versions than the backup. Its new version is at least the seconds since 1970, which
    is above all of them if the key changed less than once a second.
    """
    if "version" not in item:
        return item
    if there is None or "version" not in there:
        return item | {"version": max(item["version"] + 1, at)}
    kept = {name: value for name, value in item.items() if name != "lastUsed"}
    if "lastUsed" in there:
        kept["lastUsed"] = there["lastUsed"]
    return there if kept == there else kept | {"version": max(item["version"], there["version"]) + 1}


def _items(table: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Return all items by primary key. Items contain ciphertexts, never plaintext."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    request: dict[str, Any] = {"ConsistentRead": True}
    while True:
        answer = table.scan(**request)
        found |= {(item["service"], item["id"]): item for item in answer["Items"]}
        if "LastEvaluatedKey" not in answer:
            return found
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Copy keys from a table that was restored from a backup.")
    parser.add_argument("restored", metavar="RESTORED", help="the table that point-in-time recovery made")
    parser.add_argument("table", metavar="TABLE", help="the stack's table, output TableName")
    parser.add_argument("--key", metavar="ID", help="only this key, and the claim on its name")
    parser.add_argument("--write", action="store_true", help="do it; without, only say what would change")
    return parser


if __name__ == "__main__":
    main()
