"""The line that every change leaves, and what it counts."""

from __future__ import annotations

import runpy
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from service_keys.admin import observability
from service_keys.admin.audit import audited
from service_keys.admin.observability import count_metric
from service_keys.core.models import ChangeContext
from service_keys.errors import DuplicateKeyNameError, KeyStoreUnavailableError

if TYPE_CHECKING:
    from tests.conftest import Logged

CHANGE = ChangeContext(at_ms=0, principal="ada", request_id="r-1")
AUDIT = {
    "change": "update",
    "outcome": "done",
    "keyId": "spotify.0123456789ab",
    "fields": ["active", "name"],
    "principal": "ada",
    "requestId": "r-1",
}


@pytest.fixture(autouse=True)
def _counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observability, "metrics_namespace", "ServiceKeys")


def change(outcome: str | None = None, error: Exception | None = None) -> None:
    with audited("update", key_id="spotify.0123456789ab", fields=("name", "active"), context=CHANGE) as audit:
        if outcome:
            audit.outcome = outcome
        if error:
            raise error


def metric(dimensions: list[str], name: str) -> list[dict[str, Any]]:
    return [{"Namespace": "ServiceKeys", "Dimensions": [dimensions], "Metrics": [{"Name": name, "Unit": "Count"}]}]


def test_a_change_that_was_made_is_told_and_counted(logged: Logged) -> None:
    change()

    (line,) = logged()
    assert (line["level"], line["message"], line["audit"]) == ("INFO", "API key update: done", AUDIT)
    assert line["_aws"]["CloudWatchMetrics"] == metric(["service", "change"], "Changes")
    assert (line["change"], line["Changes"]) == ("update", 1)
    assert line.keys() == {"level", "message", "timestamp", "service", "audit", "_aws", "change", "Changes"}


def test_an_audit_line_has_the_id_that_no_sender_can_choose(logged: Logged) -> None:
    """The sender of a request chooses requestId, by the header x-amzn-RequestId."""
    by_gateway = replace(CHANGE, extended_request_id="S1h2iEXAMPLEjVw=")

    with audited("update", key_id="spotify.0123456789ab", fields=("name", "active"), context=by_gateway):
        pass

    assert logged()[0]["audit"] == AUDIT | {"extendedRequestId": "S1h2iEXAMPLEjVw="}


def test_a_change_that_was_made_before_is_told_but_not_counted(logged: Logged) -> None:
    change("replayed")

    (line,) = logged()
    assert line["audit"] == AUDIT | {"outcome": "replayed"}
    assert "_aws" not in line


@pytest.mark.parametrize("error", [KeyStoreUnavailableError("Busy."), ZeroDivisionError()])
def test_a_change_that_may_have_been_made_is_told_as_unknown(logged: Logged, error: Exception) -> None:
    with pytest.raises(type(error)):
        change(error=error)

    (line,) = logged()
    assert line["audit"] == AUDIT | {"outcome": "unknown"}
    assert "_aws" not in line


def test_a_change_that_is_refused_leaves_no_line(logged: Logged) -> None:
    with pytest.raises(DuplicateKeyNameError):
        change(error=DuplicateKeyNameError("Taken."))

    assert logged() == []


def test_a_count_carries_its_moment_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    extra: Any = count_metric("AccessDenied")
    after = time.time_ns() // 1_000_000

    assert before <= extra["_aws"]["Timestamp"] <= after
    assert isinstance(extra["_aws"]["Timestamp"], int)
    assert extra["_aws"]["CloudWatchMetrics"] == metric(["service"], "AccessDenied")
    assert extra["AccessDenied"] == 1


def test_counts_go_where_the_environment_says_when_a_function_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "made-up-stack")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "ServiceKeys/made-up")

    started = runpy.run_path(observability.__file__)

    assert started["count_metric"]("AccessDenied")["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "ServiceKeys/made-up"


def test_where_metrics_are_switched_off_nothing_is_counted(monkeypatch: pytest.MonkeyPatch, logged: Logged) -> None:
    monkeypatch.setattr(observability, "metrics_namespace", "")

    assert count_metric("AccessDenied") == {}
    change()
    assert "_aws" not in logged()[0]
