"""Measure cold start, warm request, cached read, scale, fleet and cost, each compared with peers, in one run.

A full run writes benchmarks/results.md and the table of figures in README.md. A quick or partial run only prints its
results. For the part on scale, set AWS_ENDPOINT_URL_DYNAMODB to DynamoDB Local; moto, the default, allows only small
tables.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import re
import subprocess
import time
from datetime import UTC, datetime

from benchmarks.report import ROOT, Part, bounds_table, show_progress

PARTS = ("first-read", "cold-start", "warm-request", "cached-read", "scale", "fleet")
RESULTS = ROOT / "benchmarks" / "results.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- /figures -->"
VERSIONS = ("aws-lambda-powertools", "aws-secretsmanager-caching", "boto3", "botocore", "moto", "pydantic")


def main() -> None:
    """Parse the command line, run the parts, and write the files."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part only; can be repeated")
    parser.add_argument("--quick", action="store_true", help="run fewer rounds on smaller tables")
    options = parser.parse_args()
    started, began = datetime.now(UTC), time.monotonic()
    parts: list[Part] = []
    for name in options.only or PARTS:
        module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
        parts.append(module.measure(quick=options.quick))
        show_progress("")
        print(parts[-1].markdown(), end="\n\n", flush=True)
    bounds = [bound for part in parts for bound in part.bounds]
    print(bounds_table(bounds))
    if not options.only and not options.quick:
        rows = [("", "Service Keys", "alternatives"), ("---",) * 3, *(row for part in parts for row in part.readme)]
        figures = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        RESULTS.write_text(_results(parts, figures, started, (time.monotonic() - began) / 60), encoding="utf-8")
        README.write_text(replace_figures(README.read_text(encoding="utf-8"), figures), encoding="utf-8")
        print(f"\nWritten: {RESULTS.relative_to(ROOT)}, and the figures in {README.relative_to(ROOT)}.")


def replace_figures(document: str, table: str) -> str:
    """Return a document with the table between its markers.

    Raises:
        ValueError: The document has no markers.
    """
    between = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    replaced, count = between.subn(lambda _: f"{BEGIN}\n\n{table}\n\n{END}", document)
    if not count:
        message = f"No markers for the figures: add the lines {BEGIN} and {END} where the table belongs."
        raise ValueError(message)
    return replaced


def _results(parts: list[Part], figures: str, started: datetime, minutes: float) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    describe = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    dynamodb = f" with DynamoDB Local at `{url}`" if (url := os.environ.get("AWS_ENDPOINT_URL_DYNAMODB")) else ""
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    machine = f"{platform.platform()}, {os.cpu_count()} cores, CPython {platform.python_version()}"
    introduction = f"""\
# Figures beside their peers

Written by `make bench`{dynamodb} on {started:%Y-%m-%d %H:%M} UTC, in {minutes:.0f} minutes, at commit
{commit}. Do not edit. How and why it is so: [decision 19](../docs/decisions/19-benchmarks.md).

- Machine: {machine}; load at the end {load}
- Versions: {versions}
- Figures are medians, with the quartiles in brackets. Ratios stay nearly the same from machine to machine; milliseconds
  do not.

## In short

{BEGIN}

{figures}

{END}

## Bounds

{bounds_table([bound for part in parts for bound in part.bounds])}"""
    return "\n\n".join([introduction, *(part.markdown() for part in parts)]) + "\n"


if __name__ == "__main__":
    main()
