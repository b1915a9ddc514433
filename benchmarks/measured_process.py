"""The process that imports one candidate and calls its handler; started by candidates.py.

Reads one line of JSON that describes the candidate and writes results as lines of JSON. Before the measurement, it
imports only modules that Lambda's runtime imports before a function.
"""

# https://github.com/aws/aws-lambda-python-runtime-interface-client
import decimal  # noqa: F401
import importlib
import json
import logging  # noqa: F401
import os
import sys
import time
import traceback  # noqa: F401
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT = SimpleNamespace(
    function_name="measured",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:measured",
    aws_request_id="00000000-0000-0000-0000-000000000000",
    get_remaining_time_in_millis=lambda: 20_000,
)


def main() -> None:
    """Read the description of the candidate and write its results."""
    # Redirect the function's log to /dev/null; results use the original standard output.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    spec = json.loads(sys.stdin.readline())
    sys.path[:0] = spec["path"]
    for result in (_warm if spec["warm"] else _cold)(spec):
        print(json.dumps(result), file=results, flush=True)


def _cold(spec: dict[str, Any]) -> "Iterator[dict[str, Any]]":
    """Yield wall and CPU seconds of the import and of the first event."""
    wall, cpu = time.perf_counter(), time.process_time()
    module = importlib.import_module(spec["module"])
    import_wall, import_cpu = time.perf_counter() - wall, time.process_time() - cpu
    event, calls = _prepare(spec)
    wall, cpu = time.perf_counter(), time.process_time()
    response = module.handler(event, CONTEXT) if event is not None else None
    event_wall, event_cpu = time.perf_counter() - wall, time.process_time() - cpu
    yield {"wall": import_wall + event_wall, "cpu": import_cpu + event_cpu, "response": response, "calls": calls}


def _warm(spec: dict[str, Any]) -> "Iterator[dict[str, Any]]":
    """Handle one event, then as many as each input line requests; yield medians with and without AWS calls."""
    clock = time.process_time
    call_seconds = _time_aws_calls() if spec["aws"] else []
    module = importlib.import_module(spec["module"])
    event, calls = _prepare(spec)
    yield {"response": module.handler(event, CONTEXT)}
    empty_cache = getattr(module, "empty_cache", lambda: None)
    for line in sys.stdin:
        whole, own = [], []
        for _ in range(int(line)):
            empty_cache()
            call_seconds.clear()
            began = clock()
            module.handler(event, CONTEXT)
            whole.append(clock() - began)
            own.append(whole[-1] - sum(call_seconds))
            calls.clear()
        yield {"whole": sorted(whole)[len(whole) // 2], "own": sorted(own)[len(own) // 2]}


def _time_aws_calls() -> list[float]:
    """Return a list that collects the CPU time of each AWS call. Call it before other code patches the clients.

    Time in which boto3's resource converts items is appended as a negative value: it counts as the candidate's own,
    because our functions convert items themselves.
    """
    import boto3.dynamodb.transform
    import botocore.client

    seconds: list[float] = []

    def time_method(owner: Any, name: str, sign: int) -> None:
        method = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return method(*arguments, **named)
            finally:
                seconds.append(sign * (time.process_time() - began))

        setattr(owner, name, timed)

    time_method(botocore.client.BaseClient, "_make_api_call", 1)
    transform: Any = boto3.dynamodb.transform
    time_method(transform, "copy_dynamodb_params", -1)
    for name in ("inject_condition_expressions", "inject_attribute_value_input", "inject_attribute_value_output"):
        time_method(transform.TransformationInjector, name, -1)
    return seconds


def _prepare(spec: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Install canned responses; return the event and the list that collects AWS calls."""
    from benchmarks import canned_aws

    calls = canned_aws.install() if spec["aws"] else []
    event = spec["event"]
    if event and "calls" in event:
        event = {"calls": [(service, name, canned_aws.to_arguments(body)) for service, name, body in event["calls"]]}
    return event, calls


if __name__ == "__main__":
    main()
