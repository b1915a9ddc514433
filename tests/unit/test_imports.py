"""What a cold start pays for."""

import subprocess
import sys
from pathlib import Path

import pytest

LAYER = Path(__file__).parents[2] / "layers" / "service_keys"
HEAVY = ("boto3", "pydantic", "aws_lambda_powertools", "jwt")


@pytest.mark.parametrize("module", ["service_keys", "service_keys.testing"])
def test_importing_what_readers_need_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"

    ran = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(LAYER)}, capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"


def test_what_readers_import_is_what_is_documented() -> None:
    import service_keys

    assert all(hasattr(service_keys, name) for name in service_keys.__all__)
    assert {"ApiKey", "ServiceKeys", "get_api_key", "KeyDisabled"} <= set(service_keys.__all__)
