"""Mistakes of administrators, and the expected responses.

A row contains a request, and the status, code, field and text of its response. Without field, the text is the message.
`{id}` is a stored key of service `intranet` in version 4, `{spotify}` one of Spotify. Each PATCH is also sent as PUT.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tests.support.canary import CANARY
from tests.support.key_fields import CREATE_FIELDS, UPDATE_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

COLLECTION: Final = "/api/v1/admin/api-keys"
KEY: Final = f"made-up-{CANARY}-0123456789"
NAME: Final = "Intranet"
TAKEN: Final = "Spotify production"
JSON: Final = {"Content-Type": "application/json"}
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
MERGE_PATCH: Final = {"Content-Type": "application/merge-patch+json"}
LATIN_1: Final = {"Content-Type": "application/json; charset=iso-8859-1"}
VALID_IN_CREATE: Final = f"Valid fields: {CREATE_FIELDS}"
VALID_IN_UPDATE: Final = f"Valid fields: {UPDATE_FIELDS}"
PARAMETERS: Final = "Valid parameters: active, service, verification, deleted, limit, cursor"
NO_KEY: Final = "There is no API key with this id. List the keys to find the right one."
CONFLICT: Final = (
    "If-Match does not match: the key is in version 4 now. Get the key again, check your change against it, and send "
    'its ETag: "4". A weak tag such as W/"4" never matches.'
)
IF_MATCH: Final = 'Invalid If-Match: send the ETag of the key with its quotation marks, as a response had it: "1".'
IDEMPOTENCY: Final = "Invalid Idempotency-Key: use 16 to 128 visible ASCII characters."
MEDIA_TYPE: Final = "Send the body as JSON, with Content-Type: application/json."
SPOTIFY: Final = "a Spotify key is an object with exactly clientId and clientSecret, 32 hexadecimal characters each"
NO_ROUTE: Final = ""
_CONFLICT: Final[dict[str, Any]] = {"status": 412, "code": "VERSION_CONFLICT"}
_UNSUPPORTED: Final[dict[str, Any]] = {"status": 415, "code": "UNSUPPORTED_MEDIA_TYPE"}
_NOT_FOUND: Final[dict[str, Any]] = {"status": 404, "code": "API_KEY_NOT_FOUND"}
_NO_ROUTE: Final[dict[str, Any]] = {"status": 404, "code": "ROUTE_NOT_FOUND"}
_TAKEN: Final[dict[str, Any]] = {"status": 409, "code": "DUPLICATE_API_KEY_NAME"}
_TOO_LARGE: Final[dict[str, Any]] = {"status": 413, "code": "PAYLOAD_TOO_LARGE"}
_DUPLICATE: Final = "An API key with this name already exists. Choose another name, or update that key."
_EMPTY: Final = "The body is empty. Send one JSON object."
_TWICE: Final = "The body names a field twice. Name each field once."
_LATIN_1: Final = "some characters were lost on the way: send the body in UTF-8"
_UTF_16: Final = "The body is not valid JSON, because it is not in UTF-8. Encode it as UTF-8."
_LARGE: Final = "The body has more than 16384 bytes. Send a smaller one."
_NO_CHANGE: Final = f"The body changes nothing. Give at least one of {UPDATE_FIELDS}."
_NO_FIELD: Final = "there is no such field"
_NO_PARAMETER: Final = "there is no such parameter"
_CURSOR: Final = "give the nextCursor of the page before, unchanged, with the same filters"
_LIMIT: Final = "give a whole number from 1 to 100"
_SERVICE: Final = "use lower-case letters and digits, with single hyphens between them, such as spotify"
_SERVICE_FILTER: Final = (
    "give a service as keys show it: lower-case letters, digits and single hyphens, such as spotify"
)
_NO_MOVE: Final = f"a key's service never changes; store a new key for the other service. {VALID_IN_UPDATE}"
_SERVER: Final = f"the server sets this field, and it cannot be changed; leave it out. {VALID_IN_UPDATE}"
_MASKED_NEW: Final = "this is a masked value, not the key; copy the whole key from the service that issued it"
_MASKED: Final = "this is a masked value, not the key; send the whole key, or leave `key` out to keep the stored one"
_SHAPE: Final = "give a string, or an object of 1 to 20 named strings"
_NESTED: Final = "give an object of named strings only; send a file of nested JSON as one string"
_SPELLED: Final = {"clientId": "0" * 32, "clientSecret": "0" * 32, "client_id": "0" * 32}
_HEX: Final = "a Spotify clientSecret is exactly 32 hexadecimal characters; copy it from the dashboard"
_ANTHROPIC: Final = "this is an Anthropic key; store it for the service anthropic, or give the OpenAI key"
_ZERO_WIDTH: Final = "use printable characters and plain spaces only: character 4 is U+200B ZERO WIDTH SPACE"
_BYTE_ORDER: Final = "remove the control and invisible characters: character 1 is U+FEFF ZERO WIDTH NO-BREAK SPACE"
_HYPHEN: Final = (
    "copy it again as plain text: character 3 is U+2011 NON-BREAKING HYPHEN, which word processors and chats insert in "
    "place of a plain one"
)


@dataclass(frozen=True)
class Mistake:
    """A rejected request and its response."""

    title: str
    method: str
    path: str
    text: str
    body: object = None
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    field: str | None = None
    status: int = 400
    code: str = "VALIDATION_ERROR"

    @property
    def sent(self) -> bytes | None:
        """The body as sent: bytes unchanged, any other value as JSON."""
        return self.body if self.body is None or isinstance(self.body, bytes) else json.dumps(self.body).encode()


def _post(
    title: str, text: str, body: object, at: str | None = None, headers: Mapping[str, str] = JSON, **response: Any
) -> Mistake:
    return Mistake(title, "POST", COLLECTION, text, body, headers, at, **response)


def _patch(
    title: str, text: str, body: object, at: str | None = None, headers: Mapping[str, str] = JSON, **response: Any
) -> Mistake:
    return Mistake(title, "PATCH", COLLECTION + "/{id}", text, body, headers, at, **response)


def _not_json(title: str, line: int, column: int, body: bytes) -> Mistake:
    return _post(title, f"The body is not valid JSON (line {line}, column {column}). Send one JSON object.", body)


def _create(title: str, text: str, at: str | None = None, **fields: Any) -> Mistake:
    body = {"name": "New", "service": "new", "key": KEY} | fields
    return _post(title, text, {name: value for name, value in body.items() if value is not ...}, at)


def _update(title: str, text: str, at: str | None = None, **fields: Any) -> Mistake:
    return _patch(title, text, fields, at)


def _list(title: str, text: str, at: str, query: str) -> Mistake:
    return Mistake(title, "GET", f"{COLLECTION}?{query}", text, headers={}, field=at)


def _if_match(title: str, text: str, value: str, **response: Any) -> Mistake:
    return _patch(title, text, {"active": False}, headers=JSON | {"If-Match": value}, **response)


def _idempotency(title: str, value: str) -> Mistake:
    body = {"name": "New", "service": "new", "key": KEY}
    return _post(title, IDEMPOTENCY, body, headers=JSON | {"Idempotency-Key": value})


def _spotify(title: str, key: object, text: str = SPOTIFY, field: str = "key") -> Mistake:
    return Mistake(title, "PATCH", COLLECTION + "/{spotify}", text, {"key": key}, field=field)


def _missing(title: str, method: str, path: str, body: object = None, **headers: str) -> Mistake:
    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return Mistake(title, method, COLLECTION + path, NO_KEY, body, sent, **_NOT_FOUND)


_MISTAKES: Final = (
    # --- the body as a whole
    _post("no body", _EMPTY, b""),
    _patch("a body of white space", _EMPTY, b" \n"),
    _not_json("a cut body", 1, 24, b'{"name": "New", "key": "' + KEY.encode()),
    _not_json("single quotes", 1, 2, f"{{'name': 'New', 'key': '{KEY}'}}".encode()),
    _not_json("names without quotation marks", 1, 2, b"{name: New}"),
    _not_json("a comment", 1, 17, b'{"name": "New"} // the new key'),
    _not_json("a line break inside a string", 1, 13, b'{"name": "Ne\nw"}'),
    _post("an array", "send a JSON object", [{"name": "New", "key": KEY}], "(body)"),
    _post("a string", "send a JSON object", KEY, "(body)"),
    _patch("null", "send a JSON object", b"null", "(body)"),
    _post("a field twice", _TWICE, f'{{"name": "New", "key": "{KEY}", "key": "{KEY}"}}'.encode()),
    _post("a field of the key twice", _TWICE, f'{{"name": "New", "key": {{"id": "{KEY}", "id": "{KEY}"}}}}'.encode()),
    _post("a form", MEDIA_TYPE, b"name=New", None, FORM, **_UNSUPPORTED),
    _post("no media type", MEDIA_TYPE, {"name": "New"}, None, {}, **_UNSUPPORTED),
    _patch("a merge patch", MEDIA_TYPE, {"active": False}, None, MERGE_PATCH, **_UNSUPPORTED),
    _post("a body in Latin-1", _LATIN_1, f'{{"name": "Caf\xe9", "key": "{KEY}"}}'.encode("latin-1"), "name", LATIN_1),
    _post("a body in UTF-16", _UTF_16, f'{{"name": "New", "key": "{KEY}"}}'.encode("utf-16")),
    _post("a large body", _LARGE, {"key": "x" * 17_000}, **_TOO_LARGE),
    # --- fields
    _create("no name", "this field is required", "name", name=...),
    _create("no key", "this field is required", "key", key=...),
    _create("a short name", "give at least 2 characters", "name", name="N"),
    _create("a long name", "give at most 100 characters", "name", name="N" * 101),
    _create("a zero-width space in the name", _ZERO_WIDTH, "name", name="New\u200b key"),
    _post("a reserved name", _DUPLICATE, {"name": "SPOTIFY  Production", "service": "new", "key": KEY}, **_TAKEN),
    _patch("the name of another key", _DUPLICATE, {"name": TAKEN.upper(), "active": False}, **_TAKEN),
    _create("an upper-case service", _SERVICE, "service", service="Spotify"),
    _create("a service with a space", _SERVICE, "service", service="spotify web"),
    _create("a long service", "give at most 40 characters", "service", service="s" * 41),
    _create("a long description", "give at most 500 characters", "description", description="d" * 501),
    _create("a number as description", "give a string or null", "description", description=7),
    _create("active as text", "give true or false", "active", active="true"),
    _create("active as number", "give true or false", "active", active=1),
    _create("an unknown field", f"{_NO_FIELD}; leave it out. {VALID_IN_CREATE}", "tags", tags=["production"]),
    _create("isActive", f"{_NO_FIELD}; did you mean active? {VALID_IN_CREATE}", "isActive", isActive=True),
    _create(
        "a key as name", f"{_NO_FIELD} as one of those sent; leave it out. {VALID_IN_CREATE}", "(body)", **{KEY: ""}
    ),
    _update("apiKey", f"{_NO_FIELD}; did you mean key? {VALID_IN_UPDATE}", "apiKey", apiKey=KEY),
    _update("the version in the body", _SERVER, "version", version=4, active=False),
    _update("the masked key sent back", _SERVER, "maskedKey", maskedKey="••••6789"),
    _update("another service", _NO_MOVE, "service", service="other"),
    _update("nothing", _NO_CHANGE),
    _update("null as name", "give a string", "name", name=None),
    _update("an empty name", "give at least 2 characters", "name", name=""),
    _update("null as active", "give true or false", "active", active=None),
    # --- the key
    _create("a short key", "give at least 8 characters", "key", key="made-up"),
    _create("a number", _SHAPE, "key", key=12345678),
    _create("an array of keys", _SHAPE, "key", key=[KEY]),
    _create("an object without fields", _SHAPE, "key", key={}),
    _create("a nested object", _NESTED, "key", key={"web": {"client_id": "made-up"}}),
    _create("an empty field", "give a value", "key.clientSecret", key={"clientId": KEY, "clientSecret": ""}),
    _create("a newline too many", "remove the white space before and after it", "key", key=KEY + "\n"),
    _create("a key out of a word processor", _HYPHEN, "key", key=f"sk\u2011{KEY}"),
    _create("a key with a byte order mark", _BYTE_ORDER, "key", key="\ufeff" + KEY),
    _create("a masked key", _MASKED_NEW, "key", key="sk-...****6789"),
    _create("asterisks", _MASKED_NEW, "key", key="*" * 16),
    _create("a key that is too long", "give at most 4096 bytes in all, as JSON in UTF-8", "key", key="x" * 4095),
    _create("a string for Spotify", SPOTIFY, "key", service="spotify"),
    _create(
        "31 characters",
        _HEX,
        "key.clientSecret",
        service="spotify",
        key={"clientId": "0" * 32, "clientSecret": "1" * 31},
    ),
    _create("an Anthropic key for OpenAI", _ANTHROPIC, "key", service="openai", key=f"sk-ant-{KEY}"),
    _update("a short new key", "give at least 8 characters", "key", key="short"),
    _update("the masked key of a response", _MASKED, "key", key="••••6789"),
    _update("null to keep the key", f"{_SHAPE}; leave `key` out to keep the stored one", "key", key=None),
    _spotify("half of a Spotify key", {"clientSecret": "0" * 32}, f"missing: {SPOTIFY}", "key.clientId"),
    _spotify("another spelling of a field", _SPELLED, f"unknown: {SPOTIFY}", "key.client_id"),
    _spotify("a string for a stored Spotify key", KEY),
    # --- headers
    _if_match("If-Match without quotation marks", IF_MATCH, "4"),
    _if_match("an empty If-Match", IF_MATCH, ""),
    _if_match("If-Match with a star and a tag", IF_MATCH, '*, "4"'),
    _if_match("If-Match with half a quotation", IF_MATCH, '"4'),
    _if_match("a stale If-Match", CONFLICT, '"3"', **_CONFLICT),
    _if_match("a weak If-Match", CONFLICT, 'W/"4"', **_CONFLICT),
    _if_match("If-Match of another resource", CONFLICT, '"a1b2c3"', **_CONFLICT),
    Mistake("a stale If-Match", "DELETE", COLLECTION + "/{id}", CONFLICT, None, {"If-Match": '"1"'}, **_CONFLICT),
    _idempotency("a short Idempotency-Key", "1"),
    _idempotency("an Idempotency-Key with spaces", "create the new key"),
    # --- the path and the query
    _missing("an unknown id", "GET", "/spotify.0123456789ab"),
    _missing("the name as id", "GET", "/Spotify%20production"),
    _missing("the id in upper case", "GET", "/{ID}"),
    _missing("a service as id", "DELETE", "/spotify"),
    _missing("an unknown id to update", "PATCH", "/spotify.0123456789ab", {"active": False}),
    _missing("an unknown id with If-Match", "PATCH", "/spotify.0123456789ab", {"active": False}, If_Match='"1"'),
    _missing("an unknown id to verify", "POST", "/new.0123456789ab/verify"),
    Mistake("POST to a key", "POST", COLLECTION + "/{id}", NO_ROUTE, {}, **_NO_ROUTE),
    Mistake("PATCH to all keys", "PATCH", COLLECTION, NO_ROUTE, {}, **_NO_ROUTE),
    _list("limit 0", _LIMIT, "limit", "limit=0"),
    _list("a limit that is no number", _LIMIT, "limit", "limit=all"),
    _list("a large limit", _LIMIT, "limit", "limit=1000"),
    _list("a limit twice", "give it once", "limit", "limit=5&limit=6"),
    _list("active in upper case", "give true or false, in lower case", "active", "active=TRUE"),
    _list("active in other words", "give true or false, in lower case", "active", "active=maybe"),
    _list("an unknown parameter", f"{_NO_PARAMETER}; leave it out. {PARAMETERS}", "page", "page=2"),
    _list("another case", f"{_NO_PARAMETER}; did you mean limit? {PARAMETERS}", "Limit", "Limit=5"),
    _list("pageSize", f"{_NO_PARAMETER}; did you mean limit? {PARAMETERS}", "page_size", "page_size=5"),
    _list("a key as parameter", f"{_NO_PARAMETER}; leave it out. {PARAMETERS}", "(query)", f"{KEY}="),
    _list("a long parameter", f"{_NO_PARAMETER}; leave it out. {PARAMETERS}", "(query)", f"{'x' * 3000}=1"),
    _list("a wrong result", "give one of valid, rejected, inconclusive, none", "verification", "verification=ok"),
    _list("a service in upper case", _SERVICE_FILTER, "service", "service=Spotify"),
    _list("a service with punctuation", _SERVICE_FILTER, "service", "service=No!"),
    _list("a cut cursor", _CURSOR, "cursor", "cursor=c3BvdGlmeS4wMTIz"),
    _list("a short cursor", _CURSOR, "cursor", "cursor=x"),
)
MISTAKES: Final = [*_MISTAKES, *(replace(mistake, method="PUT") for mistake in _MISTAKES if mistake.method == "PATCH")]
