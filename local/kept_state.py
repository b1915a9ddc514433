"""State that outlives moto's process: the items of the stack's table and the KMS keys.

moto answers a request that changes them when the change is on disk. A change that cannot be written is undone.
"""

from __future__ import annotations

import base64
import io
import json
import time
from typing import TYPE_CHECKING, Any, Final

from moto.core.exceptions import JsonRESTError
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.kms.models import kms_backends
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import get_input_stream

from local.aws import KEPT_STATE_ERROR
from local.state_file import PORT, START_EMPTY, StateError, StateFile, damaged
from local.template import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from moto.dynamodb.models.dynamo_type import Item
    from moto.dynamodb.models.table import Table

_ITEM, _KMS_KEY = "item", "kms-key"
# Beginnings of the names of operations that change nothing.
_READS: Final = (
    *("BatchGet", "Describe", "Get", "List", "Query", "Scan", "TransactGet"),
    *("Decrypt", "Encrypt", "Generate", "ReEncrypt", "Sign", "Verify"),
)
_AttributeValues = dict[str, dict[str, Any]]


class KeptState:
    """The table and the KMS keys in moto's memory, and their copy in a file.

    Args:
        file: The file with the state of earlier runs. Its KMS keys are available at once, its items when the table is
            created.
        table_name: The name of the stack's table. Other tables are not kept.
        clock: Returns the time in seconds since the Unix epoch.

    Raises:
        StateError: The file is damaged.
    """

    def __init__(self, file: StateFile, table_name: str, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._table_name = table_name
        self._clock = clock
        # Until the items are back in the table, a comparison with it would remove them from the file.
        self._restored = False
        for key_id, value in file.records(_KMS_KEY):
            try:
                _restore_kms_key(key_id, json.loads(value))
            except (ValueError, TypeError, KeyError) as exc:
                raise damaged(file.path, f"the KMS key {key_id!r} is incomplete") from exc

    @property
    def port(self) -> int:
        """The port of the last run, so that environments of earlier runs stay valid; 0 for none."""
        text = self._file.get(*PORT) or ""
        return int(text) if text.isdecimal() else 0

    @port.setter
    def port(self, port: int) -> None:
        if port != self.port:
            kind, record_id = PORT
            self._file.write(kind, {record_id: str(port)})

    def close(self) -> None:
        """Close the file. No request may follow."""
        self._file.close()

    def keeping(self, application: WSGIApplication) -> WSGIApplication:
        """Return moto's application with each change written to the file before the response.

        The caller passes one request at a time.
        """

        def kept(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
            if operation.startswith(_READS):
                return application(environ, start_response)
            body = get_input_stream(environ).read()
            environ["wsgi.input"] = io.BytesIO(body)
            content, status, headers = run_wsgi_app(application, environ, buffered=True)
            try:
                self._after(operation, _parsed(body), succeeded=status.startswith("200"))
            except StateError as exc:
                return _refuse(operation, exc, start_response)
            start_response(status, headers.to_wsgi_list())
            return content

        return kept

    def _after(self, operation: str, request: dict[str, Any], *, succeeded: bool) -> None:
        """Write the changes of an operation. Also those of a failed one, which may have changed a part."""
        table = dynamodb_backends[ACCOUNT_ID][REGION].tables.get(self._table_name)
        of_table = request.get("TableName") == self._table_name
        if of_table and succeeded and operation == "CreateTable":
            self._restore_items()
        elif not self._restored and table is not None:
            raise StateError(f"The items in {self._file.path} are not back in the table. Start `make run` again.")
        elif of_table and succeeded and self._restored and operation == "DeleteTable":
            self._file.write(_ITEM, {item_id: None for item_id, _ in self._file.records(_ITEM)})
        elif table is None:
            self._write_kms_keys()
        elif of_table and succeeded and operation == "UpdateTimeToLive":
            self._remove_expired(table, request["TimeToLiveSpecification"])
        elif (keys := _changed_keys(operation, request, self._table_name)) is None:
            self._write_kms_keys()
            self._write_all_items(table)
        else:
            self._write_items(table, {_item_id(table, key): _item(table, key) for key in keys if _has_key(table, key)})

    def _restore_items(self) -> None:
        self._restored = False
        table = dynamodb_backends[ACCOUNT_ID][REGION].get_table(self._table_name)
        item_ids = []
        for item_id, value in self._file.records(_ITEM):
            try:
                attributes = json.loads(value)
                table.put_item(attributes)
            except JsonRESTError as exc:
                message = f"An item in {self._file.path} does not fit the table in template.yaml: {exc.message}"
                raise StateError(
                    f"{message.rstrip('.')}. Use the template that it was written with, or {START_EMPTY}."
                ) from exc
            except (ValueError, TypeError, AttributeError, IndexError) as exc:
                raise damaged(self._file.path, f"the item {item_id!r} is no DynamoDB item") from exc
            item_ids.append((item_id, _item_id(table, attributes)))
        if len({new for _, new in item_ids}) != len(item_ids):
            message = f"Items in {self._file.path} have the same key in the table in template.yaml"
            raise StateError(f"{message}. Use the template that they were written with, or {START_EMPTY}.")
        if any(old != new for old, new in item_ids):
            # The key schema changed.
            self._write_all_items(table)
        self._restored = True

    def _remove_expired(self, table: Table, time_to_live: dict[str, Any]) -> None:
        """Remove items past their TTL, as DynamoDB does within days."""
        if not time_to_live.get("Enabled"):
            return
        for attributes in list(map(_attributes, table.all_items())):
            expires = attributes.get(time_to_live["AttributeName"], {}).get("N")
            if expires is not None and float(expires) <= self._clock():
                table.delete_item(*_key_values(table, attributes))
        self._write_all_items(table)

    def _write_all_items(self, table: Table) -> None:
        values: dict[str, str | None] = {item_id: None for item_id, _ in self._file.records(_ITEM)}
        self._write_items(
            table, values | {_item_id(table, item): _json(item) for item in map(_attributes, table.all_items())}
        )

    def _write_items(self, table: Table, values: dict[str, str | None]) -> None:
        before = {item_id: self._file.get(_ITEM, item_id) for item_id in values}
        changed = {item_id: value for item_id, value in values.items() if value != before[item_id]}
        if not changed:
            return
        try:
            self._file.write(_ITEM, changed)
        except StateError:
            for item_id in changed:
                stored = before[item_id]
                if stored is not None:
                    table.put_item(json.loads(stored))
                else:
                    table.delete_item(*_key_values(table, json.loads(item_id)))
            raise

    def _write_kms_keys(self) -> None:
        found = {
            key.id: json.dumps(
                {
                    "arn": key.arn,
                    "keyMaterial": base64.b64encode(key.key_material).decode(),
                    "description": key.description,
                    "policy": key.policy,
                    "enabled": key.enabled,
                    "keyState": key.key_state,
                    "createdAt": key.creation_date,
                    "aliases": sorted(key.aliases),
                },
                sort_keys=True,
            )
            for key in kms_backends[ACCOUNT_ID][REGION].keys.values()
            # moto creates AWS's own keys in each run.
            if key.key_spec == "SYMMETRIC_DEFAULT" and not any(name.startswith("alias/aws/") for name in key.aliases)
        }
        stored = dict(self._file.records(_KMS_KEY))
        changed = {key_id: value for key_id, value in found.items() if stored.get(key_id) != value}
        if changed:
            self._file.write(_KMS_KEY, changed)


def _restore_kms_key(key_id: str, saved: dict[str, Any]) -> None:
    backend = kms_backends[ACCOUNT_ID][REGION]
    material = base64.b64decode(saved["keyMaterial"], validate=True)
    key = backend.create_key(saved["policy"], "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", saved["description"], None)
    backend.keys[key_id] = backend.keys.pop(key.id)
    key.id, key.arn, key.key_material = key_id, saved["arn"], material
    key.enabled, key.key_state, key.creation_date = saved["enabled"], saved["keyState"], saved["createdAt"]
    for alias in saved["aliases"]:
        backend.create_alias(key_id, alias)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _changed_keys(operation: str, request: dict[str, Any], table_name: str) -> list[_AttributeValues] | None:
    """Return the keys of the table's items that a request writes, or whole items; None if its effect is not known."""
    try:
        match operation:
            case "PutItem":
                written = [(request["TableName"], request["Item"])]
            case "UpdateItem" | "DeleteItem":
                written = [(request["TableName"], request["Key"])]
            case "BatchWriteItem" | "TransactWriteItems":
                written = list(_written_by_several(request))
            case _:
                return None
        # A name may also be an ARN.
        return [dict(key) for name, key in written if name.rpartition("/")[2] == table_name]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _written_by_several(request: dict[str, Any]) -> Iterator[tuple[str, _AttributeValues]]:
    for name, writes in request.get("RequestItems", {}).items():
        for write in writes:
            yield name, write["PutRequest"]["Item"] if "PutRequest" in write else write["DeleteRequest"]["Key"]
    for action in request.get("TransactItems", []):
        for kind in action.keys() & {"Put", "Update", "Delete"}:
            yield action[kind]["TableName"], action[kind]["Item" if kind == "Put" else "Key"]


def _key_names(table: Table) -> list[str]:
    return [name for name in (table.hash_key_attr, table.range_key_attr) if name]


def _has_key(table: Table, attributes: _AttributeValues) -> bool:
    return all(name in attributes for name in _key_names(table))


def _item_id(table: Table, attributes: _AttributeValues) -> str:
    """Return the id of an item's record: its key as JSON."""
    return _json({name: attributes[name] for name in _key_names(table)})


def _key_values(table: Table, attributes: _AttributeValues) -> tuple[DynamoType, DynamoType | None]:
    first, *second = (DynamoType(attributes[name]) for name in _key_names(table))
    return first, second[0] if second else None


def _item(table: Table, key: _AttributeValues) -> str | None:
    item = table.get_item(*_key_values(table, key))
    return None if item is None else _json(_attributes(item))


def _attributes(item: Item) -> _AttributeValues:
    return {name: value.to_regular_json() for name, value in item.attrs.items()}


def _json(attributes: _AttributeValues) -> str:
    """Return an item in DynamoDB's JSON, in which binary values are base64."""
    return json.dumps(attributes, default=lambda value: base64.b64encode(value).decode())


def _refuse(operation: str, exc: StateError, start_response: StartResponse) -> list[bytes]:
    print(f"{operation} was refused and changed nothing: {exc}", flush=True)
    content = json.dumps({"__type": KEPT_STATE_ERROR, "message": str(exc)}).encode()
    headers = [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(content)))]
    start_response("500 Internal Server Error", headers)
    return [content]
