"""Tests of the items of the history, and of pages that DynamoDB returns in parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from service_keys.core.history_query import HistoryQuery
from service_keys.core.models import ChangeContext, HistoryEntry
from service_keys.store.history import new_entry, read_history, to_history_item, values_of
from tests.unit.core.test_models import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = 1_800_000_000_123
DAY = 86_400_000
CONTEXT = ChangeContext(AT, "ada", "r-1", "x-1", "Ada é")


def entry(version: int = 1, **fields: Any) -> HistoryEntry:
    made = new_entry("update", CONTEXT, version=version, fields=("name", "active"), before=None, after=values_of(KEY))
    return replace(made, **fields)


def item(version: int, *, days: int = 400) -> dict[str, Any]:
    return to_history_item(KEY.id, entry(version), at_ms=AT, days=days)


@pytest.fixture
def stub(clients: tuple[Any, Any]) -> Iterator[Stubber]:
    with Stubber(clients[0]) as stub:
        yield stub
        stub.assert_no_pending_responses()


def test_an_entry_records_only_changed_values() -> None:
    """Sort the fields of the request; compare the four recorded values, of which masks may be objects."""
    after = replace(KEY, name="New", masked_key={"id": "••••", "secret": "••••9876"}, version=2, last_used=None)

    made = new_entry(
        "update", CONTEXT, version=2, fields=("name", "key", "active"), before=values_of(KEY), after=values_of(after)
    )

    assert made == HistoryEntry(
        version=2,
        change="update",
        fields=("active", "key", "name"),
        at="2027-01-15T08:00:00.123Z",
        by="ada",
        by_name="Ada é",
        request_id="r-1",
        before={"name": KEY.name, "maskedKey": KEY.masked_key},
        after={"name": "New", "maskedKey": after.masked_key},
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"change": "create", "fields": ()},
        {"change": "delete", "before": {"description": None, "active": False}, "after": None},
        {"before": {}, "after": {}, "by_name": None},
        {"version": 9_999_999_999, "after": {"maskedKey": {"id": "••••", "secret": "••••9876"}}},
    ],
    ids=str,
)
def test_an_entry_is_read_as_it_was_written(clients: tuple[Any, Any], stub: Stubber, fields: dict[str, Any]) -> None:
    """Keep nulls within values, objects and empty values; delete the item after the retention."""
    written = entry(**fields)
    stored = to_history_item(KEY.id, written, at_ms=AT, days=400)
    stub.add_response("query", {"Items": [stored]})

    page = read_history(clients[0], "table", HistoryQuery(KEY.id), at_ms=AT)

    assert (page.entries, page.next_cursor) == ((written,), None)
    assert stored["id"]["S"] == f"{KEY.id}#{written.version:010}"
    assert stored["expiresAt"] == {"N": str((AT + 400 * DAY) // 1000 + 1)}


def test_a_page_is_filled_from_several_responses(clients: tuple[Any, Any], stub: Stubber) -> None:
    """Continue after expired entries and after DynamoDB's 1 MB, and stop at one entry more than the page has."""
    place = {"service": {"S": "#history"}, "id": {"S": "made-up"}}
    stub.add_response("query", {"Items": [item(9), item(8, days=0)], "LastEvaluatedKey": place})
    stub.add_response("query", {"Items": [], "LastEvaluatedKey": place})
    stub.add_response("query", {"Items": [item(7), item(6), item(5)], "LastEvaluatedKey": place})

    page = read_history(clients[0], "table", HistoryQuery(KEY.id, limit=2), at_ms=AT + 1000)

    assert [each.version for each in page.entries] == [9, 7]
    assert page.next_cursor == HistoryQuery(KEY.id).encode_cursor(7)


@pytest.mark.parametrize(
    ("start_after", "last"),
    [(None, "9999999999"), (9_999_999_999, "9999999998"), (10, "0000000009"), (1, "0000000000")],
)
def test_a_page_is_one_consistent_query(
    clients: tuple[Any, Any], stub: Stubber, start_after: int | None, last: str
) -> None:
    """Read the key's own entries, newest first, from the version below that of the cursor."""
    sent: list[dict[str, Any]] = []
    events = clients[0].meta.events
    events.register("before-parameter-build.dynamodb.Query", lambda params, **_: sent.append(dict(params)), "sent")
    stub.add_response("query", {"Items": []})

    read_history(clients[0], "table", HistoryQuery(KEY.id, limit=5, start_after=start_after), at_ms=AT)

    events.unregister("before-parameter-build.dynamodb.Query", unique_id="sent")
    (query,) = sent
    assert query["ExpressionAttributeValues"] == {
        ":partition": {"S": "#history"},
        ":first": {"S": f"{KEY.id}#0000000000"},
        ":last": {"S": f"{KEY.id}#{last}"},
    }
    assert (query["Limit"], query["ConsistentRead"], query["ScanIndexForward"]) == (6, True, False)
