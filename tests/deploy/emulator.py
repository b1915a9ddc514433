"""MiniStack, an emulator of AWS that no author of this project wrote, and deployments onto it.

https://github.com/ministackorg/ministack. It runs in the virtual environment of `make test-deploy`, because it executes
the built functions and so needs Lambda's Python.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import requests
from samtranslator.yaml_helper import yaml_parse

from local.aws import client, sandboxed_environment
from local.port import bind
from local.template import ACCOUNT_ID, REGION, Template
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

PYTHON = ROOT / ".venv-deploy" / "bin" / "python"
BUILD = ROOT / ".aws-sam" / "deploy" / "template.yaml"
SAM = Path(sys.executable).with_name("sam")
WAIT_SECONDS = 60


class Emulator:
    """A running MiniStack on a free loopback port, with its state in `folder`. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with closing(bind(0)) as listener:
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        settings = {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": "localhost",
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "LAMBDA_EXECUTOR": "local",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(self._folder / "state"),
            "S3_DATA_DIR": str(self._folder / "s3"),
            "TMPDIR": str(self._folder),
        }
        with (self._folder / "ministack.log").open("wb") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-m", "ministack"],
                cwd=self._folder,
                env={**sandboxed_environment(os.environ), **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
                # One group with the processes of the functions.
                start_new_session=True,
            )
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"MiniStack did not start:\n{self.log()[-2000:]}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def log(self) -> str:
        """Return the emulator's log."""
        return (self._folder / "ministack.log").read_text(encoding="utf-8", errors="replace")

    def client(self, service: str) -> Any:
        """Create an AWS client for the emulator."""
        return client(service, self.url)

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/_ministack/health", timeout=5).ok
        except requests.ConnectionError:
            return False


