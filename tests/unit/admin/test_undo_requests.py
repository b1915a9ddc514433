"""Tests of the requests of undo and history: keepPrevious, restore, permanent deletion, history and deleted keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from service_keys.admin.pagination import parse_history_query, parse_list_query, parse_permanent
from service_keys.admin.schemas import parse_create, parse_restore, parse_update
from service_keys.core import cursor
from service_keys.core.history_query import HistoryQuery
from service_keys.core.list_query import ListQuery
from service_keys.errors import InvalidRequestError
from tests.support.key_fields import CREATE_FIELDS, UPDATE_FIELDS
from tests.unit.admin.conftest import SECRET, new

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_ID = "spotify.0123456789ab"
READ_ONLY = "the server sets this field, and it cannot be changed; leave it out. Valid fields: name"
DID_YOU_MEAN_NAME = "there is no such field; did you mean name? Valid fields: name"
IN_UPDATE = "only an update takes this field; leave it out, and update the key. Valid fields: name"


def refused(parse: Callable[..., object], sent: object, **options: Any) -> dict[str, str]:
    """Return the details of a rejected request by field; neither they nor the error's context contain a secret."""
    with pytest.raises(InvalidRequestError) as raised:
        parse(sent, **options)
    assert raised.value.__context__ is None
    assert SECRET not in f"{raised.value}{raised.value.details}"
    return {detail.field: detail.message for detail in raised.value.details}


def refused_history(sent: dict[str, list[str]]) -> dict[str, str]:
    return refused(parse_history_query, sent, key_id=KEY_ID)


# --- keepPrevious ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"keepPrevious": False}, {"keepPrevious": True, "name": "New"}])
def test_keep_previous_is_parsed(changes: dict[str, Any]) -> None:
    """Accept false alone, and both values beside another field."""
    assert parse_update(changes, service="x") == changes
    assert parse_update({**changes, "key": SECRET}, service="x")["keepPrevious"] is changes["keepPrevious"]


@pytest.mark.parametrize("value", [None, "false", 0, [], {}])
def test_keep_previous_is_a_boolean(value: object) -> None:
    """Reject values that other APIs convert: false destroys the previous secret value."""
    assert refused(parse_update, {"keepPrevious": value}, service="x") == {"keepPrevious": "give true or false"}


def test_a_useless_keep_previous_is_rejected() -> None:
    """State both remedies of true alone, and which request takes the field."""
    advice = "true alone changes nothing: send it with a new key, or send false to remove the previous one"
    assert refused(parse_update, {"keepPrevious": True}, service="x") == {"keepPrevious": advice}
    advice = IN_UPDATE.removesuffix("name") + CREATE_FIELDS
    assert refused(parse_create, new(keepPrevious=False)) == {"keepPrevious": advice}


@pytest.mark.parametrize("name", ["keepprevious", "keep_previous", "KeepPrevious", "keepPrevius", "keepOld", "retain"])
def test_a_wrong_name_of_keep_previous_gets_advice(name: str) -> None:
    """Name the right field."""
    advice = f"there is no such field; did you mean keepPrevious? Valid fields: {UPDATE_FIELDS}"
    assert refused(parse_update, {name: False}, service="x") == {name: advice}


# --- restore --------------------------------------------------------------------------------------------------------


def test_a_restore_has_an_optional_name() -> None:
    """Trim the name as in a create."""
    assert parse_restore({}) == {}
    assert parse_restore({"name": "  Spotify 2 "}) == {"name": "Spotify 2"}


@pytest.mark.parametrize(
    ("body", "details"),
    [
        *((body, {"(body)": "send a JSON object"}) for body in (None, [], "x", 1, True)),
        ({"name": None}, {"name": "give a string"}),
        ({"name": 7}, {"name": "give a string"}),
        ({"name": " x "}, {"name": "give at least 2 characters"}),
        ({"name": "x" * 101}, {"name": "give at most 100 characters"}),
        *(({name: SECRET}, {name: IN_UPDATE}) for name in ("key", "active", "description", "keepPrevious")),
        *(
            ({name: "x"}, {name: READ_ONLY})
            for name in ("id", "version", "deletedAt", "recoverableUntil", "previousKey")
        ),
        *(({name: "x"}, {name: DID_YOU_MEAN_NAME}) for name in ("newName", "new_name", "title")),
        ({"force": True}, {"force": "there is no such field; leave it out. Valid fields: name"}),
        ({SECRET: 1}, {"(body)": "there is no such field as one of those sent; leave it out. Valid fields: name"}),
    ],
    ids=lambda value: f"{value!s:.25}",
)
def test_an_invalid_restore_is_rejected(body: object, details: dict[str, str]) -> None:
    """Send other fields to an update; list the only valid one."""
    assert refused(parse_restore, body) == details


