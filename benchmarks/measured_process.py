"""The process in which one candidate is imported and answers events; started by cold_start.py and warm_request.py.

Takes a line of JSON on standard input that says what to measure, and answers each line with one. Imports next to
nothing before the clock runs, and nothing at all of what a candidate might need.
"""

import importlib
import json
import os
import sys
import time
from types import SimpleNamespace
from typing import Any

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
    """Answer the first event, and then as many as each further line says, each beside the bare calls that it makes."""
    bare_call, new_client = _bare() if spec["aws"] else (_nothing, _nothing)
    module = importlib.import_module(spec["module"])
    event, requests = _prepare(spec)
    answer = module.handler(event, CONTEXT)
    calls: list[tuple[Any, str, Any]] = []
    if spec["aws"]:
        from benchmarks.wire import arguments

        clients = {name: new_client(name) for name in ("dynamodb", "kms")}
        calls = [(clients[service], operation, arguments(body)) for service, operation, body in requests]
    yield {"answer": answer, "requests": requests}
    # Processor time: what else the machine does is not the candidate's.
    clock, forget = time.process_time, _forgetting(spec)
    for line in sys.stdin:
        whole, own = [], []
        for _ in range(int(line)):
            forget()
            began = clock()
            module.handler(event, CONTEXT)
            ended = clock()
            for client, operation, parameters in calls:
                bare_call(client, operation, parameters)
            bare = clock() - ended
            whole.append(ended - began)
            own.append(ended - began - bare)
            requests.clear()
        yield {"whole": sorted(whole)[len(whole) // 2], "own": sorted(own)[len(own) // 2]}


def _nothing(*_: object) -> None:
    """Stand for a client where none is needed."""


def _bare() -> tuple[Any, Any]:
    """Return how a client calls AWS before anything traces it, and how one is made."""
    import botocore.client
    import botocore.session

    client: Any = botocore.client.BaseClient
    return client._make_api_call, botocore.session.get_session().create_client  # noqa: SLF001 - what get_item() and the others are


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
