"""Mutants of a module: its source with one small mistake in it, such as a programmer makes.

The mistakes are mutmut's, and five of ours. mutmut itself cannot be used: it leaves out every decorated function and
class, and all that stands outside of functions, which here is every property, context manager, data class, constant
and pattern.

What people read is not mutated (see `_is_words`): error messages and log lines are tested for what they must say, not
word for word. Annotations, docstrings, imports and decorators are not mutated either.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import libcst as cst
from libcst import matchers as m
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_string

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutated module.

    Attributes:
        change: Where it is and what changed, whatever number its line has; no two of a module have the same.
        line: Of the source that is mutated.
        lines: First and last line of the statement, without the block that it may head.
        scope: The function or class that holds the mistake, such as ``Table.get``; empty for the module itself.
        source: The whole module with the mistake.
    """

    change: str
    line: int
    lines: tuple[int, int]
    scope: str
    source: str


def mutants(path: Path) -> list[Mutant]:
    """Return all mutants of a module."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text()))
    visitor = _Visitor(wrapper.module)
    wrapper.visit(visitor)
    return visitor.found


# --- operators --------------------------------------------------------------------------------------------------------


def _negated(node: cst.If | cst.While | cst.IfExp | cst.CompIf | cst.MatchCase) -> Iterator[cst.CSTNode]:
    """``if done`` → ``if not done``, where mutmut changes no operator of the condition itself."""
    name = "guard" if isinstance(node, cst.MatchCase) else "test"
    condition = getattr(node, name)
    if condition is None or m.matches(condition, m.Comparison() | m.BooleanOperation() | m.UnaryOperation(m.Not())):
        return
    yield node.with_changes(**{name: cst.UnaryOperation(cst.Not(), _parenthesized(condition))})


def _dropped_call(node: cst.Expr) -> Iterator[cst.CSTNode]:
    """A call whose result is not used is left out."""
    if isinstance(node.value, cst.Call):
        yield cst.Pass()


def _dropped_raise(_node: cst.Raise) -> Iterator[cst.CSTNode]:
    """An error is not raised."""
    yield cst.Pass()


def _dropped_return(node: cst.Return) -> Iterator[cst.CSTNode]:
    """An early end is missed, or the result is: ``return found`` → ``pass``."""
    if not m.matches(node, m.Return(m.Name("None"))):
        yield cst.Pass()


def _dropped_exception(node: cst.ExceptHandler) -> Iterator[cst.CSTNode]:
    """One of several exceptions is not caught."""
    if isinstance(node.type, cst.Tuple):
        for index in range(len(node.type.elements)):
            kept = [*node.type.elements[:index], *node.type.elements[index + 1 :]]
            kept[-1] = kept[-1].with_changes(comma=cst.Comma())
            yield node.with_changes(type=node.type.with_changes(elements=kept))


def _string(node: cst.BaseString) -> Iterable[cst.CSTNode]:
    """mutmut's first of three mutants of a string: the others, in another case, die of the same tests."""
    return list(operator_string(node))[:1]


def _arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    """mutmut's mutants of a call's arguments, but not of what these two are given, and not of words for people.

    A positional argument becomes None, but is not left out: that is a TypeError, or nothing that a programmer does.
    """
    if m.matches(node.func, m.Name("isinstance") | m.Name("len")):
        return
    for mutant in operator_arg_removal(node):
        kept = {id(argument) for argument in mutant.args}
        changed = [argument for argument in node.args if id(argument) not in kept]
        fixed = len(mutant.args) < len(node.args) or _is_log_call(node)
        if not any(_is_words(argument.value) or (fixed and argument.keyword is None) for argument in changed):
            yield mutant


_REPLACED: Final = {operator_string.__name__: _string, operator_arg_removal.__name__: _arguments}
_OPERATORS: Final[list[tuple[Any, Callable[[Any], Iterable[cst.CSTNode]]]]] = [
    *[(kind, _REPLACED.get(operator.__name__, operator)) for kind, operator in mutation_operators],  # type: ignore[list-item]
    ((cst.If, cst.While, cst.IfExp, cst.CompIf, cst.MatchCase), _negated),
    (cst.Expr, _dropped_call),
    (cst.Raise, _dropped_raise),
    (cst.Return, _dropped_return),
    (cst.ExceptHandler, _dropped_exception),
]


# --- what is mutated --------------------------------------------------------------------------------------------------

_LOG_METHODS: Final = m.OneOf(*(m.Name(name) for name in ("debug", "info", "warning", "error", "exception")))
_LOGGERS: Final = m.Name("logger") | m.Name("_logger")
_WORD: Final = re.compile(r"(?<![^\s(\"'])[a-z]+(?![^\s.,;:)\"'])")
_NOT_WORDS: Final = re.compile(r"[=<#]|:[a-z]")


def _is_words(node: cst.CSTNode) -> bool:
    """Tell a sentence from what a program reads: three words or more, one in lower case, and no operators."""
    text = ""
    if isinstance(node, cst.SimpleString | cst.ConcatenatedString):
        value = node.evaluated_value
        text = value if isinstance(value, str) else ""
    elif isinstance(node, cst.FormattedString):
        text = "".join(part.value if isinstance(part, cst.FormattedStringText) else "x" for part in node.parts)
    return len(text.split()) >= 3 and bool(_WORD.search(text)) and not _NOT_WORDS.search(text)


