"""A cold start: each function in a fresh process, from its first import to its first answer."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.candidates import ENDPOINTS, FASTAPI, FLOOR, OURS, POWERTOOLS, WITH_PEERS, Candidate, candidates, said
from benchmarks.report import Options, Part, Spread, Table, Target, run_alone

AT_MOST = {
    "reader": 0.92,
    "get": 1.10,
    "list": 1.10,
    "delete": 1.10,
    "create": 1.45,
    "update": 1.45,
    "authorizer": 0.45,
}

METHOD = """\
A fresh process imports the function and answers one event. The clock runs from before the first import to the answer;
the start of the interpreter and of Lambda's runtime client, with what that imports (logging, json, ...), is not
counted, being the same for all. AWS's answers are canned, at the place where
botocore would open a connection, so that all of the client's own work counts and no network does. Every process sees
only the packages that it would see on Lambda, with their bytecode cached.

The floor is `import boto3`, the clients that the function needs, and the function's own AWS calls, bare; for the
authorizer `import boto3` alone. The peers are the same endpoint with Powertools for AWS Lambda
(`APIGatewayRestResolver` with validation, `Logger`, `Metrics`,
`Tracer`, boto3's resource) and with FastAPI behind Mangum; each
serves that endpoint alone.

Candidates take turns, round by round, so that a busy machine hits all alike; a ratio is to the floor of the same
endpoint in the same round, and of processor time, which others on the machine cannot lengthen as they do the clock's.
Figures are medians, with the quartiles behind them."""


def measure(options: Options) -> Part:
    """Start each candidate once a round."""
    rounds = options.choose(15, 3)
    wall: dict[tuple[str, str], list[float]] = defaultdict(list)
    cpu: dict[tuple[str, str], list[float]] = defaultdict(list)
    with candidates() as all_of_them:
        # Once for nothing: bytecode is written, files are read from the disk.
        for candidate in all_of_them:
            options.progress(f"cold start: {candidate.endpoint}, {candidate.who}, for nothing")
            _started(candidate)
        for number in range(rounds):
            for candidate in all_of_them:
                options.progress(f"cold start: round {number + 1} of {rounds}, {candidate.endpoint}, {candidate.who}")
                found = _started(candidate)
                wall[candidate.endpoint, candidate.who].append(found["wall"])
                cpu[candidate.endpoint, candidate.who].append(found["cpu"])
    return _part(rounds, wall, cpu)


def _started(candidate: Candidate) -> dict[str, float]:
    process = candidate.start(warm=False)
    found = said(process)
    process.communicate()
    candidate.check(found)
    return found


def _part(rounds: int, wall: dict[tuple[str, str], list[float]], cpu: dict[tuple[str, str], list[float]]) -> Part:
    def ratios(endpoint: str, who: str) -> Spread:
        pairs = zip(cpu[endpoint, who], cpu[endpoint, FLOOR], strict=True)
        return Spread.of([mine / floor for mine, floor in pairs])

    rows = []
    for endpoint in ENDPOINTS:
        row = [
            endpoint,
            Spread.of(wall[endpoint, FLOOR]).shown(0, 1000),
            Spread.of(wall[endpoint, OURS]).shown(0, 1000),
        ]
        row.append(ratios(endpoint, OURS).shown(2))
        row += [ratios(endpoint, who).shown(2) if endpoint in WITH_PEERS else "" for who in (POWERTOOLS, FASTAPI)]
        rows.append(tuple(row))
    heading = (
        "function",
        "floor, ms",
        "ours, ms",
        "ours, of the floor",
        "Powertools, of the floor",
        "FastAPI, of the floor",
    )
    return Part(
        f"Cold start: {rounds} fresh processes each",
        METHOD,
        [Table(heading, rows)],
        targets=[
            Target(f"cold start of {endpoint}, of the floor", ratios(endpoint, OURS).median, bound)
            for endpoint, bound in AT_MOST.items()
        ],
        readme=[
            (
                "cold start, of `import boto3`, its clients and the bare calls",
                f"reader {ratios('reader', OURS).median:.2f}, get {ratios('get', OURS).median:.2f}",
                (
                    f"get with Powertools' resolver {ratios('get', POWERTOOLS).median:.2f}, with FastAPI "
                    f"{ratios('get', FASTAPI).median:.2f}"
                ),
            )
        ],
    )


if __name__ == "__main__":
    run_alone(__doc__, measure)
