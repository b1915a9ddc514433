"""Generate docs/postman_collection.json from openapi.yaml; part of ``make openapi``.

The collection (https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html) stores a made-up, inactive
key, carries its id through every operation, and removes it. Methods, paths, fields and headers come from openapi.yaml;
this module adds the order, the values and their assertions.
"""

from __future__ import annotations

import json
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DOCUMENT: Final = ROOT / "openapi.yaml"
COLLECTION: Final = ROOT / "docs" / "postman_collection.json"
SERVICE: Final = "openai"
"""The service of the key. It can be verified; no consumer gets the key, which is inactive in every request."""
_SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_DESCRIPTION: Final = (
    "Stores a made-up, inactive key, carries its id through every operation of the API, and removes it. Run the whole "
    "collection in its order. Set `baseUrl` to the address of the API without `/api/v1/admin`, and `token` to an "
    "administrator's token. The run changes no other key. docs/clients.md has the commands for newman."
)
_CREATE: Final = {
    "name": "{{keyName}}",
    "service": SERVICE,
    "description": "A made-up key of the Postman collection. It is safe to delete it.",
    "active": False,
    "key": "{{firstKey}}",
}
_START: Final = """\
const run = pm.variables.replaceIn("{{$guid}}");
pm.collectionVariables.set("runId", run);
pm.collectionVariables.set("keyName", `Postman ${run}`);
pm.collectionVariables.set("firstKey", `sk-made-up-by-postman-${run}-aaaa`);
pm.collectionVariables.set("secondKey", `sk-made-up-by-postman-${run}-bbbb`);
pm.collectionVariables.unset("keyId");
pm.collectionVariables.unset("etag");"""
_FIND_LOST_KEY: Final = """\
// If the response to the create was lost, the same request returns its id.
if (!pm.collectionVariables.get("keyId")) {{
  pm.sendRequest({{
    url: pm.variables.replaceIn("{{{{baseUrl}}}}{path}"),
    method: "POST",
    header: {{
      "Authorization": pm.variables.replaceIn("Bearer {{{{token}}}}"),
      "Content-Type": "application/json",
      "Idempotency-Key": pm.variables.replaceIn("postman-{{{{runId}}}}")
    }},
    body: {{mode: "raw", raw: pm.variables.replaceIn({body})}}
  }}, (error, response) => {{
    if (!error && response.code === 201) pm.collectionVariables.set("keyId", response.json().data.id);
  }});
}}"""


@dataclass(frozen=True)
class _Step:
    """One request with its expected response.

    Attributes:
        name: The name of the request; unique.
        operation: The `operationId` in openapi.yaml.
        status: The expected status.
        error: The expected code of an error.
        body: The JSON body.
        query: Query parameters.
        headers: Headers.
        key_id: The id in the path.
        token: False to send no token.
        before: The script that runs before the request.
        checks: Assertions: a name and a JavaScript statement about `body`, and about `result`, the field `data` in it.
        after: Statements that run after the assertions.
    """

    name: str
    operation: str
    status: int = 200
    error: str | None = None
    body: Mapping[str, object] | None = None
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    key_id: str = "{{keyId}}"
    token: bool = True
    before: str = ""
    checks: tuple[tuple[str, str], ...] = ()
    after: str = ""


_OF_THE_KEY: Final = ("the id is that of the key", 'pm.expect(result.id).to.eql(pm.collectionVariables.get("keyId"))')
_INACTIVE: Final = ("the key is inactive", "pm.expect(result.active).to.eql(false)")
_CURRENT: Final = {"If-Match": "{{etag}}"}
_NOT_SERVED: Final = f"""\
const entry = result.find((each) => each.service === "{SERVICE}");
  pm.expect(entry).to.be.an("object");
  pm.expect((entry.serving || {{}}).id).to.not.eql(pm.collectionVariables.get("keyId"))"""
_KEEP_ETAG: Final = 'if (pm.response.code < 300) pm.collectionVariables.set("etag", pm.response.headers.get("ETag"));'
_KEEP_ID: Final = 'if (result.id) pm.collectionVariables.set("keyId", result.id);'


