"""Validation of responses against openapi.yaml."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import yaml
from jsonschema import Draft202012Validator

from local.events import path_parameters
from tools.generate_openapi import DOCUMENT

if TYPE_CHECKING:
    from collections.abc import Mapping


@functools.cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    return document


@functools.cache
def _validator(reference: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": reference, "components": _document()["components"]})


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: str) -> None:
    """Raise an error if the document has the route, but not this response of it."""
    for template, item in _document()["paths"].items():
        if method.lower() in item and path_parameters(template, path.partition("?")[0]) is not None:
            break
    else:
        return
    responses = item[method.lower()]["responses"]
    assert str(status) in responses, f"{method} {template} is not known to answer {status}"
    response = responses[str(status)]
    if "$ref" in response:
        response = _document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    _validator(response["content"]["application/json"]["schema"]["$ref"]).validate(json.loads(body))
    optional = {"ETag"} if method == "DELETE" else {"Idempotency-Replayed"}
    always = response["headers"].keys() - optional
    assert always <= set(headers), f"{method} {template} {status} lacks {always - set(headers)}"
