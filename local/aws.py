"""What stands for AWS: moto's server for DynamoDB, KMS and SSM, and in them the table and the key of the template.

moto runs in a process of its own. Its state belongs to the process it runs in, so that tests which use `mock_aws`
would otherwise empty the table under a running stack; and it starts while this process does something else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.template import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from local.template import Template

DYNAMODB_ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB"
# Not secrets: moto and DynamoDB Local take any.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
# What is configured on this machine must not be found where the environment has nothing.
_NO_CONFIGURATION = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class EmulatorError(RuntimeError):
    """What should stand for AWS did not start, or refused the table or the key."""


def sandboxed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with nothing left in it that leads to a real AWS account, and dummy credentials."""
    kept = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    # A proxy cannot reach this machine's loopback.
    direct = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost"]))
    return {**kept, **CREDENTIALS, **_NO_CONFIGURATION, "NO_PROXY": direct, "no_proxy": direct}


class MotoServer:
    """moto's server in a process of its own; it ends when `close` is called or this process ends, however it ends."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.moto_server"],
            cwd=Path(__file__).parents[1],
            # Otherwise moto names whichever web page asks as one that may read the answer.
            env={**sandboxed_environment(os.environ), "MOTO_DISABLE_GLOBAL_CORS": "true"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for this process, which then ends that one.
            start_new_session=True,
        )
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Where it listens; waits until it does.

        Raises:
            EmulatorError: It ended instead; its reason stands on stderr.
        """
        if self._url is None:
            assert self._process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
            self._url = self._process.stdout.readline().decode().strip()
            if not self._url:
                raise EmulatorError("moto's server did not start; the lines above say why")
        return self._url

    def close(self) -> None:
        """End it, and wait until it has ended."""
        self._process.kill()
        # Closes both pipes as well.
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def create_resources(template: Template, *, table_name: str, kms_url: str, dynamodb_url: str) -> Template:
    """Create the template's table, where it is not there already, and its KMS key.

    Returns:
        The template, in which both are known: the table under `table_name`, the key under its id and ARN.

    Raises:
        EmulatorError: One of the endpoints cannot be reached, or refused.
    """
    key, table = template.single_resource("AWS::KMS::Key"), template.single_resource("AWS::DynamoDB::Table")
    try:
        with closing(client("kms", kms_url)) as kms:
            metadata = kms.create_key(
                Description=template.property(key, "Description"),
                Policy=json.dumps(template.property(key, "KeyPolicy")),
            )["KeyMetadata"]
        template = template.with_references(
            {table: table_name, key: metadata["KeyId"], f"{key}.Arn": metadata["Arn"]},
        )
        with closing(client("dynamodb", dynamodb_url)) as dynamodb:
            _create_table(template, dynamodb)
    except (BotoCoreError, ClientError) as exc:
        message = f"{table} and {key} could not be created in {dynamodb_url} and {kms_url}: {exc}"
        raise EmulatorError(message) from exc
    return template


def _create_table(template: Template, dynamodb: Any) -> None:
    table = template.table()
    try:
        dynamodb.create_table(**table.create)
    except dynamodb.exceptions.ResourceInUseException:
        # From an earlier run, in an endpoint that outlives this process.
        return
    name = table.create["TableName"]
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    if table.time_to_live:
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=table.time_to_live)


def create_secret(url: str, name: str, value: str) -> None:
    """Store a SecureString in SSM's Parameter Store, as a deployer does before the stack is there.

    Raises:
        EmulatorError: The endpoint cannot be reached, or refused.
    """
    try:
        with closing(client("ssm", url)) as ssm:
            ssm.put_parameter(Name=name, Value=value, Type="SecureString")
    except (BotoCoreError, ClientError) as exc:
        message = f"The SSM parameter {name} could not be created in {url}: {type(exc).__name__}"
        raise EmulatorError(message) from None


def client(service: str, url: str) -> Any:
    """Make a client for an endpoint that stands for AWS. `Any`, because botocore makes its classes when it runs."""
    # A profile or a file with settings of the developer's could send the call elsewhere, or not exist.
    nothing, nowhere = (None, None, None, None), (None, None, os.devnull, None)
    session = botocore.session.Session({"profile": nothing, "config_file": nowhere, "credentials_file": nowhere})
    return session.create_client(
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 1}, proxies={}),
    )
