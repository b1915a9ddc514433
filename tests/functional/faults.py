"""What goes wrong with each call that a function makes, and what then: the table of test_faults.py and docs/faults.md.

``python -m tests.functional.faults``, or ``make docs``, writes the page.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS: Final[dict[str, dict[str, Any]]] = {
    "throttled": {"status": 400, "code": "ThrottlingException"},
    "5xx": {"status": 500},
    "connection breaks": {"reset": True},
    "no answer": {"hang": True},
    "access denied": {"status": 400, "code": "AccessDeniedException"},
    "first answer lost": {"reset": True, "after": True, "times": 1},
    "every answer lost": {"reset": True, "after": True},
}
"""By name, as `tests.wire.Fault` takes them. Where an answer is lost, the call took effect."""


@dataclass(frozen=True)
class Outcome:
    """What comes of it.

    Attributes:
        status: Of the answer; 200 stands for 201 too.
        made: Whether the change is made then: wholly, or nothing of it.
        audit: The outcome in the audit line; None where there is no line.
    """

    status: int
    made: bool
    audit: str | None

    def __str__(self) -> str:
        change = "made" if self.made else "nothing changed"
        return f"{self.status}, {change}" + (f", audit `{self.audit}`" if self.audit else "")


@dataclass(frozen=True)
class Call:
    """One call that one admin function makes.

    Attributes:
        act: What is asked for: a key of `tests.functional.test_faults.ACTS`.
        nth: Which of the function's calls of this operation.
        audited: Whether a failure leaves an audit line, because a change may have been made or have been about to be.
        writes: Whether the call itself makes the change.
        made_before: Whether the change is made by the time of the call.
    """

    function: str
    act: str
    operation: str
    nth: int = 1
    audited: bool = False
    writes: bool = False
    made_before: bool = False

    @property
    def changes(self) -> bool:
        """Whether the function changes anything."""
        return self.function not in {"GetApiKey", "ListApiKeys"}

    def outcome(self, fault: str) -> Outcome:
        """Return what must come of a fault."""
        done = "done" if self.changes else None
        after = done if self.made_before else None
        if fault == "first answer lost":
            return Outcome(200, made=self.changes, audit=done)
        if fault == "access denied":
            return Outcome(500, made=self.made_before, audit=after)
        made = self.made_before or (self.writes and fault == "every answer lost")
        return Outcome(503, made=made, audit="unknown" if self.audited else after)

    def __str__(self) -> str:
        return f"{self.act}: {self.operation}" + (f" ({self.nth})" if self.nth > 1 else "")


CALLS: Final = (
    Call("CreateApiKey", "create", "KMS.Encrypt"),
    Call("CreateApiKey", "create", "DynamoDB.TransactWriteItems", audited=True, writes=True),
    Call("ListApiKeys", "list", "DynamoDB.Query"),
    Call("ListApiKeys", "list one service", "DynamoDB.Query"),
    Call("GetApiKey", "get", "DynamoDB.GetItem"),
    Call("UpdateApiKey", "update", "KMS.Encrypt"),
    Call("UpdateApiKey", "update", "DynamoDB.GetItem", audited=True),
    Call("UpdateApiKey", "update", "DynamoDB.TransactWriteItems", audited=True, writes=True),
    Call("VerifyApiKey", "verify", "DynamoDB.GetItem"),
    Call("VerifyApiKey", "verify", "DynamoDB.GetItem", nth=2),
    Call("VerifyApiKey", "verify", "KMS.Decrypt"),
    Call("VerifyApiKey", "verify", "DynamoDB.UpdateItem", audited=True, writes=True),
    Call("VerifyApiKey", "verify", "DynamoDB.GetItem", nth=3, made_before=True),
    Call("DeleteApiKey", "delete", "DynamoDB.GetItem", audited=True),
    Call("DeleteApiKey", "delete", "DynamoDB.TransactWriteItems", audited=True, writes=True),
)

AGAIN: Final = {
    "create": ("201, `Idempotency-Replayed` and the same key", "201"),
    "update": ("412, for `If-Match` names the version before", "200"),
    "delete": ("404", "200"),
    "verify": ("200", "200"),
}
"""What the same request answers afterwards: where the change was made, and where it was not."""

READER: Final = {
    "DynamoDB.Query": ("KeyStoreUnavailable", "KeyAccessDenied"),
    "KMS.Decrypt": ("KeyStoreUnavailable", "KeyAccessDenied"),
    "DynamoDB.UpdateItem": ("the key", "the key"),
}
"""What a reader that holds nothing yet gives for each call that it makes: in an outage, and where it is denied."""

JWKS_FAULTS: Final = ("429", "5xx", "403", "connection breaks", "no answer", "HTML", "redirect")

_HEAD: Final = """\
<!-- Made by `make docs` from tests/functional/faults.py. Change that, then make it again. -->
# Faults

What comes of it when a call to AWS fails: every cell is a run of
[test_faults.py](../tests/functional/test_faults.py) with the real clients and their real timeouts. Every call is tried
twice. "Made" means wholly made, key, name and memory of the request; nothing is ever half written. Every answer comes
within the function's time (25 s), and no answer or log line holds a secret.

An answer is lost where the call took effect, but the connection broke before its answer arrived.

"""

_WARM: Final = """
One that holds a key serves it for 15 minutes while the first column lasts, and not at all once it is denied:
`test_an_outage_is_bridged_for_a_quarter_of_an_hour` and `test_who_is_denied_gets_nothing_from_then_on` in
[test_reader.py](../tests/functional/test_reader.py)."""


def document() -> str:
    """Return the page."""
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
    yield "\n## A reader\n\nOne that holds nothing yet; `KeyStoreUnavailable` and `KeyAccessDenied` are raised.\n"
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
