"""Smoke test of a deployed API: store, read, replace, verify, roll back and permanently delete a made-up key.

The key belongs to a known service and is inactive in every request, so that no consumer gets it. It is removed even if
a step fails, a response is lost, or Ctrl-C ends the run. The exit code is 0 if all steps passed, else 1 (Ctrl-C: 130).

Environment: SERVICE_KEYS_TOKEN is an administrator's token (default: sign in through the browser). API_URL replaces the
address in the stack's output ApiUrl. A name under .localhost is the loopback interface
(https://www.rfc-editor.org/rfc/rfc6761#section-6.3), also where the resolver does not know it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import secrets
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from requests import PreparedRequest

ROOT: Final = Path(__file__).resolve().parents[1]
LOCAL: Final = "local"
SERVICE: Final = "openai"
NAME_PREFIX: Final = "Smoke test "
PATH: Final = "/api/v1/admin/api-keys"
VERSION_HEADER: Final = "X-Service-Keys-Version"
SERVICES_PATH: Final = "/api/v1/admin/services"
# Longer than the 29 s after which API Gateway answers 504
# (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html).
TIMEOUT_SECONDS: Final = 30
CLEANUP_ATTEMPTS: Final = 3
CLEANUP_PAUSE_SECONDS: Final = 1.0
_LOOPBACK: Final = re.compile(r"127\.0\.0\.1|\[::1\]|localhost|.+\.localhost", re.IGNORECASE)


class SmokeError(Exception):
    """The smoke test cannot start, or a step failed. The message states the remedy."""


@dataclass(frozen=True)
class Target:
    """An API and an administrator's token for it; `url` is the URL of the collection, `stack` may be `local`."""

    url: str
    stack: str
    token: str = field(repr=False)

    def command(self, argument: str) -> str:
        """Return the `make smoke` command for this API."""
        stack = "" if self.stack == LOCAL else f" STACK={self.stack}"
        port = urlsplit(self.url).port
        local_port = f" PORT={port}" if self.stack == LOCAL and port and "API_URL" not in os.environ else ""
        address = f" API_URL={os.environ['API_URL']}" if os.environ.get("API_URL") else ""
        return f"make smoke{stack}{local_port}{address} {argument}"

    def log(self, function: str) -> str:
        """Return the place of a function's log lines."""
        if self.stack == LOCAL:
            return "the terminal of make run"
        return f"the log group /aws/lambda/{self.stack}-{function}"


