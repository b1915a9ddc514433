"""A cached read beside its peers, in one process: `make bench`.

Every one of them holds the secret already; what is measured is asking for it again. Ratios count, not microseconds:
they stay the same from machine to machine.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
import timeit
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "layers" / "service_keys"))

import boto3  # noqa: E402 - the layer must be on the path first
from aws_lambda_powertools.utilities import parameters  # noqa: E402
from aws_lambda_powertools.utilities.parameters.constants import DEFAULT_PROVIDERS  # noqa: E402

from service_keys import ServiceKeys, get_api_key, reader  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "made-up-secret-0123456789"
CALLS, REPEATS = 100_000, 9


class _Store:
    """DynamoDB, KMS and Secrets Manager, as far as one key needs them."""

    class exceptions:  # noqa: N801 - botocore's name
        ConditionalCheckFailedException = InvalidCiphertextException = IncorrectKeyException = RuntimeError

    def query(self, **_: Any) -> dict[str, Any]:
        item = {"id": {"S": "openai.0123456789ab"}, "name": {"S": "OpenAI"}, "active": {"BOOL": True}}
        return {"Items": [item | {"ciphertext": {"B": b"made up"}, "version": {"N": "1"}}]}

    def decrypt(self, **_: Any) -> dict[str, Any]:
        return {"Plaintext": f'"{SECRET}"'.encode()}

    def update_item(self, **_: Any) -> dict[str, Any]:
        return {}

    def get_secret_value(self, **_: Any) -> dict[str, Any]:
        return {"SecretString": SECRET}


def _peers() -> dict[str, Callable[[], object]]:
    store: Any = _Store()
    # What was read stays fresh for longer than the benchmark runs.
    reader.FRESH_SECONDS = 3600  # type: ignore[misc]
    reader._shared = ServiceKeys("table", dynamodb_client=store, kms_client=store)  # noqa: SLF001 - the one instance
    client: Any = boto3.client(
        "secretsmanager", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    client.get_secret_value = store.get_secret_value
    DEFAULT_PROVIDERS["secrets"] = parameters.SecretsProvider(boto3_client=client)
    held = {"openai": (time.time() + 3600, SECRET)}

    def bare() -> object:
        until, value = held["openai"]
        return value if time.time() < until else None

    return {
        "a dict with a clock": bare,
        "service_keys": lambda: get_api_key("openai"),
        "service_keys, with .value": lambda: get_api_key("openai").value,
        "Powertools get_secret": lambda: parameters.get_secret("openai", max_age=3600),
    }


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    peers = _peers()
    for ask in peers.values():
        ask()
    # In turns, so that what else the machine does hits all alike.
    rounds = [{name: timeit.timeit(ask, number=CALLS) / CALLS for name, ask in peers.items()} for _ in range(REPEATS)]
    medians = {name: statistics.median(each[name] for each in rounds) for name in peers}
    theirs = medians["Powertools get_secret"]
    print(f"Cached read, median of {REPEATS} x {CALLS:,} calls, Python {platform.python_version()}\n")
    print(f"{'':28} {'µs':>7} {'of Powertools':>14} {'of the dict':>12}")
    for name, seconds in medians.items():
        ratio, bare = seconds / theirs, seconds / medians["a dict with a clock"]
        print(f"{name:28} {seconds * 1e6:7.3f} {ratio:14.3f} {bare:12.2f}")


if __name__ == "__main__":
    main()
