"""What tests of every kind use."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service_keys.observability import logger

Logged = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logged() -> Iterator[Logged]:
    """What the functions have logged so far, line by line, as they would write it."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    before = handler.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    handler.setStream(before)
