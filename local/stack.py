"""The whole stack, running in this process: what `make run` serves and what the functional tests talk to."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.aws import CREDENTIALS, DYNAMODB_ENDPOINT, MotoServer, create_resources, create_secret, sandboxed_environment
from local.functions import load_functions
from local.gateway import Gateway
from local.issuer import AUDIENCE, ISSUER, JWKS_PATH, Issuer
from local.loopback import LoopbackOnly
from local.port import HOST, bind
from local.server import Application, Server
from local.template import TEMPLATE, Template

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from local.functions import LoadedFunction

TABLE_NAME = "service-keys-local"
FAKE_SERVICES_URL_VARIABLE = "SERVICE_KEYS_FAKE_SERVICES_URL"


@dataclass(frozen=True)
class LocalStack:
    """A running stack.

    Attributes:
        url: Where the API listens, without a slash at the end.
        endpoint_url: Stands for KMS, and for DynamoDB where `dynamodb_url` is not another.
        dynamodb_url: Stands for DynamoDB.
        table_name: The table.
        kms_key_arn: The key.
        functions: The loaded functions by logical id, the authorizer among them.
        issuer: Signs tokens that the authorizer takes.
        template: The template, resolved for this run.
    """

    url: str
    endpoint_url: str
    dynamodb_url: str
    table_name: str
    kms_key_arn: str
    functions: Mapping[str, LoadedFunction]
    issuer: Issuer
    template: Template

    def consumer_environment(self) -> dict[str, str]:
        """Return the environment in which a process on this machine reads keys through the layer."""
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint_url, "SERVICE_KEYS_TABLE": self.table_name}
        if self.dynamodb_url != self.endpoint_url:
            environment[DYNAMODB_ENDPOINT] = self.dynamodb_url
        return environment


@contextmanager
def local_stack(  # noqa: PLR0913 - each has a default, and there is no other place to choose them
    overrides: Mapping[str, object] | None = None,
    *,
    path: Path = TEMPLATE,
    table_name: str = TABLE_NAME,
    listener: socket.socket | None = None,
    issuer: Issuer | None = None,
    jwt_secret: str | None = None,
    fake_services_url: str | None = None,
    log_requests: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[LocalStack]:
    """Run the stack until the block ends.

    Where the environment has `AWS_ENDPOINT_URL_DYNAMODB`, the table is there; otherwise it, and KMS in any case, are in
    a moto server that lives as long as the stack. The environment is not changed, but for the moments in which
    functions are imported.

    Args:
        overrides: Template parameters, instead of the ones that a local run gives.
        path: The template.
        table_name: What to call the table; made where there is none of this name.
        listener: A socket from `listener.bind`; without it, a free port is taken.
        issuer: Signs the tokens; without it, one with a key of its own.
        jwt_secret: What the template's JwtSecretParameter, which `parameters` must name then, is to hold; the issuer's
            tokens are refused.
        fake_services_url: Stands for the external services; without it, keys are checked with the real ones.
        log_requests: Whether to write a line on stderr for every request.
        progress: Called with a line of text before each step that takes a while.

    Raises:
        TemplateError: The template or a parameter cannot be used.
        EmulatorError: moto did not start, or DynamoDB cannot be reached.
        FunctionLoadError: A function cannot be imported.
    """
    with ExitStack() as exits:
        listener = exits.enter_context(closing(listener or bind(0)))
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        progress("Starting moto, which stands for AWS ...")
        moto = exits.enter_context(MotoServer())
        progress("Translating template.yaml ...")
        # Before moto is waited for: both take a second.
        Template.load(parameters(url, "", overrides), path=path)
        dynamodb_url = os.environ.get(DYNAMODB_ENDPOINT) or moto.url
        template = create_resources(
            Template.load(parameters(url, moto.url, overrides), path=path),
            table_name=table_name,
            kms_url=moto.url,
            dynamodb_url=dynamodb_url,
        )
        if jwt_secret is not None:
            create_secret(moto.url, template.parameters["JwtSecretParameter"], jwt_secret)
        progress("Loading the functions ...")
        environment = sandboxed_environment(os.environ)
        if dynamodb_url != moto.url:
            environment[DYNAMODB_ENDPOINT] = dynamodb_url
        if fake_services_url:
            environment[FAKE_SERVICES_URL_VARIABLE] = fake_services_url
        functions = exits.enter_context(load_functions(template.functions().values(), environment))
        issuer = issuer or Issuer.generate()
        application = Application(Gateway(template, functions), issuer, log_requests=log_requests)
        exits.enter_context(Server(listener, LoopbackOnly(application, pages=True)))
        yield LocalStack(
            url=url,
            endpoint_url=moto.url,
            dynamodb_url=dynamodb_url,
            table_name=table_name,
            kms_key_arn=template.references[f"{template.single_resource('AWS::KMS::Key')}.Arn"],
            functions=functions,
            issuer=issuer,
            template=template,
        )


def parameters(url: str, endpoint_url: str = "", overrides: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return the template's parameters for an API that listens at ``url``."""
    return {
        "JwtIssuer": ISSUER,
        "JwtAudience": AUDIENCE,
        "JwksUrl": url + JWKS_PATH,
        "AdminClaimRule": "role=admin",
        "AllowedOrigin": "http://localhost:3000",
        "AwsEndpointUrl": endpoint_url,
        # Lines that nobody counts here.
        "CustomMetrics": "false",
        **(overrides or {}),
    }
