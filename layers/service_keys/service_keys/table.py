"""The only module that talks to DynamoDB.

Three kinds of items share the table, told apart by their partition:

| partition (``service``) | sort key (``id``)            | is                                                          |
| ----------------------- | ---------------------------- | ----------------------------------------------------------- |
| the service             | the key's id                 | a key                                                       |
| ``#name``               | the folded name              | the claim of a key, named in ``key``, on its name           |
| ``#idempotency``        | HMAC of a create request     | the memory, for a day, of which ``key`` that request made   |

Every change of an administrator is a transaction, on condition that what it changes is what it read. Its
ClientRequestToken, which botocore makes, tells DynamoDB a write that botocore sent twice, because the first answer was
lost, from two writes. A usage stamp and the result of a check are single conditional updates: twice does no harm.
"""

from __future__ import annotations

import functools
import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, get_args

from service_keys import naming
from service_keys.aws import meaning, member
from service_keys.errors import DuplicateKeyName, KeyCorrupted, KeyNotFound, KeyStoreUnavailable, VersionConflict
from service_keys.models import (
    CLOCK_SKEW_MS,
    DamagedKey,
    DeletedKey,
    ReadableKey,
    StoredKey,
    StoredSecret,
    Verification,
    VerificationStatus,
    is_past,
    milliseconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from service_keys.models import Change
    from service_keys.queries import ListQuery

    Item = dict[str, Any]
    """Attributes in DynamoDB's notation, such as ``{"id": {"S": "spotify.…"}}``."""

_Result = TypeVar("_Result")
_logger = logging.getLogger(__name__)

NEWEST_INDEX: Final = "newest"
NAME_PARTITION: Final = "#name"
IDEMPOTENCY_PARTITION: Final = "#idempotency"
IDEMPOTENCY_SECONDS: Final = 24 * 60 * 60

_LISTED: Final = "key"
"""The one value of the attribute ``listed``, which puts a key into the index."""
_NOT_THERE: Final = "attribute_not_exists(id)"
_SHOWN: Final = (
    "service",
    "id",
    "name",
    "description",
    "active",
    "maskedKey",
    "createdAt",
    "createdBy",
    "updatedAt",
    "updatedBy",
    "keyUpdatedAt",
    "lastUsed",
    "version",
    "verification",
)
"""The attributes that a key's response needs: never the ciphertext, which the readers of these may not read."""
_READ: Final = ("id", "name", "active", "ciphertext", "version", "lastUsed")
"""The attributes that a reader needs."""
_DELETED: Final = ("id", "name", "version")
"""The attributes that deleting needs: a damaged item can be deleted too, and one with only a usage stamp."""
_STAMP_LENGTH: Final = len("2026-01-01T00:00:00.000Z")
_DETAIL_MAX_LENGTH: Final = 1000
_LAST_MS: Final = 253_402_300_799_999
"""The last millisecond that a timestamp can express, 9999-12-31T23:59:59.999Z."""
_CONFLICT_ATTEMPTS: Final = 25
_CONFLICT_PAUSE: Final = 0.05
"""Seconds, at most and before the pauses grow."""
_FILTER_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class AlreadyCreated:
    """The same create request came before, and made this key."""

    key_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Keys, newest first, and the cursor of the page after them where there is one."""

    keys: tuple[StoredKey, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class NewSecret:
    """What replaces a key's secret."""

    ciphertext: bytes
    masked_key: str | Mapping[str, str]


class _Disturbed(Exception):
    """Somebody else changes the same item at the same moment."""


class Table:
    """The table of keys.

    Args:
        client: A DynamoDB client.
        name: The table's name.
        pause: Waits for so many seconds between attempts on an item that others are changing too.
        clock: Seconds since the Unix epoch. Stored moments that are later are false.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        name: str,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._name = name
        self._pause = pause
        self._clock = clock

    # --- reads -------------------------------------------------------------------------------------------------------

    def get(self, key_id: str) -> StoredKey:
        """Read a key, with everything that was written before the call.

        Raises:
            KeyNotFound: There is no such key.
        """
        return _to_key(self._existing_key(key_id), self._now_ms())

    def secret(self, key_id: str) -> StoredSecret:
        """Read a key's ciphertext.

        Raises:
            KeyNotFound: There is no such key.
            KeyCorrupted: The item has no ciphertext.
        """
        item = self._read(key_id, ("ciphertext", "keyUpdatedAt"))
        try:
            return StoredSecret(naming.service_of(key_id), item["ciphertext"]["B"], item["keyUpdatedAt"]["S"])
        except KeyError as error:
            raise KeyCorrupted(f"The item of {key_id} is damaged. Delete the key and store it again.") from error

    def page(self, query: ListQuery) -> Page:
        """Read a page of keys, newest first. A filtered page is filled up as far as there are such keys."""
        request = self._page_request(query)
        at_ms = self._now_ms()
        found: list[StoredKey] = []
        start = query.after and _position(query.after, query)
        while len(found) <= query.limit:
            if start:
                request["ExclusiveStartKey"] = start
            with meaning("DynamoDB"):
                answer = self._client.query(**request)
            keys = list(_whole(answer["Items"], at_ms))
            found.extend(keys)
            start = answer.get("LastEvaluatedKey")
            if not start:
                break
            if query.service is not None or len(keys) < len(answer["Items"]):
                # Items that are no keys may fill the partition: read up to DynamoDB's 1 MB with each further call.
                request.pop("Limit", None)
        shown = tuple(found[: query.limit])
        return Page(shown, query.cursor(shown[-1].id) if len(found) > len(shown) else None)

    def readable(self, service: str) -> tuple[ReadableKey | DamagedKey, ...]:
        """Read all keys of a service, newest first, with everything that was written before the call."""
        projection, names = _projection(_READ)
        request: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": "#service = :service",
            "ProjectionExpression": projection,
            "ExpressionAttributeNames": {**names, "#service": "service"},
            "ExpressionAttributeValues": {":service": {"S": service}},
            "Select": "SPECIFIC_ATTRIBUTES",
            "ConsistentRead": True,
            "ScanIndexForward": False,
        }
        found: list[ReadableKey | DamagedKey] = []
        while True:
            with meaning("DynamoDB"):
                answer = self._client.query(**request)
            found.extend(_to_readable(item, service) for item in member(answer, "Items", "DynamoDB") if _is_key(item))
            if "LastEvaluatedKey" not in answer:
                return tuple(found)
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _page_request(self, query: ListQuery) -> dict[str, Any]:
        names: dict[str, str]
        values: Item
        if query.service is None:
            names, values = {"#listed": "listed"}, {":listed": {"S": _LISTED}}
            request: dict[str, Any] = {"IndexName": NEWEST_INDEX, "KeyConditionExpression": "#listed = :listed"}
        else:
            projection, shown = _projection(_SHOWN)
            names = dict(shown)
            values = {":service": {"S": query.service}}
            request = {
                "KeyConditionExpression": "#service = :service",
                "ProjectionExpression": projection,
                "Select": "SPECIFIC_ATTRIBUTES",
                "ConsistentRead": True,
            }
        # One more than the page holds, to know whether there is a next one.
        limit = query.limit + 1
        filters = []
        if query.active is not None:
            filters.append("#active = :active")
            names["#active"] = "active"
            values[":active"] = {"BOOL": query.active}
        if query.verification is not None:
            names["#verification"] = "verification"
            if query.verification == "none":
                filters.append("attribute_not_exists(#verification)")
            else:
                filters.append("#verification.#status = :status")
                names["#status"] = "status"
                values[":status"] = {"S": query.verification}
        if filters:
            request["FilterExpression"] = " AND ".join(filters)
            limit = max(limit, _FILTER_PAGE)
        return request | {
            "TableName": self._name,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": False,
            "Limit": limit,
        }

    def _read(self, key_id: str, attributes: tuple[str, ...]) -> Item:
        projection, names = _projection(attributes)
        with meaning("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._name,
                Key=_primary_key(key_id),
                ProjectionExpression=projection,
                ExpressionAttributeNames=names,
                ConsistentRead=True,
            )
        if "Item" not in answer:
            _not_found()
        return answer["Item"]

    def _existing_key(self, key_id: str) -> Item:
        """Read a key's attributes, those that a response needs.

        Raises:
            KeyNotFound: There is no such key.
        """
        item = self._read(key_id, _SHOWN)
        if not _is_key(item):
            _not_found()
        return item

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    # --- writes ------------------------------------------------------------------------------------------------------

    def create(
        self, key: StoredKey, ciphertext: bytes, change: Change, *, idempotency: str | None = None
    ) -> AlreadyCreated | None:
        """Write a new key, and claim its name, in one transaction.

        Args:
            key: The key.
            ciphertext: Its secret.
            change: Who creates it.
            idempotency: What identifies the request, if its sender may repeat it.

        Returns:
            None, or which key the same request made before; then nothing is written.

        Raises:
            DuplicateKeyName: Another key has the name.
            KeyStoreUnavailable: The key may have been written; trying again with the same ``idempotency`` is safe.
        """
        writes: list[Item] = [
            {"Put": self._put(_to_item(key, ciphertext), _NOT_THERE)},
            {"Put": self._put(_claim(key.name, key.id), _NOT_THERE)},
        ]
        if idempotency:
            now = change.at_ms // 1000
            memory = _pointer(IDEMPOTENCY_PARTITION, idempotency, key.id)
            memory["expiresAt"] = {"N": str(now + IDEMPOTENCY_SECONDS)}
            put = self._put(memory, f"{_NOT_THERE} OR expiresAt < :now")
            put["ExpressionAttributeValues"] = {":now": {"N": str(now)}}
            # Only here: a role that may have the old item returned could read the ciphertext of a key.
            put["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            writes.append({"Put": put})

        def attempt() -> AlreadyCreated | None:
            failed = self._transact(writes)
            if not failed:
                return None
            if idempotency and failed[2]:
                return AlreadyCreated(failed[2]["key"]["S"])
            if failed[1] is not None:
                _duplicate_name()
            raise KeyStoreUnavailable("Two keys were made at the same moment. Nothing was changed. Try again.")

        return self._until_undisturbed(attempt)

    def update(
        self,
        key_id: str,
        change: Change,
        fields: Mapping[str, Any],
        *,
        secret: NewSecret | None = None,
        if_match: frozenset[int] | None = None,
    ) -> StoredKey:
        """Change what ``fields`` names of ``name``, ``description`` and ``active``, and the secret if one is given.

        Args:
            key_id: The key.
            change: Who changes it.
            fields: The new values.
            secret: The new secret; clears the verification.
            if_match: Change it only in one of these versions.

        Returns:
            The key as this change left it.

        Raises:
            KeyNotFound: There is no such key.
            VersionConflict: The key is not in a version of ``if_match``.
            DuplicateKeyName: Another key has the new name.
        """
        changes: dict[str, Any] = {
            field: fields[field] for field in ("name", "description", "active") if field in fields
        }
        if secret:
            changes |= {"ciphertext": secret.ciphertext, "maskedKey": secret.masked_key, "verification": None}
        return self._until_undisturbed(lambda: self._update(key_id, change, changes, if_match))

    def _update(
        self, key_id: str, change: Change, changes: Mapping[str, Any], if_match: frozenset[int] | None
    ) -> StoredKey:
        there = self._existing_key(key_id)
        key = _to_key(there, change.at_ms)
        _check_version(key.version, if_match)
        update = _Update(change)
        for attribute, value in changes.items():
            update.put(attribute, value)
        if "ciphertext" in changes:
            update.put("keyUpdatedAt", _next_moment(key.key_updated_at, change.at_ms))
        elif there.get("keyUpdatedAt") != {"S": key.key_updated_at}:
            update.put("keyUpdatedAt", key.key_updated_at)
        # A false value may be as large as an item can be, and leave no room for the change.
        if "lastUsed" in there and key.last_used is None:
            update.put("lastUsed", None)
        if "verification" in there and key.verification is None:
            update.put("verification", None)
        name = changes.get("name")
        write: Item = self._in_version(key_id, there["version"])
        write["UpdateExpression"] = update.expression
        write["ExpressionAttributeNames"] = update.names
        write["ExpressionAttributeValues"] |= update.values
        writes: list[Item] = [{"Update": write}]
        if name is not None and naming.fold(name) != naming.fold(key.name):
            writes += [
                {"Put": self._put(_claim(name, key_id), _NOT_THERE)},
                {"Delete": self._claim_of(key_id, key.name)},
            ]
        failed = self._transact(writes)
        if _only_last(failed):
            failed = self._transact(writes[:-1])
        if not failed:
            return _to_key(update.applied_to(there), change.at_ms)
        if failed[0] is None:
            _duplicate_name()
        raise _Disturbed

    def delete(self, key_id: str, change: Change, *, if_match: frozenset[int] | None = None) -> DeletedKey:
        """Delete a key, and free its name, in one transaction; or delete an item with only a usage stamp.

        Args:
            key_id: The key.
            change: The request that deletes it.
            if_match: Delete it only in one of these versions.

        Raises:
            KeyNotFound: There is no such key.
            VersionConflict: The key is not in a version of ``if_match``.
        """

        def attempt() -> DeletedKey:
            item = self._read(key_id, _DELETED)
            version, name = item.get("version"), item.get("name", {}).get("S")
            _check_version(int(version.get("N", 0)) if version else 0, if_match)
            writes: list[Item] = [{"Delete": self._in_version(key_id, version)}]
            if name is not None:
                writes.append({"Delete": self._claim_of(key_id, name)})
            failed = self._transact(writes)
            if _only_last(failed):
                failed = self._transact(writes[:-1])
            if failed:
                raise _Disturbed
            return DeletedKey(key_id, name, naming.timestamp(change.at_ms))

        return self._until_undisturbed(attempt)

    def note_verification(self, key_id: str, verification: Verification, *, of: str) -> None:
        """Store the result of checking a secret. The version stays; so does the result of a later check.

        Args:
            key_id: The key.
            verification: The result.
            of: `StoredSecret.key_updated_at` of the secret that was checked.

        Raises:
            KeyNotFound: The key was deleted during the check.
            VersionConflict: The key was replaced during the check, so that the result is not its own.
        """
        result: Item = {
            "status": {"S": verification.status},
            "checkedAt": {"S": verification.checked_at},
            "detail": {"S": verification.detail},
        }

        # A moment that is malformed or in the future was not written by this function as it is: it must not last.
        another = (
            "attribute_not_exists(verification) OR NOT attribute_type(verification.checkedAt, :string) "
            "OR verification.checkedAt <= :checkedAt OR verification.checkedAt > :future"
        )

        def attempt() -> None:
            try:
                with meaning("DynamoDB", writing=True):
                    self._client.update_item(
                        TableName=self._name,
                        Key=_primary_key(key_id),
                        UpdateExpression="SET verification = :result",
                        # Not on the ciphertext: IAM cannot let a role evaluate an attribute and not write it.
                        ConditionExpression=f"keyUpdatedAt = :of AND ({another})",
                        ExpressionAttributeValues={
                            ":result": {"M": result},
                            ":of": {"S": of},
                            ":checkedAt": result["checkedAt"],
                            ":future": {"S": naming.timestamp(self._now_ms() + CLOCK_SKEW_MS)},
                            ":string": {"S": "S"},
                        },
                    )
            except self._client.exceptions.ConditionalCheckFailedException:
                # Read the reason: DynamoDB would return the whole item, ciphertext included.
                if self.get(key_id).key_updated_at != of:
                    raise VersionConflict("The key was replaced while it was checked. Check it again.") from None
            except self._client.exceptions.TransactionConflictException as error:
                raise _Disturbed from error

        self._until_undisturbed(attempt)

    def stamp(self, key_id: str, *, used_at: str, unless_since: str, false_stamp: str | None = None) -> None:
        """Note when a key was last used, and nothing else.

        Does nothing if the key is gone, or was used after ``unless_since``: a stamp neither goes backwards nor brings a
        deleted key back, and of many readers at the same moment one writes.

        Args:
            key_id: The key.
            used_at: When it was used; like ``unless_since`` as `service_keys.naming.timestamp` writes it.
            unless_since: Earlier than ``used_at``.
            false_stamp: `ReadableKey.last_used` if that is malformed or in the future; replaced as long as it is there,
                so that a delayed stamp replaces no later one.
        """
        values = {":usedAt": {"S": used_at}, ":since": {"S": unless_since}, ":string": {"S": "S"}}
        due = "attribute_not_exists(lastUsed) OR NOT attribute_type(lastUsed, :string) OR lastUsed <= :since"
        if false_stamp is not None:
            values[":false"] = {"S": false_stamp}
            # Longer than a timestamp, it is the start of a value, and no timestamp begins with it.
            is_false = "begins_with(lastUsed, :false)" if len(false_stamp) > _STAMP_LENGTH else "lastUsed = :false"
            due = f"{due} OR {is_false}"
        try:
            with meaning("DynamoDB"):
                self._client.update_item(
                    TableName=self._name,
                    Key=_primary_key(key_id),
                    UpdateExpression="SET lastUsed = :usedAt",
                    ConditionExpression=f"attribute_exists(id) AND ({due})",
                    ExpressionAttributeValues=values,
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    # --- how writes are made -----------------------------------------------------------------------------------------

    def _put(self, item: Item, condition: str) -> Item:
        return {"TableName": self._name, "Item": item, "ConditionExpression": condition}

    def _in_version(self, key_id: str, version: Item | None) -> Item:
        """Address a key on condition that nobody changed it since it was read."""
        address = {"TableName": self._name, "Key": _primary_key(key_id)}
        if version is None:
            return address | {"ConditionExpression": "attribute_exists(id) AND attribute_not_exists(version)"}
        values = {":read": version}
        return address | {"ConditionExpression": "version = :read", "ExpressionAttributeValues": values}

    def _claim_of(self, key_id: str, name: str) -> Item:
        """Address a key's claim on its name, if it is there: a key can always be deleted."""
        return {
            "TableName": self._name,
            "Key": {"service": {"S": NAME_PARTITION}, "id": {"S": naming.fold(name)}},
            "ConditionExpression": "attribute_not_exists(id) OR #key = :id",
            "ExpressionAttributeNames": {"#key": "key"},
            "ExpressionAttributeValues": {":id": {"S": key_id}},
        }

    def _transact(self, writes: list[Item]) -> list[Item | None]:
        """Make all of the writes, or none.

        Returns:
            Nothing where they are made. Otherwise, in the order of ``writes``, the item that kept a write from being
            made (empty where the item is not there, or its old value was not asked for), or None.

        Raises:
            _Disturbed: Another write to one of the items was under way.
        """
        try:
            with meaning("DynamoDB", writing=True):
                self._client.transact_write_items(TransactItems=writes)  # type: ignore[arg-type]
        except self._client.exceptions.TransactionCanceledException as error:
            reasons: list[Item] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
            codes = {reason.get("Code") for reason in reasons} - {"None"}
            if "TransactionConflict" in codes:
                raise _Disturbed from error
            if codes & {"ThrottlingError", "ProvisionedThroughputExceeded"}:
                raise KeyStoreUnavailable("DynamoDB is busy. Nothing was changed. Try again shortly.") from error
            if codes != {"ConditionalCheckFailed"}:
                raise
            return [
                reason.get("Item", {}) if reason.get("Code") == "ConditionalCheckFailed" else None for reason in reasons
            ]
        return []

    def _until_undisturbed(self, attempt: Callable[[], _Result]) -> _Result:
        """Try a write again for as long as others write to the same item at the same moment."""
        for number in range(_CONFLICT_ATTEMPTS):
            try:
                return attempt()
            except _Disturbed:
                # Not a secret: it spreads those who collide.
                self._pause(random.uniform(0, _CONFLICT_PAUSE * min(number + 1, 4)))  # noqa: S311
        raise KeyStoreUnavailable("Too many changes of this key at the same moment. Nothing was changed. Try again.")


class _Update:
    """An UpdateExpression in the making: a change that an administrator makes to a key."""

    def __init__(self, change: Change) -> None:
        self._sets: Item = {}
        self._removes: set[str] = set()
        self.put("updatedAt", naming.timestamp(change.at_ms))
        self.put("updatedBy", change.principal)

    def put(self, attribute: str, value: Any) -> None:
        """Set an attribute; None removes it."""
        if value is None:
            self._removes.add(attribute)
        else:
            self._sets[attribute] = _attribute_value(value)

    @property
    def expression(self) -> str:
        sets = [*(f"#{attribute} = :{attribute}" for attribute in self._sets), "version = version + :one"]
        removes = [f"#{attribute}" for attribute in sorted(self._removes)]
        # First, because moto adds the sizes of new values before it takes those of removed ones away.
        return (f"REMOVE {', '.join(removes)} " if removes else "") + f"SET {', '.join(sets)}"

    @property
    def names(self) -> dict[str, str]:
        return {f"#{attribute}": attribute for attribute in (*self._sets, *self._removes)}

    @property
    def values(self) -> Item:
        return {f":{attribute}": value for attribute, value in self._sets.items()} | {":one": {"N": "1"}}

    def applied_to(self, item: Item) -> Item:
        """Return what DynamoDB makes of the item."""
        kept = {attribute: value for attribute, value in item.items() if attribute not in self._removes}
        return kept | self._sets | {"version": {"N": str(int(item["version"]["N"]) + 1)}}


# --- items ------------------------------------------------------------------------------------------------------------


def _to_item(key: StoredKey, ciphertext: bytes) -> Item:
    attributes = {
        "service": key.service,
        "id": key.id,
        "listed": _LISTED,
        "name": key.name,
        "description": key.description,
        "active": key.active,
        "ciphertext": ciphertext,
        "maskedKey": key.masked_key,
        "createdAt": key.created_at,
        "createdBy": key.created_by,
        "updatedAt": key.updated_at,
        "updatedBy": key.updated_by,
        "keyUpdatedAt": key.key_updated_at,
        "version": key.version,
    }
    return {name: _attribute_value(value) for name, value in attributes.items() if value is not None}


def _to_key(item: Item, at_ms: int) -> StoredKey:
    """Read a key's item.

    Args:
        item: The item.
        at_ms: Now, in milliseconds since the Unix epoch.

    Raises:
        KeyCorrupted: The item is not one that this module wrote.
    """
    last_used, key_updated_at = (item.get(name, {}).get("S") for name in ("lastUsed", "keyUpdatedAt"))
    try:
        return StoredKey(
            id=item["id"]["S"],
            name=item["name"]["S"],
            description=item.get("description", {}).get("S"),
            active=item["active"]["BOOL"],
            masked_key=_plain(item["maskedKey"]),
            created_at=item["createdAt"]["S"],
            created_by=item["createdBy"]["S"],
            updated_at=item["updatedAt"]["S"],
            updated_by=item["updatedBy"]["S"],
            # VerifyApiKey may write it too: a false one must not keep an administrator from the key.
            key_updated_at=item["createdAt"]["S"] if milliseconds(key_updated_at) is None else key_updated_at,
            last_used=last_used if is_past(last_used, at_ms=at_ms) else None,
            version=int(item["version"]["N"]),
            verification=_to_verification(item.get("verification", {}).get("M", {}), at_ms),
        )
    except (KeyError, ValueError) as error:
        where = item.get("id", {}).get("S", "a key")
        raise KeyCorrupted(f"The item of {where} is damaged ({error}). Delete the key and store it again.") from error


def _to_verification(attributes: Item, at_ms: int) -> Verification | None:
    """Read the result of a check; None if it is not one that `Table.note_verification` wrote."""
    status, checked_at, detail = (attributes.get(name, {}).get("S") for name in ("status", "checkedAt", "detail"))
    if status not in get_args(VerificationStatus) or not is_past(checked_at, at_ms=at_ms):
        return None
    if not isinstance(detail, str) or len(detail) > _DETAIL_MAX_LENGTH:
        return None
    return Verification(status=status, checked_at=checked_at, detail=detail)


def _next_moment(before: str, at_ms: int) -> str:
    """Return the moment of a secret that replaces the one of ``before``: a later one, even if the clock is not."""
    before_ms = milliseconds(before)
    if before_ms is None or before_ms >= _LAST_MS:
        return naming.timestamp(at_ms)
    return naming.timestamp(max(at_ms, before_ms + 1))


def _is_key(item: Item) -> bool:
    """Return whether an item is a key. One with only a usage stamp is not, which a consumer's policy lets it write."""
    return "name" in item or "version" in item


def _to_readable(item: Item, service: str) -> ReadableKey | DamagedKey:
    key_id, name = item["id"]["S"], item.get("name", {}).get("S")
    if not key_id.startswith(f"{service}."):
        # Moved here from another service, whose key it would give away.
        return DamagedKey(key_id, name)
    try:
        return ReadableKey(
            id=key_id,
            name=item["name"]["S"],
            active=item["active"]["BOOL"],
            ciphertext=item["ciphertext"]["B"],
            version=int(item["version"]["N"]),
            # The start shows whether it is a timestamp; the rest may be as large as an item can be.
            last_used=item.get("lastUsed", {}).get("S", "")[: _STAMP_LENGTH + 1] or None,
        )
    except (KeyError, ValueError):
        return DamagedKey(key_id, name)


def _whole(items: list[Item], at_ms: int) -> Iterator[StoredKey]:
    """Read items, and leave out those that are damaged: one must not hide all the others."""
    for item in items:
        try:
            if _is_key(item):
                yield _to_key(item, at_ms)
        except KeyCorrupted as error:
            _logger.error("%s It is left out of the list.", error)  # noqa: TRY400 - the message says it all


def _claim(name: str, key_id: str) -> Item:
    return _pointer(NAME_PARTITION, naming.fold(name), key_id)


def _pointer(partition: str, name: str, key_id: str) -> Item:
    return {"service": {"S": partition}, "id": {"S": name}, "key": {"S": key_id}}


def _primary_key(key_id: str) -> Item:
    return {"service": {"S": naming.service_of(key_id)}, "id": {"S": key_id}}


def _position(key_id: str, query: ListQuery) -> Item:
    """Return where a list goes on after this key: the primary key, and in the index the index's key as well.

    An id holds the moment of its creation, so it is enough to know even where the key is deleted by now.
    """
    if query.service is not None:
        return _primary_key(key_id)
    created_at = naming.timestamp(naming.created_ms(key_id))
    return _primary_key(key_id) | {"listed": {"S": _LISTED}, "createdAt": {"S": created_at}}


@functools.cache
def _projection(attributes: tuple[str, ...]) -> tuple[str, Mapping[str, str]]:
    """Return a ProjectionExpression of the attributes, and the names that it uses (many are reserved words)."""
    return ", ".join(f"#{name}" for name in attributes), {f"#{name}": name for name in attributes}


def _attribute_value(value: str | bytes | bool | int | Mapping[str, str]) -> Item:  # noqa: FBT001
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case _:
            return {"M": {name: {"S": part} for name, part in value.items()}}


def _plain(masked: Item) -> str | dict[str, str]:
    """Read a masked key."""
    return masked["S"] if "S" in masked else {name: part["S"] for name, part in masked["M"].items()}


# --- refusals ---------------------------------------------------------------------------------------------------------


def _only_last(failed: list[Item | None]) -> bool:
    """Tell whether nothing but the last write, of a claim that turns out to be another key's, keeps the rest back."""
    return len(failed) > 1 and failed[-1] is not None and not any(item is not None for item in failed[:-1])


def _check_version(version: int, if_match: frozenset[int] | None) -> None:
    if if_match is not None and version not in if_match:
        _version_conflict(version)


def _version_conflict(version: int) -> NoReturn:
    raise VersionConflict(
        f"If-Match does not match: the key is in version {version} now. Get the key again, check your change against "
        f'it, and send its ETag: "{version}". A weak tag such as W/"{version}" never matches.'
    )


def _duplicate_name() -> NoReturn:
    raise DuplicateKeyName("An API key with this name already exists. Choose another name, or update that key.")


def _not_found() -> NoReturn:
    raise KeyNotFound("There is no API key with this id. List the keys to find the right one.")
