"""Generate docs/faults.md: ``python -m tools.generate_faults_doc``, or ``make docs``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from tests.support.faults import AGAIN, CALLS, FAULTS, JWKS_FAULTS, READER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.faults import Call

_HEAD: Final = """\
<!-- Made by `make docs` from tests/support/faults.py. Change that, then make it again. -->
# Faults

What comes of it when a call to AWS fails: every cell is a run of
[test_faults.py](../tests/functional/test_faults.py) with the real clients and their real timeouts. Every call is tried
twice. "Made" means wholly made, key, name and memory of the request; nothing is ever half written. Every answer comes
within the function's time (25 s), and no answer or log line holds a secret.

An answer is lost where the call took effect, but the connection broke before its answer arrived.

"""

_WARM: Final = """
One that holds a key serves it for 15 minutes while the first column lasts, and not at all once it is denied:
`test_a_key_is_served_stale_for_15_minutes` and `test_access_denied_drops_the_cached_keys` in
[test_reader.py](../tests/functional/test_reader.py)."""


def document() -> str:
    """Return the Markdown text."""
    lines = [f"| function | call | {' | '.join(FAULTS)} |", "| --- " * (len(FAULTS) + 2) + "|"]
    for call in CALLS:
        cells = [_cell(call, fault) for fault in FAULTS]
        nth = " (the second)" if call.nth > 1 else ""
        lines.append(f"| {call.function}: {call.act} | `{call.operation}`{nth} | {' | '.join(cells)} |")
    return _HEAD + "\n".join(lines + list(_again()) + list(_reader()) + list(_authorizer())) + "\n"


def _cell(call: Call, fault: str) -> str:
    outcome = call.outcome(fault)
    words = str(outcome) if call.changes else str(outcome.status)
    return words.replace("200", "201") if call.act == "create" else words


def _again() -> Iterator[str]:
    yield "\nThe same request again, once AWS is well:\n"
    yield "| | where the change was made | where it was not |\n| --- | --- | --- |"
    for act, (made, not_made) in AGAIN.items():
        yield f"| {act} | {made} | {not_made} |"


def _reader() -> Iterator[str]:
    yield "\n## A reader\n"
    yield "One that holds nothing yet; `KeyStoreUnavailableError` and `KeyAccessDeniedError` are raised.\n"
    yield "| call | throttled, 5xx, connection breaks, no answer, every answer lost | access denied |"
    yield "| --- | --- | --- |"
    for operation, (outage, denied) in READER.items():
        yield f"| `{operation}` | {outage} | {denied} |"
    yield _WARM


def _authorizer() -> Iterator[str]:
    yield "\n## The authorizer\n\nIts one remote call is for the issuer's keys. Where it holds none yet:\n"
    yield "| the issuer's answer | |\n| --- | --- |"
    for fault in JWKS_FAULTS:
        yield f"| {fault} | 503 `SERVICE_UNAVAILABLE` with `Retry-After`; no function is called |"


if __name__ == "__main__":
    sys.stdout.write(document())
