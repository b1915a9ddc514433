"""Warm request: the CPU time of a loaded function without its AWS calls."""

from __future__ import annotations

import statistics
from collections import defaultdict
from contextlib import ExitStack

from benchmarks.candidates import BASELINE, ENDPOINTS, METHODS, OURS, POWERTOOLS, candidates
from benchmarks.check_peer import check_peer
from benchmarks.report import Bound, Part, format_table, median_ratio, median_with_quartiles, show_progress

AT_MOST = 0.33
"""Upper limit of the ratio to the time of the same endpoint with Powertools' resolver."""
METHOD = """\
Each candidate's process has answered its first event and fifty more. A request's own time is the processor time from
the handler's call to its return, less the time in calls of AWS's clients (`_make_api_call`, from the arguments to the
parsed, canned answer): parsing, validation, routing, conversion of items, logging, metrics, JSON. In the peer, the
time in which boto3's resource converts arguments and answers counts too: our functions do the same by hand.

Candidates take turns; figures are medians of rounds, each a median of its requests. The peer is that of the cold start;
before the measurement it creates, shows, lists, updates and deletes a key in moto's server. Tracing is on, and the
request is not sampled.

The consumer's request is a cold read (with an empty cache) in this warm process. Its key has a fresh usage stamp, so
the read makes two calls, Query and Decrypt; the third one, UpdateItem, is not in the figure."""


def measure(*, quick: bool) -> Part:
    """Send a few hundred requests to each candidate."""
    rounds, requests = (12, 20) if quick else (40, 40)
    own: dict[tuple[str, str], list[float]] = defaultdict(list)
    whole: dict[tuple[str, str], list[float]] = defaultdict(list)
    show_progress("warm request: checking the peer")
    check_peer()
    with candidates() as found, ExitStack() as stack:
        running = []
        for candidate in found:
            if candidate.implementation != BASELINE:
                show_progress(f"warm request: starting {candidate.endpoint}, {candidate.implementation}")
                process = stack.enter_context(candidate.start(warm=True))
                stack.callback(process.kill)
                candidate.read_result(process)
                running.append((candidate, process))
        for number in range(rounds + 1):
            show_progress(f"warm request: round {number} of {rounds}")
            for candidate, process in running:
                print(requests if number else 50, file=process.stdin, flush=True)
                result = candidate.read_result(process)
                if number:
                    own[candidate.endpoint, candidate.implementation].append(result["own"])
                    whole[candidate.endpoint, candidate.implementation].append(result["whole"])

    ratios = {name: median_ratio(own[name, OURS], own[name, POWERTOOLS]) for name in METHODS}
    rows = []
    for endpoint in ENDPOINTS:
        times = [whole[endpoint, OURS], own[endpoint, OURS], own[endpoint, POWERTOOLS]]
        cells = [median_with_quartiles(seconds, 0, 1e6) if seconds else "" for seconds in times]
        rows.append((endpoint, *cells, f"{ratios[endpoint]:.2f}" if endpoint in ratios else ""))
    ours, theirs = (statistics.median(own["get", name]) * 1e6 for name in (OURS, POWERTOOLS))
    heading = ("function", "ours, whole, µs", "ours, own, µs", "Powertools, own, µs", "ours of it")
    return Part(
        f"Warm request: {rounds} rounds of {requests} requests each",
        METHOD,
        [format_table(heading, rows)],
        bounds=[Bound(f"own time of a warm {name}, of the peer's", ratio, AT_MOST) for name, ratio in ratios.items()],
        readme=[
            (
                "a later request (get), without AWS calls",
                f"{ours:.0f} µs",
                f"Powertools' resolver {theirs:,.0f} µs",
            ),
        ],
    )
