"""The folders of runs beside each other: owner, permissions, leftovers and the env file."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from local.issuer import Issuer, IssuerError
from local.port import bind
from local.run_folder import RunFolderError, run_folder, shown, url_of
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Owns a folder until it is killed.
OWNER = """
import pathlib, sys
from local.run_folder import run_folder
with run_folder(pathlib.Path(sys.argv[1]), int(sys.argv[2])) as folder:
    (folder.path / "env").touch()
    print(folder.path, flush=True)
    sys.stdin.read()
"""


def kill_an_owner(base: Path, port: int) -> Path:
    """Leave the folder of a run that was killed."""
    command = [sys.executable, "-c", OWNER, str(base), str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)
    return base / path


def test_the_first_run_has_the_folder_and_others_one_beside(tmp_path: Path) -> None:
    """Folders are private; those beside the first one end with their run, and the first one's stays."""
    base = tmp_path / ".local"
    with (
        run_folder(base, 8000) as first,
        run_folder(base, 8001) as second,
        run_folder(base, 3000, beside=True) as third,
    ):
        folders = [first, second, third]
        assert [(folder.path, folder.first) for folder in folders] == [
            (base, True),
            (base / "8001", False),
            (base / "3000", False),
        ]
        assert {stat.S_IMODE(folder.path.stat().st_mode) for folder in folders} == {0o700}
        with pytest.raises(RunFolderError, match=r"\.local/8001 belongs to a run on the same port\. End it, or choose"):
            run_folder(base, 8001).__enter__()
        assert (base / "8001").exists()

    assert [path.name for path in base.iterdir()] == ["lock"]


def test_a_command_beside_leaves_the_folder_free(tmp_path: Path) -> None:
    """`make sam-api` alone takes no kept keys: the next `make run` is the first run."""
    with run_folder(tmp_path, 3000, beside=True) as beside, run_folder(tmp_path, 8000) as first:
        assert (beside.first, first.first) == (False, True)


def test_killed_runs_leave_nothing_to_the_next(tmp_path: Path) -> None:
    """The env file of a killed first run goes, and so does the folder of a killed second one; others stay."""
    for name in ("8002", "notes"):
        (tmp_path / name).mkdir()
    with run_folder(tmp_path, 8000):
        left = kill_an_owner(tmp_path, 8001)
        assert (left / "env").exists()
    assert kill_an_owner(tmp_path, 8000) == tmp_path
    (tmp_path / "state.sqlite").touch()

    with run_folder(tmp_path, 8000) as folder:
        assert folder.first
        # 8002 has no lock, so no run created it.
        assert sorted(path.name for path in tmp_path.iterdir()) == ["8002", "lock", "notes", "state.sqlite"]


def test_a_folder_that_is_removed_during_the_start_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run, which removes leftovers, comes between the creation of the folder and its lock."""
    flock, folders = fcntl.flock, [tmp_path / "8001"] * 2

    def after_a_removal(descriptor: int, operation: int) -> None:
        if folders:
            shutil.rmtree(folders.pop())
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", after_a_removal)
    with run_folder(tmp_path, 8001, beside=True) as folder:
        assert (folder.path / "lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_permissions_of_an_earlier_folder_are_narrowed(tmp_path: Path) -> None:
    """Those of a folder that is not a run's own stay."""
    earlier, other = tmp_path / "earlier", tmp_path / "other"
    for folder in (earlier, other):
        folder.mkdir()
        folder.chmod(0o755)
        (folder / ("issuer.pem" if folder is earlier else "notes")).touch()
        with run_folder(folder, 8000):
            modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "lock")]
            assert modes == [0o700 if folder is earlier else 0o755, 0o600]


@pytest.mark.parametrize("blocker", ["", "lock", "env", "8001"])
def test_an_unusable_folder_is_reported(tmp_path: Path, blocker: str) -> None:
    """The message names the path and the remedy."""
    base = tmp_path / "base"
    if blocker:
        base.mkdir()
    (base / blocker).mkdir() if blocker in {"lock", "env"} else (base / blocker).touch()

    with pytest.raises(RunFolderError, match=rf"base/?{blocker} cannot be used: .*\. Correct its permissions, or free"):
        run_folder(base, 8001, beside=blocker == "8001").__enter__()


def test_the_env_file_belongs_to_the_run(tmp_path: Path) -> None:
    """It is private, gives the URL while the stack runs, and ends with the block."""
    template = SimpleNamespace(consumer_layer=lambda: tmp_path / "layer")
    with run_folder(tmp_path, 8000) as folder, closing(bind(0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        stack: Any = SimpleNamespace(url=url, endpoint_url=url, template=template, consumer_environment=dict)
        assert url_of(tmp_path) is None
        with folder.environment(stack) as env:
            assert stat.S_IMODE(env.stat().st_mode) == 0o600
            assert url_of(tmp_path) == url
            text = env.read_text(encoding="utf-8")
            listener.close()
            assert url_of(tmp_path) is None
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
        env.write_text(text.replace("export ", ""), encoding="utf-8")
        assert url_of(tmp_path) is None


def test_paths_are_shown_as_a_command_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative below the working directory, absolute elsewhere, quoted where needed."""
    monkeypatch.chdir(tmp_path)

    assert shown(tmp_path / ".local" / "env") == ".local/env"
    assert shown(tmp_path.parent) == str(tmp_path.parent)
    assert shown(tmp_path / "two words") == "'two words'"


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n", None])
def test_a_damaged_issuer_key_is_reported(tmp_path: Path, content: bytes | None) -> None:
    """The message names the file and the remedy, and nothing of the content."""
    path = tmp_path / "issuer.pem"
    if content is None:
        Issuer.load(path)
        content = path.read_bytes()[:-100]
    path.write_bytes(content)

    with pytest.raises(IssuerError, match=r"issuer\.pem is damaged\. Delete it: the next command creates another key"):
        Issuer.load(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(IssuerError, match=r"issuer\.pem cannot be used: Is a directory\. "):
        Issuer.load(path)


@pytest.mark.parametrize(
    ("arguments", "environment", "options"),
    [([], {}, ""), (["PORT=8001"], {}, "--port 8001"), ([], {"PORT": "8002"}, "--port 8002")],
)
def test_make_token_passes_a_given_port_only(arguments: list[str], environment: dict[str, str], options: str) -> None:
    """Without PORT the token is for the run with .local, on any port."""
    command = ["make", "--no-print-directory", "-n", *arguments, "token"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "PORT"}
    printed = subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=True)

    (line,) = (line for line in printed.stdout.splitlines() if "-m local token" in line)
    assert line.partition("-m local token")[2].strip() == options
