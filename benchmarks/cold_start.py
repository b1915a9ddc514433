"""Cold start: each function in a new process, from its first import to its first response."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.candidates import BASELINE, METHODS, OURS, POWERTOOLS, candidates
from benchmarks.report import Bound, Part, format_table, median_ratio, median_with_quartiles, show_progress

AT_MOST = {
    "get": 1.10,
    "list": 1.10,
    "delete": 1.10,
    "create": 1.45,
    "update": 1.45,
    "authorizer": 0.45,
}
"""Upper limits of the ratio to the baseline's processor time."""
METHOD = """\
A fresh process imports the function and answers one event, with AWS's answers canned at the place where botocore would
open a connection. The clock starts before the first import; the start of the interpreter and the imports of Lambda's
runtime client are not counted. Each process sees only the packages that it would see on Lambda, with cached bytecode.

The baseline is `import boto3`, the clients that the function needs, and its own AWS calls; for the authorizer, `import
boto3` alone. The peer is the same endpoint with Powertools (`APIGatewayRestResolver` with validation, `Logger`,
`Metrics`, `Tracer`, boto3's resource). Candidates take turns; a ratio is of processor time in the same round.
Consumers are measured in the part "First read": on Lambda they use no botocore, where the answers are canned here."""


def measure(*, quick: bool) -> Part:
    """Start each candidate once per round."""
    rounds = 3 if quick else 15
    wall: dict[tuple[str, str], list[float]] = defaultdict(list)
    cpu: dict[tuple[str, str], list[float]] = defaultdict(list)
    with candidates() as found:
        started = [candidate for candidate in found if candidate.endpoint in AT_MOST]
        # Discard round 0, which writes bytecode and fills the file cache.
        for number in range(rounds + 1):
            show_progress(f"cold start: round {number} of {rounds}")
            for candidate in started:
                result = candidate.start_cold()
                if number:
                    wall[candidate.endpoint, candidate.implementation].append(result["wall"])
                    cpu[candidate.endpoint, candidate.implementation].append(result["cpu"])

    def ratio(endpoint: str, implementation: str) -> float:
        return median_ratio(cpu[endpoint, implementation], cpu[endpoint, BASELINE])

    rows = []
    for endpoint in AT_MOST:
        milliseconds = [median_with_quartiles(wall[endpoint, each], 0, 1000) for each in (BASELINE, OURS)]
        peer = f"{ratio(endpoint, POWERTOOLS):.2f}" if endpoint in METHODS else ""
        rows.append((endpoint, *milliseconds, f"{ratio(endpoint, OURS):.2f}", peer))
    heading = ("function", "baseline, ms", "ours, ms", "ours, of the baseline", "Powertools, of the baseline")
    return Part(
        f"Cold start: {rounds} fresh processes each",
        METHOD,
        [format_table(heading, rows)],
        bounds=[
            Bound(f"cold start of {endpoint}, of the baseline", ratio(endpoint, OURS), at_most)
            for endpoint, at_most in AT_MOST.items()
        ],
        readme=[
            (
                "first request of an admin function: the same fraction",
                f"get {ratio('get', OURS):.2f}, create {ratio('create', OURS):.2f}",
                f"get with Powertools' resolver {ratio('get', POWERTOOLS):.2f}",
            )
        ],
    )
