"""`make mutants`: let the tests find mistakes that are put into the code, one after the other.

The score of a module is the share of its mutants that a test kills: by failing, or by not ending.
"""

from __future__ import annotations

import argparse
import itertools
import json
import queue
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.mutation import baseline
from tests.mutation.operators import Mutant, mutants

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.mutation.baseline import Baseline

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".mutants"
KNOWN: Final = Path(__file__).with_name("survivors.toml")
LEAST_SCORE: Final = 0.9
TRIED_SECONDS: Final = 10.0
"""How long the tests take together, at most, that are tried on a mutant."""
KILLERS_FIRST: Final = 5

_NOT_COPIED: Final = shutil.ignore_patterns(".git", ".venv", ".mutants", ".*_cache", ".local", ".aws-sam", ".coverage*")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one mutant: ``killed``, ``timeout`` or ``survived``."""

    change: str
    line: int
    outcome: str
    by: str


class Worker:
    """A process that runs tests on mutants, in its own copy of the tree. Use it as a context manager."""

    def __init__(self, number: int) -> None:
        self._copy = FOLDER / f"tree-{number}"
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(ROOT, self._copy, ignore=_NOT_COPIED)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.worker"],
            cwd=self._copy,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, path: Path, source: str, tests: list[str], seconds: dict[str, float]) -> dict[str, str]:
        """Run the tests on a module's source until one fails.

        Raises:
            RuntimeError: The worker ended, or found none of the tests.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        limits = {test: 15 + 5 * seconds[test] for test in tests}
        request = {"path": str(path), "source": source, "tests": tests, "limits": limits}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer: dict[str, str] = json.loads(self._process.stdout.readline() or '{"outcome": "error"}')
        if answer["outcome"] == "error":
            raise RuntimeError(f"The tests could not be run; see {self._copy / 'trial.log'}.")
        return answer


class Plan:
    """Which tests to try on a mutant: what killed its neighbours, then the rest, the fastest first."""

    def __init__(self, seen: Baseline, path: Path, tried_seconds: float) -> None:
        self._seen = seen
        self._path = path
        self._tried_seconds = tried_seconds
        self._kills: Counter[tuple[str, str]] = Counter()

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests to try, in order."""
        chosen = self._in_time(self._seen.tests_for(self._path, mutant))
        likely = sorted(chosen, key=lambda test: -self._worth(mutant, test))[:KILLERS_FIRST]
        return list(dict.fromkeys([*likely, *chosen]))

    def control(self) -> list[str]:
        """Return tests that must pass where nothing is mutated: the first of all that run the module."""
        return self._in_time(set[str]().union(*self._seen.tests.get(str(self._path), {}).values()))

    def _in_time(self, tests: Iterable[str]) -> list[str]:
        """Return as many as there is time for: the module's own, those of what is made of it, then the fastest."""
        seconds, name = self._seen.seconds, self._path.stem.removeprefix("authorizer_")
        own = (f"tests/unit/test_{name}", f"tests/unit/authorizer/test_authorizer_{name}")
        near = ("tests/template/", "tests/unit/authorizer/")
        ordered = sorted(
            tests, key=lambda test: (not test.startswith(own), not test.startswith(near), seconds[test], test)
        )
        spent = itertools.accumulate(seconds[test] for test in ordered)
        return [test for test, at in zip(ordered, spent, strict=True) if at <= self._tried_seconds] or ordered[:1]

    def killed(self, mutant: Mutant, test: str) -> None:
        """Note which test killed a mutant."""
        self._kills[mutant.scope, test] += 3
        self._kills["", test] += 1

    def _worth(self, mutant: Mutant, test: str) -> float:
        return (self._kills[mutant.scope, test] + self._kills["", test]) / (0.1 + self._seen.seconds[test])


def modules() -> dict[str, Path]:
    """Return what is mutated, by name: the package's modules, and the authorizer's."""
    package, authorizer = Path("layers/service_keys/service_keys"), Path("functions/authorizer")
    found = {path.stem: path for path in sorted((ROOT / package).glob("*.py"))}
    for name in ("__init__", "errors", "testing"):  # exports, types, and what no deployment runs
        del found[name]
    found |= {
        f"authorizer.{path.stem.removeprefix('authorizer_')}": path
        for path in sorted((ROOT / authorizer).glob("*.py"))
        if path.stem != "authorizer_errors"
    }
    return {name: path.relative_to(ROOT) for name, path in found.items()}