def _version(number: int) -> tuple[tuple[str, str], ...]:
    return (
        (f"version is {number}", f"pm.expect(result.version).to.eql({number})"),
        (f'ETag is "{number}"', f"""pm.expect(pm.response.headers.get("ETag")).to.eql('"{number}"')"""),
    )


def _secret(current: str, previous: str) -> tuple[tuple[str, str], ...]:
    return (
        (f"the mask ends with {current}", f'pm.expect(result.maskedKey).to.eql("••••{current}")'),
        (
            f"the previous mask ends with {previous}",
            f'pm.expect(result.previousKey.maskedKey).to.eql("••••{previous}")',
        ),
    )


_STEPS: Final = (
    _Step(
        "Refuse a request without a token",
        "listApiKeys",
        401,
        "AUTHENTICATION_REQUIRED",
        token=False,
        before=_START,
    ),
    _Step(
        "Refuse a body without a key",
        "createApiKey",
        400,
        "VALIDATION_ERROR",
        body={name: value for name, value in _CREATE.items() if name != "key"},
        checks=(("the details name the field", 'pm.expect(body.error.details[0].field).to.eql("key")'),),
    ),
    _Step("Refuse an unknown id", "getApiKey", 404, "API_KEY_NOT_FOUND", key_id=f"{SERVICE}.000000000000"),
    _Step(
        "Store an inactive key",
        "createApiKey",
        201,
        body=_CREATE,
        headers={"Idempotency-Key": "postman-{{runId}}"},
        checks=(
            ("the name is the one sent", 'pm.expect(result.name).to.eql(pm.collectionVariables.get("keyName"))'),
            ("the mask ends with aaaa", 'pm.expect(result.maskedKey).to.eql("••••aaaa")'),
            ("there is no previous key", "pm.expect(result.previousKey).to.eql(null)"),
            (
                "Location is the path of the key",
                'pm.expect(pm.response.headers.get("Location")).to.match(new RegExp(`/api-keys/${result.id}$`))',
            ),
            _INACTIVE,
            *_version(1),
        ),
        after=f"{_KEEP_ID}\n{_KEEP_ETAG}",
    ),
    _Step("Get it", "getApiKey", checks=(_OF_THE_KEY, _INACTIVE, *_version(1)), after=_KEEP_ETAG),
    _Step(
        "Find it in the list of its service",
        "listApiKeys",
        query={"service": SERVICE, "active": "false", "limit": "100"},
        checks=(
            (
                "the list contains the key",
                'pm.expect(result.map((key) => key.id)).to.include(pm.collectionVariables.get("keyId"))',
            ),
        ),
    ),
    _Step(
        "Refuse a change of another version",
        "updateApiKey",
        412,
        "VERSION_CONFLICT",
        body={"description": "Never stored."},
        headers={"If-Match": '"999"'},
    ),
    _Step(
        "Replace its secret value",
        "updateApiKey",
        body={"key": "{{secondKey}}", "active": False},
        headers=_CURRENT,
        checks=(
            _OF_THE_KEY,
            _INACTIVE,
            *_version(2),
            *_secret("bbbb", "aaaa"),
            ("effectiveBy is a time", "pm.expect(Date.parse(body.effectiveBy)).to.be.above(0)"),
        ),
        after=_KEEP_ETAG,
    ),
    _Step(
        "Verify it with the service",
        "verifyApiKey",
        checks=(
            _OF_THE_KEY,
            *_version(2),
            (
                "the service gave a result",
                'pm.expect(result.verification.status).to.be.oneOf(["valid", "rejected", "inconclusive"])',
            ),
        ),
    ),
    _Step("Refuse a rollback without a version", "rollbackApiKey", 428, "PRECONDITION_REQUIRED"),
    _Step(
        "Roll back",
        "rollbackApiKey",
        headers=_CURRENT,
        checks=(
            _OF_THE_KEY,
            _INACTIVE,
            *_version(3),
            *_secret("aaaa", "bbbb"),
            ("verification is cleared", "pm.expect(result.verification).to.eql(null)"),
        ),
        after=_KEEP_ETAG,
    ),
    _Step(
        "Change its description with PUT",
        "updateApiKeyByPut",
        body={"description": "A made-up key, soon deleted."},
        headers=_CURRENT,
        checks=(
            ("description is the new one", 'pm.expect(result.description).to.eql("A made-up key, soon deleted.")'),
            _INACTIVE,
            *_version(4),
        ),
        after=_KEEP_ETAG,
    ),
    _Step(
        "Read its history",
        "getApiKeyHistory",
        checks=(
            (
                "the changes are in order",
                'pm.expect(result.map((entry) => entry.change)).to.eql(["update", "rollback", "update", "create"])',
            ),
        ),
    ),
    _Step(
        "Delete it",
        "deleteApiKey",
        headers=_CURRENT,
        checks=(_OF_THE_KEY,),
        # With DeletedKeyRetentionDays=0 a deletion is permanent, and there is nothing to restore.
        after='if (result.recoverableUntil === null) pm.execution.setNextRequest("Find it gone");',
    ),
    _Step("Refuse a deleted key", "getApiKey", 404, "API_KEY_NOT_FOUND"),
    _Step(
        "Restore it",
        "restoreApiKey",
        checks=(
            _OF_THE_KEY,
            _INACTIVE,
            ("the name is the one before", 'pm.expect(result.name).to.eql(pm.collectionVariables.get("keyName"))'),
            *_version(6),
        ),
    ),
    _Step(
        "Delete it permanently",
        "deleteApiKey",
        query={"permanent": "true"},
        # Without If-Match, so that the key is removed after a failed step too.
        before=_FIND_LOST_KEY.format(path="/api/v1/admin/api-keys", body=json.dumps(json.dumps(_CREATE))),
        checks=(
            _OF_THE_KEY,
            ("it cannot be restored", "pm.expect(result.recoverableUntil).to.eql(null)"),
        ),
    ),
    _Step("Find it gone", "getApiKey", 404, "API_KEY_NOT_FOUND"),
    _Step(
        "List the services",
        "listServices",
        checks=(
            (
                "the service is listed, and does not serve the key",
                _NOT_SERVED,
            ),
        ),
    ),
)


