"""The fault proxy between the code under test and moto: it counts calls, injects faults and enforces IAM policies.

A real HTTP proxy, so that the real clients see real faults. If it has the stack's policies, it denies every call that
its caller's policy does not allow. It identifies the caller by the user-agent app id (on AWS: by the role), which a
loaded function reads from its environment.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support.canary import LEAKS
from tests.support.http_server import LoopbackServer
from tests.support.iam import UnsupportedPolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.iam import Access, Grant, Policies

_CALLER = re.compile(r"\bapp/(\w+)")
_SERVICES = {"DynamoDB_20120810": "DynamoDB", "TrentService": "KMS", "AmazonSSM": "SSM"}


@dataclass(frozen=True)
class Call:
    """One call of an AWS API, such as ``DynamoDB.Query``, and its caller."""

    operation: str
    request: dict[str, Any]
    caller: str | None = None


@dataclass
class Fault:
    """A fault in the calls of one operation.

    Attributes:
        operation: The operation, such as ``KMS.Encrypt``.
        status: HTTP status of the response, with ``code`` as AWS's error code.
        hang: True to send no response.
        reset: True to reset the connection instead of a response.
        after: True to forward the call before its response is lost.
        times: Number of calls that fail; None for all.
        skip: Number of calls that succeed before.
        body: More members of the error's body.
    """

    operation: str
    status: int = 500
    code: str = "InternalServerError"
    hang: bool = False
    reset: bool = False
    after: bool = False
    times: int | None = None
    skip: int = 0
    body: dict[str, Any] = field(default_factory=dict)


class FaultProxy(LoopbackServer):
    """A proxy in front of the fake AWS endpoints. Use it as a context manager."""

    def __init__(self) -> None:
        self.upstreams: dict[str, str] = {}
        """Target URLs, by service: ``DynamoDB``, ``KMS`` and ``SSM``."""
        self.calls: list[Call] = []
        self.policies: Policies | None = None
        """Permissions of the callers; None allows everything."""
        self.used: dict[Grant, list[Access]] = {}
        """The grants that calls used, with their accesses; `clear` keeps them."""
        self.denials: list[str] = []
        """Messages of the denied calls. A test removes those that it expects; the others fail it."""
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.transactions: set[str | None] = set()
        """The tokens of the committed transactions."""
        super().__init__(type("Handler", (_Handler,), {"owner": self}))

    def counts(self) -> Counter[str]:
        """Return the number of calls of each operation since `clear`."""
        return Counter(call.operation for call in self.calls)

    def clear(self) -> None:
        """Forget the calls so far."""
        self.calls.clear()

    @contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """Inject faults until the block ends."""
        self._faults.extend(faults)
        try:
            yield
        finally:
            for fault in faults:
                self._faults.remove(fault)

    def next_fault(self, operation: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.operation == operation and fault.times != 0:
                    if fault.skip:
                        fault.skip -= 1
                        return None
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def iam_denial(self, call: Call) -> str | None:
        """Evaluate the policies as IAM does; return None if they allow every access of the call."""
        if self.policies is None:
            return None
        granted = self.policies.of_principal(call.caller or "")
        try:
            accesses = self.policies.accesses(call.operation, call.request)
        except UnsupportedPolicyError as error:
            self.denials.append(str(error))
            return str(error)
        for access in accesses:
            allowing = [grant for grant in granted if grant.allows(access)]
            if not allowing:
                refusal = f"{call.caller} is not authorized to perform: {access}"
                self.denials.append(refusal)
                return refusal
            for grant in allowing:
                self.used.setdefault(grant, []).append(access)
        return None


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"
    timeout = 30
    # Headers and body are two segments: on a kept-alive connection the second would wait 40 ms for a delayed ACK.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target, _, name = self.headers["X-Amz-Target"].partition(".")
        service = _SERVICES.get(target, target)
        operation = f"{service}.{name}"
        caller = _CALLER.search(self.headers["User-Agent"])
        call = Call(operation, json.loads(body), caller and caller[1])
        self.owner.calls.append(call)
        LEAKS.inspect(
            f"a request of {call.caller} to {service}", str(call.request | {"Plaintext": "", "CiphertextBlob": ""})
        )
        refusal = self.owner.iam_denial(call)
        fault = None if refusal else self.owner.next_fault(operation)
        if refusal:
            self._refuse("AccessDeniedException", refusal)
        elif fault is None and call.request.get("ClientRequestToken", "") in self.owner.transactions:
            self._respond(200, b"{}")  # DynamoDB, unlike moto, repeats the first response of a committed transaction
        elif fault is None:
            self._respond(*self._forward(service, body))
        else:
            self._fail(fault, service, body)

    def _fail(self, fault: Fault, service: str, body: bytes) -> None:
        if fault.after:
            self._forward(service, body)
        if fault.hang:
            self.owner.ended.wait(30)
            self.close_connection = True
        elif fault.reset:
            # Without linger, the client sees a reset instead of an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:
            self._refuse(fault.code, "made to fail", fault.status, fault.body)

    def _refuse(self, code: str, message: str, status: int = 400, more: dict[str, Any] | None = None) -> None:
        error = {"__type": f"com.amazonaws#{code}", "message": message} | (more or {})
        self._respond(status, json.dumps(error).encode())

    def _forward(self, service: str, body: bytes) -> tuple[int, bytes]:
        upstream = http.client.HTTPConnection(urlsplit(self.owner.upstreams[service]).netloc, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            upstream.request("POST", "/", body, headers)
            response = upstream.getresponse()
            if response.status == http.client.OK:
                self.owner.transactions.add(json.loads(body).get("ClientRequestToken"))
            return response.status, response.read()
        finally:
            upstream.close()

    def _respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Suppress the log."""
