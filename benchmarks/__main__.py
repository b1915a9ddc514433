"""Measure what is called fast or cheap, beside its peers, in one run.

Without options, all parts run, and benchmarks/results.md and the table of figures in README.md are written anew; a
quick or partial run only shows what it finds. Name DynamoDB Local in AWS_ENDPOINT_URL_DYNAMODB for the part on scale;
without it, moto stands in, and it stops earlier.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import subprocess
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from benchmarks.packages import required
from benchmarks.report import ROOT, Options, Part, machine, targets, to_stderr
from benchmarks.report import Table as Figures

if TYPE_CHECKING:
    from pathlib import Path

PARTS = {
    "cold-start": "cold_start",
    "warm-request": "warm_request",
    "cached-read": "cached_read",
    "cold-read": "cold_read",
    "scale": "scale",
    "fleet": "fleet",
}
RESULTS = ROOT / "benchmarks" / "results.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- /figures -->"
VERSIONS = (
    "aws-lambda-powertools",
    "aws-secretsmanager-caching",
    "boto3",
    "botocore",
    "credstash",
    "fastapi",
    "mangum",
    "moto",
    "pydantic",
)


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*PARTS],
        metavar="PART",
        help=f"one of {', '.join(PARTS)}; may stand there more than once; writes no file",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller tables: an impression")
    parser.add_argument("--write", action="store_true", help="write the files from a quick run too")
    given = parser.parse_args()
    options = Options(quick=given.quick, progress=to_stderr)
    started, began = datetime.now(UTC), time.monotonic()
    parts = []
    for name in given.only or PARTS:
        parts.append(importlib.import_module(f"benchmarks.{PARTS[name]}").measure(options))
        options.progress("")
        print(parts[-1].text(), end="\n\n", flush=True)
    bounds = [target for part in parts for target in part.targets]
    missed = [target.what for target in bounds if not target.met]
    minutes = (time.monotonic() - began) / 60
    print(f"{len(bounds) - len(missed)} of {len(bounds)} bounds met; {minutes:.1f} minutes.")
    if missed:
        print("Missed: " + "; ".join(missed) + ".")
    if not given.only and (given.write or not given.quick):
        table = readme_table(parts)
        RESULTS.write_text(_results(parts, table, started, minutes, quick=given.quick), encoding="utf-8")
        README.write_text(with_table(README.read_text(encoding="utf-8"), table), encoding="utf-8")
        print(f"Written: {_shown(RESULTS)}, and the figures in {_shown(README)}.")


def readme_table(parts: list[Part]) -> str:
    """Return the lines that README.md and results.md share."""
    return (
        Figures(("", "here", "beside it"), [row for part in parts for row in part.readme])
        .markdown()
        .replace("---:", "---")
    )


def with_table(text: str, table: str) -> str:
    """Return a document with the table between its marks.

    Raises:
        ValueError: It has no marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        message = f"There is no place for the figures: put the lines {BEGIN} and {END} where they belong."
        raise ValueError(message)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def _results(parts: list[Part], table: str, started: datetime, minutes: float, *, quick: bool) -> str:
    pinned = required(ROOT / "benchmarks" / "requirements.txt")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS if name in pinned)
    bounds = [target for part in parts for target in part.targets]
    command = 'make bench BENCH="--quick --write"' if quick else "make bench"
    where = f" with DynamoDB Local at `{url}`" if (url := os.environ.get("AWS_ENDPOINT_URL_DYNAMODB")) else ""
    return (
        "\n\n".join(
            [
                "# Figures beside their peers",
                (
                    f"Written by `{command}`{where} on {started:%Y-%m-%d %H:%M} UTC, in {minutes:.0f} minutes, at "
                    f"commit {_commit()}; not edited by hand. How and why it is measured so: "
                    "[decision 19](../docs/decisions/19-benchmarks.md)."
                ),
                (
                    f"- Machine: {machine()}; load at the end {', '.join(f'{load:.1f}' for load in os.getloadavg())}\n"
                    f"- Versions: {versions}\n"
                    "- Figures are medians, with the quartiles in brackets. Ratios count: they stay nearly the "
                    "same from machine to machine, milliseconds do not."
                ),
                "## In short",
                f"{BEGIN}\n\n{table}\n\n{END}",
                "## What must hold",
                targets(bounds).markdown(),
                *(part.markdown() for part in parts),
            ]
        )
        + "\n"
    )


def _commit() -> str:
    ran = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return ran.stdout.strip() or "unknown"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
