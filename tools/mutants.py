"""Test the tests of one module: run them on mutants of the module, with cosmic-ray, in a copy of the tree.

cosmic-ray changes one operator, number, condition, decorator or exception handler at a time. A mutant that no test
notices survives, and is printed as a diff: either a test is missing, or the change makes no difference.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".mutants"
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", ".mutants", ".local", ".aws-sam", ".*_cache", ".hypothesis", ".coverage*", "__pycache__"
)
PYTEST = "-m pytest -x -q --numprocesses=0 -p no:cacheprovider -m 'not slow'"
CONFIGURATION = """\
[cosmic-ray]
module-path = {module}
test-command = {command}
timeout = {timeout}
excluded-modules = []
distributor.name = "local"

# Nearly all of these operators are in annotations, where a change makes no difference.
[cosmic-ray.filters.operators-filter]
exclude-operators = ["core/ReplaceBinaryOperator_BitOr_.*"]
"""
# Lines about types, versions or data classes, whose mutants no test can detect.
NO_MUTATE = re.compile(r"^(@dataclass\(.*|if TYPE_CHECKING:|if sys\.version_info .*)$", re.MULTILINE)
RESULTS = """
SELECT test_outcome, diff FROM mutation_specs LEFT JOIN work_results USING (job_id)
WHERE worker_outcome IS NOT 'SKIPPED' ORDER BY start_pos_row, operator_name, occurrence
"""


def modules() -> dict[str, Path]:
    """Return the paths of the product's modules, by the names that MODULE accepts."""
    paths = sorted(path.relative_to(ROOT) for top in ("layers", "functions") for path in (ROOT / top).rglob("*.py"))
    stems = [path.stem for path in paths]
    return {path.stem if stems.count(path.stem) == 1 else str(path): path for path in paths}


def tests_named_after(module: Path) -> list[str]:
    """Return the test files of a module; for usage, test_usage.py, test_reader_usage.py and test_usage_stamp.py."""
    named = re.compile(rf"test_(\w+_)?{re.escape(module.stem)}(_\w+)?\.py")
    folders = [ROOT / "tests" / kind for kind in ("unit", "functional", "template")]
    found = sorted(path for folder in folders for path in folder.rglob("test_*.py") if named.fullmatch(path.name))
    return [str(path.relative_to(ROOT)) for path in found]


def run_with_progress(command: list[str | Path], tree: Path, session: Path) -> None:
    """Run cosmic-ray and print the number of tested mutants until it ends, then the survivors and the score."""
    terminal, began = sys.stderr.isatty(), time.monotonic()
    results: list[tuple[str, str]] = []
    with (
        contextlib.closing(sqlite3.connect(f"{session.as_uri()}?mode=ro", uri=True, timeout=30)) as database,
        subprocess.Popen(command, cwd=tree) as process,
    ):
        while process.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2 if terminal else 30)
            results = database.execute(RESULTS).fetchall()
            tested = [outcome for outcome, _ in results if outcome]
            minutes = (time.monotonic() - began) / 60
            line = (
                f"{len(tested)} of {len(results)} mutants, {tested.count('SURVIVED')} survived, {minutes:.1f} minutes"
            )
            print(f"\r{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
    survivors = [diff for outcome, diff in results if outcome == "SURVIVED"]
    killed = sum(outcome == "KILLED" for outcome, _ in results)
    if process.returncode or killed + len(survivors) < len(results):
        raise SystemExit(f"Not all mutants were tested: see `cosmic-ray dump {session}`.")
    print(*survivors, f"{killed} of {len(results)} mutants killed: {killed / max(len(results), 1):.1%}", sep="\n\n")


def main() -> None:
    """Parse the command line, copy the tree and test the mutants."""
    parser = argparse.ArgumentParser(
        prog="make mutants",
        description=__doc__,
        usage='make mutants MODULE=usage [TESTS="tests/unit/reader/test_usage.py"]',
    )
    parser.add_argument("module", nargs="?", metavar="MODULE", help=f"one of: {', '.join(modules())}")
    parser.add_argument("tests", nargs="*", metavar="TESTS", help="test files; default: those named after the module")
    parser.add_argument("--cosmic-ray", type=Path, default=Path("cosmic-ray"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.module is None:
        parser.print_help()
        return
    path = modules().get(options.module)
    if path is None:
        parser.error(f"unknown module {options.module}: use one of {', '.join(modules())}")
    tests = options.tests or tests_named_after(path)
    if not tests:
        parser.error(f'name the tests of {options.module}, as in TESTS="tests/unit/reader/test_usage.py"')

    folder = WORK / options.module.replace("/", ".")
    shutil.rmtree(folder, ignore_errors=True)
    tree, configuration, session = folder / "tree", folder / "cosmic-ray.toml", folder / "session.sqlite"
    shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
    command = shlex.join([sys.executable, *shlex.split(PYTEST), *tests])
    print(f"Running {' '.join(tests)} on the unchanged module ...", file=sys.stderr)
    began = time.monotonic()
    if subprocess.run(shlex.split(command), cwd=tree, stdout=subprocess.DEVNULL, check=False).returncode:
        raise SystemExit(f"The tests fail on the unchanged module. See: {command}")
    timeout = round(10 + 5 * (time.monotonic() - began))
    text = CONFIGURATION.format(module=json.dumps(str(path)), command=json.dumps(command), timeout=timeout)
    configuration.write_text(text, encoding="utf-8")
    source = (tree / path).read_text(encoding="utf-8")
    (tree / path).write_text(NO_MUTATE.sub(r"\g<0>  # pragma: no mutate", source), encoding="utf-8")
    cosmic_ray = options.cosmic_ray
    for step in (
        [cosmic_ray, "init", configuration, session],
        [cosmic_ray.with_name("cr-filter-operators"), session, configuration],
        [cosmic_ray.with_name("cr-filter-pragma"), session],
    ):
        subprocess.run(step, cwd=tree, check=True)
    run_with_progress([cosmic_ray, "exec", configuration, session], tree, session)


if __name__ == "__main__":
    main()
