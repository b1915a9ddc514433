"""Count the passed tests of each kind in pytest's reports; fail if a test failed or a kind has none.

The argument is the folder of the reports: JUnit XML, and `<kind>.not-run` with the reason for each kind that did not
run.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

KINDS = (
    *("unit", "functional", "template", "slow", "fuzz"),
    *("package", "release", "clients", "deploy", "integration", "browser", "e2e"),
)


def outcomes(folder: Path) -> Counter[tuple[str, str]]:
    """Count the tests by kind and outcome: passed, skipped or failed."""
    counted: Counter[tuple[str, str]] = Counter()
    for report in folder.glob("*.xml"):
        # Trusted input: our own pytest wrote it.
        for case in ET.parse(report).iter("testcase"):  # noqa: S314
            # For example tests.unit.local.test_sam; pytest reports import errors with the module in `name` instead.
            place = (case.get("classname") or case.get("name") or "").split(".")
            # Some kinds rerun tests of other folders and have separate reports; use the report's name for them.
            kind = report.stem if report.stem in KINDS else place[1] if len(place) > 1 else ""
            tags = {child.tag for child in case}
            outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
            counted[kind, outcome] += 1
    return counted


def main(folder: Path) -> int:
    """Print a line for each kind and return the exit code."""
    counted = outcomes(folder)
    good = all(outcome != "failed" for _, outcome in counted)
    for kind in KINDS:
        reason = folder / f"{kind}.not-run"
        if reason.exists():
            print(f"{kind:12} NOT RUN: {reason.read_text(encoding='utf-8').strip()}")
            continue
        passed, skipped, failed = (counted[kind, outcome] for outcome in ("passed", "skipped", "failed"))
        more = "".join(f", {count} {word}" for count, word in ((skipped, "skipped"), (failed, "FAILED")) if count)
        print(f"{kind:12} {passed:5} passed{more}")
        good = good and passed > 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
