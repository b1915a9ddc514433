"""`make sign-in`: a fake identity provider and a fake browser over HTTP, and moto's CloudFormation."""

from __future__ import annotations

import base64
import errno
import functools
import hashlib
import json
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import botocore.session
import pytest
import requests
from moto import mock_aws

from local.aws import CREDENTIALS
from tests.support.http_server import HttpRequest, HttpServer
from tools import sign_in as tool
from tools.sign_in import SignInError, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STACK, CLIENT = "service-keys-made-up", "made-up-client"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
CODE, TOKEN = "made-up-authorization-code", "made-up.access.token"


class Provider(HttpServer):
    """A fake issuer. A test replaces the redirect's parameters, the token endpoint's response or the metadata.

    Attributes:
        redirect: Returns the parameters of the redirect for an authorization request.
        answer: Status and body of the token endpoint.
        metadata: Members to replace in the metadata.
        authorization: The parameters of the last authorization request.
        exchanged: The form of the last token request.
    """

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.redirect: Callable[[dict[str, str]], dict[str, str]] = lambda sent: {"code": CODE, "state": sent["state"]}
        self.answer: tuple[int, object] = (200, {"access_token": TOKEN, "id_token": "x", "refresh_token": "y"})
        self.metadata: dict[str, object] = {}
        self.authorization: dict[str, str] = {}
        self.exchanged: dict[str, str] = {}

    def _respond(self, request: HttpRequest) -> None:
        target = urlsplit(request.path)
        if target.path == "/.well-known/openid-configuration":
            endpoints = {"authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token"}
            request.send(200, json.dumps({"issuer": self.url, **endpoints, **self.metadata}).encode())
        elif target.path == "/authorize":
            self.authorization = dict(parse_qsl(target.query))
            location = f"{self.authorization['redirect_uri']}?{urlencode(self.redirect(self.authorization))}"
            request.send(302, headers={"Location": location})
        else:
            self.exchanged = dict(parse_qsl(request.body.decode()))
            status, body = self.answer
            request.send(status, json.dumps(body).encode())


class Browser:
    """A fake browser: visit the URL in a thread, follow the redirects and record the last page.

    Attributes:
        host: Connects to this address instead of `localhost`, if set.
    """

    def __init__(self, host: str = "") -> None:
        self.host = host
        self.pages: list[requests.Response] = []
        self.threads: list[threading.Thread] = []

    def __call__(self, url: str) -> None:
        self.threads.append(threading.Thread(target=self._visit, args=(url,)))
        self.threads[-1].start()

    def _visit(self, url: str) -> None:
        location = requests.get(url, allow_redirects=False, timeout=30).headers["Location"]
        self.pages.append(requests.get(location.replace("localhost", self.host or "localhost"), timeout=30))

    def page(self) -> requests.Response:
        for thread in self.threads:
            thread.join()
        return self.pages[-1]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def port() -> int:
    """Return a port that is free on both loopback addresses."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        number: int = listener.getsockname()[1]
    return number


@pytest.fixture(scope="module", autouse=True)
def _read_service_models_once() -> Iterator[None]:
    """Cache botocore's loader: each sign-in creates a session, which reads megabytes of service models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Create no stack yet; return moto's CloudFormation."""
    for name, value in {**CREDENTIALS, "AWS_DEFAULT_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/nonexistent"}.items():
        monkeypatch.setenv(name, value)
    with mock_aws(config={"core": {"passthrough": {"urls": [r"http://(127\.0\.0\.1|localhost|\[::1\])[:/].*"]}}}):
        yield botocore.session.Session().create_client("cloudformation")


@pytest.fixture
def stack(aws: Any, provider: Provider) -> str:
    deploy(aws, SignInIssuer=provider.url, SignInClientId=CLIENT)
    return STACK


def deploy(cloudformation: Any, **outputs: str) -> None:
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(template))


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback address")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", pytest.param("[::1]", marks=IPV6)])
def test_administrator_gets_an_access_token(stack: str, provider: Provider, port: int, host: str) -> None:
    """The code is exchanged with the verifier of the challenge; the redirect reaches either loopback address."""
    browser = Browser(host)

    assert sign_in(stack, open_browser=browser, port=port) == TOKEN

    redirect_uri = f"http://localhost:{port}/callback"
    verifier = provider.exchanged.pop("code_verifier")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert len(verifier) >= 43, "RFC 7636, section 4.1"
    assert len(provider.authorization.pop("state")) >= 43
    client = {"client_id": CLIENT, "redirect_uri": redirect_uri}
    asked = {"response_type": "code", "scope": "openid", "code_challenge": challenge, "code_challenge_method": "S256"}
    assert provider.authorization == client | asked
    assert provider.exchanged == client | {"grant_type": "authorization_code", "code": CODE}


def test_last_page_keeps_the_code_to_itself(stack: str, provider: Provider, port: int) -> None:
    """The page is plain text without the code, is not stored, and its address is not passed on."""
    browser = Browser()
    sign_in(stack, open_browser=browser, port=port)

    page = browser.page()
    assert (page.status_code, CODE in page.text, TOKEN in page.text) == (200, False, False)
    assert page.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert (page.headers["Cache-Control"], page.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_redirect_with_another_state_is_ignored(
    stack: str, provider: Provider, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A web page that calls the loopback port neither injects a code nor ends the sign-in."""
    states = iter([{"state": "x" * 43}, {}, {"state": "\u00e9"}])
    browser = Browser()

    def visit_four_times(url: str) -> None:
        provider.redirect = lambda _: {"code": "injected-code", **next(states)}
        pages = []
        for _ in range(3):
            browser(url)
            pages.append(browser.page().status_code)
        assert pages == [400, 400, 400]
        callback = f"http://localhost:{port}"
        assert requests.get(f"{callback}/other?code=x", timeout=30).status_code == 404
        provider.redirect = lambda sent: {"code": CODE, "state": sent["state"]}
        browser(url)

    assert sign_in(stack, open_browser=visit_four_times, port=port) == TOKEN
    assert provider.exchanged["code"] == CODE
    assert capsys.readouterr().err.count("Ignored a redirect with a wrong state") == 3


