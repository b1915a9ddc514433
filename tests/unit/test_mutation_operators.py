"""What `make mutants` changes in a module, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mutation.operators import mutants

if TYPE_CHECKING:
    from pathlib import Path


def changes(tmp_path: Path, source: str) -> list[str]:
    """Every mutant, as the line that it changed."""
    path = tmp_path / "module.py"
    path.write_text(source)
    before = source.splitlines()
    found = []
    for mutant in mutants(path):
        compile(mutant.source, "mutant", "exec")
        after = mutant.source.splitlines()
        found += [line.strip() for old, line in zip(before, after, strict=False) if old != line][:1]
    return found


@pytest.mark.parametrize(
    ("line", "mutated"),
    [
        ("LIMIT = 60", {"LIMIT = None", "LIMIT = 61"}),
        ("x = f(a, key=b)", {"x = None", "x = f(None, key=b)", "x = f(a, key=None)", "x = f(a, )"}),
        ("x = a <= b < c", {"x = None", "x = a < b < c", "x = a <= b <= c"}),
        ("x = {'active'}", {"x = None", "x = {'XXactiveXX'}"}),
        ("x = 1 if done else z", {"x = None", "x = 2 if done else z", "x = 1 if not (done) else z"}),
        ("items.clear()", {"pass"}),
        ("raise error", {"pass"}),
    ],
)
def test_a_statement_has_these_mutants(tmp_path: Path, line: str, mutated: set[str]) -> None:
    assert set(changes(tmp_path, line + "\n")) == mutated


def test_conditions_are_negated_and_early_ends_missed(tmp_path: Path) -> None:
    source = "def f(done):\n    if done:\n        return\n    while done.wait():\n        pass\n"

    assert changes(tmp_path, source) == ["if not (done):", "pass", "while not (done.wait()):"]


def test_each_of_several_exceptions_is_left_out_once(tmp_path: Path) -> None:
    source = "try:\n    x\nexcept (A, B) as error:\n    pass\n"

    assert [change.replace(" ", "") for change in changes(tmp_path, source)] == [
        "except(B,)aserror:",
        "except(A,)aserror:",
    ]


@pytest.mark.parametrize(
    "source",
    [
        '"""What it is."""\n',
        "from a import b\n",
        "def f(a: int = b) -> str: ...\n",
        "@cache\ndef f(): ...\n",
        "x: int\n",
        "T = TypeVar('T')\n",
        "if TYPE_CHECKING:\n    x = 1\n",
    ],
)
def test_what_is_no_logic_is_left_alone(tmp_path: Path, source: str) -> None:
    assert changes(tmp_path, source) == []


def test_words_for_people_are_left_alone_and_what_programs_read_is_not(tmp_path: Path) -> None:
    assert changes(tmp_path, 'raise E(f"There is no key of {service}.")\n') == ["pass"]
    assert changes(tmp_path, 'raise E("claim=value or claim=value,value")\n') == ["pass"]
    assert changes(tmp_path, '_logger.info("Refused %s", what)\n') == ["pass"]
    assert changes(tmp_path, 'logger.info("Refused", extra={"code": code})\n') == [
        "pass",
        'logger.info("Refused", extra=None)',
        'logger.info("Refused", )',
        'logger.info("Refused", extra={"XXcodeXX": code})',
    ]
    assert 'C = "XXattribute_exists(id) AND version = :readXX"' in changes(
        tmp_path, 'C = "attribute_exists(id) AND version = :read"\n'
    )


def test_what_is_decorated_is_mutated_like_everything_else(tmp_path: Path) -> None:
    source = "class A:\n    limit: int = 5\n\n    @property\n    def b(self):\n        return self.c + 1\n"

    assert changes(tmp_path, source) == [
        "limit: int = None",
        "limit: int = 6",
        "pass",
        "return self.c - 1",
        "return self.c + 2",
    ]


def test_mutants_of_one_module_have_different_names(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("x = f(1, 1)\nx = f(1, 1)\n")
    names = [mutant.change for mutant in mutants(path)]

    assert len(set(names)) == len(names) > 4