@dataclass(frozen=True)
class Reply:
    """A response, or None as status if there was none; `problem` is then the reason."""

    request: str
    status: int | None
    headers: Mapping[str, str]
    text: str
    problem: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object of the body; empty if it is another text."""
        try:
            return _object(json.loads(self.text))
        except ValueError:
            return {}

    @property
    def data(self) -> dict[str, Any]:
        """The object `data` of the body; empty if there is none."""
        return _object(self.body.get("data"))

    @property
    def error(self) -> dict[str, Any]:
        """The object `error` of the body; empty if there is none."""
        return _object(self.body.get("error"))

    def objects(self, name: str) -> list[dict[str, Any]]:
        """Return the objects of a list in the body; empty if there is none."""
        found = self.body.get(name)
        return [_object(each) for each in found] if isinstance(found, list) else []


class Client:
    """An HTTP client for one API: without redirects and retries; certificates are verified."""

    def __init__(self, target: Target) -> None:
        self.target = target
        parts = urlsplit(target.url)
        host = parts.hostname or ""
        loopback = _LOOPBACK.fullmatch(f"[{host}]" if ":" in host else host)
        if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
            raise SmokeError(f"Invalid API_URL {target.url}: use https; http would send the token in clear text.")
        self._headers, self._url = {}, target.url.rstrip("/")
        if not self._url.endswith(PATH):
            raise SmokeError(f"Invalid API_URL {target.url}: give it with the path, as the output ApiUrl: …{PATH}")
        self._url = self._url.removesuffix(PATH)
        if host.endswith(".localhost"):
            self._headers = {"Host": parts.netloc}
            self._url = self._url.replace(parts.netloc, f"127.0.0.1:{parts.port or 80}", 1)
        self._session = requests.Session()
        # A proxy cannot reach the loopback interface of this machine.
        self._session.trust_env = not loopback

    def call(
        self,
        method: str,
        path: str = PATH,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: bool = True,
    ) -> Reply:
        """Send one request; return its response, or the reason for having none."""
        sent = {**self._headers, **(headers or {})}
        content = None
        if body is not None:
            sent["Content-Type"], content = "application/json", json.dumps(body).encode()

        def authorize(request: PreparedRequest) -> PreparedRequest:
            # requests would otherwise send the credentials of ~/.netrc.
            if token:
                request.headers["Authorization"] = f"Bearer {self.target.token}"
            return request

        title = f"{method} {path}"
        try:
            response = self._session.request(
                method,
                self._url + path,
                data=content,
                headers=sent,
                auth=authorize,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as exc:
            return Reply(title, None, {}, "", f"{type(exc).__name__}: {exc}")
        return Reply(title, response.status_code, response.headers, response.content.decode(errors="replace"))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class Smoke:
    """One run against an API.

    Args:
        client: The client of the API.
        progress: A callback that gets a line of text for each step.
        sleep: Waits between the attempts to remove the key.
    """

    def __init__(
        self, client: Client, progress: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._target = client, client.target
        self._progress, self._sleep = progress, sleep
        self._random = secrets.token_hex(12)
        self.name = f"{NAME_PREFIX}{self._random[:12]}"
        # The endings are the visible part of the masks.
        self._first, self._second = (f"sk-made-up-by-make-smoke-{self._random[12:]}-{end}" for end in ("aaaa", "bbbb"))
        self.key_id: str | None = None
        self.version: str | None = None
        self._may_be_stored = False
        self._step, self._function = "", ""

    def run(self) -> None:
        """Run all steps; remove the key in any case.

        Raises:
            SmokeError: A step failed.
        """
        try:
            self._steps()
        except BaseException:
            if self._may_be_stored:
                self._remove()
            raise

    def _steps(self) -> None:
        created = self._store()
        path = f"{PATH}/{self.key_id}"
        self._read(path, created)
        self._change(path)
        self._delete(path)

    def _store(self) -> dict[str, Any]:
        with self._during("reject a request without a token", "authorizer"):
            reply = self._client.call("GET", token=False)
            self._expect(reply, 401, code="AUTHENTICATION_REQUIRED")
            self._require(reply, reply.headers.get("WWW-Authenticate") == "Bearer", "WWW-Authenticate is not Bearer")
        self._progress(f"      the version: {self.version}")
        with self._during("create an inactive key", "create-api-key"):
            self._may_be_stored = True
            reply = self._create()
            self._may_be_stored = not _is_refused(reply)
            self.key_id = _id_of(reply)
            expected = {"name": self.name, "service": SERVICE, "previousKey": None, "verification": None}
            self._expect_key(reply, 1, self._first, status=201, **expected)
            self._require(reply, self.key_id is not None, "data.id is missing")
        return reply.data

    def _read(self, path: str, created: Mapping[str, Any]) -> None:
        with self._during("read it", "get-api-key"):
            reply = self._client.call("GET", path)
            self._expect_key(reply, 1, self._first)
            self._require(reply, reply.data == created, "data differs from that of the create")
        with self._during("list the keys of its service", "list-api-keys"):
            reply = self._client.call("GET", f"{PATH}?service={SERVICE}&active=false&limit=1")
            self._expect(reply, 200)
            self._require(reply, isinstance(reply.body.get("data"), list), "data is not a list")
        with self._during("list the services", "list-services"):
            reply = self._client.call("GET", SERVICES_PATH)
            self._expect(reply, 200)
            entries = [entry for entry in reply.objects("data") if entry.get("service") == SERVICE]
            self._require(reply, len(entries) == 1, f"data has no entry of {SERVICE}")
            serving = _object(entries[0].get("serving"))
            self._require(reply, serving.get("id") != self.key_id, "consumers get the key, though it is inactive")

    def _change(self, path: str) -> None:
        with self._during("replace its secret value", "update-api-key"):
            body = {"key": self._second, "active": False}
            reply = self._client.call("PATCH", path, body, {"If-Match": '"1"'})
            self._expect_key(reply, 2, self._second, previous=self._first)
        with self._during("verify it", "verify-api-key"):
            reply = self._client.call("POST", f"{path}/verify")
            self._expect_key(reply, 2, self._second, previous=self._first)
            result = _object(reply.data.get("verification")).get("status")
            known = result in ("valid", "rejected", "inconclusive")
            self._require(reply, known, "data.verification.status is not valid, rejected or inconclusive")
        self._progress(f"      the service's answer: {result}")
        with self._during("roll back", "rollback-api-key"):
            reply = self._client.call("POST", f"{path}/rollback", headers={"If-Match": '"2"'})
            self._expect_key(reply, 3, self._first, previous=self._second, verification=None)

    def _delete(self, path: str) -> None:
        with self._during("delete it permanently", "delete-api-key"):
            reply = self._client.call("DELETE", f"{path}?permanent=true", headers={"If-Match": '"3"'})
            self._expect(reply, 200, id=self.key_id, recoverableUntil=None)
        with self._during("find it gone", "get-api-key"):
            self._expect(self._client.call("GET", path), 404, code="API_KEY_NOT_FOUND")
            self._may_be_stored = False
        with self._during("find its history", "get-api-key-history"):
            reply = self._client.call("GET", f"{path}/history")
            self._expect(reply, 200)
            changes = [entry.get("change") for entry in reply.objects("data")]
            complete = changes == ["delete", "rollback", "update", "create"]
            self._require(reply, complete, "data is not delete, rollback, update, create")

    def _create(self) -> Reply:
        body = {
            "name": self.name,
            "service": SERVICE,
            "description": "A made-up key of make smoke. It is safe to delete it.",
            "active": False,
            "key": self._first,
        }
        return self._client.call("POST", PATH, body, {"Idempotency-Key": f"make-smoke-{self._random}"})

    @contextlib.contextmanager
    def _during(self, step: str, function: str) -> Iterator[None]:
        """Report a step; name it in the error if it fails."""
        self._step, self._function = step, function
        try:
            yield
        except SmokeError:
            self._progress(f"FAILED {step}")
            raise
        except BaseException:
            self._progress(f"ENDED  during: {step}")
            raise
        self._progress(f"ok    {step}")

    def _expect_key(
        self, reply: Reply, version: int, secret: str, status: int = 200, previous: str | None = None, **data: Any
    ) -> None:
        """Require a response with the inactive key in this version, with the masks of these secret values."""
        self._expect(reply, status, **{**data, "version": version, "active": False, "maskedKey": _mask(secret)})
        self._require(reply, reply.headers.get("ETag") == f'"{version}"', f'ETag is not "{version}"')
        masked = _object(reply.data.get("previousKey")).get("maskedKey")
        expected = _mask(previous) if previous else None
        self._require(reply, masked == expected, f"data.previousKey.maskedKey is not {expected}")

    def _expect(self, reply: Reply, status: int, code: str | None = None, **data: Any) -> None:
        """Require a response with this status and code, and these fields in its data."""
        self._require(reply, reply.status is not None, "the API did not respond")
        self._require(reply, reply.status == status, f"the status is not {status}")
        self._require(reply, reply.body != {}, "the body is not a JSON object")
        self._require(reply, self._random[12:] not in reply.text, "the response contains the secret value")
        self._require(reply, reply.headers.get("Cache-Control") == "no-store", "Cache-Control is not no-store")
        success = code is None
        self._require(reply, reply.body.get("success") is success, f"success is not {json.dumps(success)}")
        self._require(reply, code is None or reply.error.get("code") == code, f"error.code is not {code}")
        self._expect_version(reply)
        for name, expected in data.items():
            wanted = json.dumps(expected, ensure_ascii=False)
            self._require(reply, reply.data.get(name, ...) == expected, f"data.{name} is not {wanted}")
        for warning in reply.objects("warnings"):
            redirected = warning.get("code") in ("SERVING_CHANGED", "SERVICE_WITHOUT_ACTIVE_KEY")
            self._require(reply, not redirected, f"warnings has {warning.get('code')}, though the key is inactive")

    def _expect_version(self, reply: Reply) -> None:
        """Require the version of the first response, which API Gateway itself sent."""
        found = reply.headers.get(VERSION_HEADER)
        self._require(reply, found, f"{VERSION_HEADER} is missing")
        self.version = self.version or found
        self._require(reply, found == self.version, f"{VERSION_HEADER} is not {self.version}, as in the first response")

    def _require(self, reply: Reply, condition: object, fault: str) -> None:
        if not condition:
            raise SmokeError(self._redacted(self._failure(reply, fault)))

    def _failure(self, reply: Reply, fault: str) -> str:
        """Return the message of a failed step: the fault, the response and the place to look."""
        lines = [f"The step failed: {self._step}. {fault[:1].upper()}{fault[1:]}."]
        log = self._target.log(self._function)
        if reply.status is None:
            lines += [f"  {reply.request}: no response ({reply.problem})"]
            lines += [f"  Look at: the address {self._target.url}, then {log}"]
        else:
            code, message = (str(reply.error.get(name) or "") for name in ("code", "message"))
            answer = ": ".join(filter(None, [f"{reply.status} {code}".strip(), message]))
            lines += [f"  {reply.request} answered {answer}"]
            lines += [f"  requestId: {reply.body.get('requestId') or reply.headers.get('x-amzn-RequestId') or 'none'}"]
            if reply.status in (401, 403):
                log = self._target.log("authorizer")
            lines += [f"  Look at: {log}, by the requestId"]
        refused = reply.status in (401, 403)
        page = 'operations.md, "The first administrator"' if refused else 'deployment.md, "After a deployment"'
        return "\n".join([*lines, f"  and docs/{page}"])

    def _redacted(self, text: str) -> str:
        for hidden in (self._first, self._second, self._target.token):
            text = text.replace(hidden, "(hidden)")
        return text.replace(self._random[12:], "(hidden)")

    def _remove(self) -> None:
        """Remove the key after a failure or Ctrl-C; if that fails too, name the command that removes it."""
        try:
            for attempt in range(CLEANUP_ATTEMPTS):
                if attempt:
                    self._sleep(CLEANUP_PAUSE_SECONDS)
                if self.key_id is None:
                    # The create succeeds, or is repeated: both return the id.
                    self.key_id = _id_of(self._create())
                if self.key_id is not None and is_gone(
                    self._client.call("DELETE", f"{PATH}/{self.key_id}?permanent=true")
                ):
                    self._progress(f"The made-up key {self.key_id} is removed.")
                    return
        except KeyboardInterrupt:
            pass
        if self.key_id is None:
            self._progress(
                f'The made-up key "{self.name}" may be stored, inactive, so that no consumer gets it. Find its id '
                f"in the list ({PATH}?service={SERVICE}&active=false), then: {self._target.command('REMOVE=<its id>')}"
            )
        else:
            self._progress(
                f"The made-up key {self.key_id} is still stored, inactive, so that no consumer gets it. "
                f"Remove it: {self._target.command(f'REMOVE={self.key_id}')}"
            )


def _object(value: object) -> dict[str, Any]:
    """Return a JSON object; empty if the value is none."""
    return value if isinstance(value, dict) else {}


def _is_refused(reply: Reply) -> bool:
    """Return True if the API itself refused a request, before it wrote anything; a proxy's 408 proves nothing."""
    return reply.status in range(400, 500) and bool(reply.error.get("code"))


