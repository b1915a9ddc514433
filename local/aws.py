"""AWS emulator: moto's server for DynamoDB, KMS and SSM, with the template's table and key.

moto runs in its own process. Its state is global to a process, so `mock_aws` in a test would otherwise empty the
table of a running stack; and it starts in parallel with this process.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local import LocalError
from local.template import REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.template import Template

DYNAMODB_ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB"
# Dummy values: moto and DynamoDB Local accept any credentials.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
# Ignore AWS config files and instance metadata.
_NO_CONFIGURATION = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}

KEPT_STATE_ERROR = "KeptStateError"
"""The error code of responses to requests whose changes could not be kept."""
# Finds the key of an earlier run.
_ALIAS = "alias/service-keys"
# For one write and the end of a process.
_SECONDS_TO_CLOSE = 10


class EmulatorError(LocalError):
    """The AWS emulator did not start, or rejected a request."""


def sandboxed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with dummy credentials and without any setting that leads to a real AWS account."""
    kept = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    # A proxy cannot reach the loopback interface of this machine.
    direct = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost"]))
    return {**kept, **CREDENTIALS, **_NO_CONFIGURATION, "NO_PROXY": direct, "no_proxy": direct}


class MotoServer:
    """Context manager: moto's server in its own process, which ends with the block or with this process.

    Args:
        state: The file that keeps the items of the table `table_name` and the KMS keys. Default: keep nothing.
        table_name: The name of the table in `state`.
        ended: A callback for the end of the process before the block's.
    """

    def __init__(
        self, state: Path | None = None, table_name: str = "", ended: Callable[[], object] = lambda: None
    ) -> None:
        self._arguments = ["--state", str(state.absolute()), "--table", table_name] if state else []
        self._ended = ended
        self._ending = False

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - no shell; own arguments
            [sys.executable, "-m", "local.moto_server", *self._arguments],
            cwd=Path(__file__).parents[1],
            # moto's default CORS headers would let any web page read the responses.
            env={**sandboxed_environment(os.environ), "MOTO_DISABLE_GLOBAL_CORS": "true"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Only this process handles Ctrl-C; it then ends the server.
            start_new_session=True,
        )
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        if not self._arguments:
            self._process.kill()
        try:
            # communicate() closes both pipes: without an input the server closes its file and ends.
            self._process.communicate(timeout=_SECONDS_TO_CLOSE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _watch(self) -> None:
        self._process.wait()
        if not self._ending:
            self._ended()

    @functools.cached_property
    def url(self) -> str:
        """The server's URL; waits until the server listens.

        Raises:
            EmulatorError: The server ended.
        """
        assert self._process.stdout is not None  # noqa: S101 - narrows the type: it is a pipe
        url = self._process.stdout.readline().decode().strip()
        if not url.startswith("http"):
            # An empty line follows a traceback on stderr.
            raise EmulatorError(url or "moto's server did not start; the lines above say why")
        return url


def create_resources(template: Template, *, table_name: str, kms_url: str, dynamodb_url: str) -> Template:
    """Create the template's KMS key and its table, unless they exist.

    Returns:
        The template with references to both: the table by `table_name`, the key by its id and ARN.

    Raises:
        EmulatorError: An endpoint is unreachable or rejected a request.
    """
    key, table = template.single_resource("AWS::KMS::Key"), template.single_resource("AWS::DynamoDB::Table")
    try:
        with closing(client("kms", kms_url)) as kms:
            metadata = _kms_key(template, kms)
        template = template.with_references({table: table_name, key: metadata["KeyId"], f"{key}.Arn": metadata["Arn"]})
        with closing(client("dynamodb", dynamodb_url)) as dynamodb:
            _create_table(template, dynamodb)
    except (BotoCoreError, ClientError) as exc:
        if isinstance(exc, ClientError) and exc.response["Error"]["Code"] == KEPT_STATE_ERROR:
            raise EmulatorError(exc.response["Error"]["Message"]) from None
        raise EmulatorError(f"{table} and {key} could not be created in {dynamodb_url} and {kms_url}: {exc}") from exc
    return template


def _kms_key(template: Template, kms: Any) -> dict[str, Any]:
    """Return the metadata of the kept key; create it if there is none."""
    try:
        found: dict[str, Any] = kms.describe_key(KeyId=_ALIAS)["KeyMetadata"]
    except kms.exceptions.NotFoundException:
        key = template.single_resource("AWS::KMS::Key")
        description, policy = (template.property(key, name) for name in ("Description", "KeyPolicy"))
        found = kms.create_key(Description=description, Policy=json.dumps(policy))["KeyMetadata"]
        kms.create_alias(AliasName=_ALIAS, TargetKeyId=found["KeyId"])
    return found


def _create_table(template: Template, dynamodb: Any) -> None:
    table = template.table()
    try:
        dynamodb.create_table(**table.create)
    except dynamodb.exceptions.ResourceInUseException:
        # Created by an earlier run, in an endpoint that outlives this process.
        return
    name = table.create["TableName"]
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    if table.time_to_live:
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=table.time_to_live)


def create_secret(url: str, name: str, value: str) -> None:
    """Store a SecureString in SSM's Parameter Store, as a deployer does before the deployment.

    Raises:
        EmulatorError: The endpoint is unreachable or rejected the request.
    """
    try:
        with closing(client("ssm", url)) as ssm:
            ssm.put_parameter(Name=name, Value=value, Type="SecureString")
    except (BotoCoreError, ClientError) as exc:
        raise EmulatorError(f"The SSM parameter {name} could not be created in {url}: {type(exc).__name__}") from None


def client(service: str, url: str) -> Any:
    """Create a client for an emulator. The type is `Any` because botocore creates client classes at run time."""
    # Ignore the developer's AWS profile and config files: they may change the endpoint, or be missing.
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
