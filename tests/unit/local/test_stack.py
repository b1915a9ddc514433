from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.aws import EmulatorError, sandboxed_environment
from local.aws import client as aws_client
from local.stack import LocalStack, local_stack
from tests.support.raw_http import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def dynamodb(stack: LocalStack) -> Iterator[Any]:
    with closing(aws_client("dynamodb", stack.endpoint_url)) as client:
        yield client


def test_table_matches_the_template(stack: LocalStack, dynamodb: Any) -> None:
    """Key schema and TTL are those of the template."""
    table = dynamodb.describe_table(TableName=stack.table_name)["Table"]
    time_to_live = dynamodb.describe_time_to_live(TableName=stack.table_name)["TimeToLiveDescription"]

    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert time_to_live == {"AttributeName": "gone", "TimeToLiveStatus": "ENABLED"}


def test_function_variables_point_to_the_stack(stack: LocalStack) -> None:
    """The variables name the table, the KMS key, the endpoint and the JWKS URL."""
    environment = stack.functions["Echo"].definition.environment

    settings = {"TABLE": stack.table_name, "KEY": stack.kms_key_arn, "AWS_ENDPOINT_URL": stack.endpoint_url}
    assert environment.items() >= settings.items()
    assert stack.functions["Gatekeeper"].definition.environment["JWKS_URL"] == f"{stack.url}/.well-known/jwks.json"


def test_consumer_environment(stack: LocalStack) -> None:
    """A consumer gets endpoint, credentials, region and table."""
    assert stack.consumer_environment() == {
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "SERVICE_KEYS_TABLE": stack.table_name,
    }


def test_external_table_is_reused(
    stack: LocalStack, template_path: Path, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table on another DynamoDB endpoint is created once and kept."""
    dynamodb.put_item(TableName=stack.table_name, Item={"id": {"S": "kept"}})
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", stack.endpoint_url)

    with local_stack(path=template_path) as other:
        assert other.dynamodb_url == stack.endpoint_url != other.endpoint_url
        assert other.consumer_environment()["AWS_ENDPOINT_URL_DYNAMODB"] == stack.endpoint_url

    assert dynamodb.get_item(TableName=stack.table_name, Key={"id": {"S": "kept"}})["Item"]


def test_unreachable_endpoint_is_reported(template_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the endpoint."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")

    with pytest.raises(EmulatorError, match=r"could not be created in http://127\.0\.0\.1:1"):
        local_stack(path=template_path).__enter__()


def test_stack_cleans_up(template_path: Path) -> None:
    """The environment is unchanged, and the servers stop."""
    before = dict(os.environ)

    with local_stack(path=template_path) as stack:
        assert dict(os.environ) == before

    for url in (stack.url, stack.endpoint_url):
        with pytest.raises(ConnectionRefusedError):
            ask(url)


def test_sandboxed_environment() -> None:
    """The developer's AWS settings are removed; loopback hosts bypass proxies."""
    given = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "x", "PATH": "/bin", "NO_PROXY": "intranet"}

    environment = sandboxed_environment(given)

    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & environment.keys()
    assert (environment["AWS_ACCESS_KEY_ID"], environment["PATH"]) == ("local", "/bin")
    assert environment["NO_PROXY"] == "intranet,127.0.0.1,localhost"


@pytest.mark.slow
def test_failed_transaction_keeps_concurrent_writes(stack: LocalStack, dynamodb: Any) -> None:
    """The rollback of a transaction in moto reverts no other write."""
    # moto copies the whole table first: many items widen the window for a race.
    for batch in range(30):
        puts = [{"PutRequest": {"Item": {"id": {"S": f"{batch}-{number}"}}}} for number in range(25)]
        dynamodb.batch_write_item(RequestItems={stack.table_name: puts})
    never = {"Item": {"id": {"S": "never"}}, "ConditionExpression": "attribute_exists(id)"}

    def fail(_: int) -> None:
        with pytest.raises(ClientError, match="TransactionCanceledException"):
            dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": stack.table_name, **never}}])

    def write(number: int) -> None:
        dynamodb.put_item(TableName=stack.table_name, Item={"id": {"S": f"race-{number}"}})

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(task, number) for number in range(100) for task in (fail, write)]:
            future.result()

    ids = {item["id"]["S"] for item in dynamodb.scan(TableName=stack.table_name, ConsistentRead=True)["Items"]}
    assert {f"race-{number}" for number in range(100)} <= ids