@pytest.mark.parametrize(
    ("redirect", "words"),
    [
        ({"error": "access_denied"}, r"failed: access_denied\. Try again"),
        ({"error": "x\x1b[2J", "error_description": "User\nis disabled"}, r"failed: x\[2J \(Useris disabled\)\."),
        ({}, "no authorization code"),
    ],
)
def test_failed_sign_in_is_reported(
    stack: str, provider: Provider, port: int, redirect: dict[str, str], words: str
) -> None:
    """The issuer's error is shown without control characters."""
    provider.redirect = lambda sent: {"state": sent["state"], **redirect}

    with pytest.raises(SignInError, match=words):
        sign_in(stack, open_browser=Browser(), port=port)
    assert provider.exchanged == {}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {"error": "invalid_grant"}), r"token endpoint answered 400 \(invalid_grant\)\. Try again"),
        ((500, "x"), r"token endpoint answered 500\. Try again"),
        ((302, {}), "token endpoint answered 302"),
        ((200, {"id_token": "made-up"}), "no access token"),
        ((200, ["made-up"]), "token endpoint answered 200"),
    ],
)
def test_refused_code_is_reported(
    stack: str, provider: Provider, port: int, answer: tuple[int, object], words: str
) -> None:
    """The error quotes neither the code nor the verifier nor the response."""
    provider.answer = answer

    with pytest.raises(SignInError, match=words) as raised:
        sign_in(stack, open_browser=Browser(), port=port)
    assert CODE not in str(raised.value)
    assert provider.exchanged["code_verifier"] not in str(raised.value)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"issuer": "https://other.example.com"}, "of another issuer"),
        ({"token_endpoint": "http://sign-in.example.com/token"}, "no https URL as token_endpoint"),
        ({"authorization_endpoint": None}, "no https URL as authorization_endpoint"),
    ],
)
def test_unusable_metadata_rejected(
    stack: str, provider: Provider, port: int, metadata: dict[str, object], words: str
) -> None:
    """Nothing is sent to endpoints of another issuer or in clear text."""
    provider.metadata = metadata

    with pytest.raises(SignInError, match=words):
        sign_in(stack, open_browser=pytest.fail, port=port)


