"""The query of a list request, and the cursor in which one page hands over to the next.

A cursor names the last key of its page, and carries a digest of itself and of the filters: one that was altered, cut
short or taken from another list is refused. The digest has no secret: whoever forges a cursor is an administrator who
can list everything anyway.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, get_args

from service_keys import naming
from service_keys.errors import Detail, InvalidRequest, KeyNotFound
from service_keys.field_names import is_echoable, resembled
from service_keys.models import VerificationStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100

VERIFICATIONS: Final = (*get_args(VerificationStatus), "none")

_PARAMETERS: Final = {
    "active": ("isActive", "enabled", "status"),
    "service": ("serviceName", "provider"),
    "verification": ("verified", "verificationStatus"),
    "limit": ("pageSize", "perPage", "size", "count", "max", "maxResults"),
    "cursor": ("nextCursor", "pageToken", "nextToken", "next", "after"),
}
"""The valid parameters, each with the words that comparable APIs use for it."""
_CURSOR_MAX_LENGTH = 128
_DIGEST_BYTES = 9
_BOOLEANS = {"true": True, "false": False}
_LIMIT = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which keys to list, newest first.

    Attributes:
        active: Only keys that are, or are not, active.
        service: Only keys of this service.
        verification: Only keys whose last check had this result, or ``none``.
        limit: How many keys a page holds at most.
        after: Id of the key that the page comes after.
    """

    active: bool | None = None
    service: str | None = None
    verification: str | None = None
    limit: int = LIMIT_DEFAULT
    after: str | None = None

    def cursor(self, last_id: str) -> str:
        """Return the cursor of the page that follows the key with this id."""
        return base64.urlsafe_b64encode(last_id.encode() + self._digest(last_id)).decode().rstrip("=")

    def _digest(self, key_id: str) -> bytes:
        whole = f"{key_id}\n{self.active}\n{self.service or ''}\n{self.verification or ''}"
        return hashlib.sha256(whole.encode()).digest()[:_DIGEST_BYTES]

    def key_id_in(self, cursor: str) -> str | None:
        """Return the key id that a cursor holds; None where it is not a cursor of this list."""
        if len(cursor) > _CURSOR_MAX_LENGTH:
            return None
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            decoded = base64.b64decode(padded, altchars=b"-_", validate=True)
            key_id = decoded[:-_DIGEST_BYTES].decode("ascii")
            service = naming.service_of(key_id)
        except (ValueError, KeyNotFound):  # binascii.Error and UnicodeDecodeError are ValueErrors
            return None
        ours = self.cursor(key_id) == cursor and self.service in {None, service}
        return key_id if ours else None


def parse(parameters: Mapping[str, Sequence[str]]) -> ListQuery:
    """Read a list request's query parameters, each with all the values it was given.

    Raises:
        InvalidRequest: They cannot be taken; says why, parameter by parameter.
    """
    details: list[Detail] = []
    values: dict[str, Any] = {}
    for name, given in parameters.items():
        if name not in _PARAMETERS:
            details.append(_unknown(name))
            continue
        try:
            values[name] = _value(name, given)
        except ValueError as problem:
            details.append(Detail(name, str(problem)))
    cursor = values.pop("cursor", None)
    query = ListQuery(**values) if not details else ListQuery()
    if cursor is not None and not details:
        after = query.key_id_in(cursor)
        if after is not None:
            return replace(query, after=after)
        details.append(Detail("cursor", "give the nextCursor of the page before, unchanged, with the same filters"))
    if details:
        raise InvalidRequest("The query parameters are not valid. Correct those that the details name.", tuple(details))
    return query


def _unknown(name: str) -> Detail:
    valid = f"Valid parameters: {', '.join(_PARAMETERS)}"
    meant = resembled(name, _PARAMETERS)
    if meant:
        return Detail(name, f"there is no such parameter; did you mean {meant}? {valid}")
    return Detail(name if is_echoable(name) else "(query)", f"there is no such parameter; leave it out. {valid}")


def _value(name: str, given: Sequence[str]) -> bool | int | str:
    """Read one parameter; the ValueError of one that cannot be taken says what to do."""
    if len(given) != 1:
        raise ValueError("give it once")
    (text,) = given
    match name:
        case "active" if text not in _BOOLEANS:
            raise ValueError("give true or false, in lower case")
        case "active":
            return _BOOLEANS[text]
        case "service" if not naming.is_service(text):
            raise ValueError(
                "give a service as keys show it: lower-case letters, digits and single hyphens, such as spotify"
            )
        case "verification" if text not in VERIFICATIONS:
            raise ValueError(f"give one of {', '.join(VERIFICATIONS)}")
        case "limit" if not (_LIMIT.fullmatch(text) and 1 <= int(text) <= LIMIT_MAX):
            raise ValueError(f"give a whole number from 1 to {LIMIT_MAX}")
        case "limit":
            return int(text)
    return text
