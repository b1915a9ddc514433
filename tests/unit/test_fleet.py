"""What a fleet of containers that read one key calls, in the simulation with the real reader and in the model of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _ran(readers: int, minutes: int, *options: str) -> dict[str, float]:
    # In a process of its own, without the tracing of coverage: it is hundreds of thousands of reads.
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.fleet", "--readers", str(readers), "--minutes", str(minutes), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_fleet_writes_about_once_a_minute() -> None:
    readers, minutes = 10_000, 8

    figures = _ran(readers, minutes)

    assert figures["most stamps in a minute"] <= 3
    assert figures["UpdateItem"] <= 3 * minutes, "tries that are refused cost as much"
    assert figures["Decrypt"] <= readers
    assert figures["Query"] <= readers * (minutes + 1)
    assert figures["most seconds between stamps"] <= 61, "the stamp stays true to the use"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("readers", "minutes"), [(100, 60), (1000, 20)])
def test_the_model_calls_what_the_simulation_does(readers: int, minutes: int) -> None:
    simulated, predicted = _ran(readers, minutes), _ran(readers, minutes, "--predict")

    assert (predicted["Query"], predicted["Decrypt"]) == (simulated["Query"], simulated["Decrypt"])
    assert predicted["UpdateItem"] == pytest.approx(simulated["UpdateItem"], rel=0.15), "what is left is the dice"


def test_a_fleet_of_a_million_still_stamps_about_once_a_minute() -> None:
    figures = _ran(1_000_000, 60, "--predict")

    assert figures["most stamps in a minute"] <= 3
    assert figures["UpdateItem"] <= 6 * 60, "tries that are refused are a few for each stamp, however many readers"
    assert figures["most seconds between stamps"] <= 61
