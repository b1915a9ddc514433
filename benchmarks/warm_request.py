"""A warm request: the time that a function itself takes, once everything is loaded."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack

from benchmarks.candidates import ENDPOINTS, FASTAPI, FLOOR, OURS, PEERS, POWERTOOLS, WITH_PEERS, candidates, said
from benchmarks.peers.check import check
from benchmarks.report import Options, Part, Spread, Table, Target, run_alone

AT_MOST = 1 / 3
"""Of the own time of the same endpoint with Powertools' resolver."""
BOUNDED = ("get", "list", "delete", "create", "update")

METHOD = """\
Each candidate's process has answered its first event and fifty more. Then each request's processor time is taken from
the handler's call to its return, less what was spent in calls of AWS's clients (`_make_api_call`, from the arguments to
the parsed, canned answer), and in `verify` in the exchange with a stand-in for OpenAI on this machine. What is left is
a request's own time: parsing, validation, routing, mapping of items, logging, metrics, the answer's JSON. In the peers,
what boto3's resource does to arguments and answers counts as well, for ours does by hand what that does.

Candidates take turns, round by round; figures are medians of rounds, each a median of its requests, with the
quartiles behind them. Peers as in the cold start, after each has stored, shown, listed, changed, checked and deleted a
key in moto's server; with tracing on and the request not sampled. `reader` is a read of which nothing is held. `verify`
has no bound: unlike its peers it ends in time whatever the other side does, for which it has a thread, and it makes one
call more to AWS, to answer with what is stored by then."""


def measure(options: Options) -> Part:
    """Let each candidate answer a few hundred requests a round."""
    rounds, requests = options.choose(40, 12), options.choose(40, 20)
    own: dict[tuple[str, str], list[float]] = defaultdict(list)
    whole: dict[tuple[str, str], list[float]] = defaultdict(list)
    for who, module in PEERS.items():
        options.progress(f"warm request: seeing that the endpoints of {who} work")
        check(module)
    with candidates() as all_of_them, ExitStack() as stack:
        running = []
        for candidate in all_of_them:
            if candidate.who == FLOOR:
                continue
            options.progress(f"warm request: starting {candidate.endpoint}, {candidate.who}")
            process = stack.enter_context(candidate.start(warm=True))
            stack.callback(process.kill)
            candidate.check(said(process))
            running.append((candidate, process))
        for number in range(-1, rounds):
            for candidate, process in running:
                options.progress(f"warm request: round {number + 1} of {rounds}, {candidate.endpoint}, {candidate.who}")
                print(requests if number >= 0 else 50, file=process.stdin, flush=True)
                found = said(process)
                if number >= 0:
                    own[candidate.endpoint, candidate.who].append(found["own"])
                    whole[candidate.endpoint, candidate.who].append(found["whole"])
    return _part(rounds, requests, own, whole)


def _part(
    rounds: int,
    requests: int,
    own: dict[tuple[str, str], list[float]],
    whole: dict[tuple[str, str], list[float]],
) -> Part:
    def ratio(endpoint: str, who: str) -> float:
        return Spread.of(
            [mine / other for mine, other in zip(own[endpoint, OURS], own[endpoint, who], strict=True)]
        ).median

    rows = []
    for endpoint in ENDPOINTS:
        row = [endpoint, Spread.of(whole[endpoint, OURS]).shown(0, 1e6), Spread.of(own[endpoint, OURS]).shown(0, 1e6)]
        for who in (POWERTOOLS, FASTAPI):
            compared = endpoint in WITH_PEERS
            row.append(Spread.of(own[endpoint, who]).shown(0, 1e6) if compared else "")
            row.append(f"{ratio(endpoint, who):.2f}" if compared else "")
        rows.append(tuple(row))
    heading = (
        "function",
        "ours, whole, µs",
        "ours, own, µs",
        "Powertools, own, µs",
        "ours of it",
        "FastAPI, own, µs",
        "ours of it",
    )
    return Part(
        f"Warm request: {rounds} rounds of {requests} requests each",
        METHOD,
        [Table(heading, rows)],
        targets=[
            Target(
                f"own time of a warm {endpoint}, of the Powertools peer's",
                ratio(endpoint, POWERTOOLS),
                round(AT_MOST, 2),
            )
            for endpoint in BOUNDED
        ],
        readme=[
            (
                "own time of a warm request (get)",
                f"{Spread.of(own['get', OURS]).median * 1e6:.0f} µs",
                f"Powertools' resolver {Spread.of(own['get', POWERTOOLS]).median * 1e6:,.0f} µs",
            )
        ],
    )


if __name__ == "__main__":
    run_alone(__doc__, measure)
