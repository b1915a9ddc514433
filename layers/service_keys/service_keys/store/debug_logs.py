"""Suppression of botocore's DEBUG logs during the calls of KMS: they contain the plaintext."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_is_suppressed: ContextVar[bool] = ContextVar("secret_on_the_wire", default=False)


class _SensitiveCallFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the base class's signature
        return not _is_suppressed.get()


for _name in ("botocore.endpoint", "botocore.parsers", "botocore.hooks", "botocore.auth"):
    logging.getLogger(_name).addFilter(_SensitiveCallFilter())


@contextmanager
def suppressed() -> Iterator[None]:
    """Suppress the logs of this thread, or of this task, inside the block."""
    token = _is_suppressed.set(True)
    try:
        yield
    finally:
        _is_suppressed.reset(token)
