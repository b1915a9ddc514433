"""What tests of every kind use."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service_keys import observability
from service_keys.observability import logger

Logged = Callable[[], list[dict[str, Any]]]
Counted = Callable[[], list[tuple[str, dict[str, str]]]]


@pytest.fixture
def logged() -> Iterator[Logged]:
    """What the functions have logged so far, line by line, as they would write it."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    before = handler.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    handler.setStream(before)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Counted:
    """What the functions have counted since the last call: each metric's name and its dimensions, but for the stack's.

    Read as CloudWatch reads it: by the specification of the embedded metric format.
    """
    monkeypatch.setattr(observability, "metrics_namespace", "ServiceKeys/test")

    def read() -> list[tuple[str, dict[str, str]]]:
        found = []
        for line in capsys.readouterr().out.splitlines():
            if '"_aws"' not in line:
                continue
            document = json.loads(line)
            (directive,) = document["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == "ServiceKeys/test"
            (metric,), (names,) = directive["Metrics"], directive["Dimensions"]
            assert (metric["Unit"], document[metric["Name"]]) == ("Count", [1.0])
            assert document["service"] == logger.service
            found.append((metric["Name"], {name: document[name] for name in names if name != "service"}))
        return found

    return read
