"""The faults of each AWS call of each function, and the expected outcome of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

FAULTS: Final[dict[str, dict[str, Any]]] = {
    "throttled": {"status": 400, "code": "ThrottlingException"},
    "5xx": {"status": 500},
    "connection breaks": {"reset": True},
    "no answer": {"hang": True},
    "access denied": {"status": 400, "code": "AccessDeniedException"},
    "first answer lost": {"reset": True, "after": True, "times": 1},
    "every answer lost": {"reset": True, "after": True},
}
"""Keyword arguments of `tests.support.fault_proxy.Fault`, by name. If a response is lost, the call took effect."""


@dataclass(frozen=True)
class Outcome:
    """The expected outcome of a fault.

    Attributes:
        status: Status of the response; 200 includes 201.
        made: True if the whole change is stored, False if none of it.
        audit: Outcome in the audit line; None if there is no line.
    """

    status: int
    made: bool
    audit: str | None

    def __str__(self) -> str:
        change = "made" if self.made else "nothing changed"
        return f"{self.status}, {change}" + (f", audit `{self.audit}`" if self.audit else "")


@dataclass(frozen=True)
class Call:
    """One AWS call of an admin function.

    Attributes:
        act: The request, a key of `tests.functional.test_faults.OPERATIONS`.
        nth: Number of the call among the function's calls of this operation.
        audited: True if a failure leaves an audit line, because the change may be stored or was about to be.
        writes: True if the call itself stores the change.
        made_before: True if the change is stored before the call.
        optional: True if the response is a success without the call.
    """

    function: str
    act: str
    operation: str
    nth: int = 1
    audited: bool = False
    writes: bool = False
    made_before: bool = False
    optional: bool = False

    @property
    def changes(self) -> bool:
        """True if the function changes keys."""
        return self.function not in {"GetApiKey", "ListApiKeys", "GetApiKeyHistory", "ListServices"}

    def outcome(self, fault: str) -> Outcome:
        """Return the expected outcome of a fault."""
        done = "done" if self.changes else None
        after = done if self.made_before else None
        if fault == "first answer lost" or self.optional:
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
    Call("CreateApiKey", "create", "DynamoDB.Query", optional=True),
    Call("ListApiKeys", "list", "DynamoDB.Query"),
    Call("ListApiKeys", "list one service", "DynamoDB.Query"),
    Call("GetApiKey", "get", "DynamoDB.GetItem"),
    Call("UpdateApiKey", "update", "KMS.Encrypt"),
    Call("UpdateApiKey", "update", "DynamoDB.GetItem", audited=True),
    Call("UpdateApiKey", "update", "DynamoDB.TransactWriteItems", audited=True, writes=True),
    Call("UpdateApiKey", "update", "DynamoDB.Query", optional=True),
    Call("VerifyApiKey", "verify", "DynamoDB.GetItem"),
    Call("VerifyApiKey", "verify", "DynamoDB.GetItem", nth=2),
    Call("VerifyApiKey", "verify", "KMS.Decrypt"),
    Call("VerifyApiKey", "verify", "DynamoDB.UpdateItem", audited=True, writes=True),
    Call("VerifyApiKey", "verify", "DynamoDB.GetItem", nth=3, made_before=True),
    Call("DeleteApiKey", "delete", "DynamoDB.GetItem", audited=True),
    Call("DeleteApiKey", "delete", "DynamoDB.TransactWriteItems", audited=True, writes=True),
    Call("DeleteApiKey", "delete", "DynamoDB.Query", optional=True),
    Call("DeleteApiKey", "delete permanently", "DynamoDB.GetItem", audited=True),
    Call("DeleteApiKey", "delete permanently", "DynamoDB.TransactWriteItems", audited=True, writes=True),
    Call("DeleteApiKey", "delete permanently", "DynamoDB.Query", optional=True),
    Call("RollbackApiKey", "roll back", "DynamoDB.GetItem", audited=True),
    Call("RollbackApiKey", "roll back", "DynamoDB.TransactWriteItems", audited=True, writes=True),
    Call("RestoreApiKey", "restore", "DynamoDB.GetItem", audited=True),
    Call("RestoreApiKey", "restore", "DynamoDB.TransactWriteItems", audited=True, writes=True),
    Call("RestoreApiKey", "restore", "DynamoDB.Query", optional=True),
    Call("GetApiKeyHistory", "history", "DynamoDB.Query"),
    Call("ListServices", "list the services", "DynamoDB.Query"),
    Call("ListServices", "list the services", "DynamoDB.Query", nth=2),
)

AGAIN: Final = {
    "create": ("201, `Idempotency-Replayed` and the same key", "201"),
    "update": ("412, because `If-Match` names the earlier version", "200"),
    "delete": ("404", "200"),
    "delete permanently": ("404", "200"),
    "roll back": ("412, because `If-Match` names the earlier version", "200"),
    "restore": ("404, because the key is no longer deleted", "200"),
    "verify": ("200", "200"),
}
"""Response to the same request sent again: if the change was stored, and if it was not."""

READER: Final = {
    "DynamoDB.Query": ("KeyStoreUnavailableError", "KeyAccessDeniedError"),
    "KMS.Decrypt": ("KeyStoreUnavailableError", "KeyAccessDeniedError"),
    "DynamoDB.UpdateItem": ("the key", "the key"),
}
"""Result of each call of a consumer with an empty cache: after a transient error, and after access denied."""

JWKS_FAULTS: Final = ("429", "5xx", "403", "connection breaks", "no answer", "HTML", "redirect")
