"""The commands of docs/operations.md that send secrets, run as written in bash and zsh."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.functional.conftest import COLLECTION, ConsumerOf, HttpAdmin, Store
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.stack import LocalStack

# Records the arguments of every process, and then becomes the program that it replaces.
WRAPPER = """#!/bin/sh
ps -A -ww -o args= >>"$RECORD"
exec {program} "$@"
"""
# Prints the output of the stack in place of CloudFormation, and the token in place of the local issuer.
AWS = """#!/bin/sh
printf '%s\\n' "$API_URL"
"""
OPENAI = "sk-made-up \"quoted\" 'single' \\n$(id) `id` %s {} ¢"
OPENAI_SENT = OPENAI.replace(" ", "-").replace("¢", "!")
CLIENT_ID, CLIENT_SECRET = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
PEM = "-----BEGIN PRIVATE KEY-----\r\nmade-up/0123456789+abcdef==\r\n-----END PRIVATE KEY-----\r\n"


def commands(page: str, heading: str | None = None) -> list[str]:
    """Return the shell commands of a section: the text up to its first block, or up to a heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if heading:
        text = re.split(r"\n#+ ", text.partition(f"\n## {heading}\n")[2])[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


TOP = commands("docs/operations.md")[:2]
HELPERS, ONE_STRING, FIELDS, FILE, REPLACE = commands("docs/operations.md", "Store a key from the command line")


@pytest.fixture(params=["bash", "zsh"])
def shell(
    request: pytest.FixtureRequest, tmp_path: Path, stack: LocalStack, store: Store
) -> Callable[[list[str], str], str]:
    """Run commands with typed lines; return the output, after a search for secrets in arguments and output."""
    path = shutil.which(request.param)
    if path is None:
        pytest.skip(f"{request.param} is not installed")
    programs, record, token = tmp_path / "bin", tmp_path / "record", HttpAdmin(stack).token
    programs.mkdir()
    scripts = {name: WRAPPER.format(program=shutil.which(name)) for name in ("curl", "python3")}
    for name, text in {**scripts, "aws": AWS}.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    (tmp_path / "AuthKey.p8").write_bytes(PEM.encode())

    def run(script: list[str], typed: str) -> str:
        (tmp_path / "commands").write_text("".join(script), encoding="utf-8")
        environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "RECORD": str(record),
            "API_URL": stack.url + COLLECTION,
            "LC_ALL": "C.UTF-8",
        }
        ran = subprocess.run(
            [path, "commands"],
            cwd=tmp_path,
            env=environment,
            input=typed.replace("{token}", token),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
        arguments = record.read_text(encoding="utf-8")
        assert arguments.count("curl") > 0
        for secret in (token, OPENAI_SENT, "sk-made-up", CLIENT_SECRET, "made-up/0123456789"):
            assert secret not in arguments
            assert secret not in ran.stdout
        return ran.stdout

    return run


def response(output: str) -> dict[str, object]:
    """Return the data of the last response in an output."""
    document = json.loads(output[output.index('{"success"') :])
    assert document["success"], document
    data: dict[str, object] = document["data"]
    return data


def test_the_operations_page_stores_one_string(shell: Callable[[list[str], str], str], consumer_of: ConsumerOf) -> None:
    """Keep quotes, backslashes and shell syntax as they are."""
    output = shell([*TOP, HELPERS, ONE_STRING], f"{{token}}\n{OPENAI_SENT}\n")

    assert response(output)["name"] == "OpenAI production"
    assert consumer_of().get("openai").value == OPENAI_SENT


def test_the_operations_page_stores_named_fields(
    shell: Callable[[list[str], str], str], consumer_of: ConsumerOf
) -> None:
    """Type each field on a line of its own."""
    shell([*TOP, HELPERS, FIELDS], f"{{token}}\n{CLIENT_ID}\n{CLIENT_SECRET}\n")

    key = consumer_of().get("spotify")
    assert (key["clientId"], key["clientSecret"]) == (CLIENT_ID, CLIENT_SECRET)


def test_the_operations_page_stores_a_file(shell: Callable[[list[str], str], str], consumer_of: ConsumerOf) -> None:
    """Keep each byte, line ends included."""
    shell([*TOP, HELPERS, FILE], "{token}\n")

    assert consumer_of().get("apple-music").value == PEM


def test_the_operations_page_replaces_a_key(
    shell: Callable[[list[str], str], str], stack: LocalStack, consumer_of: ConsumerOf
) -> None:
    """Send the version that was read."""
    key_id = HttpAdmin(stack).create("OpenAI production", "sk-an-earlier-key-0123", service="openai")["id"]
    for number in range(3):
        HttpAdmin(stack).update(key_id, {"description": str(number)})

    assert response(shell([*TOP, f"ID={key_id}\n", REPLACE], f"{{token}}\n{OPENAI_SENT}\n"))["version"] == 5
    assert consumer_of().get("openai").value == OPENAI_SENT


def test_a_token_among_the_arguments_is_noticed(shell: Callable[[list[str], str], str]) -> None:
    """Prove that the other tests would fail."""
    with pytest.raises(AssertionError, match="assert 'ey"):
        shell([*TOP, 'curl -sS "$API" -H "Authorization: Bearer $TOKEN"\n'], "{token}\n")


@pytest.mark.parametrize("block", [TOP[1], ONE_STRING, FIELDS, REPLACE])
def test_commands_that_prompt_can_be_pasted(block: str) -> None:
    """Join the lines after a prompt to it: pasted into a terminal, they would be taken for the typed value.

    A trailing comment would be a command for an interactive zsh.
    """
    prompting = [line for line in block.splitlines() if "read -rs" in line]

    assert [line for line in prompting if not line.endswith((" &&", " |", "echo"))] == []
    assert [line for line in prompting if line.endswith("echo") and not block.endswith(line + "\n")] == []
    assert " # " not in block


@pytest.mark.parametrize("page", ["README.md", "docs", "CONTRIBUTING.md", "SECURITY.md", "local"])
def test_no_other_command_has_a_token_as_argument(page: str) -> None:
    """Allow only the local, throw-away token in double quotes."""
    paths = [path for path in sorted((ROOT / page).rglob("*")) if path.suffix in {".md", ".py"}] or [ROOT / page]
    found = [
        line.strip()
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(
            r'(-H|--header) "Authorization|Bearer \$(?!\(make -s token\)|\{process\.env)|SERVICE_KEYS_TOKEN=[^$\s]',
            line,
        )
        and "Bearer $(make -s token)" not in line
    ]

    assert found == []
