"""Leak detection: every made-up secret of the tests contains the canary, which must appear in no output.

Inspected are every response of the API, every logged or printed line, every request to DynamoDB, every item in the
table, the metadata of KMS calls, and every error that reaches a handler or a consumer, with its chain. `LEAKS` collects
the findings; each test asserts that there are none.
"""

from __future__ import annotations

import base64
import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY: Final = "c0ffee5ec2e7"
"""Hexadecimal, so that a Spotify key can contain it; 12 characters, so that no mask shows all of it."""


def _forms() -> Iterator[str]:
    yield CANARY
    yield CANARY.encode().hex()
    # The base64 that is independent of adjacent bytes, for each of the three offsets in a group.
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + CANARY.encode() + b"\0" * (-(before + len(CANARY)) % 3)).decode()
        yield encoded[4 * (before > 0) : len(encoded) - 4 * ((before + len(CANARY)) % 3 > 0)]


_ANY_FORM: Final = re.compile("|".join(map(re.escape, _forms())), re.IGNORECASE)


def contains_canary(*shown: object) -> bool:
    """Return True if any value contains the canary as text, in hex or in base64."""
    return any(_ANY_FORM.search(_text(value)) for value in shown)


class LeakDetector:
    """Collects the places where the canary appeared."""

    def __init__(self) -> None:
        self.leaks: list[str] = []

    def inspect(self, where: str, *shown: object) -> None:
        """Search the values that ``where`` showed."""
        self.leaks += [f"{where} shows a secret: {_text(value)[:400]}" for value in shown if contains_canary(value)]

    def inspect_error(self, where: str, error: BaseException) -> None:
        """Search an error: its text, arguments and attributes, and those of its chain."""
        for link in _chain(error):
            held = [str(link), repr(link), link.args, vars(link), getattr(link, "__notes__", ())]
            if hasattr(link, "errors"):
                # pydantic returns the invalid input here.
                held.append(link.errors())
            self.inspect(f"{where}: {type(link).__name__}", *held)

    def expect(self, where: str) -> None:
        """Remove the expected leaks, which a test caused on purpose.

        Raises:
            AssertionError: There is no such leak, so the test does not cover its subject.
        """
        expected = [leak for leak in self.leaks if leak.startswith(where)]
        assert expected, self.leaks
        self.leaks = [leak for leak in self.leaks if leak not in expected]

    def drain(self) -> list[str]:
        """Return the leaks since the last call."""
        leaks, self.leaks = self.leaks, []
        return leaks


LEAKS: Final = LeakDetector()


class LeakDetectingHandler(logging.Handler):
    """Inspects every log record and its exception."""

    def emit(self, record: logging.LogRecord) -> None:
        """Inspect one record."""
        LEAKS.inspect(f"logger {record.name}", self.format(record), vars(record))
        if record.exc_info and record.exc_info[1]:
            LEAKS.inspect_error(f"logger {record.name}", record.exc_info[1])


@contextmanager
def inspect_log(level: int = logging.DEBUG) -> Iterator[None]:
    """Log at DEBUG for all libraries, and inspect each record."""

    handler, root = LeakDetectingHandler(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            # Includes contexts that `from None` suppresses, because they stay reachable.
            waiting += [link.__cause__, link.__context__, *getattr(link, "exceptions", ())]


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else repr(value)
