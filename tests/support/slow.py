"""Mark the parameters of a test with which it waits for a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _pytest.mark import ParameterSet


def with_slow(values: Iterable[str], *slow: str) -> list[str | ParameterSet]:
    """Return the parameters of a test, those in ``slow`` with the mark that leaves them to `make test-slow`."""
    return [pytest.param(value, marks=pytest.mark.slow) if value in slow else value for value in values]
