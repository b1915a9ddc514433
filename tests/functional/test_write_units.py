"""The write units of each change, as docs/operations.md states them."""

import re
from collections.abc import Callable

import pytest

from tests.functional.conftest import COLLECTION, SECRET, Admin, ApiResponse, admin_fixture
from tests.support.fault_proxy import FaultProxy
from tests.support.processes import ROOT

admin = admin_fixture(Admin)
PAGE = (ROOT / "docs" / "operations.md").read_text()
ROW = re.compile(r"\| ([a-zA-Z `,-]+) \| [0-9–]+ \| [0-9–]+ \| ([0-9]) \| ([0-9]) \|")
INDEX_WRITES = {"delete": 2, "restore": 2}
"""Writes of the index by changes that move a key to another list; all others take one."""
BODY = {"name": "New", "key": SECRET}
CHANGES: dict[str, Callable[[Admin, str, str], ApiResponse]] = {
    "create": lambda admin, *_: admin.send("POST", COLLECTION, BODY),
    "create with `Idempotency-Key`": lambda admin, *_: admin.send("POST", COLLECTION, BODY, Idempotency_Key="x" * 16),
    "update": lambda admin, key, _: admin.update(key, {"active": False, "key": SECRET}),
    "update with a new name": lambda admin, key, _: admin.update(key, {"name": "New"}),
    "rollback": lambda admin, key, _: admin.rollback(key, If_Match='"2"'),
    "delete": lambda admin, key, _: admin.delete(key),
    "delete permanently, also if deleted already": lambda admin, _, deleted: purge(admin, deleted),
    "restore": lambda admin, _, deleted: admin.restore(deleted),
}


def purge(admin: Admin, key_id: str) -> ApiResponse:
    return admin.call("DELETE", f"{COLLECTION}/{key_id}", query={"permanent": "true"})


def test_the_page_has_the_write_units_of_each_change() -> None:
    """Expect one row for each change."""
    assert [row[1] for row in ROW.finditer(PAGE)] == list(CHANGES)


@pytest.mark.parametrize(("change", "items", "units"), [row.groups() for row in ROW.finditer(PAGE)])
def test_a_change_takes_the_write_units_of_the_page(
    admin: Admin, fault_proxy: FaultProxy, change: str, items: str, units: str
) -> None:
    """Count the items of the transaction: two units each, and one for each write of the index."""
    key, deleted = (admin.create(f"Key {number}")["id"] for number in range(2))
    admin.update(key, {"key": SECRET})
    admin.delete(deleted)
    fault_proxy.clear()

    assert CHANGES[change](admin, key, deleted).status in {200, 201}

    (transaction,) = (call for call in fault_proxy.calls if call.operation == "DynamoDB.TransactWriteItems")
    written = len(transaction.request["TransactItems"])
    assert (written, 2 * written + INDEX_WRITES.get(change, 1)) == (int(items), int(units))
