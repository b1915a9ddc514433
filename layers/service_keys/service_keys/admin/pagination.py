"""Query parameters of list requests."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, get_args

from service_keys.admin.field_names import is_echoable, resembled
from service_keys.core.ids import is_valid_service
from service_keys.core.list_query import ListQuery
from service_keys.core.models import VerificationStatus
from service_keys.errors import FieldError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMIT_MAX: Final = 100

VERIFICATION_FILTERS: Final = (*get_args(VerificationStatus), "none")

_PARAMETERS: Final = {
    "active": ("isActive", "enabled", "status"),
    "service": ("serviceName", "provider"),
    "verification": ("verified", "verificationStatus"),
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
    details: list[FieldError] = []
    values: dict[str, Any] = {}
    for name, given in parameters.items():
        if name not in _PARAMETERS:
            details.append(_unknown(name))
            continue
        try:
            values[name] = _parse_parameter(name, given)
        except ValueError as problem:
            details.append(FieldError(name, str(problem)))
    cursor = values.pop("cursor", None)
    query = ListQuery(**values) if not details else ListQuery()
    if cursor is not None and not details:
        start_after = query.decode_cursor(cursor)
        if start_after is not None:
            return replace(query, start_after=start_after)
        details.append(FieldError("cursor", "give the nextCursor of the page before, unchanged, with the same filters"))
    if details:
        raise InvalidRequestError(
            "The query parameters are not valid. Correct those that the details name.", tuple(details)
        )
    return query


def _unknown(name: str) -> FieldError:
    valid = f"Valid parameters: {', '.join(_PARAMETERS)}"
    meant = resembled(name, _PARAMETERS)
    if meant:
        return FieldError(name, f"there is no such parameter; did you mean {meant}? {valid}")
    return FieldError(name if is_echoable(name) else "(query)", f"there is no such parameter; leave it out. {valid}")


def _parse_parameter(name: str, given: Sequence[str]) -> bool | int | str:
    """Parse one parameter; raise ValueError with the remedy as its message."""
    if len(given) != 1:
        raise ValueError("give it once")
    (text,) = given
    match name:
        case "active" if text not in _BOOLEANS:
            raise ValueError("give true or false, in lower case")
        case "active":
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
