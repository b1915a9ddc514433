"""The API page of the web console, generated from openapi.yaml."""

from __future__ import annotations

import os
import re
import shlex
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tools import generate_api_page
from tools.generate_api_page import DOCUMENT, ApiPage

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "link", "img", "br"}
MARKUP = "<img src=x onerror=alert(1)>\"'&`<script>`"


class Parsed(HTMLParser):
    """Tags, attributes and text of a page; fails if elements are not nested properly."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def page(document: dict[str, Any]) -> str:
    return ApiPage(document).html()


def test_every_operation_field_and_error_is_described(page: str, document: dict[str, Any]) -> None:
    """Each operation has a section; each body field, parameter, schema and error code has an entry."""
    parsed = Parsed(page)
    ids = [value for name, value in parsed.attributes if name == "id"]

    operations = [item[method] for item in document["paths"].values() for method in item if method != "parameters"]
    assert {operation["operationId"] for operation in operations} <= set(ids)
    components = document["components"]
    assert {f"schema-{name}" for name in components["schemas"]} <= set(ids)
    statuses = {status for operation in operations for status in operation["responses"] if int(status) >= 400}
    assert len(statuses) == len(components["responses"])
    assert {f"error-{status}" for status in statuses} <= set(ids)
    for schema in components["schemas"].values():
        assert set(schema.get("properties", {})) <= set(parsed.texts)
    for parameter in components["parameters"].values():
        assert parameter["name"] in parsed.texts
    for code in components["schemas"]["ErrorCode"]["enum"]:
        assert code in parsed.texts


def test_anchors_are_unique_and_links_lead_to_one(page: str) -> None:
    """Every fragment of this page exists once."""
    parsed = Parsed(page)
    ids = [value for name, value in parsed.attributes if name == "id"]

    assert len(ids) == len(set(ids))
    fragments = {value[1:] for name, value in parsed.attributes if name == "href" and value.startswith("#")}
    assert fragments <= set(ids)
    labelled = {value for name, value in parsed.attributes if name == "aria-labelledby"}
    assert labelled <= set(ids)


def test_page_fits_the_consoles_policy(page: str) -> None:
    """No script, no inline style, no event handler, and no URL of another host."""
    parsed = Parsed(page)

    assert not parsed.tags & {"script", "style", "iframe", "form", "object", "base"}
    assert not [name for name, _ in parsed.attributes if name == "style" or name.startswith("on")]
    links = {value for name, value in parsed.attributes if name in {"href", "src"}}
    assert not [link for link in links if "//" in link or link.startswith("/")]


def test_every_text_of_the_document_is_escaped(document: dict[str, Any]) -> None:
    """Markup in any text appears as text."""

    def plant(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: plant(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [plant(part, key) for part in value]
        return MARKUP if key in {"summary", "description", "title", "pattern", "enum", "examples"} else value

    parsed = Parsed(ApiPage(plant(document)).html())

    assert not parsed.tags & {"script"}
    assert [value for name, value in parsed.attributes if name == "src"] == ["icon.svg"]
    assert "onerror" not in {name for name, _ in parsed.attributes}
    assert "<img src=x onerror=alert(1)>" in parsed.text


def test_examples_have_no_secret_in_an_argument(page: str) -> None:
    """Each command names its operation; token and body come from a variable and from standard input."""
    commands = [text for text in Parsed(page).texts if text.startswith("curl ")]

    assert len(commands) == 11
    for command in commands:
        joined = command.replace("\\\n", "")
        words = shlex.split(joined.replace("@<(printf 'Authorization: Bearer %s' \"$TOKEN\")", "@token"), comments=True)
        method, url = words[3], words[4]
        assert words[:3] == ["curl", "-sS", "-X"]
        assert url.startswith("$URL/api/v1/admin/")
        assert "{" not in url
        assert words[5:7] == ["-H", "@token"]
        assert ("--data-binary" in words) == (
            method in {"PUT", "PATCH"} or (url.endswith(("/api-keys", "/restore")) and method == "POST")
        )
        assert "made-up" not in command
    rollback = next(command for command in commands if "/rollback" in command)
    assert 'If-Match: "2"' in rollback


def test_page_is_generated_only_when_it_is_older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new document replaces the page at once; no temporary file stays."""
    page, document = tmp_path / "api.html", tmp_path / "openapi.yaml"
    document.write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")

    generate_api_page.update(page, document)
    first = page.stat()
    generate_api_page.update(page, document)
    assert page.stat().st_mtime_ns == first.st_mtime_ns
    os.utime(document, ns=(first.st_mtime_ns + 1, first.st_mtime_ns + 1))
    generate_api_page.update(page, document)

    assert page.stat().st_ino != first.st_ino
    assert sorted(tmp_path.iterdir()) == [page, document]
    assert re.match("<!doctype html>", page.read_text(encoding="utf-8"))
