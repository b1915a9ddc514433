"""Run the whole stack in this process, for `make run` and the functional tests."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.aws import CREDENTIALS, DYNAMODB_ENDPOINT, MotoServer, create_resources, create_secret, sandboxed_environment
from local.functions import load_functions
from local.gateway import Gateway
from local.issuer import AUDIENCE, JWKS_PATH, Issuer
from local.loopback import loopback_only
from local.port import HOST, bind
from local.server import Application, serving
from local.sign_in import CLIENT_ID, SignIn
from local.template import EXAMPLE_PARAMETERS, TEMPLATE, Template
from tools import generate_api_page

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

    URLs have no trailing slash. `url` is the server and the issuer of the tokens; the paths of the API begin with
    `base_path`, which is empty by default. `endpoint_url` is the AWS emulator, and `dynamodb_url` equals it unless
    DynamoDB runs elsewhere. `functions` has the loaded functions by logical id, including the authorizer.
    """

    url: str
    base_path: str
    endpoint_url: str
    dynamodb_url: str
    table_name: str
    kms_key_arn: str
    functions: Mapping[str, LoadedFunction]
    issuer: Issuer
    sign_in: SignIn
    template: Template

    @property
    def console_url(self) -> str:
        """Return the address of the web console."""
        return f"{self.url}{self.base_path}/console"

    def consumer_environment(self) -> dict[str, str]:
        """Return the environment variables of a consumer on this machine."""
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint_url, "SERVICE_KEYS_TABLE": self.table_name}
        if self.dynamodb_url != self.endpoint_url:
            environment[DYNAMODB_ENDPOINT] = self.dynamodb_url
        return environment


@contextmanager
def local_stack(  # noqa: PLR0913 - all are optional and independent
    overrides: Mapping[str, object] | None = None,
    *,
    path: Path = TEMPLATE,
    table_name: str = TABLE_NAME,
    listener: socket.socket | None = None,
    base_path: str = "",
    issuer: Issuer | None = None,
    jwt_secret: str | None = None,
    fake_services_url: str | None = None,
    state: Path | None = None,
    emulator_ended: Callable[[], object] = lambda: None,
    log_requests: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[LocalStack]:
    """Run the stack until the block ends.

    A moto server with the stack's lifetime provides AWS; `AWS_ENDPOINT_URL_DYNAMODB` moves the table to another
    server. The environment of this process changes only while functions are imported.

    Args:
        overrides: Template parameters that replace those of a local run.
        path: The template.
        table_name: The name of the table, which is created if it does not exist.
        listener: A socket from `port.bind`. Default: a free port.
        base_path: The start of the API's paths, such as `/live` as on AWS; the root by default.
        issuer: The issuer of the tokens, moved to the stack's URL. Default: an issuer with a new key.
        jwt_secret: The value of the SSM parameter that `overrides` names as JwtSecretParameter, instead of the issuer.
        fake_services_url: The URL of the fake services. Default: verify keys with the real services.
        state: The file that keeps the table's items and the KMS keys. Default: keep nothing.
        emulator_ended: A callback for the end of moto's server before the block's.
        log_requests: True to log a line on stderr for every request.
        progress: A callback that gets a line of text before each slow step.

    Raises:
        TemplateError: The template or a parameter is invalid.
        EmulatorError: moto did not start, DynamoDB is unreachable, or `state` is not usable.
        FunctionLoadError: A function cannot be imported.
    """
    with ExitStack() as exits:
        listener = exits.enter_context(closing(listener or bind(0)))
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        progress("Starting moto, which stands for AWS ...")
        moto = exits.enter_context(MotoServer(state, table_name, emulator_ended))
        progress("Translating template.yaml ...")
        # Translate while moto starts: each takes a second.
        Template.load(parameters(url, "", overrides), path=path)
        dynamodb_url = os.environ.get(DYNAMODB_ENDPOINT) or moto.url
        template = Template.load(parameters(url, moto.url, overrides), path=path)
        template = create_resources(template, table_name=table_name, kms_url=moto.url, dynamodb_url=dynamodb_url)
        if jwt_secret is not None:
            create_secret(moto.url, template.parameters["JwtSecretParameter"], jwt_secret)
        progress("Loading the functions ...")
        if path == TEMPLATE:
            generate_api_page.update()
        environment = sandboxed_environment(os.environ)
        if dynamodb_url != moto.url:
            environment[DYNAMODB_ENDPOINT] = dynamodb_url
        if fake_services_url:
            environment[FAKE_SERVICES_URL_VARIABLE] = fake_services_url
        functions = exits.enter_context(load_functions(template.functions().values(), environment))
        issuer = (issuer or Issuer.generate()).at(url)
        # The console's page returns to the host with which it was opened.
        hosts = (url, url.replace(HOST, "localhost"))
        sign_in = SignIn(issuer, [f"{host}{base_path}/console/index.html" for host in hosts])
        console = f"{base_path}/console" if any(route.path == "/console" for route in template.routes()) else None
        gateway = Gateway(template, functions, base_path=base_path)
        application = Application(gateway, sign_in, console, log_requests=log_requests)
        exits.enter_context(serving(listener, loopback_only(application, pages=True)))
        kms_key_arn = template.references[f"{template.single_resource('AWS::KMS::Key')}.Arn"]
        yield LocalStack(
            url, base_path, moto.url, dynamodb_url, table_name, kms_key_arn, functions, issuer, sign_in, template
        )


def parameters(url: str, endpoint_url: str = "", overrides: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return the template parameters of a local run with the API at ``url``."""
    given = overrides or {}
    # Without a key set there is no sign-in, and the console asks for a token.
    client = {} if given.get("JwtSecretParameter") else {"ConsoleClientId": CLIENT_ID}
    return {
        **EXAMPLE_PARAMETERS,
        "JwtIssuer": url,
        "JwtAudience": AUDIENCE,
        "JwksUrl": url + JWKS_PATH,
        **client,
        "AllowedOrigin": "http://localhost:3000",
        "AwsEndpointUrl": endpoint_url,
        # No program reads the metric log lines of a local run.
        "CustomMetrics": "false",
        **given,
    }
