"""`make run` keeps stored keys: restarts, crashes, runs beside each other, a full disk; real processes and files."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests

from local.aws import client as aws_client
from local.port import bind
from tests.functional.conftest import COLLECTION
from tests.support.processes import ROOT, local_command, local_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif("AWS_ENDPOINT_URL_DYNAMODB" in os.environ, reason="Another DynamoDB keeps the items itself"),
]

ROUNDS = 5
READ = (
    "import json, sys, service_keys; print(json.dumps([service_keys.get_api_key(name).value for name in sys.argv[1:]]))"
)


@dataclass
class Run:
    """A running `make run`; `base` is its --state, `folder` its own folder."""

    process: subprocess.Popen[str]
    url: str
    base: Path

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    @property
    def folder(self) -> Path:
        beside = self.base / self.port
        return beside if beside.exists() else self.base

    @functools.cached_property
    def token(self) -> str:
        return local_command("token", "--state", str(self.base), "--port", self.port).stdout.strip()

    def text(self) -> str:
        """Return the text of the start, up to the place of the keys."""
        assert self.process.stdout is not None
        lines: list[str] = []
        while not (lines and lines[-1].startswith(("Stored keys are kept", "The keys of this run", "The table is"))):
            lines.append(next(self.process.stdout))
        return "".join(lines)

    def send(self, method: str, path: str = "", body: object = None, **headers: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        return requests.request(method, self.url + COLLECTION + path, json=body, headers=headers, timeout=60)

    def data(self, method: str, path: str = "", body: object = None, **headers: str) -> Any:
        response = self.send(method, path, body, **headers)
        assert response.ok, response.text
        return response.json()["data"]

    def store(self, service: str, value: str, **fields: object) -> dict[str, Any]:
        stored: dict[str, Any] = self.data(
            "POST", "", {"name": f"The {service} key", "service": service, "key": value, **fields}
        )
        return stored

    def emulator(self) -> int:
        """Return the process id of moto's server."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        (child,) = (int(pid) for pid, parent in map(str.split, listed.splitlines()) if int(parent) == self.process.pid)
        return child

    def kill(self, *processes: int) -> None:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def end(self) -> tuple[str, str]:
        """Return the rest of the output; end the run if it has not ended."""
        self.process.terminate()
        return self.process.communicate(timeout=30)


@pytest.fixture
def port() -> int:
    with closing(bind(0)) as listener:
        number: int = listener.getsockname()[1]
    return number


@contextmanager
def running(folder: Path, port: int = 0, environment: Mapping[str, str] | None = None) -> Iterator[Run]:
    """Start a run; end it with the block."""
    with local_run(folder, {**os.environ, **(environment or {})}, "--port", str(port)) as (process, url):
        try:
            yield Run(process, url, folder)
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=30)


def read(env: Path, *services: str) -> subprocess.CompletedProcess[str]:
    """Read keys in a process of bash that sources an env file."""
    script = f'set -eu\nsource {env}\nexec {sys.executable} -c "$0" "$@"'
    return subprocess.run(
        ["bash", "-c", script, READ, *services], cwd="/", capture_output=True, text=True, check=False, timeout=60
    )


def values(run: Run, *services: str) -> list[str]:
    program = read(run.folder / "env", *services)
    assert program.stderr == ""
    found: list[str] = json.loads(program.stdout)
    return found


ENDS: dict[str, Callable[[Run], None]] = {
    "SIGTERM": lambda run: run.process.terminate(),
    "SIGKILL": lambda run: run.kill(run.process.pid),
    "SIGKILL of moto": lambda run: run.kill(run.emulator()),
    "SIGKILL of both": lambda run: run.kill(run.emulator(), run.process.pid),
}


