"""Property tests of names, slugs, ids, cursors, masks and the admin rule."""

from __future__ import annotations

import base64
import unicodedata
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from authorizer.admin_rule import AdminRule, Mismatch
from authorizer.errors import ConfigurationError
from service_keys.admin.pagination import VERIFICATION_FILTERS, parse_list_query
from service_keys.core.ids import RANDOM_BITS, is_valid_service, new_id, service_of, timestamp_ms_of
from service_keys.core.list_query import ListQuery
from service_keys.core.names import normalize_name, slug
from service_keys.core.secret_value import MASK, SecretValue
from service_keys.errors import InvalidRequestError, KeyNotFoundError

# Use the same inputs in each run; add an input that failed as an example of its property.
everywhere = settings(derandomize=True, deadline=None, database=None, max_examples=100)

services = st.lists(st.text("abyz0189", min_size=1, max_size=9), min_size=1, max_size=4).map("-".join)
FIRST = 1577836800000
moments = st.integers(FIRST, FIRST + 2**41 - 1)
random_bits = st.integers(0, 2**RANDOM_BITS - 1)
ids = st.builds(new_id, services, at_ms=moments, random_bits=random_bits)
queries = st.builds(
    ListQuery,
    active=st.none() | st.booleans(),
    service=st.none() | services,
    verification=st.none() | st.sampled_from(VERIFICATION_FILTERS),
    limit=st.integers(1, 100),
)
names = st.text(min_size=1, max_size=60)
spoken = st.lists(st.text("abXY12é-", min_size=1, max_size=8), max_size=12).map(" ".join)
"""Names of several words, often longer than a service may be."""


# --- names ----------------------------------------------------------------------------------------------------------


@everywhere
@given(names)
@example("K\u0345")
@example("a\u034f\u0301")
@example("ϓ key")
@example("ΐ")
@example("İstanbul")
@example("ﷺ")
def test_normalization_is_idempotent(name: str) -> None:
    """Return a normalized name unchanged, also if case folding changed its composition; it has only single spaces."""
    normalized = normalize_name(name)

    assert normalize_name(normalized) == normalized
    assert normalized == " ".join(normalized.split())


@everywhere
@given(names)
def test_normalization_ignores_case_width_and_white_space(name: str) -> None:
    """Return one result for all Unicode normalization forms."""
    for spelling in (f"  {name}\t", name.casefold()):
        assert normalize_name(spelling) == normalize_name(name)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normalize_name(unicodedata.normalize(form, name)) == normalize_name(name)


@everywhere
@given(names, st.sampled_from("\u00ad\u034f\u200b\u200d\u2060\ufe0f\ufeff"), st.integers(0, 60))
def test_normalization_ignores_invisible_characters(name: str, unseen: str, at: int) -> None:
    """Insert one at any position."""
    assert normalize_name(name[:at] + unseen + name[at:]) == normalize_name(name)


@everywhere
@given(st.text(max_size=200) | spoken)
@example("x" * 39 + " yz")
def test_a_slug_is_a_valid_service_or_empty(name: str) -> None:
    """Return a slug unchanged."""
    service = slug(name)

    assert service == "" or is_valid_service(service)
    assert slug(service) == service


@everywhere
@given(services)
def test_a_service_is_its_own_slug(service: str) -> None:
    """Return a valid service unchanged."""
    assert slug(service) == service


# --- ids ------------------------------------------------------------------------------------------------------------


@everywhere
@given(services, moments, random_bits)
def test_an_id_contains_service_and_creation_time(service: str, at_ms: int, bits: int) -> None:
    """Decode both from the id, whose last part has 12 characters."""
    key_id = new_id(service, at_ms=at_ms, random_bits=bits)

    assert (service_of(key_id), timestamp_ms_of(key_id)) == (service, at_ms)
    assert len(key_id) == len(service) + 13


@everywhere
@given(services, moments, moments, random_bits, random_bits)
@example("x", FIRST, FIRST + 1, 2**19 - 1, 0)
@example("x", FIRST + 31, FIRST + 32, 2**19 - 1, 0)
def test_ids_of_one_service_sort_by_age(service: str, one: int, other: int, bits: int, other_bits: int) -> None:
    """Sort by time regardless of the random bits."""
    assume(one != other)
    ids = [new_id(service, at_ms=at, random_bits=b) for at, b in ((one, bits), (other, other_bits))]

    assert (ids[0] < ids[1]) == (one < other)


@everywhere
@given(st.text(max_size=60))
def test_any_text_is_a_valid_id_or_not_found(text: str) -> None:
    """Repeat no long text in the error."""
    try:
        service = service_of(text)
    except KeyNotFoundError as error:
        assert len(text) < 12 or text not in str(error)  # noqa: PT017 - the other half of one property
    else:
        assert is_valid_service(service)


# --- cursors --------------------------------------------------------------------------------------------------------


def filters(query: ListQuery) -> dict[str, list[str]]:
    values = {"active": query.active, "service": query.service, "verification": query.verification}
    return {name: [str(value).lower()] for name, value in values.items() if value is not None}


def parsed(query: ListQuery, cursor: str) -> ListQuery:
    return parse_list_query(filters(query) | {"limit": [str(query.limit)], "cursor": [cursor]})


@everywhere
@given(queries, ids)
def test_a_cursor_decodes_to_its_key(query: ListQuery, key_id: str) -> None:
    """Return the id that was encoded."""
    assume(query.service in {None, service_of(key_id)})

    assert parsed(query, query.encode_cursor(key_id)).start_after == key_id