class Run:
    """A module's mutants, tried by several workers at once."""

    def __init__(self, name: str, path: Path, seen: Baseline, options: argparse.Namespace) -> None:
        self._name = name
        self._path = path
        self._seen = seen
        self._plan = Plan(seen, path, options.seconds)
        self._todo = queue.SimpleQueue[tuple[int, Mutant]]()
        self._done = dict[int, Result]()
        self._file = FOLDER / f"{name}.json"
        known = {result.change: result for result in load(self._file) if options.again and result.outcome != "survived"}
        for number, mutant in enumerate(mutants(ROOT / path)):
            if mutant.change in known:
                self._done[number] = replace(known[mutant.change], line=mutant.line)
            elif number % options.every == 0:
                self._todo.put((number, mutant))

    def results(self, workers: list[Worker]) -> list[Result]:
        """Try them all.

        Raises:
            RuntimeError: A test fails where nothing is mutated, so that no failure would mean anything.
        """
        control = workers[0].run(self._path, (ROOT / self._path).read_text(), self._plan.control(), self._seen.seconds)
        if control["outcome"] != "survived":
            raise RuntimeError(f"{control['by'] or self._name}: {control['outcome']} where nothing is mutated.")
        with ThreadPoolExecutor(len(workers)) as pool:
            list(pool.map(self._work, workers))
        return self._kept()

    def _work(self, worker: Worker) -> None:
        while True:
            try:
                number, mutant = self._todo.get_nowait()
            except queue.Empty:
                return
            tests = self._plan.tests(mutant)
            answer = {"outcome": "survived", "by": ""}
            if tests:
                answer = worker.run(self._path, mutant.source, tests, self._seen.seconds)
            if answer["outcome"] == "killed":
                self._plan.killed(mutant, answer["by"])
            self._done[number] = Result(mutant.change, mutant.line, answer["outcome"], answer["by"])
            self._show_progress()

    def _show_progress(self) -> None:
        done = list(self._done.values())
        if len(done) % 20 == 0:
            self._kept()
            survived = sum(result.outcome == "survived" for result in done)
            line = f"\r{self._name}: {len(done)} of {len(done) + self._todo.qsize()}, {survived} survived "
            print(line, end="", file=sys.stderr, flush=True)

    def _kept(self) -> list[Result]:
        """Return the results so far, and keep them in a file."""
        results = [result for _, result in sorted(self._done.items())]
        self._file.write_text(json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False))
        return results


def load(file: Path) -> list[Result]:
    """Return the results that a file holds, if it is there."""
    return [Result(**result) for result in json.loads(file.read_text())] if file.exists() else []


def report(results: dict[str, list[Result]]) -> bool:
    """Print the table and the survivors; tell whether the score holds and every survivor is known."""
    known: dict[str, dict[str, Any]] = tomllib.loads(KNOWN.read_text()) if KNOWN.exists() else {}
    print(f"\n{'module':28}{'mutants':>8}{'killed':>8}{'timeout':>9}{'survived':>10}{'score':>9}")
    good = True
    total: Counter[str] = Counter()
    for name, found in results.items():
        outcomes = Counter(result.outcome for result in found)
        total += outcomes
        _line(name, outcomes)
        good = good and _score(outcomes) >= LEAST_SCORE
    _line("all", total)
    for name, found in results.items():
        news = [r for r in found if r.outcome == "survived" and r.change not in known.get(name, {})]
        for result in news:
            print(f"{name}:{result.line} survived, {result.change}")
        good = good and not news
    return good


def _line(name: str, outcomes: Counter[str]) -> None:
    counts = f"{outcomes.total():8}{outcomes['killed']:8}{outcomes['timeout']:9}{outcomes['survived']:10}"
    print(f"{name:28}{counts}{_score(outcomes):9.1%}")


def _score(outcomes: Counter[str]) -> float:
    return (outcomes["killed"] + outcomes["timeout"]) / max(outcomes.total(), 1)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help=f"of: {', '.join(modules())}; without one, all of them")
    parser.add_argument("--again", action="store_true", help="only the mutants that survived the last time")
    parser.add_argument("--measure", nargs="*", metavar="TESTS", help="run all tests first, or these that are new")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth mutant, for an estimate")
    parser.add_argument("--seconds", type=float, default=TRIED_SECONDS, help="of tests that are tried on a mutant")
    parser.add_argument("--report", action="store_true", help="only show what came of the last time")
    arguments = parser.parse_args()
    every = modules()
    if unknown := set(arguments.modules) - every.keys():
        parser.error(f"there is no module {', '.join(sorted(unknown))}; choose from {', '.join(every)}")
    wanted = {name: every[name] for name in arguments.modules or every}
    if arguments.report:
        return not report({name: load(FOLDER / f"{name}.json") for name in wanted})
    FOLDER.mkdir(exist_ok=True)
    began = time.monotonic()
    if arguments.measure is not None or not (FOLDER / "seconds.json").exists():
        baseline.measure(ROOT, FOLDER, arguments.measure or ())
    seen = baseline.load(ROOT, FOLDER)
    with Worker(0) as first, Worker(1) as second:
        workers = [first, second]
        results = {name: Run(name, path, seen, arguments).results(workers) for name, path in wanted.items()}
    good = report(results)
    print(f"\n{(time.monotonic() - began) / 60:.0f} minutes. Known survivors, and why they live: {KNOWN.name}.")
    return not good


if __name__ == "__main__":
    sys.exit(main())
