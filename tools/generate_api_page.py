"""Generate the console's API page from openapi.yaml: ``python -m tools.generate_api_page``; part of ``make build``.

The page is static HTML without scripts, in the console's style. It is not tracked.
"""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DOCUMENT: Final = ROOT / "openapi.yaml"
PAGE: Final = ROOT / "functions" / "console" / "static" / "api.html"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
# Unit of each pair of lower and upper limit.
_RANGES: Final = {
    ("minLength", "maxLength"): " characters",
    ("minimum", "maximum"): "",
    ("minItems", "maxItems"): " entries",
    ("minProperties", "maxProperties"): " fields",
}
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <meta name="robots" content="noindex">
  <title>API · Service Keys</title>
  <link rel="icon" href="icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="style.css">
</head>
<body>
  <a class="skip" href="#main">Skip to the content</a>
  <header class="bar">
    <div class="bar-inner">
      <a class="brand" href="index.html"><img src="icon.svg" alt="" width="26" height="26">Service Keys</a>
      <nav aria-label="Main">
        <a href="index.html#/">Overview</a>
        <a href="index.html#/keys">Keys</a>
        <a href="index.html#/deleted">Deleted</a>
        <a href="api.html" aria-current="page">API</a>
      </nav>
    </div>
  </header>
  <main id="main" tabindex="-1">
    <div class="view">
{content}
    </div>
  </main>
</body>
</html>
"""
_INTRODUCTION: Final = """\
<section class="panel" aria-labelledby="requests">
<h2 id="requests">Requests</h2>
<p>The API is at the address of this page, with <code>/api/v1/admin</code> in place of
<code>/console/api.html</code>. Send an administrator's token as <code>Authorization: Bearer …</code>, and bodies as
JSON. The examples need two variables, which keep the token out of the shell's history and of the list of processes:</p>
{shell}
<p>Responses are JSON: <code>{{"success": true, "data": …, "requestId": …}}</code>, or an
<a href="#errors">error</a>.</p>
</section>"""
_SHELL: Final = """\
URL=https://…/live        # the address of this page, up to /console
read -rsp 'Token: ' TOKEN # paste the token, then Enter"""