@pytest.mark.parametrize("end", ENDS)
def test_keys_survive_the_end_of_a_run(tmp_path: Path, port: int, end: str) -> None:
    """Keys, masks, history, previous secrets, deleted keys, usage stamps and tokens are those of before."""
    with running(tmp_path, port) as run:
        openai = run.store("openai", "sk-made-up-first-0123456789")
        run.data("PATCH", f"/{openai['id']}", {"key": "sk-made-up-second-0123456789"})
        gone = run.store("intranet", "made-up-intranet-0123456789")
        run.data("DELETE", f"/{gone['id']}")
        run.store("disabled", "made-up-disabled-0123456789", active=False)
        assert values(run, "openai") == ["sk-made-up-second-0123456789"]
        paths = ["", "?deleted=true", f"/{openai['id']}/history", f"/{gone['id']}/history"]
        before = [run.data("GET", path) for path in paths]
        stamp = before[0][1]["lastUsed"]
        token = run.token
        ENDS[end](run)
        _, errors = run.process.communicate(timeout=30)

    assert stamp is not None
    assert (run.process.returncode, "moto's server, which stands for AWS, ended" in errors) == {
        "SIGTERM": (0, False),
        "SIGKILL of moto": (1, True),
    }.get(end, (-signal.SIGKILL, False))
    with running(tmp_path, port) as run:
        run.__dict__["token"] = token
        assert [run.data("GET", path) for path in paths] == before
        assert values(run, "openai") == ["sk-made-up-second-0123456789"]
        run.data("POST", f"/{openai['id']}/rollback", None, **{"If-Match": '"2"'})
        run.data("POST", f"/{gone['id']}/restore")
        assert values(run, "openai", "intranet") == ["sk-made-up-first-0123456789", "made-up-intranet-0123456789"]
        assert (
            run.send("POST", "", {"name": "the OPENAI key", "service": "x", "key": "made-up-0123"}).status_code == 409
        )


def test_no_acknowledged_key_is_lost_by_sigkill(tmp_path: Path, port: int) -> None:
    """Kill both processes while eight clients store: complete keys only, each acknowledged one among them."""
    acknowledged: dict[str, str] = {}
    for number in range(ROUNDS):
        with running(tmp_path, port) as run:
            assert_complete(run, acknowledged)
            # Another moment in each round.
            enough, goal = threading.Event(), len(acknowledged) + 3 + 4 * number
            store = functools.partial(store_until_the_end, run, acknowledged, enough, goal)
            victims = [run.emulator(), run.process.pid]
            with ThreadPoolExecutor(8) as clients:
                stored = [clients.submit(store, f"service-{number}-{client}") for client in range(8)]
                assert enough.wait(60)
                run.kill(*victims[:: 1 if number % 2 else -1])
                for each in stored:
                    each.result()
            run.process.communicate(timeout=30)
    with running(tmp_path, port) as run:
        assert_complete(run, acknowledged)

    assert len(acknowledged) >= sum(3 + 4 * number for number in range(ROUNDS))


def store_until_the_end(
    run: Run, acknowledged: dict[str, str], enough: threading.Event, goal: int, prefix: str
) -> None:
    with suppress(requests.RequestException):
        for step in range(1000):
            service = f"{prefix}-{step}"
            response = run.send("POST", "", {"name": service, "service": service, "key": f"made-up-{service}"})
            if response.status_code == 201:
                acknowledged[service] = response.json()["data"]["id"]
            if len(acknowledged) >= goal:
                enough.set()


def assert_complete(run: Run, acknowledged: dict[str, str]) -> None:
    """Compare the table with the keys: each one has its name, its history and a secret value that decrypts."""
    found = items(run)
    ids = {item["service"]["S"]: item["id"]["S"] for item in found if not item["service"]["S"].startswith("#")}
    partitions = {
        name: sorted(item["id"]["S"] for item in found if item["service"]["S"] == name)
        for name in ("#name", "#history")
    }
    assert acknowledged.items() <= ids.items()
    assert partitions["#name"] == sorted(ids)
    assert partitions["#history"] == sorted(f"{key_id}#{1:010}" for key_id in ids.values())
    assert values(run, *ids) == [f"made-up-{service}" for service in ids]


def settings(run: Run) -> dict[str, str]:
    text = (run.folder / "env").read_text(encoding="utf-8")
    return dict(re.findall(r"^export (\S+)=(\S+)$", text, re.MULTILINE))


def items(run: Run) -> list[dict[str, Any]]:
    variables = settings(run)
    with closing(aws_client("dynamodb", variables["AWS_ENDPOINT_URL"])) as dynamodb:
        pages = dynamodb.get_paginator("scan").paginate(TableName=variables["SERVICE_KEYS_TABLE"])
        return [item for page in pages for item in page["Items"]]


