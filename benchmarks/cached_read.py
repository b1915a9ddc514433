"""Cached read: the time to get a cached secret, compared with other caches."""

from __future__ import annotations

import statistics
import sys
import time
import timeit
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.report import LAYER, Bound, Part, format_table, median_ratio, median_with_quartiles, show_progress

sys.path.insert(0, str(LAYER))

import boto3
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.constants import DEFAULT_PROVIDERS
from aws_secretsmanager_caching import SecretCache  # type: ignore[import-not-found, unused-ignore]

from benchmarks.fleet import FakeStore
from service_keys import ServiceKeys, get_api_key
from service_keys.reader import client as client_module
from service_keys.reader import default_client

if TYPE_CHECKING:
    from collections.abc import Callable

DICT, OURS = "a dict with a clock", "service_keys, with .value"
POWERTOOLS, CACHING = "Powertools get_secret", "aws-secretsmanager-caching"
SECONDS = 0.05
"""Approximate duration of one candidate's turn."""
METHOD = """\
In one process, the candidates take turns of a twentieth of a second each, in processor time; each has the secret in
its cache. Consumers pass `.value` to the SDK of the external service. The dict is `value if time.time() < until else
None`: the least that a cached read can do."""
SECRET = FakeStore.SECRET
SECRETS_MANAGER_ANSWER = {
    "ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:openai-AbCdEf",
    "Name": "openai",
    "VersionId": "00000000-0000-0000-0000-000000000000",
    "SecretString": SECRET,
    "VersionStages": ["AWSCURRENT"],
    "CreatedDate": datetime(2026, 1, 2, tzinfo=UTC),
    # Complete, because some caches copy the whole response at each read.
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


def _candidates() -> dict[str, Callable[[], object]]:
    store: Any = FakeStore()
    default_client._default = ServiceKeys("table", dynamodb_client=store, kms_client=store)  # noqa: SLF001 - get_api_key's own
    credentials = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up"}
    client: Any = boto3.client("secretsmanager", region_name="eu-west-1", **credentials)  # type: ignore[call-overload]
    client.get_secret_value = lambda **_: SECRETS_MANAGER_ANSWER
    client.describe_secret = lambda **_: {"VersionIdsToStages": {"made-up": ["AWSCURRENT"]}}
    DEFAULT_PROVIDERS["secrets"] = parameters.SecretsProvider(boto3_client=client)
    cache = SecretCache(client=client)
    entries = {"openai": (time.time() + 3600, SECRET)}

    def read_dict() -> object:
        until, value = entries["openai"]
        return value if time.time() < until else None

    return {
        DICT: read_dict,
        OURS: lambda: get_api_key("openai").value,
        POWERTOOLS: lambda: parameters.get_secret("openai", max_age=3600),
        CACHING: lambda: cache.get_secret_string("openai"),
    }


def measure(*, quick: bool) -> Part:
    """Measure the candidates in turns; the cached key stays fresh until the end."""
    rounds = 7 if quick else 25
    with patch.object(client_module, "SNAPSHOT_TTL_SECONDS", 3600):
        reads = _candidates()
        for name, read in reads.items():
            if read() != SECRET:
                message = f"{name} did not return the secret"
                raise RuntimeError(message)
        counts = {name: int(SECONDS / (timeit.timeit(read, number=100) / 100)) + 1 for name, read in reads.items()}
        seconds: dict[str, list[float]] = {name: [] for name in reads}
        for number in range(rounds):
            show_progress(f"cached read: round {number + 1} of {rounds}")
            for name, read in reads.items():
                spent = timeit.timeit(read, timer=time.process_time, number=counts[name])
                seconds[name].append(spent / counts[name])

    def ratio(name: str, other: str) -> float:
        return median_ratio(seconds[name], seconds[other])

    rows = [
        (name, median_with_quartiles(each, 3, 1e6), f"{ratio(name, POWERTOOLS):.3f}", f"{ratio(name, DICT):.1f}")
        for name, each in seconds.items()
    ]
    ours, powertools, caching, bare = (
        statistics.median(seconds[name]) * 1e6 for name in (OURS, POWERTOOLS, CACHING, DICT)
    )
    peers = f"Powertools `get_secret` {powertools:.1f} µs, aws-secretsmanager-caching {caching:.0f} µs"
    return Part(
        f"Cached read: {rounds} rounds",
        METHOD,
        [format_table(("", "µs", "of Powertools", "of the dict"), rows)],
        bounds=[
            Bound("cached read with .value, of Powertools' get_secret", ratio(OURS, POWERTOOLS), 0.1),
            Bound("cached read with .value, of a dict with a clock", ratio(OURS, DICT), 5),
        ],
        readme=("cached read", f"{ours:.2f} µs", f"{peers}, a dict with a clock {bare:.2f} µs"),
    )
