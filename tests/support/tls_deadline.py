"""Search for clear text in TLS requests whose deadline passes at about the time of sending.

    export PYTHONPATH=layers/service_keys
    python -m tests.support.tls_deadline                      20,000 attempts with the request of the product
    python -m tests.support.tls_deadline --sender tests.support.tls_deadline:direct      with the consumers' client
    python -m tests.support.tls_deadline --sender tests.support.tls_deadline:cut_by_shutdown

The last command shows that the search finds the fault: it cuts requests by `ssl.SSLSocket.shutdown`, which drops the
TLS layer before it ends the connection. A client process makes the attempts while this one stops and continues it at
random times. A server in this process records the raw bytes; all of them must be TLS records.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import multiprocessing
import os
import queue
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service_keys.admin import bounded_http
from service_keys.store.direct.client import DirectDynamoDB
from service_keys.store.direct.endpoints import Endpoint
from service_keys.store.direct.errors import DirectError
from service_keys.store.timeouts import Timeouts
from tests.support.tls import Conversation, TlsTap, certificate, is_tls

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    Sender = Callable[[int, float], None]
    """Sends a request to a port within a deadline in seconds."""

AUTHORIZATION: Final = "Bearer made-up-value-that-must-not-be-readable"
ATTEMPTS: Final = 20_000
_REPORT_EVERY: Final = 200


def bounded(port: int, deadline: float) -> None:
    """Send the product's request."""
    bounded_http.request(
        "GET",
        f"https://127.0.0.1:{port}/",
        headers={"Authorization": AUTHORIZATION},
        deadline=deadline,
        max_bytes=1024,
    )


def direct(port: int, deadline: float) -> None:
    """Send a request with the consumers' client."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    os.environ |= dict.fromkeys(names, AUTHORIZATION.removeprefix("Bearer "))
    client = DirectDynamoDB(
        *("dynamodb", Endpoint("127.0.0.1", port), "eu-west-1", Timeouts(deadline, deadline)), sleep=lambda _: None
    )
    try:
        client.query(TableName="made-up")
    except DirectError as error:
        raise OSError from error
    finally:
        client.close()


def cut_by_shutdown(port: int, deadline: float) -> None:
    """Send a request in a thread and cut it from outside, in the way that leaks clear text."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10)
    outcomes: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def send() -> None:
        try:
            connection.connect()
            connection.request("GET", "/", headers={"Authorization": AUTHORIZATION})
            connection.getresponse().read()
            outcomes.put(None)
        except (OSError, http.client.HTTPException, AttributeError) as error:
            outcomes.put(error)
        finally:
            connection.close()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        outcome = outcomes.get(timeout=deadline)
    except queue.Empty:
        outcome = TimeoutError()
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(2)
    thread.join(10)
    if outcome is not None:
        raise outcome


@dataclass
class Findings:
    """The figures of a search.

    Attributes:
        outcomes: Number of attempts by type of error; ``complete`` if there was none.
        connections: Connections with at least one byte.
        encrypted: Connections with a complete request over TLS.
        in_clear_text: Connections with bytes other than TLS records.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    encrypted: int = 0
    in_clear_text: int = 0

    def add(self, *conversations: Conversation) -> None:
        """Count the bytes of connections."""
        for conversation in conversations:
            self.connections += bool(conversation.raw)
            self.encrypted += AUTHORIZATION.encode() in conversation.decrypted
            readable = AUTHORIZATION.encode() in conversation.raw or b"HTTP/1.1" in conversation.raw
            self.in_clear_text += readable or not is_tls(conversation.raw)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        return (
            f"{self.outcomes.total()} attempts ({outcomes}); {self.connections} connections, {self.encrypted} with a "
            f"complete encrypted request, {self.in_clear_text} in clear text"
        )


def search(sender: str, attempts: int, seed: int) -> Findings:
    """Run the attempts and return the figures of the server; print interim figures to stderr.

    Args:
        sender: The `Sender`, as ``module:function``.
        attempts: Number of attempts.
        seed: Seed of the random deadlines and pauses.
    """
    findings, chance = Findings(), random.Random(seed)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder, TlsTap(pem := certificate(Path(folder))) as tap:
        client = context.Process(target=_attempt_all, args=(sender, tap.port, str(pem), attempts, seed, there))
        client.start()
        there.close()
        assert client.pid is not None
        with suppress(EOFError):
            here.recv()  # the client has started
            while True:
                if here.poll(chance.uniform(0.0002, 0.004)):
                    findings.outcomes += here.recv()
                    findings.add(*tap.take())
                    if findings.outcomes.total() % 1000 == 0:
                        print(findings, file=sys.stderr, flush=True)
                os.kill(client.pid, signal.SIGSTOP)
                time.sleep(chance.uniform(0.0001, 0.0015))
                os.kill(client.pid, signal.SIGCONT)
        client.join()
        tap.join()
        findings.add(*tap.take())
    if client.exitcode:
        message = f"the client process ended with {client.exitcode}"
        raise RuntimeError(message)
    return findings


def _attempt_all(sender: str, port: int, pem: str, attempts: int, seed: int, pipe: Connection) -> None:
    """Run the attempts in a process of their own, with deadlines near the duration of an attempt."""
    os.environ["SSL_CERT_FILE"] = pem
    sys.setswitchinterval(1e-6)
    module, _, function = sender.partition(":")
    send: Sender = getattr(importlib.import_module(module), function)
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    pipe.send(outcomes)
    middle = 0.005
    for number in range(1, attempts + 1):
        try:
            send(port, middle * chance.uniform(0.4, 1.6))
        except (OSError, http.client.HTTPException, AttributeError) as error:
            outcomes[type(error).__name__] += 1
            middle *= 1.02
        else:
            outcomes["complete"] += 1
            middle /= 1.02
        if number % _REPORT_EVERY == 0 or number == attempts:
            pipe.send(outcomes)
            outcomes = Counter()
    pipe.close()


def main(arguments: list[str] | None = None) -> int:
    """Run the search with the options of the command line; return 1 if any clear text was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.tls_deadline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--attempts", type=int, default=ATTEMPTS, help=f"how many (default {ATTEMPTS})")
    parser.add_argument("--sender", default=f"{__spec__.name}:bounded", help="module:function that sends a request")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of random numbers")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    findings = search(options.sender, options.attempts, options.seed)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s: {findings}")
    return 1 if findings.in_clear_text else 0


if __name__ == "__main__":
    sys.exit(main())
