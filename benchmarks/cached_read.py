"""Cached read: the time to get a cached secret, compared with other caches."""

from __future__ import annotations

import statistics
import time
import timeit
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.constants import DEFAULT_PROVIDERS
from aws_secretsmanager_caching import SecretCache  # type: ignore[import-not-found, unused-ignore]
from moto import mock_aws

from benchmarks.fleet import FakeStore
from benchmarks.report import Bound, Part, format_table, median_ratio, median_with_quartiles, show_progress
from service_keys import ServiceKeys, get_api_key
from service_keys.reader import client as client_module
from service_keys.reader import default_client

if TYPE_CHECKING:
    from collections.abc import Callable

DICT, OURS = "a dict with a clock", "service_keys, with .value"
POWERTOOLS, CACHING = "Powertools get_secret", "aws-secretsmanager-caching"
THREADS = 32
SECONDS = 0.05
"""Approximate duration of one candidate's turn."""
METHOD = """\
In one process, the candidates take turns of a twentieth of a second each, in processor time; each has the secret in
its cache. Consumers pass `.value` to the SDK of the external service. The dict is `value if time.time() < until else
None`: the least that a cached read can do. Reads per second are those of 32 threads at once, in wall time."""


def _candidates() -> dict[str, Callable[[], object]]:
    """Return the candidates' reads, with the secret in their caches."""
    store: Any = FakeStore()
    default_client._default = ServiceKeys("table", dynamodb_client=store, kms_client=store)  # noqa: SLF001 - get_api_key's own
    cache_item = (time.time() + 3600, store.SECRET)

    def read_dict() -> object:
        until, value = cache_item
        return value if time.time() < until else None

    with mock_aws():
        client: Any = boto3.client("secretsmanager", region_name="eu-west-1")
        client.create_secret(Name="openai", SecretString=store.SECRET)
        DEFAULT_PROVIDERS["secrets"] = parameters.SecretsProvider(boto3_client=client)
        cache = SecretCache(client=client)
        reads: dict[str, Callable[[], object]] = {
            DICT: read_dict,
            OURS: lambda: get_api_key("openai").value,
            POWERTOOLS: lambda: parameters.get_secret("openai", max_age=3600),
            CACHING: lambda: cache.get_secret_string("openai"),
        }
        for name, read in reads.items():
            if read() != store.SECRET:
                message = f"{name} did not return the secret"
                raise RuntimeError(message)
    return reads


def _reads_per_second(read: Callable[[], object], each: int) -> float:
    """Return the reads per second of all threads, each of which reads ``each`` times."""
    barrier = Barrier(THREADS + 1)

    def run() -> None:
        barrier.wait()
        for _ in range(each):
            read()

    threads = [Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return THREADS * each / (time.perf_counter() - began)


def measure(*, quick: bool) -> Part:
    """Measure the candidates in turns; the cached key stays fresh until the end."""
    rounds = 7 if quick else 25
    with patch.object(client_module, "SNAPSHOT_TTL_SECONDS", 3600):
        reads = _candidates()
        counts = {name: int(SECONDS / (timeit.timeit(read, number=100) / 100)) + 1 for name, read in reads.items()}
        seconds: dict[str, list[float]] = {name: [] for name in reads}
        together: dict[str, list[float]] = {name: [] for name in reads}
        for number in range(rounds):
            show_progress(f"cached read: round {number + 1} of {rounds}")
            for name, read in reads.items():
                spent = timeit.timeit(read, timer=time.process_time, number=counts[name])
                seconds[name].append(spent / counts[name])
                together[name].append(_reads_per_second(read, counts[name] // THREADS + 1))

    def ratio(name: str, other: str) -> float:
        return median_ratio(seconds[name], seconds[other])

    rows = [
        (
            name,
            median_with_quartiles(each, 3, 1e6),
            f"{ratio(name, POWERTOOLS):.3f}",
            f"{ratio(name, DICT):.1f}",
            f"{statistics.median(together[name]):,.0f}",
        )
        for name, each in seconds.items()
    ]
    bare, ours, powertools, caching = (statistics.median(each) * 1e6 for each in seconds.values())
    peers = f"Powertools `get_secret` {powertools:.1f} µs, aws-secretsmanager-caching {caching:.0f} µs"
    return Part(
        f"Cached read: {rounds} rounds",
        METHOD,
        [format_table(("", "µs", "of Powertools", "of the dict", "reads a second, 32 threads"), rows)],
        bounds=[
            Bound("cached read with .value, of Powertools' get_secret", ratio(OURS, POWERTOOLS), 0.1),
            Bound("cached read with .value, of a dict with a clock", ratio(OURS, DICT), 5),
        ],
        readme=[("a read from memory", f"{ours:.2f} µs", f"{peers}, a dict with a clock {bare:.2f} µs")],
    )