def test_a_second_run_keeps_to_itself(tmp_path: Path, port: int) -> None:
    """It has its own folder, token and commands, starts empty, and removes its folder at its end."""
    with running(tmp_path) as first:
        assert "$(make -s token)" in first.text()
        first.store("openai", "sk-made-up-first-0123456789")
        with running(tmp_path, port, {"FRESH": "1"}) as second:
            assert second.folder == tmp_path / str(port)
            text = second.text()
            assert f"(source {second.folder}/env && " in text
            assert f'"Authorization: Bearer $(make -s token PORT={port})"' in text
            assert f"Those of the run on {first.url}, in {tmp_path}/, are kept." in text
            assert second.data("GET") == []
            second.store("openai", "sk-made-up-second-0123456789")
            assert values(first, "openai") == ["sk-made-up-first-0123456789"]
            assert values(second, "openai") == ["sk-made-up-second-0123456789"]
            second.end()

        assert not (tmp_path / str(port)).exists()
        assert [key["service"] for key in first.data("GET")] == ["openai"]
        assert (tmp_path / "env").exists()
        first.end()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["issuer.pem", "lock", "state.sqlite"]


def test_the_rest_of_killed_runs_is_removed(tmp_path: Path, port: int) -> None:
    """The next first run removes the folder of a killed second run, but not the one of a second run that lives."""
    with running(tmp_path, port) as first, running(tmp_path) as living, running(tmp_path) as killed:
        left, kept = killed.folder, living.folder
        for run in (killed, first):
            run.kill(run.process.pid)
            run.process.communicate(timeout=30)
        assert left.exists()
        # A folder that no run created.
        (tmp_path / "1").mkdir()
        with running(tmp_path, port) as again:
            assert again.folder == tmp_path
            assert living.data("GET") == []
            assert sorted(path for path in tmp_path.iterdir() if path.is_dir()) == sorted([kept, tmp_path / "1"])


def test_the_env_file_of_a_killed_run_says_so(tmp_path: Path, port: int) -> None:
    """Sourcing fails with the remedy and sets nothing; `make token` is for port 8000 again; a restart heals both."""
    with running(tmp_path, port) as run:
        run.store("openai", "sk-made-up-first-0123456789")
        sourced = (tmp_path / "env").read_text(encoding="utf-8")
        run.kill(run.process.pid)
        run.process.communicate(timeout=30)

    script = f'. {tmp_path}/env || echo "failed: ${{SERVICE_KEYS_TABLE-unset}}"'
    shells = [shell for shell in ("bash", "zsh", "dash") if shutil.which(shell)]
    for shell in shells:
        program = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=False, timeout=60)
        assert program.stdout == "failed: unset\n"
        assert re.fullmatch(
            rf"{tmp_path}/env is of a run that ended: nothing listens on http://127\.0\.0\.1:\d+\. "
            r"Start make run, and source the file again\.\n",
            program.stderr,
        )
    assert token_issuer(tmp_path) == "http://127.0.0.1:8000"
    with running(tmp_path, port) as run:
        # So a shell that sourced the file before the crash has the right addresses.
        assert (tmp_path / "env").read_text(encoding="utf-8") == sourced
        assert values(run, "openai") == ["sk-made-up-first-0123456789"]
        assert token_issuer(tmp_path) == run.url


def token_issuer(folder: Path) -> str:
    printed = local_command("token", "--state", str(folder)).stdout.strip()
    claims: dict[str, str] = jwt.decode(printed, options={"verify_signature": False})
    return claims["iss"]


