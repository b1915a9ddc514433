"""GET /console and /console/{proxy+}: serve the static files of the web console, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from console.files import File, entity_tag, is_known, read_files
from console.headers import headers_for
from console.sign_in import sign_in_configuration

FILES: Final = read_files(Path(__file__).parent / "static")
TEXT: Final = "text/plain; charset=utf-8"


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return a file of the console, its configuration or the redirect to its page; 404 for every other path."""
    variables = event.get("stageVariables") or {}
    sign_in = sign_in_configuration(variables)
    # A stage variable of template.yaml, because this function has no layer with the package.
    headers = headers_for(sign_in, variables.get("version"))
    path = (event.get("pathParameters") or {}).get("proxy")
    if path is None:
        # One slash at the start: browsers take // for another host.
        location = f"/{event['requestContext']['path'].strip('/')}/index.html"
        return _response(302, File("", TEXT), {**headers, "Location": location})
    file = File(json.dumps(sign_in), "application/json") if path == "config.json" else FILES.get(path)
    if file is None:
        return _response(404, File("There is no such file. The console is at index.html.\n", TEXT), headers)
    etag = entity_tag(file, headers)
    if is_known(event.get("headers") or {}, etag):
        return _response(304, File("", file.content_type), {**headers, "ETag": etag})
    return _response(200, file, {**headers, "ETag": etag})


def _response(status: int, file: File, headers: dict[str, str]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Content-Type": file.content_type, **headers}, "body": file.text}
