"""Tests of audit log lines and metrics."""

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


def test_a_change_is_logged_and_counted(logged: Logged) -> None:
    """Write one audit line that also counts the change in EMF."""
    change()

    (line,) = logged()
    assert (line["level"], line["message"], line["audit"]) == ("INFO", "API key update: done", AUDIT)
    assert line["_aws"]["CloudWatchMetrics"] == metric(["service", "change"], "Changes")
    assert (line["change"], line["Changes"]) == ("update", 1)
    assert line.keys() == {"level", "message", "timestamp", "service", "audit", "_aws", "change", "Changes"}


def test_an_audit_line_has_the_extended_request_id(logged: Logged) -> None:
    """Log the id of API Gateway, because the sender can choose requestId with the header x-amzn-RequestId."""
    by_gateway = replace(CHANGE, extended_request_id="S1h2iEXAMPLEjVw=")

    with audited("update", key_id="spotify.0123456789ab", fields=("name", "active"), context=by_gateway):
        pass

    assert logged()[0]["audit"] == AUDIT | {"extendedRequestId": "S1h2iEXAMPLEjVw="}


def test_a_replayed_change_is_logged_but_not_counted(logged: Logged) -> None:
    """Write the outcome `replayed`."""
    change("replayed")

    (line,) = logged()
    assert line["audit"] == AUDIT | {"outcome": "replayed"}
    assert "_aws" not in line


@pytest.mark.parametrize("error", [KeyStoreUnavailableError("Busy."), ZeroDivisionError()])
def test_a_change_with_an_unknown_outcome_is_logged_as_unknown(logged: Logged, error: Exception) -> None:
    """Log a transient or unexpected error as `unknown`."""
    with pytest.raises(type(error)):
        change(error=error)

    (line,) = logged()
    assert line["audit"] == AUDIT | {"outcome": "unknown"}
    assert "_aws" not in line


def test_a_rejected_change_is_not_logged(logged: Logged) -> None:
    """Write no audit line for a client error."""
    with pytest.raises(DuplicateKeyNameError):
        change(error=DuplicateKeyNameError("Taken."))

    assert logged() == []


def test_a_metric_has_its_timestamp_in_milliseconds() -> None:
    """Use an integer, as EMF requires."""
    before = time.time_ns() // 1_000_000
    extra: Any = count_metric("AccessDenied")
    after = time.time_ns() // 1_000_000

    assert before <= extra["_aws"]["Timestamp"] <= after
    assert isinstance(extra["_aws"]["Timestamp"], int)
    assert extra["_aws"]["CloudWatchMetrics"] == metric(["service"], "AccessDenied")
    assert extra["AccessDenied"] == 1


def test_the_metrics_namespace_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the variable at import."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "made-up-stack")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "ServiceKeys/made-up")

    started = runpy.run_path(observability.__file__)

    assert started["count_metric"]("AccessDenied")["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "ServiceKeys/made-up"


def test_no_metrics_are_counted_without_a_namespace(monkeypatch: pytest.MonkeyPatch, logged: Logged) -> None:
    """Omit the EMF fields from log lines."""
    monkeypatch.setattr(observability, "metrics_namespace", "")

    assert count_metric("AccessDenied") == {}
    change()
    assert "_aws" not in logged()[0]
