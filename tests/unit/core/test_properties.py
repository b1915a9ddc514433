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
from service_keys.core import names as names_module
from service_keys.core.ids import RANDOM_BITS, is_valid_service, new_id, service_of, timestamp_ms_of
from service_keys.core.list_query import ListQuery
from service_keys.core.names import normalize_name
from service_keys.core.secret_value import MASK, SecretValue
from service_keys.errors import InvalidRequestError, KeyNotFoundError

# Use the same inputs in each run; add an input that failed as an example of its property.
everywhere = settings(derandomize=True, deadline=None, database=None, max_examples=100)

services = st.lists(st.text("abyz0189", min_size=1, max_size=9), min_size=1, max_size=4).map("-".join)
moments = st.integers(1577836800000, 1577836800000 + 2**41 - 1)
random_bits = st.integers(0, 2**RANDOM_BITS - 1)
ids = st.builds(new_id, services, at_ms=moments, random_bits=random_bits)
queries_made = st.builds(
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
def test_normalization_is_idempotent(name: str) -> None:
    """Return a normalized name unchanged."""
    assert normalize_name(normalize_name(name)) == normalize_name(name)


@everywhere
@given(names)
def test_normalization_ignores_case_width_and_white_space(name: str) -> None:
    """Return one result for all Unicode normalization forms."""
    folded = normalize_name(name)

    assert normalize_name(f"  {name}\t") == folded
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normalize_name(unicodedata.normalize(form, name)) == folded
    assert normalize_name(name.casefold()) == folded


@everywhere
@given(names, st.sampled_from("\u00ad\u034f\u200b\u200d\u2060\ufe0f\ufeff"), st.integers(0, 60))
def test_normalization_ignores_invisible_characters(name: str, unseen: str, at: int) -> None:
    """Insert one at any position."""
    assert normalize_name(name[:at] + unseen + name[at:]) == normalize_name(name)


@everywhere
@given(names)
def test_a_normalized_name_has_only_single_spaces(name: str) -> None:
    """Trim and collapse white space."""
    assert normalize_name(name) == " ".join(normalize_name(name).split())


@everywhere
@given(st.text(max_size=200) | spoken)
@example("x" * 39 + " yz")
def test_a_slug_is_a_valid_service_or_empty(name: str) -> None:
    """Return a slug unchanged."""
    slug = names_module.slug(name)

    assert slug == "" or is_valid_service(slug)
    assert names_module.slug(slug) == slug


@everywhere
@given(services)
def test_a_service_is_its_own_slug(service: str) -> None:
    """Return a valid service unchanged."""
    assert names_module.slug(service) == service


# --- ids ------------------------------------------------------------------------------------------------------------


@everywhere
@given(services, moments, random_bits)
def test_an_id_contains_service_and_creation_time(service: str, at_ms: int, bits: int) -> None:
    """Decode both from the id."""
    key_id = new_id(service, at_ms=at_ms, random_bits=bits)

    assert (service_of(key_id), timestamp_ms_of(key_id)) == (service, at_ms)


@everywhere
@given(services, moments, moments, random_bits, random_bits)
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


def parsed(query: ListQuery, cursor: str) -> ListQuery:
    given_values = {"active": query.active, "service": query.service, "verification": query.verification}
    words = {name: [str(value).lower()] for name, value in given_values.items() if value is not None}
    return parse_list_query({**words, "limit": [str(query.limit)], "cursor": [cursor]})


@everywhere
@given(queries_made, ids)
def test_a_cursor_decodes_to_its_key(query: ListQuery, key_id: str) -> None:
    """Return the id that was encoded."""
    assume(query.service in {None, service_of(key_id)})

    assert parsed(query, query.encode_cursor(key_id)).start_after == key_id


@everywhere
@given(queries_made, queries_made, ids)
def test_a_cursor_of_another_list_is_rejected(query: ListQuery, other: ListQuery, key_id: str) -> None:
    """Bind a cursor to its filters."""
    filters = [(one.active, one.service, one.verification) for one in (query, other)]
    assume(filters[0] != filters[1])

    with pytest.raises(InvalidRequestError):
        parsed(query, other.encode_cursor(key_id))


@everywhere
@given(queries_made, ids, st.data())
def test_an_altered_cursor_is_rejected(query: ListQuery, key_id: str, data: st.DataObject) -> None:
    """Replace one character by any other."""
    cursor = query.encode_cursor(key_id)
    place = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
    assume(cursor[place] != other)

    with pytest.raises(InvalidRequestError):
        parsed(query, cursor[:place] + other + cursor[place + 1 :])


@everywhere
@given(st.text(max_size=140) | st.binary(max_size=90).map(lambda made: base64.urlsafe_b64encode(made).decode()))
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


# --- masks ----------------------------------------------------------------------------------------------------------

parts = st.text(min_size=1, max_size=200)


@everywhere
@given(parts)
def test_a_mask_shows_4_of_at_least_24_characters_or_none(secret: str) -> None:
    """Show none of a shorter value."""
    masked = SecretValue(secret).masked()

    assert masked == MASK + (secret[-4:] if len(secret) >= 24 else "")


@everywhere
@given(parts | st.dictionaries(st.text(min_size=1, max_size=20), parts, min_size=1, max_size=10))
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


def admitted_by(rule: AdminRule, held: dict[str, Any]) -> bool:
    return rule.mismatch(held) is None


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


others_held = st.dictionaries(claims, json_values, max_size=3)


def admits(claim: str, held: Any, admitted: list[str]) -> bool:
    """Restate the documented rule as a reference implementation."""
    if held is True:
        return "true" in admitted
    if isinstance(held, str):
        held = held.split(" ") if claim in {"scope", "scp"} else [held]
    return isinstance(held, list) and any(type(value) is str and value in admitted for value in held)


@everywhere
@given(claims | st.sampled_from(["scope", "scp", "role"]), values, others_held, st.data())
def test_a_claim_admits_if_one_of_its_strings_is_in_the_rule(
    claim: str, admitted: list[str], others: dict[str, Any], data: st.DataObject
) -> None:
    """Compare with the reference implementation."""
    assume("email" not in claim.lower() and "e-mail" not in claim.lower())
    named = st.sampled_from(admitted)
    several = st.lists(named | words, max_size=3)
    held = data.draw(several | several.map(" ".join) | st.dictionaries(named, named, max_size=2) | json_values)

    assert admitted_by(quoted_rule(claim, admitted), others | {claim: held}) == admits(claim, held, admitted)


@everywhere
@given(claims, values, st.sampled_from(["string", "array"]))
def test_a_token_with_an_admitted_value_is_admitted(claim: str, admitted: list[str], form: str) -> None:
    """Accept a string and an array."""
    held = admitted[-1] if form == "string" else ["other", admitted[-1]]

    assume(claim not in {"scope", "scp"} or form == "array")
    assert admitted_by(quoted_rule(claim, admitted), {claim: held, "email_verified": True})


@everywhere
@given(claims, values, st.dictionaries(claims, json_values, max_size=4))
def test_a_token_without_the_claim_is_not_admitted(claim: str, admitted: list[str], others: dict[str, Any]) -> None:
    """Return CLAIM_MISSING."""
    others.pop(claim, None)

    assert quoted_rule(claim, admitted).mismatch(others) is Mismatch.CLAIM_MISSING


@everywhere
@given(words, json_values)
def test_an_unverified_email_is_not_admitted(address: str, verified: Any) -> None:
    """Require `email_verified`."""
    verified_or_not = admitted_by(quoted_rule("email", [address]), {"email": address, "email_verified": verified})

    assert verified_or_not == (verified is True or verified == "true")
