"""Sign in to a deployed stack through the browser, and print an access token: ``make sign-in STACK=…``.

For stacks with a user pool of their own. OAuth 2.0 for native applications (RFC 8252): the authorization code flow with
PKCE (RFC 7636), and a redirect to this machine. Only the token goes to stdout; all messages go to stderr.
"""

from __future__ import annotations

import argparse
import base64
import errno
import hashlib
import hmac
import os
import queue
import secrets
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import botocore.exceptions
import botocore.session
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PORT: Final = 8765
"""The template's callback URL has this port, and Cognito compares callback URLs exactly."""
TIMEOUT_SECONDS: Final = 300
"""Time for signing in; an invited administrator also chooses a password and sets up an authenticator app."""
_SCOPE: Final = "openid"
_HTTP_TIMEOUT_SECONDS: Final = 30
_HEADERS: Final = {
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-store",
    # The address of the page has the authorization code.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class SignInError(Exception):
    """No token was obtained. The message states the reason and the remedy."""


def sign_in(
    stack_name: str,
    *,
    open_browser: Callable[[str], object] | None = None,
    port: int = PORT,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> str:
    """Return an access token of the administrator who signs in through the browser.

    Args:
        stack_name: The stack's name; region and credentials are those of the caller's AWS configuration.
        open_browser: Opens a URL. Default: the system's browser. The URL is on stderr too.
        port: The port of the redirect to this machine.
        timeout_seconds: Time for signing in.

    Raises:
        SignInError: The stack, its user pool or the network does not allow it, or the administrator did not sign in.
    """
    issuer, client_id = _user_pool(stack_name)
    endpoints = _discover(issuer)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    redirect_uri = f"http://localhost:{port}/callback"
    request = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": _SCOPE,
        "state": state,
        "code_challenge": _encode(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
    }
    with _listening(port, state) as received:
        url = f"{endpoints['authorization_endpoint']}?{urlencode(request)}"
        minutes = timeout_seconds / 60
        _say(f"Sign in to {stack_name} in the browser within {minutes:g} minutes. If none opens, visit:\n{url}")
        (open_browser or _open_browser)(url)
        code = _await_code(received, timeout_seconds)
    proof = {"client_id": client_id, "redirect_uri": redirect_uri, "code": code, "code_verifier": verifier}
    return _exchange(endpoints["token_endpoint"], {"grant_type": "authorization_code", **proof})


def _user_pool(stack_name: str) -> tuple[str, str]:
    """Return the issuer and the client id from the stack's outputs."""
    try:
        # botocore reads AWS_DEFAULT_REGION only; the AWS CLI prefers AWS_REGION.
        session, region = botocore.session.Session(), os.environ.get("AWS_REGION")
        cloudformation: Any = session.create_client("cloudformation", region_name=region)
        (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except botocore.exceptions.ClientError as exc:
        raise SignInError(_aws_error(stack_name, exc.response["Error"]["Code"])) from exc
    except botocore.exceptions.NoRegionError as exc:
        raise SignInError("The AWS region is missing. Set AWS_REGION, or a region in the AWS profile.") from exc
    except _CREDENTIAL_ERRORS as exc:
        message = f"There are no valid AWS credentials ({exc}). Sign in to AWS first, for example with aws sso login."
        raise SignInError(message) from exc
    except botocore.exceptions.BotoCoreError as exc:
        raise SignInError(f"CloudFormation cannot be asked about the stack {stack_name}: {exc}") from exc
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    try:
        return outputs["SignInIssuer"], outputs["SignInClientId"]
    except KeyError:
        raise SignInError(
            f"The stack {stack_name} has no user pool. If it has an issuer of its own (JwtIssuer), get a token from "
            "that identity provider: docs/identity-providers.md. If it is being deployed, wait for the end."
        ) from None


_CREDENTIAL_ERRORS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.SSOError,
    botocore.exceptions.TokenRetrievalError,
)


def _aws_error(stack_name: str, code: str) -> str:
    # CloudFormation has no code of its own for a stack that does not exist.
    if code == "ValidationError":
        return f"There is no stack {stack_name} in this account and region. Check STACK, AWS_PROFILE and AWS_REGION."
    if "Token" in code or code in ("InvalidClientTokenId", "SignatureDoesNotMatch"):
        return f"The AWS credentials are invalid or expired ({code}). Sign in to AWS again."
    return (
        f"CloudFormation refused to describe the stack {stack_name} ({code}). Check the permissions of the AWS profile."
    )


def _discover(issuer: str) -> dict[str, str]:
    """Return the issuer's endpoints (OpenID Connect Discovery 1.0, section 4)."""
    metadata = _json_of("The issuer's metadata", lambda: _get(f"{issuer}/.well-known/openid-configuration"))
    if metadata.get("issuer") != issuer:
        raise SignInError("The issuer's metadata is of another issuer. Check the stack's output SignInIssuer.")
    endpoints = {name: str(metadata.get(name)) for name in ("authorization_endpoint", "token_endpoint")}
    for name, url in endpoints.items():
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise SignInError(f"The issuer's metadata has no https URL as {name}. Has the user pool a domain?")
    return endpoints


def _exchange(token_endpoint: str, form: dict[str, str]) -> str:
    """Return the access token for an authorization code (RFC 6749, section 4.1.3)."""
    answer = _json_of("The token endpoint", lambda: _post(token_endpoint, form))
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise SignInError("The token endpoint returned no access token. Try again.")
    return token


def _get(url: str) -> requests.Response:
    return requests.get(url, timeout=_HTTP_TIMEOUT_SECONDS, allow_redirects=False)


def _post(url: str, form: dict[str, str]) -> requests.Response:
    return requests.post(url, data=form, timeout=_HTTP_TIMEOUT_SECONDS, allow_redirects=False)


def _json_of(source: str, send: Callable[[], requests.Response]) -> dict[str, Any]:
    """Return the JSON object of a response. Errors do not quote the request or the response, which hold secrets."""
    try:
        response = send()
    except requests.RequestException as exc:
        raise SignInError(f"{source} cannot be reached ({type(exc).__name__}). Check the network.") from None
    try:
        body = response.json()
    except requests.JSONDecodeError:
        body = None
    if response.status_code == requests.codes.ok and isinstance(body, dict):
        return body
    error = _printable(body.get("error")) if isinstance(body, dict) else ""
    raise SignInError(f"{source} answered {response.status_code}{error and f' ({error})'}. Try again.")


@contextmanager
def _listening(port: int, state: str) -> Iterator[queue.Queue[dict[str, str]]]:
    """Listen on both loopback addresses, either of which `localhost` may be, until the block ends.

    Yields a queue with the parameters of the first redirect that has the state.
    """
    received: queue.Queue[dict[str, str]] = queue.Queue()
    with ExitStack() as exits:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                server = _Server(family, (address, port), state, received)
            except OSError as exc:
                if exc.errno == errno.EADDRINUSE:
                    message = f"Another program listens on port {port} (another make sign-in?). End it, and try again."
                    raise SignInError(message) from exc
                if family == socket.AF_INET:
                    raise SignInError(f"This program cannot listen on {address}:{port}: {exc.strerror}.") from exc
                continue  # a machine without IPv6
            exits.enter_context(server)
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            exits.callback(thread.join)
            exits.callback(server.shutdown)
        yield received


class _Server(ThreadingHTTPServer):
    def __init__(
        self, family: socket.AddressFamily, address: tuple[str, int], state: str, received: queue.Queue[dict[str, str]]
    ) -> None:
        self.address_family = family
        self.state = state
        self.received = received
        super().__init__(address, _Callback)


class _Callback(BaseHTTPRequestHandler):
    server: _Server
    # Browsers open connections in advance and send nothing.
    timeout = 10

    def do_GET(self) -> None:
        """Accept the redirect to /callback with the state; refuse other requests, which any web page could cause."""
        target = urlsplit(self.path)
        parameters = {name: values[0] for name, values in parse_qs(target.query).items() if len(values) == 1}
        if target.path != "/callback":
            self._respond(404, "There is no such page.")
        elif not hmac.compare_digest(parameters.get("state", "").encode(), self.server.state.encode()):
            _say("Ignored a redirect with a wrong state: it does not belong to this sign-in.")
            self._respond(400, "This page does not belong to the current sign-in. Use the address in the terminal.")
        else:
            self._respond(200, "You can close this page and return to the terminal.")
            self.server.received.put(parameters)

    def _respond(self, status: int, text: str) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(f"{text}\n".encode())

    def log_message(self, *_: object) -> None:
        """Suppress the log, which would contain the code."""


def _await_code(received: queue.Queue[dict[str, str]], timeout_seconds: float) -> str:
    try:
        parameters = received.get(timeout=timeout_seconds)
    except queue.Empty:
        message = f"No sign-in within {timeout_seconds / 60:g} minutes. Try again."
        raise SignInError(message) from None
    if "error" in parameters:
        error, description = (_printable(parameters.get(name)) for name in ("error", "error_description"))
        raise SignInError(f"The sign-in failed: {error}{description and f' ({description})'}. Try again.")
    if "code" not in parameters:
        raise SignInError("The redirect has no authorization code. Try again.")
    return parameters["code"]


def _open_browser(url: str) -> subprocess.Popen[bytes]:
    # In a process of its own, because a text browser would write to this program's stdout.
    command, no = [sys.executable, "-m", "webbrowser", url], subprocess.DEVNULL
    return subprocess.Popen(command, stdin=no, stdout=no, stderr=no, start_new_session=True)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _printable(text: object) -> str:
    """Return the printable ASCII characters of a text of the issuer, at most 200."""
    return "".join(each for each in text if " " <= each <= "~")[:200] if isinstance(text, str) else ""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Print an access token; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.sign_in",
        description="Sign in to a deployed stack through the browser, and print an access token and nothing else.",
        epilog="Region and credentials come from the AWS configuration (AWS_PROFILE, AWS_REGION). Use: "
        'TOKEN="$(make -s sign-in STACK=service-keys)"',
    )
    parser.add_argument("stack", help="name of the stack, such as service-keys")
    options = parser.parse_args(arguments)
    try:
        print(sign_in(options.stack))
    except SignInError as exc:
        _say(str(exc))
        return 1
    except KeyboardInterrupt:
        _say("Ended.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
