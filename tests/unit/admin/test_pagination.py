"""Tests of list parameters and cursors. More cursors: tests/unit/core/test_properties.py."""

import pytest

from service_keys.admin.pagination import parse_list_query
from service_keys.core.list_query import ListQuery
from service_keys.errors import InvalidRequestError

LAST = "spotify.0123456789ab"


def refused(parameters: dict[str, list[str]]) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as raised:
        parse_list_query(parameters)
    return {detail.field: detail.message for detail in raised.value.details}


def test_the_default_is_an_unfiltered_page_of_20() -> None:
    """Start at the newest key."""
    assert parse_list_query({}) == ListQuery(active=None, service=None, verification=None, limit=20, start_after=None)


def test_all_parameters_are_parsed() -> None:
    """Parse filters, limit and cursor."""
    cursor = ListQuery(active=False, service="spotify").encode_cursor(LAST)

    query = parse_list_query({"active": ["false"], "service": ["spotify"], "limit": ["100"], "cursor": [cursor]})

    assert query == ListQuery(active=False, service="spotify", limit=100, start_after=LAST)


@pytest.mark.parametrize("result", ["valid", "rejected", "inconclusive", "none"])
def test_every_verification_filter_is_accepted(result: str) -> None:
    """Combine it with another filter and with a cursor."""
    cursor = ListQuery(verification=result).encode_cursor(LAST)

    query = parse_list_query({"verification": [result], "active": ["true"]})
    following = parse_list_query({"verification": [result], "cursor": [cursor]})

    assert query == ListQuery(verification=result, active=True)
    assert following == ListQuery(verification=result, start_after=LAST)


@pytest.mark.parametrize("limit", [1, 9, 20, 100])
def test_a_limit_is_an_integer_from_1_to_100(limit: int) -> None:
    """Accept the limits of the range; a cursor of a page with another limit stays valid."""
    cursor = ListQuery(limit=5).encode_cursor(LAST)

    query = parse_list_query({"cursor": [cursor], "limit": [str(limit)]})

    assert (query.limit, query.start_after) == (limit, LAST)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", bad) for bad in ("0", "101", "-1", "1.5", "", "ten", "1e1", " 1", "٣", "9" * 5000)),
        *(("active", bad) for bad in ("", "TRUE", "1", "yes", "none")),
        *(("verification", bad) for bad in ("", "VALID", "null")),
        *(("service", bad) for bad in ("", "Spotify", "a" * 41, "#name", "spotify ")),
        *(("cursor", bad) for bad in ("", "x", "=", "🔑", "A" * 5000, "AAAA", LAST)),
    ],
)
def test_an_invalid_value_is_rejected(name: str, value: str) -> None:
    """Report the parameter's name."""
    assert refused({name: [value]}).keys() == {name}


def test_all_errors_are_reported_at_once() -> None:
    """Return one message for each parameter; report `(query)` for a name that may be a secret."""
    valid = "active, service, verification, deleted, limit, cursor"
    unknown = f"there is no such parameter; leave it out. Valid parameters: {valid}"

    assert refused({"limit": ["1", "2"], "active": ["?"], "nope": ["1"], "<script>": ["2"]}) == {
        "limit": "give it once",
        "active": "give true or false, in lower case",
        "nope": unknown,
        "(query)": unknown,
    }


@pytest.mark.parametrize(
    ("query", "last", "cursor"),
    [
        (ListQuery(), LAST, "c3BvdGlmeS4wMTIzNDU2Nzg5YWKZq7zS2iRGGYA"),
        (
            ListQuery(active=False, service="spotify", verification="none"),
            LAST,
            "c3BvdGlmeS4wMTIzNDU2Nzg5YWJ1zlQMxcBMULM",
        ),
        (ListQuery(), "tidal.0123456789f3", "dGlkYWwuMDEyMzQ1Njc4OWYzIkGTK--8AOcX"),
    ],
)
def test_the_cursor_format_is_stable(query: ListQuery, last: str, cursor: str) -> None:
    """Encode the same cursor in every release."""
    assert query.encode_cursor(last) == cursor


@pytest.mark.parametrize(
    "other",
    [
        *(ListQuery(active=True), ListQuery(active=False), ListQuery(verification="none")),
        *(ListQuery(service="spotify"), ListQuery(service="openai")),
    ],
)
def test_a_cursor_of_another_list_is_rejected(other: ListQuery) -> None:
    """Bind a cursor to its filters."""
    assert refused({"cursor": [other.encode_cursor(LAST)]}).keys() == {"cursor"}


def test_a_cursor_with_a_foreign_service_is_rejected() -> None:
    """Reject a forged cursor that contains an id of another service."""
    forged = ListQuery(service="openai").encode_cursor(LAST)

    assert refused({"cursor": [forged], "service": ["openai"]}).keys() == {"cursor"}


def test_an_altered_cursor_is_rejected() -> None:
    """Change each character, and truncate or extend the cursor."""
    cursor = ListQuery().encode_cursor(LAST)
    altered = [cursor[:-1], cursor + "A", cursor + "=", " " + cursor, cursor * 2]
    for position, character in enumerate(cursor):
        altered.append(cursor[:position] + ("A" if character != "A" else "B") + cursor[position + 1 :])

    assert [text for text in altered if refused({"cursor": [text]}).keys() != {"cursor"}] == []
