"""Fixtures and hooks for all tests."""

import io
import json
import logging
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from service_keys.admin import observability
from service_keys.admin.observability import logger
from tests.support.canary import LEAKS, contains_canary

Logged = Callable[[], list[dict[str, Any]]]
Counted = Callable[[], list[tuple[str, dict[str, str]]]]


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Return the parsed log lines of the functions so far, as written by their own log handler."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    before = handler.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    handler.setStream(before)
    LEAKS.inspect("the functions' log", written.getvalue())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail every test during which this process or one of its children printed or logged a secret."""
    report = yield
    if report.passed and (leaks := [title for title, shown in report.sections if contains_canary(shown)]):
        report.outcome = "failed"
        report.longrepr = f"a secret stands in: {', '.join(leaks)}"
    return report


@pytest.fixture(autouse=True)
def assert_no_secret_leaked() -> Iterator[None]:
    """Fail every test during which the canary secret leaked."""
    LEAKS.drain()
    yield
    assert LEAKS.drain() == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report the number of generated requests of all worker processes."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    made = sorted(value for report in reports for name, value in report.user_properties if name == "generated calls")
    if made:
        terminalreporter.section("generated calls")
        for line in made:
            terminalreporter.write_line(line)
        total = sum(int(line.partition(": ")[2].split()[0]) for line in made)
        terminalreporter.write_line(f"{total} calls in all")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, logged: Logged) -> Counted:
    """Return the metrics counted so far: each name with its dimensions, except the one of the stack.

    Parsed by the specification of CloudWatch's embedded metric format.
    """
    monkeypatch.setattr(observability, "metrics_namespace", "ServiceKeys/test")

    def read() -> list[tuple[str, dict[str, str]]]:
        found = []
        for line in logged():
            if "_aws" not in line:
                continue
            assert abs(line["_aws"]["Timestamp"] / 1000 - time.time()) < 60
            (directive,) = line["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == "ServiceKeys/test"
            (metric,), (names,) = directive["Metrics"], directive["Dimensions"]
            assert (metric["Unit"], line[metric["Name"]]) == ("Count", 1)
            assert line["service"] == logger.service
            found.append((metric["Name"], {name: line[name] for name in names if name != "service"}))
        return found

    return read