@everywhere
@given(queries, queries, ids)
def test_a_cursor_of_another_list_is_rejected(query: ListQuery, other: ListQuery, key_id: str) -> None:
    """Bind a cursor to its filters."""
    assume(filters(query) != filters(other))

    with pytest.raises(InvalidRequestError):
        parsed(query, other.encode_cursor(key_id))


@everywhere
@given(queries, ids, st.data())
def test_an_altered_cursor_is_rejected(query: ListQuery, key_id: str, data: st.DataObject) -> None:
    """Replace one character by any other."""
    cursor = query.encode_cursor(key_id)
    place = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
    assume(cursor[place] != other)

    with pytest.raises(InvalidRequestError):
        parsed(query, cursor[:place] + other + cursor[place + 1 :])


@everywhere
@given(st.text(max_size=140) | st.binary(max_size=90).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_random_text_is_no_cursor(text: str) -> None:
    """Return None."""
    assert ListQuery().decode_cursor(text) is None


@everywhere
@given(st.dictionaries(st.text(max_size=20), st.lists(st.text(max_size=20), min_size=1, max_size=2), max_size=4))
def test_any_query_is_parsed_or_rejected_with_details(parameters: dict[str, list[str]]) -> None:
    """Raise no other error."""
    try:
        query = parse_list_query(parameters)
    except InvalidRequestError as error:
        assert error.details  # noqa: PT017 - the other half of one property
    else:
        assert 1 <= query.limit <= 100


# --- secret values --------------------------------------------------------------------------------------------------

texts = st.text(min_size=1, max_size=200)


@everywhere
@given(texts)
def test_a_mask_shows_4_of_at_least_24_characters_or_none(secret: str) -> None:
    """Show none of a shorter value."""
    assert SecretValue(secret).masked() == MASK + (secret[-4:] if len(secret) >= 24 else "")


@everywhere
@given(texts | st.dictionaries(st.text(min_size=1, max_size=20), texts, min_size=1, max_size=10))
def test_a_secret_value_round_trips_and_is_never_formatted(value: str | dict[str, str]) -> None:
    """Return the value from its JSON, and "hidden" from repr, str and format."""
    secret_value = SecretValue(value)

    assert SecretValue.from_json(secret_value.to_json()).reveal() == value
    assert repr(secret_value) == str(secret_value) == f"{secret_value}" == "SecretValue(hidden)"


# --- admin rule -----------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
claims = st.from_regex(r"[A-Za-z0-9:_.\u00e4\u00fc-][A-Za-z0-9:/_.\u00e4\u00fc-]{0,19}", fullmatch=True)
values = st.lists(words, min_size=1, max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def quoted_rule(claim: str, admitted: list[str]) -> AdminRule:
    """Write the rule with quoted values and parse it."""
    quoted = ['"' + value.replace('"', '""') + '"' for value in admitted]
    return AdminRule.parse(f"{claim}={','.join(quoted)}")


@everywhere
@given(claims, values)
def test_a_written_rule_is_parsed_unchanged(claim: str, admitted: list[str]) -> None:
    """Return claim and values."""
    rule = quoted_rule(claim, admitted)

    assert (rule.claim, rule.path, rule.values) == (claim, (claim,), frozenset(admitted))


@everywhere
@given(st.text(max_size=40))
@example("=")
@example("role=")
@example("role=,")
def test_any_text_is_a_complete_rule_or_rejected(text: str) -> None:
    """Accept no empty claim or value."""
    try:
        rule = AdminRule.parse(text)
    except ConfigurationError:
        return
    assert rule.claim
    assert rule.values
    assert all(rule.values)


def admits(claim: str, value: Any, admitted: list[str]) -> bool:
    """Restate the documented rule as a reference implementation."""
    if value is True:
        return "true" in admitted
    if isinstance(value, str):
        value = value.split(" ") if claim in {"scope", "scp"} else [value]
    return isinstance(value, list) and any(type(text) is str and text in admitted for text in value)


@everywhere
@given(
    claims | st.sampled_from(["scope", "scp", "role"]),
    values,
    st.dictionaries(claims, json_values, max_size=3),
    st.data(),
)
def test_a_claim_admits_if_one_of_its_strings_is_in_the_rule(
    claim: str, admitted: list[str], others: dict[str, Any], data: st.DataObject
) -> None:
    """Compare with the reference implementation."""
    assume("email" not in claim.lower() and "e-mail" not in claim.lower())
    named = st.sampled_from(admitted)
    several = st.lists(named | words, max_size=3)
    value = data.draw(named | several | several.map(" ".join) | st.dictionaries(named, named, max_size=2) | json_values)

    is_admitted = quoted_rule(claim, admitted).mismatch(others | {claim: value}) is None

    assert is_admitted == admits(claim, value, admitted)


@everywhere
@given(claims, values, st.dictionaries(claims, json_values, max_size=4))
def test_a_token_without_the_claim_is_not_admitted(claim: str, admitted: list[str], others: dict[str, Any]) -> None:
    """Return CLAIM_MISSING."""
    others.pop(claim, None)

    assert quoted_rule(claim, admitted).mismatch(others) is Mismatch.CLAIM_MISSING


@everywhere
@given(words, json_values)
@example(address="ada@example.com", verified=True)
@example(address="ada@example.com", verified="true")
def test_an_unverified_email_is_not_admitted(address: str, verified: Any) -> None:
    """Require `email_verified`."""
    mismatch = quoted_rule("email", [address]).mismatch({"email": address, "email_verified": verified})

    assert (mismatch is None) == (verified is True or verified == "true")