def _mask(secret: str) -> str:
    return f"••••{secret[-4:]}"


def _id_of(reply: Reply) -> str | None:
    """Return the id of the created key: from the body, or from Location if the body is damaged."""
    if reply.status not in (200, 201):
        return None
    found = reply.data.get("id") or reply.headers.get("Location", "").rpartition("/")[2]
    return found if isinstance(found, str) and re.fullmatch(r"[a-z0-9-]+\.[0-9a-z]{12}", found) else None


def is_gone(reply: Reply) -> bool:
    """Return True if the response to a permanent DELETE shows that the key does not exist any more."""
    deleted = reply.status == 200 and reply.data.get("recoverableUntil", ...) is None  # noqa: PLR2004 - OK
    return deleted or (reply.status == 404 and reply.error.get("code") == "API_KEY_NOT_FOUND")  # noqa: PLR2004


def remove(client: Client, key_id: str) -> None:
    """Remove the key that an earlier run could not remove.

    Raises:
        SmokeError: It is not a key of a smoke test, or could not be removed.
    """
    reply = client.call("GET", f"{PATH}/{key_id}")
    if is_gone(reply):
        return
    if reply.status != 200 or not str(reply.data.get("name")).startswith(NAME_PREFIX):  # noqa: PLR2004 - OK
        state = f"the API answered {reply.status}" if reply.status != 200 else "its name is another"  # noqa: PLR2004
        raise SmokeError(f"{key_id} is not known to be a key of make smoke ({state}), so it is not removed.")
    reply = client.call("DELETE", f"{PATH}/{key_id}?permanent=true")
    if not is_gone(reply):
        answer = reply.status or reply.problem
        raise SmokeError(f"{key_id} is not removed ({answer}). Look at {client.target.log('delete-api-key')}.")


