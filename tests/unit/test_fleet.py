"""Tests of the AWS calls of a fleet that reads one key: simulation with the real client, and prediction."""

import json
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(method: str, containers: int, minutes: int) -> dict[str, float]:
    """Run a simulation or prediction in a separate process, without coverage tracing."""
    code = f"import json; from benchmarks.fleet import {method}; print(json.dumps({method}({containers}, {minutes})))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


def test_a_fleet_stamps_about_once_a_minute() -> None:
    """Write at most three usage stamps a minute with 10,000 containers, failed ones included."""
    containers, minutes = 10_000, 8

    figures = run("simulate", containers, minutes)

    assert figures["most stamps in a minute"] <= 3
    assert figures["UpdateItem"] <= 3 * minutes, "refused stamps cost as much"
    assert figures["Decrypt"] <= containers
    assert figures["Query"] <= containers * (minutes + 1)
    assert figures["most seconds between stamps"] <= 61


@pytest.mark.parametrize(("containers", "minutes"), [(100, 60), (1000, 20)])
def test_the_prediction_matches_the_simulation(containers: int, minutes: int) -> None:
    """Predict Query and Decrypt exactly; usage stamps differ only by their jitter."""
    simulated, predicted = run("simulate", containers, minutes), run("predict", containers, minutes)

    assert (predicted["Query"], predicted["Decrypt"]) == (simulated["Query"], simulated["Decrypt"])
    assert predicted["UpdateItem"] == pytest.approx(simulated["UpdateItem"], rel=0.15)


def test_a_fleet_of_a_million_stamps_about_once_a_minute() -> None:
    """Bound the number of usage stamps, failed ones included, regardless of the fleet's size."""
    figures = run("predict", 1_000_000, 60)

    assert figures["most stamps in a minute"] <= 3
    assert figures["UpdateItem"] <= 6 * 60
    assert figures["most seconds between stamps"] <= 61
