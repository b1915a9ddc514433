"""Query parameters of list, history and delete requests."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, get_args

from service_keys.admin.field_names import is_echoable, resembled
from service_keys.core.history_query import HistoryQuery
from service_keys.core.ids import is_valid_service
from service_keys.core.list_query import ListQuery
from service_keys.core.models import VerificationStatus
from service_keys.errors import FieldError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_Query = TypeVar("_Query", ListQuery, HistoryQuery)

LIMIT_MAX: Final = 100

VERIFICATION_FILTERS: Final = (*get_args(VerificationStatus), "none")

_PARAMETERS: Final = {
    "active": ("isActive", "enabled", "status"),
    "service": ("serviceName", "provider"),
    "verification": ("verified", "verificationStatus"),
    "deleted": ("isDeleted", "trashed", "includeDeleted", "archived"),
    "limit": ("pageSize", "perPage", "size", "count", "max", "maxResults"),
    "cursor": ("nextCursor", "pageToken", "nextToken", "next", "after"),
}
"""The valid parameters, each with its names in comparable APIs."""
_BOOLEANS = {"true": True, "false": False}
_LIMIT = re.compile(r"[0-9]{1,3}")


def parse_list_query(parameters: Mapping[str, Sequence[str]]) -> ListQuery:
    """Parse the query parameters of a list request.

    Raises:
        InvalidRequestError: A parameter is unknown or invalid; the details name each one.
    """
    values = _parse(parameters, _PARAMETERS)
    cursor = values.pop("cursor", None)
    return _from_cursor(ListQuery(**values), cursor)


def parse_history_query(parameters: Mapping[str, Sequence[str]], *, key_id: str) -> HistoryQuery:
    """Parse the query parameters of a history request.

    Raises:
        InvalidRequestError: A parameter is unknown or invalid; the details name each one.
    """
    values = _parse(parameters, {name: _PARAMETERS[name] for name in ("limit", "cursor")})
    cursor = values.pop("cursor", None)
    return _from_cursor(HistoryQuery(key_id, **values), cursor)


def parse_permanent(parameters: Mapping[str, Sequence[str]]) -> bool:
    """Parse the query parameter ``permanent`` of a delete request.

    Raises:
        InvalidRequestError: A parameter is unknown or invalid; the details name each one.
    """
    return bool(_parse(parameters, {"permanent": ("force", "hard", "purge", "destroy")}).get("permanent"))


def reject_parameters(parameters: Mapping[str, Sequence[str]]) -> None:
    """Reject query parameters of a change that has none, because an ignored one could be meant as a field of the body.

    Raises:
        InvalidRequestError: The request has a query parameter.
    """
    advice = "this request has no query parameters; leave it out, or send it as a field of the body"
    if parameters:
        _invalid(*(FieldError(name if is_echoable(name) else "(query)", advice) for name in parameters))


def _parse(parameters: Mapping[str, Sequence[str]], valid: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    details: list[FieldError] = []
    values: dict[str, Any] = {}
    for name, given in parameters.items():
        if name not in valid:
            details.append(_unknown(name, valid))
            continue
        try:
            values[name] = _parse_parameter(name, given)
        except ValueError as problem:
            details.append(FieldError(name, str(problem)))
    if details:
        _invalid(*details)
    return values


def _from_cursor(query: _Query, cursor: str | None) -> _Query:
    """Return the query from the position in a cursor of the same list."""
    if cursor is None:
        return query
    start_after = query.decode_cursor(cursor)
    if start_after is None:
        _invalid(FieldError("cursor", "give the nextCursor of the page before, unchanged, with the same filters"))
    return replace(query, start_after=start_after)


def _invalid(*details: FieldError) -> NoReturn:
    raise InvalidRequestError("The query parameters are not valid. Correct those that the details name.", details)


def _unknown(name: str, valid: Mapping[str, tuple[str, ...]]) -> FieldError:
    listed = f"Valid parameters: {', '.join(valid)}"
    meant = resembled(name, valid)
    if meant:
        return FieldError(name, f"there is no such parameter; did you mean {meant}? {listed}")
    return FieldError(name if is_echoable(name) else "(query)", f"there is no such parameter; leave it out. {listed}")


def _parse_parameter(name: str, given: Sequence[str]) -> bool | int | str:
    """Parse one parameter; raise ValueError with the remedy as its message."""
    if len(given) != 1:
        raise ValueError("give it once")
    (text,) = given
    match name:
        case "active" | "deleted" | "permanent" if text not in _BOOLEANS:
            raise ValueError("give true or false, in lower case")
        case "active" | "deleted" | "permanent":
            return _BOOLEANS[text]
        case "service" if not is_valid_service(text):
            raise ValueError(
                "give a service as keys show it: lower-case letters, digits and single hyphens, such as spotify"
            )
        case "verification" if text not in VERIFICATION_FILTERS:
            raise ValueError(f"give one of {', '.join(VERIFICATION_FILTERS)}")
        case "limit" if not (_LIMIT.fullmatch(text) and 1 <= int(text) <= LIMIT_MAX):
            raise ValueError(f"give a whole number from 1 to {LIMIT_MAX}")
        case "limit":
            return int(text)
    return text
