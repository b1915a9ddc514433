"""Marks the parameters with which a test waits for a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _pytest.mark import ParameterSet


def with_slow(values: Iterable[str], *slow: str) -> list[str | ParameterSet]:
    """Return the parameters of a test; mark those in ``slow``, so that only `make test-slow` runs them."""
    return [pytest.param(value, marks=pytest.mark.slow) if value in slow else value for value in values]
