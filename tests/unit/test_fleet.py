"""What a fleet of ten thousand containers costs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FLEET = Path(__file__).parents[2] / "benchmarks" / "fleet.py"
READERS = 10_000


@pytest.mark.timeout(300)
def test_a_fleet_writes_about_once_a_minute() -> None:
    # In a process of its own, without the tracing of coverage: it is two million reads.
    ran = subprocess.run(
        [sys.executable, FLEET, "--readers", str(READERS), "--json"], capture_output=True, text=True, check=True
    )

    figures = json.loads(ran.stdout)
    assert figures["most stamps in a minute"] <= 3
    assert figures["UpdateItem"] <= 3 * 60, "tries that are refused cost as much"
    assert figures["Decrypt"] <= READERS * 2
    assert figures["Query"] <= READERS * 61
    assert figures["most seconds between stamps"] <= 61, "the stamp stays true to the use"
