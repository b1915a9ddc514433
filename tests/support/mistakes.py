"""Mistakes of administrators, and the expected responses.

A row contains a request, and the status, code, field and text of its response. Without field, the text is the message.
`{id}` is a stored key of service `intranet` in version 4, `{spotify}` one of Spotify.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.support.canary import CANARY

if TYPE_CHECKING:
    from collections.abc import Mapping

COLLECTION: Final = "/api/v1/admin/api-keys"
KEY: Final = f"made-up-{CANARY}-0123456789"
NAME: Final = "Intranet"
TAKEN: Final = "Spotify production"
JSON: Final = {"Content-Type": "application/json"}
CREATE_FIELDS: Final = "Valid fields: name, service, description, active, key"
UPDATE_FIELDS: Final = "Valid fields: name, description, active, key"
PARAMETERS: Final = "Valid parameters: active, service, verification, limit, cursor"
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


def _not_json(title: str, line: int, column: int, body: bytes) -> Mistake:
    text = f"The body is not valid JSON (line {line}, column {column}). Send one JSON object."
    return Mistake(title, "POST", COLLECTION, text, body)


def _create(title: str, text: str, at: str | None = None, **body: Any) -> Mistake:
    whole = {"name": "New", "service": "new", "key": KEY} | body
    sent = {name: value for name, value in whole.items() if value is not ...}
    return Mistake(title, "POST", COLLECTION, text, sent, field=at)


def _update(title: str, text: str, at: str | None = None, path: str = "/{id}", **body: Any) -> Mistake:
    return Mistake(title, "PATCH", COLLECTION + path, text, body, field=at)


def _list(title: str, text: str, at: str, query: str) -> Mistake:
    return Mistake(title, "GET", f"{COLLECTION}?{query}", text, headers={}, field=at)


def _if_match(title: str, text: str, value: str, **answer: Any) -> Mistake:
    return Mistake(title, "PATCH", COLLECTION + "/{id}", text, {"active": False}, JSON | {"If-Match": value}, **answer)


_CONFLICT: Final[dict[str, Any]] = {"status": 412, "code": "VERSION_CONFLICT"}
_UNSUPPORTED: Final[dict[str, Any]] = {"status": 415, "code": "UNSUPPORTED_MEDIA_TYPE"}
_NOT_FOUND: Final[dict[str, Any]] = {"status": 404, "code": "API_KEY_NOT_FOUND"}
_NO_FIELD: Final = "there is no such field"
_MASKED_NEW: Final = "this is a masked value, not the key; copy the whole key from the service that issued it"
_MASKED: Final = "this is a masked value, not the key; send the whole key, or leave `key` out to keep the stored one"
_SHAPE: Final = "give a string, or an object of 1 to 20 named strings"
_SERVICE: Final = "use lower-case letters and digits, with single hyphens between them, such as spotify"
_SERVER: Final = "the server sets this field, and it cannot be changed; leave it out"
_WORD: Final = "which word processors and chats insert in place of a plain one"
_DUPLICATE: Final = "An API key with this name already exists. Choose another name, or update that key."

MISTAKES: Final = [
    # --- the body as a whole
    Mistake("no body", "POST", COLLECTION, "The body is empty. Send one JSON object.", b""),
    Mistake("a body of white space", "PATCH", COLLECTION + "/{id}", "The body is empty. Send one JSON object.", b" \n"),
    _not_json("a cut body", 1, 24, b'{"name": "New", "key": "' + KEY.encode()),
    _not_json("single quotes", 1, 2, f"{{'name': 'New', 'key': '{KEY}'}}".encode()),
    _not_json("names without quotation marks", 1, 2, b"{name: New}"),
    _not_json("a comment", 1, 17, b'{"name": "New"} // the new key'),
    _not_json("a line break inside a string", 1, 13, b'{"name": "Ne\nw"}'),
    Mistake("an array", "POST", COLLECTION, "send a JSON object", [{"name": "New", "key": KEY}], field="(body)"),
    Mistake("a string", "POST", COLLECTION, "send a JSON object", KEY, field="(body)"),
    Mistake("null", "PATCH", COLLECTION + "/{id}", "send a JSON object", b"null", field="(body)"),
    Mistake(
        "a field twice",
        "POST",
        COLLECTION,
        "The body names a field twice. Name each field once.",
        f'{{"name": "New", "key": "{KEY}", "key": "{KEY}"}}'.encode(),
    ),
    Mistake(
        "a field of the key twice",
        "POST",
        COLLECTION,
        "The body names a field twice. Name each field once.",
        f'{{"name": "New", "key": {{"id": "{KEY}", "id": "{KEY}"}}}}'.encode(),
    ),
    Mistake(
        "a form",
        "POST",
        COLLECTION,
        MEDIA_TYPE,
        b"name=New",
        {"Content-Type": "application/x-www-form-urlencoded"},
        **_UNSUPPORTED,
    ),
    Mistake("no media type", "POST", COLLECTION, MEDIA_TYPE, {"name": "New"}, {}, **_UNSUPPORTED),
    Mistake(
        "a merge patch",
        "PATCH",
        COLLECTION + "/{id}",
        MEDIA_TYPE,
        {"active": False},
        {"Content-Type": "application/merge-patch+json"},
        **_UNSUPPORTED,
    ),
    Mistake(
        "a body in Latin-1",
        "POST",
        COLLECTION,
        "some characters were lost on the way: send the body in UTF-8",
        f'{{"name": "Caf\xe9", "key": "{KEY}"}}'.encode("latin-1"),
        {"Content-Type": "application/json; charset=iso-8859-1"},
        field="name",
    ),
    Mistake(
        "a body in UTF-16",
        "POST",
        COLLECTION,
        "The body is not valid JSON, because it is not in UTF-8. Encode it as UTF-8.",
        f'{{"name": "New", "key": "{KEY}"}}'.encode("utf-16"),
    ),
    Mistake(
        "a body that is too large",
        "POST",
        COLLECTION,
        "The body has more than 16384 bytes. Send a smaller one.",
        {"name": "New", "key": "x" * 17_000},
        status=413,
        code="PAYLOAD_TOO_LARGE",
    ),
    # --- fields
    _create("no name", "this field is required", "name", name=...),
    _create("no key", "this field is required", "key", key=...),
    _create("a short name", "give at least 2 characters", "name", name="N"),
    _create("a long name", "give at most 100 characters", "name", name="N" * 101),
    _create(
        "a zero-width space in the name",
        "use printable characters and plain spaces only: character 4 is U+200B ZERO WIDTH SPACE",
        "name",
        name="New\u200b key",
    ),
    Mistake(
        "a name that is taken",
        "POST",
        COLLECTION,
        _DUPLICATE,
        {"name": "SPOTIFY  Production", "service": "new", "key": KEY},
        status=409,
        code="DUPLICATE_API_KEY_NAME",
    ),
    Mistake(
        "the name of another key",
        "PATCH",
        COLLECTION + "/{id}",
        _DUPLICATE,
        {"name": TAKEN},
        status=409,
        code="DUPLICATE_API_KEY_NAME",
    ),
    _create("an upper-case service", _SERVICE, "service", service="Spotify"),
    _create("a service with a space", _SERVICE, "service", service="spotify web"),
    _create("a long service", "give at most 40 characters", "service", service="s" * 41),
    _create("a long description", "give at most 500 characters", "description", description="d" * 501),
    _create("a number as description", "give a string or null", "description", description=7),
    _create("active as text", "give true or false", "active", active="true"),
    _create("active as number", "give true or false", "active", active=1),
    _create("an unknown field", f"{_NO_FIELD}; leave it out. {CREATE_FIELDS}", "tags", tags=["production"]),
    _create("isActive", f"{_NO_FIELD}; did you mean active? {CREATE_FIELDS}", "isActive", isActive=True),
    _create(
        "a key as a field's name",
        f"{_NO_FIELD} as one of those sent; leave it out. {CREATE_FIELDS}",
        "(body)",
        **{KEY: ""},
    ),
    _update("apiKey", f"{_NO_FIELD}; did you mean key? {UPDATE_FIELDS}", "apiKey", apiKey=KEY),
    _update("the version in the body", f"{_SERVER}. {UPDATE_FIELDS}", "version", version=4, active=False),
    _update("the masked key sent back", f"{_SERVER}. {UPDATE_FIELDS}", "maskedKey", maskedKey="••••6789"),
    _update(
        "another service",
        f"a key's service never changes; store a new key for the other service. {UPDATE_FIELDS}",
        "service",
        service="other",
    ),
    _update("nothing", "The body changes nothing. Give at least one of name, description, active, key."),
    _update("null as name", "give a string", "name", name=None),
    # --- the key
    _create("a short key", "give at least 8 characters", "key", key="made-up"),
    _create("a number", _SHAPE, "key", key=12345678),
    _create("an array of keys", _SHAPE, "key", key=[KEY]),
    _create("an object without fields", _SHAPE, "key", key={}),
    _create(
        "a nested object",
        "give an object of named strings only; send a file of nested JSON as one string",
        "key",
        key={"web": {"client_id": "made-up"}},
    ),
    _create("an empty field", "give a value", "key.clientSecret", key={"clientId": KEY, "clientSecret": ""}),
    _create("a newline too many", "remove the white space before and after it", "key", key=KEY + "\n"),
    _create(
        "a key out of a word processor",
        f"copy it again as plain text: character 3 is U+2011 NON-BREAKING HYPHEN, {_WORD}",
        "key",
        key=f"sk\u2011{KEY}",
    ),
    _create(
        "a key with a byte order mark",
        "remove the control and invisible characters: character 1 is U+FEFF ZERO WIDTH NO-BREAK SPACE",
        "key",
        key="\ufeff" + KEY,
    ),
    _create("a masked key", _MASKED_NEW, "key", key="sk-...****6789"),
    _create("asterisks", _MASKED_NEW, "key", key="*" * 16),
    _create("a key that is too long", "give at most 4096 bytes in all, as JSON in UTF-8", "key", key="x" * 4095),
    _create("a string for Spotify", SPOTIFY, "key", service="spotify"),
    _create(
        "a Spotify secret with a character too few",
        "a Spotify clientSecret is exactly 32 hexadecimal characters; copy it from the dashboard",
        "key.clientSecret",
        service="spotify",
        key={"clientId": "0" * 32, "clientSecret": "1" * 31},
    ),
    _create(
        "an Anthropic key for OpenAI",
        "this is an Anthropic key; store it for the service anthropic, or give the OpenAI key",
        "key",
        service="openai",
        key=f"sk-ant-{KEY}",
    ),
    _update("the masked key of a response", _MASKED, "key", key="••••6789"),
    _update("null to keep the key", f"{_SHAPE}; leave `key` out to keep the stored one", "key", key=None),
    _update("half of a Spotify key", SPOTIFY, "key", path="/{spotify}", key={"clientSecret": "0" * 32}),
    # --- headers
    _if_match("If-Match without quotation marks", IF_MATCH, "4"),
    _if_match("an empty If-Match", IF_MATCH, ""),
    _if_match("If-Match with a star and a tag", IF_MATCH, '*, "4"'),
    _if_match("If-Match with half a quotation", IF_MATCH, '"4'),
    _if_match("a stale If-Match", CONFLICT, '"3"', **_CONFLICT),
    _if_match("a weak If-Match", CONFLICT, 'W/"4"', **_CONFLICT),
    _if_match("If-Match of another resource", CONFLICT, '"a1b2c3"', **_CONFLICT),
    Mistake(
        "a stale If-Match in a delete",
        "DELETE",
        COLLECTION + "/{id}",
        CONFLICT,
        headers={"If-Match": '"1"'},
        **_CONFLICT,
    ),
    Mistake(
        "a short Idempotency-Key",
        "POST",
        COLLECTION,
        IDEMPOTENCY,
        {"name": "New", "service": "new", "key": KEY},
        JSON | {"Idempotency-Key": "1"},
    ),
    Mistake(
        "an Idempotency-Key with spaces",
        "POST",
        COLLECTION,
        IDEMPOTENCY,
        {"name": "New", "service": "new", "key": KEY},
        JSON | {"Idempotency-Key": "create the new key"},
    ),
    # --- the path and the query
    Mistake("an unknown id", "GET", COLLECTION + "/spotify.0123456789ab", NO_KEY, headers={}, **_NOT_FOUND),
    Mistake("the name as id", "GET", COLLECTION + "/Spotify%20production", NO_KEY, headers={}, **_NOT_FOUND),
    Mistake("the id in upper case", "GET", COLLECTION + "/{ID}", NO_KEY, headers={}, **_NOT_FOUND),
    Mistake("a service as id", "DELETE", COLLECTION + "/spotify", NO_KEY, headers={}, **_NOT_FOUND),
    Mistake(
        "an unknown id to update", "PUT", COLLECTION + "/spotify.0123456789ab", NO_KEY, {"active": False}, **_NOT_FOUND
    ),
    Mistake("an unknown id to verify", "POST", COLLECTION + "/new.0123456789ab/verify", NO_KEY, **_NOT_FOUND),
    Mistake("POST to a key", "POST", COLLECTION + "/{id}", NO_ROUTE, {}, status=404, code="ROUTE_NOT_FOUND"),
    Mistake("PATCH to all keys", "PATCH", COLLECTION, NO_ROUTE, {}, status=404, code="ROUTE_NOT_FOUND"),
    _list("limit 0", "give a whole number from 1 to 100", "limit", "limit=0"),
    _list("a limit that is no number", "give a whole number from 1 to 100", "limit", "limit=all"),
    _list("a large limit", "give a whole number from 1 to 100", "limit", "limit=1000"),
    _list("a limit twice", "give it once", "limit", "limit=5&limit=6"),
    _list("active in upper case", "give true or false, in lower case", "active", "active=TRUE"),
    _list("an unknown parameter", f"there is no such parameter; leave it out. {PARAMETERS}", "page", "page=2"),
    _list("another case", f"there is no such parameter; did you mean limit? {PARAMETERS}", "Limit", "Limit=5"),
    _list("pageSize", f"there is no such parameter; did you mean limit? {PARAMETERS}", "page_size", "page_size=5"),
    _list("a key as parameter", f"there is no such parameter; leave it out. {PARAMETERS}", "(query)", f"{KEY}="),
    _list(
        "an unknown verification",
        "give one of valid, rejected, inconclusive, none",
        "verification",
        "verification=ok",
    ),
    _list(
        "a service in upper case",
        "give a service as keys show it: lower-case letters, digits and single hyphens, such as spotify",
        "service",
        "service=Spotify",
    ),
    _list(
        "a cut cursor",
        "give the nextCursor of the page before, unchanged, with the same filters",
        "cursor",
        "cursor=c3BvdGlmeS4wMTIz",
    ),
]