class ApiPage:
    """The HTML of an OpenAPI document. Every text of the document is escaped."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._components: Mapping[str, Mapping[str, Any]] = document["components"]

    def html(self) -> str:
        """Return the page."""
        info = self._document["info"]
        parts = [
            f"<h1>{_prose(info['title'])} API</h1>",
            f"<p>{_prose(info['summary'])} {_prose(info['description'])}</p>",
            self._contents(),
            _INTRODUCTION.format(shell=_code("Shell", _SHELL)),
            *(self._operation(*each) for each in self._operations()),
            self._errors(),
            *(self._schema(name) for name in self._components["schemas"]),
        ]
        return _PAGE.format(content="\n".join(parts))

    def _operations(self) -> Iterator[tuple[str, str, Mapping[str, Any], list[Any]]]:
        for path, item in self._document["paths"].items():
            for method in _METHODS:
                if method in item:
                    yield method.upper(), path, item[method], item.get("parameters", [])

    def _contents(self) -> str:
        links = [
            f'<li><a href="#{_text(operation["operationId"])}">{_prose(operation["summary"])}</a> '
            f'<code class="small">{method} {_text(path)}</code></li>'
            for method, path, operation, _ in self._operations()
        ]
        links.append('<li><a href="#errors">Errors</a></li>')
        return _section("contents", "Contents", [f'<ul class="stack">{"".join(links)}</ul>'])

    def _operation(self, method: str, path: str, operation: Mapping[str, Any], shared: list[Any]) -> str:
        parameters = [self._resolved(each) for each in (*shared, *operation.get("parameters", []))]
        content = [f"<p><code>{method} {_text(path)}</code></p>", f"<p>{_prose(operation['description'])}</p>"]
        if parameters:
            content += ["<h3>Parameters</h3>", _list(self._parameter(each) for each in parameters)]
        body = operation.get("requestBody")
        if body:
            schema = self._resolved(_schema_of(body))
            content += [f"<h3>Body{'' if body['required'] else ' (optional)'}</h3>", self._fields(schema)]
            content += [_code(f"Body of {operation['operationId']}", self._example(schema))]
        content += ["<h3>Responses</h3>", _list(self._responses(operation["responses"]))]
        content += [
            "<h3>Example</h3>",
            _code(f"Request {operation['operationId']}", _curl(method, path, parameters, body)),
        ]
        return _section(operation["operationId"], operation["summary"], content)

    def _parameter(self, parameter: Mapping[str, Any]) -> tuple[str, str]:
        need = "required" if parameter.get("required") else "optional"
        term = f"<code>{_text(parameter['name'])}</code>"
        kind = f"{_text(parameter['in'])}, {need}, {self._kind(parameter['schema'])}"
        return term, f'<span class="detail">{kind}</span>{_prose(parameter["description"])}'

    def _responses(self, responses: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        errors = []
        for status, response in responses.items():
            if "$ref" in response:
                errors.append(f'<a href="#error-{_text(status)}">{_text(status)}</a>')
                continue
            headers = ", ".join(f"<code>{_text(name)}</code>" for name in response.get("headers", {}))
            yield _text(status), f"{self._kind(_schema_of(response))}; headers: {headers}"
        yield "Errors", ", ".join(errors)

    def _errors(self) -> str:
        operations = [operation for _, _, operation, _ in self._operations()]
        errors = {
            status: self._resolved(response)
            for operation in operations
            for status, response in operation["responses"].items()
            if "$ref" in response
        }
        rows = [
            f'<tr id="error-{_text(status)}"><th scope="row">{_text(status)}</th>'
            f"<td>{''.join(f'<code>{_text(code)}</code><br>' for code in response.get('x-error-codes', []))}"
            f"{_prose(response['description'])}</td></tr>"
            for status, response in sorted(errors.items())
        ]
        head = '<thead><tr><th scope="col">Status</th><th scope="col">Code and meaning</th></tr></thead>'
        table = f'<table class="plain">{head}<tbody>{"".join(rows)}</tbody></table>'
        error = '<p>The body of an error is an <a href="#schema-ErrorResponse">ErrorResponse</a>.</p>'
        return _section("errors", "Errors", [error, table])

    def _schema(self, name: str) -> str:
        schema = self._components["schemas"][name]
        described = [f"<p>{_prose(schema['description'])}</p>"] if "description" in schema else []
        content = self._fields(schema) if "properties" in schema else f"<p>{self._kind(schema)}</p>"
        return _section(f"schema-{name}", name, [*described, content])

    def _fields(self, schema: Mapping[str, Any]) -> str:
        return _list(self._rows(schema, ""))

    def _rows(self, schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
        """Yield name and description of each field, nested ones as `error.code`."""
        required = schema.get("required", [])
        for name, field in schema.get("properties", {}).items():
            need = "required" if name in required else "optional"
            kind = f'<span class="detail">{need}, {self._kind(field)}</span>'
            described = _description(field) or _description(self._resolved(field))
            yield f"<code>{_text(prefix + name)}</code>", kind + _prose(described)
            nested = field.get("items", field)
            if "properties" in nested:
                yield from self._rows(nested, f"{prefix}{name}{'[]' if 'items' in field else ''}.")

    def _kind(self, schema: Mapping[str, Any]) -> str:
        """Return the type of a schema with its limits."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return f'<a href="#schema-{_text(name)}">{_text(name)}</a>'
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return " or ".join(self._kind(each) for each in schema[choice])
        if "const" in schema:
            return f"<code>{_text(json.dumps(schema['const']))}</code>"
        if "enum" in schema:
            return "one of " + ", ".join(f"<code>{_text(str(each))}</code>" for each in schema["enum"])
        given = schema.get("type", "any")
        kind = " or ".join(given) if isinstance(given, list) else given
        if kind == "array":
            kind = f"list of {self._kind(schema['items'])}"
        elif isinstance(schema.get("additionalProperties"), dict):
            kind = f"object of fields, each {self._kind(schema['additionalProperties'])}"
        else:
            kind = _text(f"{kind} {schema['format']}" if "format" in schema else kind)
        limits = ", ".join(_limits(schema))
        return f"{kind} ({limits})" if limits else kind

    def _example(self, schema: Mapping[str, Any]) -> str:
        """Return an example body: the required fields and those with an example, or one field."""
        found = {name: _example_of(self._resolved(field)) for name, field in schema.get("properties", {}).items()}
        known = {name: value for name, value in found.items() if value is not None}
        if "required" not in schema:
            known = dict(list(known.items())[:1])
        return json.dumps(known, indent=2, ensure_ascii=False)

    def _resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in value:
            return value
        *_, kind, name = value["$ref"].split("/")
        resolved: Mapping[str, Any] = self._components[kind][name]
        return resolved