def target_of(stack: str, port: int | None, environment: Mapping[str, str]) -> Target:
    """Return the API of a stack and a token for it.

    Args:
        stack: The name of the stack, or `LOCAL` for a `make run`.
        port: The port of the `make run`; None for the run that has the folder .local, otherwise for port 8000.
        environment: The environment variables, which may have the address and a token.

    Raises:
        SmokeError: The address or a token is missing.
    """
    override, token = environment.get("API_URL", ""), environment.get("SERVICE_KEYS_TOKEN", "").strip()
    if stack == LOCAL and not override:
        from local import LocalError
        from local.issuer import DEFAULT_URL, Issuer
        from local.run_folder import url_of

        folder = ROOT / ".local"
        url = (url_of(folder) or DEFAULT_URL) if port is None else f"http://127.0.0.1:{port}"
        try:
            issuer = Issuer.load(folder / "issuer.pem").at(url)
        except LocalError as exc:
            raise SmokeError(str(exc)) from exc
        return Target(f"{url}{PATH}", LOCAL, issuer.token("make-smoke", hours=1))
    url = override or _api_url(stack)
    if not token and environment.get("CI", "").lower() not in {"", "0", "false"}:
        raise SmokeError("Set SERVICE_KEYS_TOKEN to an administrator's token: a pipeline (CI is set) has no browser.")
    if not token:
        token = _sign_in(stack)
    if not re.fullmatch(r"[!-~]+", token):
        raise SmokeError("Invalid SERVICE_KEYS_TOKEN: give the token alone, without Bearer, spaces and line breaks.")
    return Target(url, stack, token)


