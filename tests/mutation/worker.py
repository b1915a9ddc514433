"""Runs tests on mutants: a process in a copy of the tree, which forks one child for each.

What costs time and is no part of the code under test is done once, before the fork: pytest, botocore, moto and their
like are imported, moto's server runs, and the issuer's keys are made.

Reads one JSON object a line from its standard input, ``{"path", "source", "tests", "limits"}``, and answers each with
``{"outcome", "by"}``: ``killed``, ``timeout``, ``survived`` or ``error``, and by which test.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

import botocore.loaders
import botocore.session
import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAVY: Final = (
    "asyncio",
    "aws_lambda_powertools",
    "cryptography.hazmat.primitives.asymmetric.rsa",
    "hypothesis",
    "jsonschema",
    "jwt",
    "moto",
    "pydantic.main",
    "pydantic.type_adapter",
    "pytest_timeout",
    "requests",
    "samtranslator",
    "xdist.plugin",
    "xdist.dsession",
    "yaml",
    "local.stack",
)
"""What tests import, and what imports nothing that is mutated."""
STARTS_WITHIN: Final = 60.0
"""Seconds until the first test: pytest starts, the mutated modules and the tests are imported."""


class _Chosen:
    """Runs these tests alone, in this order, and tells which one it begins."""

    def __init__(self, tests: list[str], told: TextIO) -> None:
        self._place = {test: place for place, test in enumerate(tests)}
        self._told = told

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._place]
        items.sort(key=lambda item: self._place[item.nodeid])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        print(nodeid, file=self._told, flush=True)


class _RunningMoto:
    """Stands for `local.aws.Moto`: a server that runs already, and goes on."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let it run."""


def _warm_up() -> None:
    for name in HEAVY:
        importlib.import_module(name)
    _read_once(botocore.loaders.JSONFileLoader, "load_file")
    _read_once(botocore.loaders.Loader, "list_available_services")
    for service in ("dynamodb", "kms"):
        botocore.session.Session().create_client(
            service, region_name="eu-west-1", aws_access_key_id="none", aws_secret_access_key="none"
        )
    import local.stack
    from local.aws import Moto
    from local.issuer import Issuer
    from local.template import Template

    running = _RunningMoto(Moto().url)
    setattr(local.stack, "Moto", lambda: running)  # noqa: B010 - what is imported there
    # The stack's; a test that wants another one's makes it.
    generate, made = Issuer.generate, [Issuer.generate()]
    Issuer.generate = lambda: made.pop() if made else generate()  # type: ignore[method-assign]
    Template.load(local.stack.parameters("http://127.0.0.1:1", running.url))
    # What is here now is never garbage: the children need not look through it.
    gc.collect()
    gc.freeze()


def _read_once(loader: type, method: str) -> None:
    """Let all of botocore's loaders share what one of them has read."""
    read = getattr(loader, method)
    answers: dict[object, Any] = {}

    def shared(self: object, *what: object, **options: object) -> Any:
        asked = (what, tuple(options.items()))
        if asked not in answers:
            answers[asked] = read(self, *what, **options)
        return answers[asked]

    setattr(loader, method, shared)


def _trial(tests: list[str], told: int, log: Path) -> int:
    """Run the tests, in the child. Returns pytest's exit code."""
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, out)):
        os.dup2(file, stream)
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    # The two plugins that pyproject.toml has options for; all others are left out.
    options = ["-q", "-x", "--numprocesses=0", "--assert=plain", "-o", "timeout=0"]
    for plugin in ("no:cacheprovider", "xdist", "timeout"):
        options += ["-p", plugin]
    with os.fdopen(told, "w") as lines:
        return pytest.main([*options, *files], plugins=[_Chosen(tests, lines)])


def _outcome(child: int, told: int, limits: Mapping[str, float]) -> dict[str, Any]:
    """Wait for the child, test by test."""
    test, rest, until = "", b"", time.monotonic() + STARTS_WITHIN
    while True:
        ready, _, _ = select.select([told], [], [], max(0, until - time.monotonic()))
        if not ready:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return {"outcome": "timeout", "by": test}
        part = os.read(told, 65536)
        if not part:
            break
        *begun, rest = (rest + part).split(b"\n")
        if begun:
            test = begun[-1].decode()
            until = time.monotonic() + limits.get(test, STARTS_WITHIN)
    return {"outcome": _ended(child, until), "by": test}


def _ended(child: int, until: float) -> str:
    """Wait for the end of a child that runs no more tests; what it left running ends with it."""
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with_code = os.waitstatus_to_exitcode(status)
            return {0: "survived", 5: "error"}.get(with_code, "killed")
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def _run(request: dict[str, Any], log: Path) -> dict[str, Any]:
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        code = 3
        try:
            code = int(_trial(request["tests"], tell, log))
        except BaseException:  # noqa: BLE001 - it ends here in any case, as killed
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(tell)
    try:
        return _outcome(child, told, request["limits"])
    finally:
        os.close(told)


def main() -> None:
    """Serve until the input ends."""
    sys.path[:0] = [str(Path("layers/service_keys").resolve()), str(Path("functions/authorizer").resolve())]
    _warm_up()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        path = Path(request["path"])
        original = path.read_text()
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()
        path.write_text(request["source"])
        try:
            outcome = _run(request, Path("trial.log"))
        finally:
            path.write_text(original)
        print(json.dumps(outcome), file=answers, flush=True)


if __name__ == "__main__":
    main()
