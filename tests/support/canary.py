"""One marked word is in every made-up secret of the suite, and must come out nowhere.

Looked at are: every answer of the API, every line that is logged or printed by any test, every request to DynamoDB and
every item in the table, what goes to KMS beside the plaintext, and every error that reaches a handler's last line or a
reader's caller, with its whole chain. One place collects what was found; each test asserts that this is nothing.
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
"""Hexadecimal, so that a Spotify key can hold it; 12 characters, so that no mask shows it."""


def _forms() -> Iterator[str]:
    yield CANARY
    yield CANARY.encode().hex()
    # What of base64 does not depend on the neighbours, for each of the three places in a group that it can begin at.
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + CANARY.encode() + b"\0" * (-(before + len(CANARY)) % 3)).decode()
        yield encoded[4 * (before > 0) : len(encoded) - 4 * ((before + len(CANARY)) % 3 > 0)]


_ANY_FORM: Final = re.compile("|".join(map(re.escape, _forms())), re.IGNORECASE)


def contains_canary(*shown: object) -> bool:
    """Tell whether the word is in any of these, as it is, in hex or in base64."""
    return any(_ANY_FORM.search(_text(value)) for value in shown)


class LeakDetector:
    """Collects where the word came out."""

    def __init__(self) -> None:
        self.leaks: list[str] = []

    def inspect(self, where: str, *shown: object) -> None:
        """Look for the word in what ``where`` showed."""
        self.leaks += [f"{where} shows a secret: {_text(value)[:400]}" for value in shown if contains_canary(value)]

    def inspect_error(self, where: str, error: BaseException) -> None:
        """Look for the word in an error: its text, its arguments, what it holds, and what it came from."""
        for link in _chain(error):
            held = [str(link), repr(link), link.args, vars(link), getattr(link, "__notes__", ())]
            if hasattr(link, "errors"):
                # pydantic's: what of the input it would give to whoever asks.
                held.append(link.errors())
            self.inspect(f"{where}: {type(link).__name__}", *held)

    def expect(self, where: str) -> None:
        """Take what a test showed on purpose.

        Raises:
            AssertionError: It did not, so the test is not about what its author thinks.
        """
        expected = [leak for leak in self.leaks if leak.startswith(where)]
        assert expected, self.leaks
        self.leaks = [leak for leak in self.leaks if leak not in expected]

    def drain(self) -> list[str]:
        """Return what was found since the last time."""
        leaks, self.leaks = self.leaks, []
        return leaks


LEAKS: Final = LeakDetector()


class LeakDetectingHandler(logging.Handler):
    """Looks at every line, and at the error that one is about."""

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line, and at what it was made of."""
        LEAKS.inspect(f"logger {record.name}", self.format(record), vars(record))
        if record.exc_info and record.exc_info[1]:
            LEAKS.inspect_error(f"logger {record.name}", record.exc_info[1])


@contextmanager
def inspect_log(level: int = logging.DEBUG) -> Iterator[None]:
    """Log everything that any library would, and look at each line."""

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
            # Also what `from None` hides: whoever walks the chain finds it.
            waiting += [link.__cause__, link.__context__, *getattr(link, "exceptions", ())]


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else repr(value)