def _api_url(stack: str) -> str:
    import botocore.session
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        cloudformation: Any = botocore.session.Session().create_client("cloudformation")
        outputs = cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
    except (BotoCoreError, ClientError) as exc:
        reason = str(exc).rstrip(".")
        message = (
            f"The stack {stack} cannot be read: {reason}. Check STACK, AWS_PROFILE and AWS_REGION, or give API_URL."
        )
        raise SmokeError(message) from exc
    for output in outputs:
        if output["OutputKey"] == "ApiUrl":
            return str(output["OutputValue"])
    raise SmokeError(f"The stack {stack} has no output ApiUrl: it is no Service Keys stack, or its deployment failed.")


def _sign_in(stack: str) -> str:
    if stack == LOCAL:
        raise SmokeError("Set SERVICE_KEYS_TOKEN to an administrator's token for the API in API_URL.")
    try:
        browser = importlib.import_module("tools.sign_in")
    except ImportError:
        raise SmokeError("Set SERVICE_KEYS_TOKEN to an administrator's token.") from None
    try:
        return str(browser.sign_in(stack))
    except browser.SignInError as exc:
        raise SmokeError(f"{exc} Or set SERVICE_KEYS_TOKEN to an administrator's token.") from exc


def _end_on_signals() -> None:
    """Raise KeyboardInterrupt for the signals that end a process, so that the key is removed."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def _progress(line: str) -> None:
    print(line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the smoke test, or remove the key of an earlier run; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="make smoke", description=__doc__, usage="make smoke [STACK=service-keys-dev]"
    )
    parser.add_argument("--stack", default=LOCAL, help="name of the deployed stack (default: the running make run)")
    parser.add_argument("--port", type=int, help="the port of another make run than the one with .local")
    parser.add_argument("--remove", metavar="ID", help="only remove the key that an earlier run could not remove")
    options = parser.parse_args(arguments)
    stack = options.stack or LOCAL
    client = None
    try:
        client = Client(target_of(stack, options.port, os.environ))
        if options.remove:
            remove(client, options.remove)
            _progress(f"The made-up key {options.remove} is removed.")
            return 0
        _progress(f"Smoke test of {client.target.url} (stack: {stack})")
        Smoke(client, _progress).run()
    except SmokeError as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Ended before the last step.", file=sys.stderr)
        return 130
    finally:
        if client is not None:
            client.close()
    _progress("All steps passed.")
    return 0


if __name__ == "__main__":
    _end_on_signals()
    sys.exit(main())