def _schema_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = content["content"]["application/json"]["schema"]
    return schema


def _description(field: Mapping[str, Any]) -> str:
    choices = field.get("anyOf", [])
    return str(next((each["description"] for each in (field, *choices) if "description" in each), ""))


def _example_of(field: Mapping[str, Any]) -> Any:
    choices = field.get("anyOf", [])
    return next((each["examples"][-1] for each in (field, *choices) if "examples" in each), None)


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    for (lower, upper), unit in _RANGES.items():
        if lower in schema and upper in schema:
            yield f"{schema[lower]} to {schema[upper]}{unit}"
        elif lower in schema or upper in schema:
            words = ("at least", schema[lower]) if lower in schema else ("at most", schema[upper])
            yield f"{words[0]} {words[1]}{unit}"
    if "pattern" in schema:
        yield f"pattern <code>{_text(schema['pattern'])}</code>"


def _curl(method: str, path: str, parameters: list[Mapping[str, Any]], body: object) -> str:
    """Return a command in which neither the token nor the body is an argument."""
    for parameter in parameters:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["schema"]["examples"][0]))
    lines = [f'curl -sS -X {method} "$URL{path}"', """-H @<(printf 'Authorization: Bearer %s' "$TOKEN")"""]
    lines += [
        "-H " + shlex.quote(f"{parameter['name']}: {parameter['schema']['examples'][0]}")
        for parameter in parameters
        if parameter["in"] == "header" and parameter.get("required")
    ]
    if body:
        lines += ["-H 'Content-Type: application/json'", "--data-binary @-  # paste the body, then Enter and Ctrl-D"]
    return " \\\n  ".join(lines)


def _section(anchor: str, title: str, content: Iterable[str]) -> str:
    name = _text(anchor)
    parts = "\n".join(content)
    return f'<section class="panel">\n<h2 id="{name}">{_prose(title)}</h2>\n{parts}\n</section>'


def _list(rows: Iterable[tuple[str, str]]) -> str:
    listed = "".join(f"<div><dt>{term}</dt><dd>{words}</dd></div>" for term, words in rows)
    return f'<dl class="facts">{listed}</dl>' if listed else ""


def _code(label: str, code: str) -> str:
    # Focusable, so that a keyboard can scroll it.
    named = f'role="region" aria-label="{_text(label)}" tabindex="0"'
    return f'<div class="snippet"><pre {named}>{_text(code)}</pre></div>'


def _text(text: object) -> str:
    """Escape a name or a code, for elements and attributes."""
    return html.escape(str(text))


def _prose(text: str) -> str:
    """Escape a sentence for an element; parts between backquotes become code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def update(page: Path = PAGE, document: Path = DOCUMENT) -> None:
    """Generate the page if it is missing or older than the document or this module. Safe in parallel processes."""
    newest = max(document.stat().st_mtime_ns, Path(__file__).stat().st_mtime_ns)
    if not page.exists() or page.stat().st_mtime_ns <= newest:
        generate(page, document)


def generate(page: Path = PAGE, document: Path = DOCUMENT) -> None:
    """Generate the page and replace the file at once."""
    text = ApiPage(yaml.safe_load(document.read_text(encoding="utf-8"))).html()
    descriptor, temporary = tempfile.mkstemp(dir=page.parent, suffix=".new")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(page)


if __name__ == "__main__":
    generate()
