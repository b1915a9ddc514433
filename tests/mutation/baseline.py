"""Which test runs which line, and how long it takes: what to try on a mutant, and in which order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from coverage import CoverageData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.mutation.operators import Mutant

TESTS: Final = ("tests/unit", "tests/functional", "tests/template/test_openapi.py")
LEFT_OUT: Final = (
    "--ignore=tests/unit/local",  # tests of what is not deployed
    "--ignore=tests/unit/test_fleet.py",  # 20 s of simulation
    *(f"--ignore=tests/unit/test_{name}.py" for name in ("benchmarks", "docs", "locks", "mutation_operators")),
    *(f"--ignore=tests/functional/test_{name}.py" for name in ("fuzz", "faults", "sam_events")),  # minutes
    "--ignore=tests/functional/test_shared_secret.py",  # wants a moto of its own
)


@dataclass
class Baseline:
    """How the tests run where nothing is mutated.

    Attributes:
        seconds: How long each test takes, its fixtures but for the session's included.
        tests: For each file, which tests run each line.
        shared: For each file, the lines that run while it is imported, or in a fixture that tests share.
    """

    seconds: dict[str, float]
    tests: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    shared: dict[str, set[int]] = field(default_factory=dict)

    def tests_for(self, path: Path, mutant: Mutant) -> set[str]:
        """Return the tests that run the mutated statement, or may find its trace where that ran for all of them."""
        lines = self.tests.get(str(path), {})
        statement = range(mutant.lines[0], mutant.lines[1] + 1)
        own = set[str]().union(*(lines.get(line, set()) for line in statement))
        if own and not any(line in self.shared.get(str(path), set()) for line in statement):
            return own
        # It runs when the module is imported. Its own tests may run no line of it, such as those of a data class, and
        # neither does what is made of the models.
        named: tuple[str, ...] = (
            f"tests/unit/test_{path.stem}",
            f"tests/functional/test_{path.stem}.py",
            "tests/template/",
        )
        if path.parent.name == "authorizer":
            named = ("tests/unit/authorizer/",)
        return {test for test in self.seconds if test.startswith(named)}.union(own, *lines.values())


def measure(root: Path, folder: Path, tests: Sequence[str] = ()) -> None:
    """Run tests in ``root`` and keep in ``folder`` what was seen: of all tests, or of these files in addition.

    Raises:
        RuntimeError: A test fails where nothing is mutated.
    """
    environment = {**os.environ, "COVERAGE_FILE": str(folder / "coverage")}
    command = [sys.executable, "-m", __name__, str(folder / "seconds.json"), *tests]
    if subprocess.run(command, cwd=root, env=environment, check=False).returncode:
        raise RuntimeError("A test fails where nothing is mutated; the lines above say which.")


def load(root: Path, folder: Path) -> Baseline:
    """Return what `measure` kept."""
    baseline = Baseline(json.loads((folder / "seconds.json").read_text()))
    data = CoverageData(str(folder / "coverage"))
    data.read()
    for file in data.measured_files():
        path = file.removeprefix(f"{root}/")
        tests: dict[int, set[str]] = defaultdict(set)
        shared: set[int] = set()
        for line, contexts in data.contexts_by_lineno(file).items():
            for context in contexts:
                test, _, phase = context.rpartition("|")
                if test in baseline.seconds:
                    tests[line].add(test)
                if phase != "run":
                    shared.add(line)
        baseline.tests[path], baseline.shared[path] = tests, shared
    return baseline


_BY_HTTP: Final = re.compile(r"[\[-]http[-\]]")


class _OnEvents:
    """Leaves out the tests of an administrator who uses HTTP: each runs on events too, which is faster."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not _BY_HTTP.search(item.nodeid)]


class _Timed:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.duration < 1:
            self.seconds[report.nodeid] += report.duration


def _main(file: str, *tests: str) -> int:
    kept, timed = Path(file), _Timed()
    before = json.loads(kept.read_text()) if tests else {}
    options = ["-q", "--numprocesses=2", "--cov", "--cov-context=test", "--cov-fail-under=0", "--cov-report="]
    options += ["-p", "no:cacheprovider", *(["--cov-append"] if tests else [])]
    code = pytest.main([*options, *LEFT_OUT, *(tests or TESTS)], plugins=[timed, _OnEvents()])
    kept.write_text(json.dumps(before | timed.seconds, indent=1, sort_keys=True))
    return code


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
