"""Folders that hold what a deployment package holds, and nothing else.

What is importable costs time even where it is not imported: botocore tries awscrt and pyOpenSSL, pydantic asks every
installed distribution for plugins. So each candidate sees what it would see on Lambda: the runtime's own packages and
what its package or layer brings along, linked from the environment that the benchmark runs in.
"""

from __future__ import annotations

import importlib.metadata
import re
from typing import TYPE_CHECKING

from benchmarks.report import LAYER, ROOT

if TYPE_CHECKING:
    from pathlib import Path

RUNTIME = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")
"""What Lambda's Python runtime brings along: https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html"""
_PYDANTIC = ("annotated-types", "pydantic", "pydantic-core", "typing-extensions", "typing-inspection")
POWERTOOLS = (*_PYDANTIC, "aws-lambda-powertools", "aws-xray-sdk", "jmespath", "wrapt")
FASTAPI = (*_PYDANTIC, "annotated-doc", "anyio", "fastapi", "idna", "mangum", "opentelemetry-api", "starlette")


def required(requirements: Path) -> tuple[str, ...]:
    """Return the distributions that a requirements file pins."""
    return tuple(re.findall(r"^([A-Za-z0-9._-]+)==", requirements.read_text(encoding="utf-8"), re.MULTILINE))


def layer() -> tuple[str, ...]:
    """Return what the product's layer brings along."""
    return required(LAYER / "requirements.txt")


def authorizer() -> tuple[str, ...]:
    """Return what the authorizer brings along."""
    return required(ROOT / "functions" / "authorizer" / "requirements.txt")


def linked(distributions: tuple[str, ...], folder: Path) -> Path:
    """Fill a folder with links to these installed distributions, and return it.

    Raises:
        importlib.metadata.PackageNotFoundError: One is not installed.
    """
    folder.mkdir()
    for name in dict.fromkeys(distributions):
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (folder / top).symlink_to(distribution.locate_file(top))  # type: ignore[arg-type]
    return folder
