"""A cached read beside its peers: every one of them holds the secret already, and is asked for it again."""

from __future__ import annotations

import sys
import time
import timeit
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.report import LAYER, Options, Part, Spread, Table, Target, run_alone

sys.path.insert(0, str(LAYER))

import boto3
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.constants import DEFAULT_PROVIDERS
from aws_secretsmanager_caching import SecretCache  # type: ignore[import-not-found, unused-ignore]

from service_keys import ServiceKeys, get_api_key, reader

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "made-up-secret-0123456789"
BARE, OURS, VALUE = "a dict with a clock", "service_keys", "service_keys, with .value"
POWERTOOLS, CACHING = "Powertools get_secret", "aws-secretsmanager-caching"
SECONDS = 0.05
"""How long each is asked in a round, about."""

METHOD = """\
One process, all of them by turns; every one holds the secret, and is asked for it again until a twentieth of a second
has passed, in processor time. `.value` is what a consumer hands on to its service's SDK. The dict is `value if
time.time() < until else None`: what a cached read cannot do without."""


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
        # As Secrets Manager answers it: what copies the answer copies all of it.
        return {
            "ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:openai-AbCdEf",
            "Name": "openai",
            "VersionId": "00000000-0000-0000-0000-000000000000",
            "SecretString": SECRET,
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": datetime(2026, 1, 2, tzinfo=UTC),
            "ResponseMetadata": {
                "RequestId": "00000000-0000-0000-0000-000000000000",
                "HTTPStatusCode": 200,
                "HTTPHeaders": {
                    "x-amzn-requestid": "00000000-0000-0000-0000-000000000000",
                    "content-type": "application/x-amz-json-1.1",
                    "content-length": "270",
                    "date": "Fri, 02 Jan 2026 00:00:00 GMT",
                },
                "RetryAttempts": 0,
            },
        }

    def describe_secret(self, **_: Any) -> dict[str, Any]:
        return {"VersionIdsToStages": {"made-up": ["AWSCURRENT"]}}


def _candidates() -> dict[str, Callable[[], object]]:
    store: Any = _Store()
    reader._shared = ServiceKeys("table", dynamodb_client=store, kms_client=store)  # noqa: SLF001 - the one instance
    client: Any = boto3.client(
        "secretsmanager", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    client.get_secret_value, client.describe_secret = store.get_secret_value, store.describe_secret
    DEFAULT_PROVIDERS["secrets"] = parameters.SecretsProvider(boto3_client=client)
    cache = SecretCache(client=client)
    held = {"openai": (time.time() + 3600, SECRET)}

    def bare() -> object:
        until, value = held["openai"]
        return value if time.time() < until else None

    return {
        BARE: bare,
        OURS: lambda: get_api_key("openai"),
        VALUE: lambda: get_api_key("openai").value,
        POWERTOOLS: lambda: parameters.get_secret("openai", max_age=3600),
        CACHING: lambda: cache.get_secret_string("openai"),
    }


def measure(options: Options) -> Part:
    """Ask each of them in turns."""
    fresh = reader.FRESH_SECONDS
    # What was read stays fresh for longer than the benchmark runs; other parts are about how long it really does.
    reader.FRESH_SECONDS = 3600  # type: ignore[misc]
    try:
        return _measured(options)
    finally:
        reader.FRESH_SECONDS = fresh  # type: ignore[misc]


def _measured(options: Options) -> Part:
    rounds = options.choose(25, 7)
    asked = _candidates()
    calls = {}
    for name, ask in asked.items():
        if ask() != SECRET and name != OURS:
            message = f"{name} did not return the secret"
            raise RuntimeError(message)
        calls[name] = int(SECONDS / (timeit.timeit(ask, number=100) / 100)) + 1
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(rounds):
        options.progress(f"cached read: round {number + 1} of {rounds}")
        for name, ask in asked.items():
            seconds[name].append(timeit.timeit(ask, timer=time.process_time, number=calls[name]) / calls[name])

    def ratio(name: str, other: str) -> float:
        return Spread.of([a / b for a, b in zip(seconds[name], seconds[other], strict=True)]).median

    rows = [
        (name, Spread.of(spent).shown(3, 1e6), f"{ratio(name, POWERTOOLS):.3f}", f"{ratio(name, BARE):.1f}")
        for name, spent in seconds.items()
    ]
    medians = {name: Spread.of(spent).median * 1e6 for name, spent in seconds.items()}
    return Part(
        f"Cached read: {rounds} rounds",
        METHOD,
        [Table(("", "µs", "of Powertools", "of the dict"), rows)],
        targets=[
            Target("cached read with .value, of Powertools' get_secret", ratio(VALUE, POWERTOOLS), 0.1),
            Target("cached read with .value, of a dict with a clock", ratio(VALUE, BARE), 5),
        ],
        readme=[
            (
                "cached read",
                f"{medians[VALUE]:.2f} µs",
                (
                    f"Powertools `get_secret` {medians[POWERTOOLS]:.1f} µs, aws-secretsmanager-caching "
                    f"{medians[CACHING]:.0f} µs, a dict with a clock {medians[BARE]:.2f} µs"
                ),
            )
        ],
    )


if __name__ == "__main__":
    run_alone(__doc__, measure)