class Stack:
    """A stack on the emulator.

    Args:
        emulator: The emulator.
        name: The name of the stack.
        template: The packaged or built template.
    """

    def __init__(self, emulator: Emulator, name: str, template: Path) -> None:
        self.emulator, self.name, self.template = emulator, name, template
        self.parameters: dict[str, object] = {}
        self._cloudformation = emulator.client("cloudformation")

    def deploy(self, parameters: Mapping[str, object], *, succeeds: bool = True) -> str:
        """Run `sam deploy` with these parameters, which succeeds or not; return its output."""
        self.parameters = dict(parameters)
        given = [f'{name}="{value}"' for name, value in parameters.items()]
        command: list[str | Path] = [
            *(SAM, "deploy", "--template-file", self.template, "--stack-name", self.name, "--resolve-s3"),
            *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset"),
            *(("--parameter-overrides", *given) if given else ()),
        ]
        ran = subprocess.run(
            command,
            # Without samconfig.toml.
            cwd=self.template.parent,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert (ran.returncode == 0) is succeeds, ran.stdout
        return ran.stdout

    def deploy_by_make(self, stage: str, parameters: Mapping[str, object]) -> str:
        """Run `make deploy` as docs/examples/deploy.yaml does, with a closed standard input; return its output."""
        self.parameters = dict(parameters)
        bucket = f"{self.name}-artifacts"
        region = {"LocationConstraint": REGION}
        self.emulator.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=region)
        options = f"--no-resolve-s3 --s3-bucket {bucket} --stack-name {self.name}"
        options += f" --template-file {shlex.quote(str(self.template))}"
        # The environment of these tests exists already.
        ran = subprocess.run(
            ["make", "--old-file=.venv/ready", "deploy", f"STAGE={stage}", f"DEPLOY_OPTIONS={options}"],
            cwd=ROOT,
            env={**self._environment(), "PARAMETERS": shlex.join(f"{name}={parameters[name]}" for name in parameters)},
            preexec_fn=lambda: os.close(0),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    def _environment(self) -> dict[str, str]:
        # Poll each second instead of every five (https://github.com/aws/aws-sam-cli/pull/3500).
        settings = {"AWS_ENDPOINT_URL": self.emulator.url, "SAM_CLI_POLL_DELAY": "1", "SAM_CLI_TELEMETRY": "0"}
        return {**sandboxed_environment(os.environ), **settings}

    def resources(self) -> dict[str, tuple[str, str]]:
        """Return the type and physical id of each resource, by logical id."""
        found: list[dict[str, str]] = self._cloudformation.describe_stack_resources(StackName=self.name)[
            "StackResources"
        ]
        return {each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"]) for each in found}

    def physical_id(self, logical_id: str) -> str:
        """Return the physical id of a resource."""
        _, physical_id = self.resources()[logical_id]
        return physical_id

    def output(self, name: str) -> str:
        """Return an output."""
        (stack,) = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return next(str(output["OutputValue"]) for output in stack["Outputs"] if output["OutputKey"] == name)

    def delete(self) -> tuple[str, str]:
        """Delete the stack; return its last status and the reason, which are empty if it is gone."""
        self._cloudformation.delete_stack(StackName=self.name)
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            stacks = self._cloudformation.describe_stacks()["Stacks"]
            found = next((each for each in stacks if each["StackName"] == self.name), None)
            status = found["StackStatus"] if found else "DELETE_COMPLETE"
            if status == "DELETE_COMPLETE":
                return "", ""
            if not status.endswith("IN_PROGRESS") and found:
                return status, found.get("StackStatusReason", "")
            time.sleep(0.2)
        raise RuntimeError(f"The deletion of {self.name} does not end")

    @property
    def url(self) -> str:
        """The URL of the deployed API; its Host header chooses the API (`host`)."""
        return f"{self.emulator.url}/live"

    @property
    def host(self) -> str:
        """The name of the deployed API on the emulator."""
        return f"{self.physical_id('Api')}.execute-api.localhost:{self.emulator.port}"

    def complete(self, fake_services_url: str) -> None:
        """Add the parts that the emulator leaves out: gateway responses and the responses of OPTIONS.

        Also connects the fake services, so that a verification calls no external service.
        """
        gateway, api_id = self.emulator.client("apigateway"), self.physical_id("Api")
        document = Template.load(self.parameters).api()
        for response_type, response in document["x-amazon-apigateway-gateway-responses"].items():
            given = {"statusCode": str(response["statusCode"])} if "statusCode" in response else {}
            parts = {name: response.get(name, {}) for name in ("responseParameters", "responseTemplates")}
            gateway.put_gateway_response(restApiId=api_id, responseType=response_type, **given, **parts)
        resources = gateway.get_resources(restApiId=api_id, limit=500)["items"]
        ids = {resource["path"]: resource["id"] for resource in resources}
        for path, item in document["paths"].items():
            for status, response in _mocked(item):
                method = {"restApiId": api_id, "resourceId": ids[path], "httpMethod": "OPTIONS", "statusCode": status}
                parts = {name: response.get(name, {}) for name in ("responseParameters", "responseTemplates")}
                gateway.put_method_response(**method)
                gateway.put_integration_response(**method, **parts)
        gateway.create_deployment(restApiId=api_id, stageName="live")
        self.set_variable("VerifyApiKey", "SERVICE_KEYS_FAKE_SERVICES_URL", fake_services_url)

    def variables(self, logical_id: str) -> dict[str, str]:
        """Return the environment of a function."""
        configuration = self.emulator.client("lambda").get_function_configuration(
            FunctionName=self.physical_id(logical_id)
        )
        variables: dict[str, str] = configuration["Environment"]["Variables"]
        return variables

    def set_variable(self, logical_id: str, name: str, value: str) -> None:
        """Set a variable in the environment of a function."""
        environment = {"Variables": self.variables(logical_id) | {name: value}}
        functions = self.emulator.client("lambda")
        functions.update_function_configuration(FunctionName=self.physical_id(logical_id), Environment=environment)


def _mocked(item: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the status and the response of each MOCK integration of a path."""
    integrations = [item["options"]["x-amazon-apigateway-integration"]] if "options" in item else []
    return [
        (str(response["statusCode"]), response)
        for integration in integrations
        if integration["type"] == "mock"
        for response in integration["responses"].values()
    ]


def copy_without(template: Path, target: Path, *left_out: str) -> Path:
    """Write a copy of a built template without some resources; return its path.

    The emulator knows the pool's attribute ProviderName, but not ProviderURL, which is its URL
    (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cognito-userpool.html).
    """
    document = yaml_parse(template.read_text(encoding="utf-8"))
    for logical_id in left_out:
        del document["Resources"][logical_id]
    for resource in document["Resources"].values():
        for name in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][name] = str((template.parent / resource["Properties"][name]).resolve())
    text = json.dumps(document).replace("${UserPool.ProviderURL}", "https://${UserPool.ProviderName}")
    url = json.dumps({"Fn::Sub": "https://${UserPool.ProviderName}"})
    for attribute in ("UserPool.ProviderURL", ["UserPool", "ProviderURL"]):
        text = text.replace(json.dumps({"Fn::GetAtt": attribute}), url)
    target.write_text(text, encoding="utf-8")
    return target