def test_fresh_sets_the_keys_aside(tmp_path: Path, port: int) -> None:
    """FRESH=1 starts empty and prints the command that brings the keys back, even after SIGKILL of both runs.

    The port of moto's server stays, so that shells with the environment of an earlier run can go on.
    """
    with running(tmp_path, port) as run:
        endpoint = settings(run)["AWS_ENDPOINT_URL"]
        run.store("openai", "sk-made-up-first-0123456789")
        run.kill(run.process.pid, run.emulator())
        run.process.communicate(timeout=30)

    command = [sys.executable, "-m", "local", "run", "--port", "0", "--state", str(tmp_path)]
    environment = {**os.environ, "FRESH": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        back = next(line for line in process.stdout if line.startswith("end this run, and: ")).partition(": ")[2]
        url = next(line.split()[3] for line in process.stdout if line.startswith("Service Keys on http"))
        fresh = Run(process, url, tmp_path)
        assert fresh.data("GET") == []
        assert settings(fresh)["AWS_ENDPOINT_URL"] == endpoint
        fresh.store("openai", "sk-made-up-second-0123456789")
        fresh.kill(fresh.emulator(), process.pid)
    subprocess.run(["sh", "-c", back], cwd=ROOT, check=True, timeout=30)
    with running(tmp_path, port) as run:
        assert values(run, "openai") == ["sk-made-up-first-0123456789"]


def demo_run(
    folder: Path, **environment: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the keys, the deleted keys and the services of a run."""
    with running(folder, environment=environment) as run:
        services = requests.get(
            f"{run.url}/api/v1/admin/services", headers={"Authorization": f"Bearer {run.token}"}, timeout=60
        )
        return run.data("GET", "?limit=100"), run.data("GET", "?deleted=true"), services.json()["data"]


def test_sample_keys_are_stored_once(tmp_path: Path) -> None:
    """They have every state, and a later run has the same ones, with and without DEMO=1."""
    first = demo_run(tmp_path, DEMO="1")

    keys, deleted, services = first
    assert {service["status"] for service in services} == {
        *("operational", "rejected", "unverified", "disabled", "not_configured"),
    }
    found = {key["verification"] and key["verification"]["status"] for key in keys}
    assert found == {"valid", "rejected", "inconclusive", None}
    assert {key["active"] for key in keys} == {True, False}
    assert any(key["previousKey"] for key in keys)
    assert any(isinstance(key["maskedKey"], dict) for key in keys)
    assert any(key["lastUsed"] for key in keys)
    assert any(not service["known"] for service in services)
    assert any(service["keys"]["total"] > 1 for service in services)
    assert len(deleted) == 1
    assert demo_run(tmp_path, DEMO="1") == first
    assert demo_run(tmp_path) == first


def test_sample_keys_are_not_mixed_with_a_developers(tmp_path: Path) -> None:
    """DEMO=1 with stored keys says that it stores nothing, and how to get samples."""
    with running(tmp_path) as run:
        run.store("openai", "sk-made-up-first-0123456789")

    command = [sys.executable, "-m", "local", "run", "--port", "0", "--state", str(tmp_path)]
    environment = {**os.environ, "DEMO": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = next(line.split()[3] for line in process.stdout if line.startswith("Service Keys on http"))
        said = next(line for line in process.stdout if line.startswith("There are keys already"))
        keys = Run(process, url, tmp_path).data("GET")
        process.terminate()

    assert "make run FRESH=1 DEMO=1" in said
    assert [key["service"] for key in keys] == ["openai"]


def test_a_damaged_file_stops_the_start(tmp_path: Path) -> None:
    """The message has the file and the remedy, and the file stays as it is; FRESH=1 sets it aside."""
    state = tmp_path / "state.sqlite"
    with running(tmp_path) as run:
        run.store("openai", "sk-made-up-first-0123456789")
    content = state.read_bytes()[:-100]
    state.write_bytes(content)

    result = local_command("run", "--port", "0", "--state", str(tmp_path))

    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert re.match(
        rf"Service Keys cannot start: {state} is damaged: .* `make run FRESH=1`, which keeps this file", line
    )
    assert state.read_bytes() == content
    assert not (tmp_path / "env").exists()
    with running(tmp_path, environment={"FRESH": "1"}) as run:
        assert run.data("GET") == []
    (aside,) = tmp_path.glob("state-*.sqlite")
    assert aside.read_bytes() == content


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_a_full_disk_refuses_writes(tmp_path: Path) -> None:
    """The API answers 503 and shows nothing of the key, the terminal has the reason, and space heals it."""
    import resource

    with running(tmp_path) as run:
        run.store("openai", "sk-made-up-first-0123456789")
        moto, large = run.emulator(), {"description": "x" * 500}
        before = resource.prlimit(moto, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        refused = run.send("POST", "", {"name": "Refused", "service": "refused", "key": "made-up-0123456789", **large})
        listed = run.data("GET")
        resource.prlimit(moto, resource.RLIMIT_FSIZE, before)
        run.store("intranet", "made-up-intranet-0123456789")
        _, errors = run.end()

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert [key["service"] for key in listed] == ["openai"]
    assert f"TransactWriteItems was refused and changed nothing: {tmp_path}/state.sqlite cannot be written: " in errors
    with running(tmp_path) as run:
        assert [key["service"] for key in run.data("GET")] == ["intranet", "openai"]


def test_an_external_table_keeps_its_kms_key(tmp_path: Path) -> None:
    """Keys in another DynamoDB decrypt after a restart, because .local keeps the KMS key."""
    from local.aws import MotoServer

    with MotoServer() as elsewhere:
        environment = {"AWS_ENDPOINT_URL_DYNAMODB": elsewhere.url}
        with running(tmp_path, environment=environment) as run:
            run.store("openai", "sk-made-up-first-0123456789")
            text = run.text()
        assert f"The table is in {elsewhere.url}, and the KMS key that decrypts its keys in {tmp_path}/." in text
        with running(tmp_path, environment=environment) as run:
            assert values(run, "openai") == ["sk-made-up-first-0123456789"]