# --- query parameters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "permanent"), [({}, False), ({"permanent": ["true"]}, True), ({"permanent": ["false"]}, False)]
)
def test_permanent_is_false_by_default(sent: dict[str, list[str]], permanent: bool) -> None:  # noqa: FBT001
    """Delete permanently only if the client asks for it."""
    assert parse_permanent(sent) is permanent


BOOLEAN = "give true or false, in lower case"
PERMANENT = "there is no such parameter; did you mean permanent? Valid parameters: permanent"
DELETED = (
    "there is no such parameter; did you mean deleted? Valid parameters: "
    "active, service, verification, deleted, limit, cursor"
)
OF_HISTORY = "Valid parameters: limit, cursor"


@pytest.mark.parametrize(
    ("parse", "sent", "details"),
    [
        *((parse_permanent, {"permanent": [bad]}, {"permanent": BOOLEAN}) for bad in ("", "1", "TRUE", "yes", " true")),
        (parse_permanent, {"permanent": ["true", "true"]}, {"permanent": "give it once"}),
        *((parse_permanent, {name: ["true"]}, {name: PERMANENT}) for name in ("force", "hard", "purge", "Permanent")),
        *((parse_list_query, {"deleted": [bad]}, {"deleted": BOOLEAN}) for bad in ("", "1", "True", "only")),
        *((parse_list_query, {name: ["true"]}, {name: DELETED}) for name in ("isDeleted", "trashed", "archived")),
        (refused_history, {"limit": ["0"]}, {"limit": "give a whole number from 1 to 100"}),
        (refused_history, {"active": ["true"]}, {"active": f"there is no such parameter; leave it out. {OF_HISTORY}"}),
        (
            refused_history,
            {"after": ["x"]},
            {"after": f"there is no such parameter; did you mean cursor? {OF_HISTORY}"},
        ),
    ],
    ids=lambda value: f"{value!s:.30}",
)
def test_an_invalid_parameter_is_rejected(
    parse: Callable[..., object], sent: dict[str, list[str]], details: dict[str, str]
) -> None:
    """Name the parameter and its remedy."""
    assert (parse(sent) if parse is refused_history else refused(parse, sent)) == details


def test_deleted_is_part_of_the_cursor() -> None:
    """Continue each of the two lists only by its own cursor."""
    deleted, others = ListQuery(deleted=True).encode_cursor(KEY_ID), ListQuery().encode_cursor(KEY_ID)

    assert parse_list_query({"deleted": ["true"], "cursor": [deleted]}).start_after == KEY_ID
    assert parse_list_query({"deleted": ["false"], "cursor": [others]}) == ListQuery(start_after=KEY_ID)
    assert refused(parse_list_query, {"deleted": ["true"], "cursor": [others]}).keys() == {"cursor"}
    assert refused(parse_list_query, {"cursor": [deleted]}).keys() == {"cursor"}


def test_a_history_query_has_a_limit_and_a_cursor() -> None:
    """Start at the newest change with pages of 20."""
    following = HistoryQuery(KEY_ID).encode_cursor(17)

    assert parse_history_query({}, key_id=KEY_ID) == HistoryQuery(KEY_ID, limit=20, start_after=None)
    query = parse_history_query({"limit": ["100"], "cursor": [following]}, key_id=KEY_ID)
    assert query == HistoryQuery(KEY_ID, limit=100, start_after=17)


@pytest.mark.parametrize("position", ["", "0", "-1", "+1", "01", "1.5", "x", "1_0", " 1", "1\n", "9" * 11, KEY_ID])
def test_a_forged_history_cursor_is_rejected(position: str) -> None:
    """The checksum needs no secret, so a cursor can hold any text; only a version is a position."""
    forged = cursor.encode(position, scope=f"history of {KEY_ID}")
    assert refused_history({"cursor": [forged]}).keys() == {"cursor"}


def test_a_history_cursor_belongs_to_its_key() -> None:
    """Reject the cursor of another key and of the list."""
    others = [HistoryQuery("spotify.0123456789ac").encode_cursor(17), ListQuery().encode_cursor(KEY_ID)]
    assert [refused_history({"cursor": [other]}).keys() for other in others] == [{"cursor"}] * 2
