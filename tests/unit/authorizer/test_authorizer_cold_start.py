"""What the first request does not wait for: modules that nobody uses, which still work for whoever does."""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

import cold_start
from tests.unit.authorizer.conftest import APP, METHOD_ARN
from tests.unit.authorizer.issuer import token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.authorizer.issuer import Signers

    Postponed = Callable[..., str]

FIRST_REQUEST = """
import gc, json, sys
import app
collecting, frozen = gc.isenabled(), gc.get_freeze_count()
answer = app.handler(json.loads(sys.stdin.read()), None)
waiting = [name for name in app.cold_start.UNUSED if "load_and_get" in repr(vars(sys.modules[name]).get("__getattr__"))]
print(json.dumps([answer["policyDocument"]["Statement"][0]["Effect"], waiting, collecting, frozen > 10_000]))
"""


@pytest.fixture
def postponed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postponed]:
    """Returns the name of a postponed module with these contents, which note in `ran` that they run."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source: str, name: str = "made_up_module", part: str | None = None) -> str:
        write(name if part is None else f"{name}.__init__", source)
        if part is not None:
            write(f"{name}.part", part)
        cold_start.postpone(name)
        return name

    def write(name: str, source: str) -> None:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"import sys\nsys.ran.append(__name__)\n{source}\n", encoding="utf-8")

    monkeypatch.setattr(sys, "ran", [], raising=False)
    yield make
    for name in [name for name in sys.modules if name.startswith("made_up_")]:
        del sys.modules[name]


def ran() -> list[str]:
    return list(getattr(sys, "ran"))  # noqa: B009 - the type checker knows no such attribute


@pytest.mark.parametrize("signers", ["key_set"], indirect=True)
def test_the_first_request_needs_nothing_that_is_postponed(signers: Signers) -> None:
    event = {"type": "TOKEN", "authorizationToken": f"Bearer {token(signers.own)}", "methodArn": METHOD_ARN}

    run = subprocess.run(
        [sys.executable, "-c", FIRST_REQUEST],
        env={**os.environ, "PYTHONPATH": str(APP.parent)},
        input=json.dumps(event),
        capture_output=True,
        text=True,
        check=True,
    )

    effect, waiting, collecting, frozen = json.loads(run.stdout.splitlines()[-1])
    assert effect == "Allow"
    # Before 3.13, which is Lambda's, inspect makes a class of one in ast.
    assert set(cold_start.UNUSED) - set(waiting) <= (set() if sys.version_info >= (3, 13) else {"ast"})
    assert collecting
    assert frozen


def test_a_postponed_module_runs_when_something_in_it_is_asked_for_and_once(postponed: Postponed) -> None:
    name = postponed("answer = 42")
    module = __import__(name)
    assert ran() == []

    assert module.answer == 42
    assert module.answer == 42
    assert ran() == [name]


def test_a_name_imported_from_a_postponed_module_is_there(postponed: Postponed) -> None:
    postponed("answer = 42")

    from made_up_module import answer  # type: ignore[import-not-found]

    assert answer == 42


def test_what_a_postponed_module_does_not_have_is_missed_as_always(postponed: Postponed) -> None:
    module = __import__(postponed("answer = 42"))

    with pytest.raises(AttributeError, match=r"module 'made_up_module' has no attribute 'question'"):
        _ = module.question
    assert module.answer == 42


def test_a_postponed_module_may_look_for_something_in_itself_that_is_not_there_yet(postponed: Postponed) -> None:
    looking = "try: sys.modules[__name__].answer\nexcept AttributeError as error: said = str(error)\nanswer = 42"
    module = __import__(postponed(looking))

    assert module.answer == 42
    assert module.said == "module 'made_up_module' has no attribute 'answer'"


def test_a_postponed_module_keeps_its_own_way_of_finding_names(postponed: Postponed) -> None:
    module = __import__(postponed("def __getattr__(name): return name.upper()"))

    assert [module.one, module.other] == ["ONE", "OTHER"]
    assert len(ran()) == 1


def test_a_postponed_module_that_fails_says_so_each_time(postponed: Postponed) -> None:
    module = __import__(postponed("if len(sys.ran) < 3: raise OSError('not now')\nanswer = 42"))

    for _ in range(2):
        with pytest.raises(OSError, match="not now"):
            _ = module.answer
    assert module.answer == 42


def test_a_thread_that_comes_while_a_postponed_module_loads_waits_for_it(
    postponed: Postponed, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, go_on = Event(), Event()
    monkeypatch.setattr(sys, "gate", (loading, go_on), raising=False)
    module = __import__(postponed("loading, go_on = sys.gate\nloading.set()\ngo_on.wait(30)\nanswer = 42"))

    def ask() -> Any:
        return module.answer

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask)
        assert loading.wait(30)
        second = pool.submit(ask)
        go_on.set()
        assert (first.result(30), second.result(30)) == (42, 42)
    assert len(ran()) == 1


def test_a_postponed_part_of_a_package_hangs_on_the_package(postponed: Postponed) -> None:
    postponed("answer = 42", "made_up_package.part")

    from made_up_package import part  # type: ignore[import-not-found]

    assert importlib.import_module("made_up_package").part is part
    assert ran() == []
    assert part.answer == 42


def test_a_part_of_a_postponed_package_loads_without_the_rest_and_once(postponed: Postponed) -> None:
    name = postponed("from made_up_whole.part import answer", "made_up_whole", part="answer = object()")

    part = importlib.import_module(f"{name}.part")

    assert ran() == [f"{name}.part"]
    package = importlib.import_module(name)
    assert (package.answer, package.part) == (part.answer, part)
    assert ran() == [f"{name}.part", name]


def test_a_postponed_package_brings_its_parts(postponed: Postponed) -> None:
    postponed("from made_up_whole import part", "made_up_whole", part="answer = 42")

    from made_up_whole import part  # type: ignore[import-not-found]

    assert part.answer == 42


@pytest.mark.parametrize("name", ["json", "no_such_module"])
def test_what_is_loaded_already_or_not_there_is_left_alone(postponed: Postponed, name: str) -> None:
    before = sys.modules.get(name)

    cold_start.postpone(name)

    assert sys.modules.get(name) is before


def test_no_garbage_is_looked_for_meanwhile_and_again_afterwards_whatever_happens() -> None:
    before = gc.get_freeze_count()
    try:
        with suppress(OSError), cold_start.uncollected():
            collecting = gc.isenabled()
            raise OSError("made up")

        assert not collecting
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