def test_unreachable_issuer_is_reported(aws: Any, port: int) -> None:
    """The error names the network."""
    deploy(aws, SignInIssuer=f"http://127.0.0.1:{port}", SignInClientId=CLIENT)

    with pytest.raises(SignInError, match=r"metadata cannot be reached \(ConnectionError\)\. Check the network"):
        sign_in(STACK, open_browser=pytest.fail, port=port)


@pytest.mark.parametrize("address", ["127.0.0.1", pytest.param("::1", marks=IPV6)])
def test_port_in_use_is_reported(stack: str, port: int, address: str) -> None:
    """Another program on either address could receive the code."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        closing(socket.create_server((address, port), family=family)),
        pytest.raises(SignInError, match=f"Another program listens on port {port} .*End it"),
    ):
        sign_in(stack, open_browser=pytest.fail, port=port)


def test_machine_without_ipv6(stack: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The IPv4 address is enough."""
    bind = tool._Server.server_bind

    def without_ipv6(server: tool._Server) -> None:
        if server.address_family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        bind(server)

    monkeypatch.setattr(tool._Server, "server_bind", without_ipv6)
    assert sign_in(stack, open_browser=Browser("127.0.0.1"), port=port) == TOKEN


def test_sign_in_has_a_time_limit(stack: str, port: int) -> None:
    """An abandoned sign-in ends, and frees the port."""
    with pytest.raises(SignInError, match="No sign-in within"):
        sign_in(stack, open_browser=lambda _: None, port=port, timeout_seconds=0.01)
    assert sign_in(stack, open_browser=Browser(), port=port) == TOKEN
    assert tool.TIMEOUT_SECONDS == 300


def test_stack_without_user_pool_is_reported(aws: Any) -> None:
    """The error refers to the identity provider."""
    deploy(aws, ApiUrl="https://api.example.com")

    with pytest.raises(SignInError, match=r"no user pool\. .* get a token from that identity provider"):
        sign_in(STACK, open_browser=pytest.fail)


def test_unknown_stack_is_reported() -> None:
    """The error names the settings that choose account and region."""
    with pytest.raises(SignInError, match=r"There is no stack nope in .* region\. Check STACK, AWS_PROFILE"):
        sign_in("nope", open_browser=pytest.fail)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict.fromkeys(KEYS) | {"AWS_EC2_METADATA_DISABLED": "true"}, "no valid AWS credentials"),
        ({"AWS_PROFILE": "nope"}, r"no valid AWS credentials .*nope"),
        (dict.fromkeys(("AWS_DEFAULT_REGION", "AWS_REGION")), "Set AWS_REGION"),
    ],
    ids=["none", "no such profile", "no region"],
)
def test_incomplete_aws_configuration_is_reported(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], words: str
) -> None:
    """The error names the setting or the command."""
    for name, value in (changes | {"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}).items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)

    with pytest.raises(SignInError, match=words):
        sign_in(STACK, open_browser=pytest.fail)


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_region_is_that_of_the_aws_cli(stack: str, port: int, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """botocore itself reads only one of the two variables."""
    for each in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(each)
    monkeypatch.setenv(name, "eu-west-1")

    assert sign_in(stack, open_browser=Browser(), port=port) == TOKEN


def test_browser_cannot_write_to_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A text browser, such as that of BROWSER, would mix its page with the token."""
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "a page"; echo "$1" > {tmp_path}/visited\n')
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", str(script))

    with tool._open_browser("http://localhost/made-up?a=1&b=2") as process:
        process.wait(30)

    assert (tmp_path / "visited").read_text() == "http://localhost/made-up?a=1&b=2\n"
    assert capfd.readouterr() == ("", "")


def test_command_prints_the_token_only(
    stack: str, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """stdout has the token, stderr the address; neither has the code."""
    monkeypatch.setattr(tool, "sign_in", functools.partial(sign_in, open_browser=Browser(), port=port))

    assert tool.main([stack]) == 0

    out, err = capsys.readouterr()
    assert out == f"{TOKEN}\n"
    assert f"http%3A%2F%2Flocalhost%3A{port}%2Fcallback" in err
    assert CODE not in err
    assert tool.main(["nope"]) == 1
    assert capsys.readouterr().out == ""
