"""The process in which one candidate is imported and answers events; started by cold_start.py and warm_request.py.

Takes a line of JSON on standard input that says what to measure, and answers each line with one. Imports before
the clock runs what Lambda's runtime does, and nothing else that a candidate might need.
"""

# What Lambda's runtime has imported before it imports a function: https://github.com/aws/aws-lambda-python-runtime-interface-client
import decimal  # noqa: F401
import importlib
import json
import logging  # noqa: F401
import os
import sys
import threading
import time
import traceback  # noqa: F401
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT = SimpleNamespace(
    function_name="measured",
    function_version="$LATEST",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:measured",
    aws_request_id="00000000-0000-0000-0000-000000000000",
    get_remaining_time_in_millis=lambda: 20_000,
)


def main() -> None:
    """Answer what the parent asks."""
    # What a function logs goes nowhere, and the figures where the parent reads them.
    figures = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    spec = json.loads(sys.stdin.readline())
    sys.path[:0] = spec["path"]
    answer = _warm if spec["warm"] else _cold
    for found in answer(spec):
        print(json.dumps(found), file=figures, flush=True)


def _cold(spec: dict[str, Any]) -> Any:
    """Import and answer the first event, once."""
    wall, cpu = time.perf_counter(), time.process_time()
    module = importlib.import_module(spec["module"])
    import_wall, import_cpu = time.perf_counter() - wall, time.process_time() - cpu
    if not spec["event"]:
        yield {"wall": import_wall, "cpu": import_cpu, "answer": None, "requests": []}
        return
    event, requests = _prepare(spec)
    wall, cpu = time.perf_counter(), time.process_time()
    answer = module.handler(event, CONTEXT)
    event_wall, event_cpu = time.perf_counter() - wall, time.process_time() - cpu
    whole = {"wall": import_wall + event_wall, "cpu": import_cpu + event_cpu}
    yield {**whole, "answer": answer, "requests": requests, "modules": len(sys.modules)}


def _warm(spec: dict[str, Any]) -> Any:
    """Answer the first event, and then as many as each line says; tell what they took, with calls and without them."""
    # Processor time: what else the machine does is not the candidate's.
    clock = time.process_time
    calls = _timed_calls(clock) if spec["aws"] else []
    module = importlib.import_module(spec["module"])
    event, requests = _prepare(spec)
    answer = module.handler(event, CONTEXT)
    yield {"answer": answer, "requests": requests}
    forget = _forgetting(spec)
    for line in sys.stdin:
        whole, own = [], []
        for _ in range(int(line)):
            forget()
            calls.clear()
            began = clock()
            module.handler(event, CONTEXT)
            took = clock() - began
            whole.append(took)
            own.append(took - sum(calls))
            requests.clear()
        yield {"whole": sorted(whole)[len(whole) // 2], "own": sorted(own)[len(own) // 2]}


def _timed_calls(clock: "Callable[[], float]") -> list[float]:
    """Return the list that takes how long each call of an AWS client takes, before anything traces clients.

    Less what boto3's resource does meanwhile, where it is used: mapping of items, which ours does before and after.
    And how long HTTP takes that is spoken: with the external service alone, for AWS's calls end before the connection.
    """
    import http.client

    import boto3.dynamodb.transform
    import botocore.client

    taken: list[float] = []
    speaking = threading.local()

    def timed(owner: Any, name: str, sign: int) -> None:
        function = getattr(owner, name)

        def with_clock(*arguments: Any, **named: Any) -> Any:
            began = clock()
            try:
                return function(*arguments, **named)
            finally:
                taken.append(sign * (clock() - began))

        setattr(owner, name, with_clock)

    def timed_once(owner: Any, name: str) -> None:
        """Count what it calls of its kind with it: a request connects, where nobody did before."""
        plain = getattr(owner, name)
        timed(owner, name, 1)
        counted = getattr(owner, name)

        def outermost(*arguments: Any, **named: Any) -> Any:
            if getattr(speaking, "now", False):
                return plain(*arguments, **named)
            speaking.now = True
            try:
                return counted(*arguments, **named)
            finally:
                speaking.now = False

        setattr(owner, name, outermost)

    for name in ("connect", "request", "getresponse", "close"):
        timed_once(http.client.HTTPConnection, name)
    for name in ("read", "close"):
        timed_once(http.client.HTTPResponse, name)
    timed(botocore.client.BaseClient, "_make_api_call", 1)
    transform: Any = boto3.dynamodb.transform
    timed(transform, "copy_dynamodb_params", -1)
    for name in ("inject_condition_expressions", "inject_attribute_value_input", "inject_attribute_value_output"):
        timed(transform.TransformationInjector, name, -1)
    return taken


def _forgetting(spec: dict[str, Any]) -> Any:
    """Return what is done before each request: a reader would answer all but the first from what it holds."""
    if spec["module"] != "benchmarks.reading":
        return lambda: None
    from service_keys import ServiceKeys, aws, reader

    dynamodb, kms = (aws.client(service, aws.READER_PATIENCE) for service in ("dynamodb", "kms"))

    def forget() -> None:
        reader._shared = ServiceKeys(dynamodb_client=dynamodb, kms_client=kms)  # noqa: SLF001 - the one instance

    return forget


def _prepare(spec: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Put canned answers in the network's place; return the event, and the list that takes what is sent."""
    from benchmarks.wire import Wire, arguments

    wire = Wire()
    if spec["aws"]:
        wire.install()
    event = spec["event"]
    if "calls" in event:
        event = {"calls": [(service, operation, arguments(body)) for service, operation, body in event["calls"]]}
    return event, wire.requests


if __name__ == "__main__":
    main()