def _loses_words(node: cst.CSTNode, mutant: cst.CSTNode) -> bool:
    """Tell whether a call, of an exception that is raised, is given None or nothing in the place of a string."""
    if not isinstance(node, cst.Call) or not isinstance(mutant, cst.Call):
        return False
    kept = {id(argument) for argument in mutant.args}
    return any(id(argument) not in kept and isinstance(argument.value, cst.BaseString) for argument in node.args)


def _is_log_call(node: cst.CSTNode) -> bool:
    return m.matches(node, m.Call(func=m.Attribute(value=_LOGGERS, attr=_LOG_METHODS)))


class _Visitor(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ByteSpanPositionProvider, ParentNodeProvider)

    def __init__(self, module: cst.Module) -> None:
        super().__init__()
        self.found: list[Mutant] = []
        self._module = module
        self._code = module.code
        self._bytes = self._code.encode()
        self._scopes: list[str] = []
        self._raising = 0
        self._changes: Counter[str] = Counter()
        self._statements: list[tuple[int, int]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._is_skipped(node):
            return False
        self._raising += isinstance(node, cst.Raise)
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._scopes.append(node.name.value)
        if isinstance(node, cst.BaseStatement | cst.ExceptHandler | cst.MatchCase):
            self._statements.append(self._lines(node))
        for kind, operator in _OPERATORS:
            if isinstance(node, kind):
                self._mutate(node, operator(node))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._is_skipped(original_node):
            return
        self._raising -= isinstance(original_node, cst.Raise)
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._scopes.pop()
        if isinstance(original_node, cst.BaseStatement | cst.ExceptHandler | cst.MatchCase):
            self._statements.pop()

    def _lines(self, node: cst.CSTNode) -> tuple[int, int]:
        where = self.get_metadata(PositionProvider, node)
        body = getattr(node, "body", None)
        if isinstance(node, cst.SimpleStatementLine) or not isinstance(body, cst.BaseSuite):
            return where.start.line, where.end.line
        return where.start.line, max(where.start.line, self.get_metadata(PositionProvider, body).start.line - 1)

    def _is_skipped(self, node: cst.CSTNode) -> bool:
        return (
            isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom)
            or m.matches(node, m.If(test=m.Name("TYPE_CHECKING")))
            or m.matches(node, m.Expr(value=m.SimpleString() | m.ConcatenatedString() | m.Ellipsis()))
            or m.matches(node, m.Assign(value=m.Call(func=m.Name("TypeVar"))))
            or m.matches(node, m.Call(func=m.Attribute(attr=m.Name("getLogger"))))
            or _is_words(node)
            or (isinstance(node, cst.BaseString) and self._raising > 0)
            or self._is_log_argument(node)
        )

    def _is_log_argument(self, node: cst.CSTNode) -> bool:
        """Tell what is filled into a log line's words from its other fields, which a program may read."""
        if not isinstance(node, cst.Arg) or node.keyword is not None:
            return False
        return _is_log_call(self.get_metadata(ParentNodeProvider, node))

    def _mutate(self, node: cst.CSTNode, changed: Iterable[cst.CSTNode]) -> None:
        for mutant in changed:
            if self._raising and _loses_words(node, mutant):
                continue
            source = self._replaced(node, mutant)
            if source == self._code or not _is_python(source):
                continue
            line = self.get_metadata(PositionProvider, node).start.line
            scope = ".".join(self._scopes)
            self.found.append(
                Mutant(self._change(node, mutant, line, scope), line, self._statements[-1], scope, source)
            )

    def _change(self, node: cst.CSTNode, mutant: cst.CSTNode, line: int, scope: str) -> str:
        before, after = _difference(self._module.code_for_node(node), self._module.code_for_node(mutant))
        where = self._code.splitlines()[line - 1].partition("  #")[0].strip()
        change = f"{scope or '(module)'} | {where} | {before} → {after}"
        self._changes[change] += 1
        return change if self._changes[change] == 1 else f"{change} ({self._changes[change]})"

    def _replaced(self, node: cst.CSTNode, mutant: cst.CSTNode) -> str:
        """Return the module with ``mutant`` in the place of ``node``."""
        code, span = self._bytes, self.get_metadata(ByteSpanPositionProvider, node)
        end = span.start + span.length
        before = self._module.code_for_node(node)
        if "\n" in before or code[span.start : end].decode() != before:
            # Blocks, whose lines are indented, and nodes whose place does not count their own white space.
            return cst.ensure_type(self._module.deep_replace(node, mutant), cst.Module).code
        return (code[: span.start] + self._module.code_for_node(mutant).encode() + code[end:]).decode()


def _parenthesized(expression: cst.BaseExpression) -> cst.BaseExpression:
    return expression.with_changes(lpar=[cst.LeftParen(), *expression.lpar], rpar=[*expression.rpar, cst.RightParen()])


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _difference(before: str, after: str) -> tuple[str, str]:
    """Return two pieces of code on one line each, without what both begin and end with."""
    old, new = (re.findall(r"\w+|\s+|[^\w\s]", " ".join(code.split())) for code in (before, after))
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    return "".join(old[start : len(old) - end]), "".join(new[start : len(new) - end])


def _common(one: list[str], other: list[str]) -> int:
    """Return how many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (mine, yours) in pairs if mine != yours), min(len(one), len(other)))