class Collection:
    """The Postman collection of an OpenAPI document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method != "parameters"
        }

    def text(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.build(), indent=2, ensure_ascii=False) + "\n"

    def build(self) -> dict[str, Any]:
        """Return the collection."""
        name = self._document["info"]["title"]
        variables = [
            {"key": "baseUrl", "value": self._document["servers"][0]["url"], "type": "string"},
            {"key": "token", "value": "", "type": "secret"},
        ]
        variables += [
            {"key": key, "value": "", "type": "string"}
            for key in ("runId", "keyName", "firstKey", "secondKey", "keyId", "etag")
        ]
        return {
            "info": {
                # Postman replaces a collection with the same id.
                "_postman_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:postman:{name}")),
                "name": name,
                "description": _DESCRIPTION,
                "schema": _SCHEMA,
            },
            "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
            "variable": variables,
            "item": [self._item(step) for step in _STEPS],
        }

    def _item(self, step: _Step) -> dict[str, Any]:
        method, path, operation = self._operations[step.operation]
        headers = dict(step.headers or {}) | ({"Content-Type": "application/json"} if step.body else {})
        request: dict[str, Any] = {} if step.token else {"auth": {"type": "noauth"}}
        request |= {
            "method": method,
            "header": [{"key": name, "value": value} for name, value in headers.items()],
            "url": _url(path, step),
            "description": f"{operation['summary']}. {operation['description']}",
        }
        if step.body:
            raw = json.dumps(step.body, indent=2)
            request["body"] = {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}
        events = [("prerequest", step.before)] if step.before else []
        events.append(("test", "\n".join(self._script(step, operation["responses"][str(step.status)]))))
        return {
            "name": step.name,
            "event": [
                {"listen": listen, "script": {"type": "text/javascript", "exec": script.split("\n")}}
                for listen, script in events
            ],
            "request": request,
        }

    def _script(self, step: _Step, described: Mapping[str, Any]) -> Iterator[str]:
        """Yield the assertions of a step: status, body, headers, no secret value, and those of the step."""
        response = self._resolved(described)
        reference = response["content"]["application/json"]["schema"]
        schema, model = self._resolved(reference), reference["$ref"].rpartition("/")[2]
        yield "let body = {};"
        yield _test("the body is JSON", "body = pm.response.json()")
        yield "const result = body.data || {};"
        yield _test(f"status is {step.status}", f"pm.response.to.have.status({step.status})")
        yield _test(
            f"the body is of {model}",
            f"pm.expect(body).to.include.all.keys({_listed(schema['required'])});\n"
            f"  pm.expect(body.success).to.eql({json.dumps(schema['properties']['success']['const'])});\n"
            '  pm.expect(body.requestId).to.be.a("string").that.is.not.empty',
        )
        data = self._resolved(schema["properties"].get("data", {}))
        if "required" in data:
            yield _test("data has its fields", f"pm.expect(result).to.include.all.keys({_listed(data['required'])})")
        elif "items" in data:
            item = self._resolved(data["items"])
            yield _test(
                "each entry of data has its fields",
                'pm.expect(result).to.be.an("array").that.is.not.empty;\n'
                f"  result.forEach((each) => pm.expect(each).to.include.all.keys({_listed(item['required'])}))",
            )
        if step.error:
            yield _test(f"the code is {step.error}", f"pm.expect(body.error.code).to.eql({json.dumps(step.error)})")
        for name, header in response["headers"].items():
            # These are optional: only a replayed create and a key that can be restored have them.
            if name == "Idempotency-Replayed" or (step.operation == "deleteApiKey" and name == "ETag"):
                continue
            yield _test(f"header {name}", _header(name, self._resolved(header)["schema"]))
        yield _test(
            "the response has no secret value",
            'pm.expect(pm.response.text()).to.not.include("sk-made-up-by-postman-")',
        )
        for name, statement in step.checks:
            yield _test(name, statement)
        if step.after:
            yield step.after

    def _resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in value:
            return value
        *_, kind, name = value["$ref"].split("/")
        resolved: Mapping[str, Any] = self._document["components"][kind][name]
        return resolved


def _url(path: str, step: _Step) -> dict[str, Any]:
    path = path.replace("{id}", ":id")
    query = [{"key": name, "value": value} for name, value in (step.query or {}).items()]
    joined = "&".join(f"{each['key']}={each['value']}" for each in query)
    url: dict[str, Any] = {
        "raw": "{{baseUrl}}" + path + (f"?{joined}" if joined else ""),
        "host": ["{{baseUrl}}"],
        "path": path.strip("/").split("/"),
    }
    if query:
        url["query"] = query
    if ":id" in path:
        url["variable"] = [{"key": "id", "value": step.key_id}]
    return url


def _header(name: str, schema: Mapping[str, Any]) -> str:
    found = f"pm.expect(pm.response.headers.get({json.dumps(name)}))"
    if "const" in schema:
        return f"{found}.to.eql({json.dumps(schema['const'])})"
    if "pattern" in schema:
        return f"{found}.to.match(new RegExp({json.dumps(schema['pattern'])}))"
    return f'{found}.to.be.a("string").that.is.not.empty'


def _test(name: str, statement: str) -> str:
    return f"pm.test({json.dumps(name, ensure_ascii=False)}, () => {{\n  {statement};\n}});"


def _listed(names: list[str]) -> str:
    return ", ".join(json.dumps(name) for name in names)


def text() -> str:
    """Return the text of docs/postman_collection.json."""
    return Collection(yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))).text()


if __name__ == "__main__":
    sys.stdout.write(text())
