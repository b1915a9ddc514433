"""A cold read, of which nothing is held: calls on the wire and time, beside its peers, all against one local server."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import boto3
import credstash  # type: ignore[import-not-found, unused-ignore]
from aws_lambda_powertools.utilities.parameters import SecretsProvider

from benchmarks.report import Options, Part, Spread, Table, run_alone
from benchmarks.stores import new_key, store, stores
from service_keys import ServiceKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.stores import Stores

SECRET = "sk-made-up-0123456789abcdef"
OURS, CREDSTASH, POWERTOOLS = "service_keys", "credstash", "Powertools get_secret"
CREDSTASH_TABLE = "credential-store"

METHOD = """\
moto's server, in a process of its own, is DynamoDB, KMS and Secrets Manager for all three. Clients exist and are
connected; nothing is held of the secret: a new `ServiceKeys`, a new `SecretsProvider`, and credstash as it is, which
holds nothing ever. What a client sends is counted where it is sent. The time is the clock's, and most of it the
server's: on AWS it is the network's and the services' instead, so the calls are what counts."""


def measure(options: Options) -> Part:
    """Read in turns."""
    rounds = options.choose(60, 15)
    with stores() as at:
        readers, sent = _readers(at)
        calls: dict[str, Counter[str]] = {}
        for name, read in readers.items():
            sent.clear()
            _check(name, read())
            first = Counter(sent)
            # The first read after a minute notes that the key is used; those after it do not.
            sent.clear()
            _check(name, read())
            calls[name] = Counter(sent)
            if first != calls[name]:
                calls[f"{name}, first in a minute"] = first
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for number in range(rounds):
            options.progress(f"cold read: round {number + 1} of {rounds}")
            for name, read in readers.items():
                began = time.perf_counter()
                read()
                seconds[name].append(time.perf_counter() - began)
    rows = [
        (name, Spread.of(seconds[name]).shown(1, 1000) if name in seconds else "", str(made.total()), ", ".join(made))
        for name, made in sorted(calls.items(), key=lambda pair: [*readers].index(pair[0].partition(",")[0]))
    ]
    return Part(
        f"Cold read: {rounds} rounds",
        METHOD,
        [Table(("", "ms", "calls", "which"), rows)],
        notes=[
            (
                "The call that notes the last use is made once a minute for a key by a whole fleet, not by each reader "
                "(see Fleet and cost). credstash makes its two calls for every read, as it has no cache."
            )
        ],
    )


def _check(name: str, value: object) -> None:
    if value != SECRET:
        message = f"{name} did not return the secret"
        raise RuntimeError(message)


def _readers(at: Stores) -> tuple[dict[str, Callable[[], object]], list[str]]:
    """Store the secret three times; return how each reads it, and the list that takes the calls."""
    sent: list[str] = []

    def counted(client: Any) -> Any:
        client.meta.events.register(
            "before-send", lambda request, **_: sent.append(request.headers["X-Amz-Target"].decode().partition(".")[2])
        )
        return client

    store(at, new_key("openai", 1), SECRET)
    dynamodb, kms = counted(at.client("dynamodb")), counted(at.client("kms"))

    session: Any = boto3.Session()
    manager = session.client("secretsmanager", **at.settings("secretsmanager"))
    manager.create_secret(Name="openai", SecretString=SECRET)
    counted(manager)

    resource = session.resource("dynamodb", **at.settings("dynamodb"))
    resource.create_table(
        TableName=CREDSTASH_TABLE,
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}, {"AttributeName": "version", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("name", "version")],
        BillingMode="PAY_PER_REQUEST",
    )
    their_kms = session.client("kms", **at.settings("kms"))
    credstash.putSecret("openai", SECRET, "1", kms_key=at.kms_key, dynamodb=resource, kms=their_kms)
    counted(resource.meta.client)
    counted(their_kms)

    def ours() -> object:
        return ServiceKeys(at.table_name, dynamodb_client=dynamodb, kms_client=kms).get("openai").value

    def powertools() -> object:
        return SecretsProvider(boto3_client=manager).get("openai")

    def with_credstash() -> object:
        return credstash.getSecret("openai", dynamodb=resource, kms=their_kms)

    return {OURS: ours, CREDSTASH: with_credstash, POWERTOOLS: powertools}, sent


if __name__ == "__main__":
    run_alone(__doc__, measure)
