"""The file of the kept state: durable writes, damage, other versions and other processes."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from local.state_file import PORT, StateError, StateFile, set_aside, start_fresh
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Writes a record, and after a line of input waits inside a second write until it is killed.
KILLED = """
import sys, pathlib
from local.state_file import StateFile
file = StateFile.open(pathlib.Path(sys.argv[1]))
file.write("item", {"a": "acknowledged"})
print("ready", flush=True)
sys.stdin.readline()
file._connection.execute("BEGIN IMMEDIATE")
file._connection.execute("UPDATE record SET value = 'half'")
print("writing", flush=True)
sys.stdin.read()
"""
FILLED = {f"id-{number}": "x" * 500 for number in range(100)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


def records(path: Path) -> dict[str, str]:
    with closing(StateFile.open(path)) as file:
        return dict(file.records("item"))


def test_records_are_kept(path: Path) -> None:
    """A write replaces, adds and removes records of one kind; the folder has one private file afterwards."""
    with closing(StateFile.open(path)) as file:
        file.write("item", {"a": "1", "b": "2"})
        file.write("key", {"a": "3"})
        file.write("item", {"a": "4", "b": None, "c": "5"})

    assert records(path) == {"a": "4", "c": "5"}
    assert [(found.name, stat.S_IMODE(found.stat().st_mode)) for found in path.parent.iterdir()] == [(path.name, 0o600)]


def test_a_killed_process_leaves_no_half_of_a_write(path: Path) -> None:
    """The next process reads the last complete write, and waits for the lock of the killed one."""
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(StateError, match=r"state\.sqlite is in use by another process\. End it"):
            StateFile.open(path, lock_timeout=0)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"writing\n"
        process.kill()

    assert records(path) == {"a": "acknowledged"}


def test_a_file_that_was_not_completed_is_created_again(path: Path) -> None:
    """A crash during the creation leaves only a file of another name, which the next run replaces."""
    path.with_name("state.sqlite.new").write_bytes(b"half")
    path.with_name("state.sqlite.new-journal").write_bytes(b"half")

    assert records(path) == {}
    assert list(path.parent.iterdir()) == [path]


def test_a_removed_file_does_not_come_back(path: Path) -> None:
    """After a crash, the log beside a file that a developer removed is not applied to the new one."""
    with closing(StateFile.open(path)) as file:
        file.write("item", {"a": "removed"})
        log = path.with_name("state.sqlite-wal").read_bytes()
    path.unlink()
    path.with_name("state.sqlite-wal").write_bytes(log)

    assert records(path) == {}
    assert list(path.parent.iterdir()) == [path]


def overwrite(path: Path, position: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(content)


def change_a_value(path: Path) -> None:
    content = path.read_bytes()
    overwrite(path, content.index(b"xxxxxxxx"), b"y")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_by_another_programs(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmark (url)")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_text('{"items": []}' * 100), "file is not a database"),
        (truncate, "database disk image is malformed"),
        (change_a_value, "the checksum of item 'id-[0-9]+' is wrong"),
        (replace_by_another_programs, "it is a file of another program"),
        (lambda path: overwrite(path, 4096, b"\xff" * 4096), "Page 2: "),
    ],
    ids=["empty", "text", "truncated", "changed", "another program's", "page"],
)
def test_a_damaged_file_is_refused(path: Path, damage: Callable[[Path], object], reason: str) -> None:
    """The message names the file and the remedy, and the file stays as it is."""
    with closing(StateFile.open(path)) as file:
        file.write("item", FILLED)
    damage(path)
    before = path.read_bytes()

    with pytest.raises(StateError, match=rf"state\.sqlite is damaged: .*({reason}).*`make run FRESH=1`"):
        records(path)

    assert path.read_bytes() == before


def test_a_newer_format_is_refused(path: Path) -> None:
    """The message says which versions, and the file stays as it is."""
    StateFile.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")

    with pytest.raises(StateError, match=r"has format 2, .* reads format 1\. Use the version that wrote it, or start"):
        StateFile.open(path)


def test_a_full_disk_refuses_the_whole_write(path: Path) -> None:
    """The records before it stay, and a later write succeeds."""
    with closing(StateFile.open(path)) as file:
        file.write("item", {"a": "1"})
        file._connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(StateError, match=r"state\.sqlite cannot be written: .* full\. .* free space on its disk"):
            file.write("item", {"b": "2", "c": "x" * 100_000})
        file.write("item", {"d": "4"})

    assert records(path) == {"a": "1", "d": "4"}


def test_a_removed_file_refuses_writes(path: Path) -> None:
    """SQLite alone would lose writes to a file that was removed or replaced."""
    with closing(StateFile.open(path)) as file:
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(StateError, match=r"state\.sqlite was removed during the run\. Start `make run` again"):
            file.write("item", {"a": "1"})
        path.touch()
        with pytest.raises(StateError, match=r"state\.sqlite was replaced during the run"):
            file.write("item", {"a": "1"})


def test_an_unusable_path_is_reported(path: Path) -> None:
    """The message names the path."""
    path.mkdir()

    with pytest.raises(StateError, match=r"state\.sqlite cannot be opened: .*\. Correct its permissions"):
        StateFile.open(path)


def test_a_file_can_be_set_aside_and_brought_back(path: Path) -> None:
    """Also one that a killed process left with its log; an earlier file of that name stays."""
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    path.with_name("earlier.sqlite").touch()

    aside = set_aside(path, "earlier")

    assert aside == path.with_name("earlier-2.sqlite")
    assert set_aside(path, "again") is None
    assert records(path) == {}
    assert records(aside) == {"a": "acknowledged"}


def test_a_fresh_start_keeps_the_port_alone(path: Path) -> None:
    """The records stay in the file that is set aside, whole; the new one has the port of moto's server."""
    kind, record_id = PORT
    with closing(StateFile.open(path)) as file:
        file.write("item", FILLED)
        file.write(kind, {record_id: "39869"})

    aside = start_fresh(path, "earlier")

    assert aside is not None
    assert records(aside) == FILLED
    assert records(path) == {}
    with closing(StateFile.open(path)) as file:
        assert file.get(*PORT) == "39869"


@pytest.mark.parametrize("content", [None, b"", b"no SQLite"])
def test_a_fresh_start_without_a_readable_file(path: Path, content: bytes | None) -> None:
    """Set a damaged file aside as it is; without a file there is nothing to set aside, and none is made."""
    if content is not None:
        path.write_bytes(content)

    aside = start_fresh(path, "earlier")

    assert (aside and aside.read_bytes()) == content
    assert not path.exists()
