"""File in which a local run keeps its state: records in SQLite, one transaction for each acknowledged change.

Measured: a snapshot of the table for each write takes 15 ms with 1,000 items and 140 ms with 10,000, a transaction
2 ms with any number of them.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from local import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT: Final = 1
"""Version of the format, in SQLite's `user_version`. A change that this version cannot read increments it."""
PORT: Final = ("setting", "port")
"""Kind and id of the record with the port of moto's server."""
START_EMPTY: Final = "start empty with `make run FRESH=1`, which keeps this file under another name"
_REMEDY: Final = "Correct its permissions, or free space on its disk."
# "SvcK": distinguishes the file from SQLite files of other programs.
_APPLICATION_ID: Final = 0x5376634B
_SIDE_FILES: Final = ("-wal", "-shm", "-journal")
# Seconds to wait for the process of a run that was killed a moment ago.
_LOCK_TIMEOUT: Final = 10.0
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}


class StateError(LocalError):
    """The file cannot be read or written. The message names it and states the remedy."""


class StateFile:
    """Records of text by kind and id, owned by this process until `close`.

    A crash at any moment leaves the records before or after a write, never a part of it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._inode = path.stat().st_ino

    @classmethod
    def open(cls, path: Path, *, lock_timeout: float = _LOCK_TIMEOUT) -> Self:
        """Open a file and check it; create it if it does not exist.

        Args:
            path: The file. Its folder exists.
            lock_timeout: The seconds to wait for another process that has the file open.

        Raises:
            StateError: The file is damaged, of another program, of a newer version, in use, or not accessible.
        """
        try:
            if not path.exists():
                _create(path)
            path.chmod(0o600)
            connection = _connect(path, "rw", lock_timeout)
            try:
                _check(path, connection)
                return cls(path, connection)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as exc:
            raise _cannot_open(path, exc) from exc
        except OSError as exc:
            raise StateError(f"{path} cannot be opened: {exc.strerror}. {_REMEDY}") from exc

    def records(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield the id and value of each record of a kind, in the order of the ids.

        Raises:
            StateError: A record is damaged.
        """
        rows = self._connection.execute("SELECT id, value, checksum FROM record WHERE kind = ? ORDER BY id", (kind,))
        for record_id, value, checksum in rows:
            if checksum != _checksum(kind, record_id, value):
                raise damaged(self.path, f"the checksum of {kind} {record_id!r} is wrong")
            yield record_id, value

    def get(self, kind: str, record_id: str) -> str | None:
        """Return the value of a record, or None."""
        row = self._connection.execute("SELECT value FROM record WHERE kind = ? AND id = ?", (kind, record_id))
        found = row.fetchone()
        return None if found is None else str(found[0])

    def write(self, kind: str, values: Mapping[str, str | None]) -> None:
        """Write the records to disk, all or none; None removes a record.

        Raises:
            StateError: Nothing was written: the disk is full, the file was removed, or it is not writable.
        """
        try:
            # SQLite would write to a removed file without an error.
            if self.path.stat().st_ino != self._inode:
                raise StateError(f"{self.path} was replaced during the run. Start `make run` again.")
            self._connection.execute("BEGIN IMMEDIATE")
            for record_id, value in values.items():
                if value is None:
                    self._connection.execute("DELETE FROM record WHERE kind = ? AND id = ?", (kind, record_id))
                else:
                    row = (kind, record_id, value, _checksum(kind, record_id, value))
                    self._connection.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", row)
            self._connection.execute("COMMIT")
        except FileNotFoundError as exc:
            raise StateError(f"{self.path} was removed during the run. Start `make run` again.") from exc
        except (sqlite3.Error, OSError) as exc:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            message = f"{self.path} cannot be written: {exc}. {_REMEDY}"
            raise StateError(message) from exc

    def close(self) -> None:
        """Close the file; afterwards its folder has no other file of SQLite."""
        self._connection.close()


def damaged(path: Path, reason: str) -> StateError:
    """Return the error for a file with a content that no version wrote."""
    return StateError(f"{path} is damaged: {reason}. Delete {path}-wal and restore a copy, or {START_EMPTY}.")


def set_aside(path: Path, name: str) -> Path | None:
    """Rename a file, whole or damaged, to another name in its folder; return the new path, or None without a file."""
    target = path.with_name(f"{name}{path.suffix}")
    if target.exists():
        return set_aside(path, f"{name}-2")
    for suffix in ("", *_SIDE_FILES):
        source = Path(f"{path}{suffix}")
        if source.exists():
            source.rename(f"{target}{suffix}")
    return target if target.exists() else None


def start_fresh(path: Path, name: str) -> Path | None:
    """Set a file aside as `set_aside` does, and begin a new one with the same port, if the former can be read."""
    if not path.exists():
        return set_aside(path, name)
    try:
        with closing(StateFile.open(path)) as file:
            port = file.get(*PORT)
    except StateError:
        return set_aside(path, name)
    aside = set_aside(path, name)
    kind, record_id = PORT
    with closing(StateFile.open(path)) as file:
        file.write(kind, {record_id: port})
    return aside


def _create(path: Path) -> None:
    """Create an empty file, readable by its owner only. A crash leaves no file of this name, or a complete one."""
    new = Path(f"{path}.new")
    # SQLite would apply the log of a removed file to the new one.
    for old in (new, *(Path(f"{each}{suffix}") for each in (path, new) for suffix in _SIDE_FILES)):
        old.unlink(missing_ok=True)
    new.touch(mode=0o600)
    with closing(_connect(new, "rw", _LOCK_TIMEOUT)) as connection:
        connection.executescript(
            f"""
            BEGIN;
            CREATE TABLE record (
                kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, checksum INTEGER NOT NULL,
                PRIMARY KEY (kind, id)
            ) WITHOUT ROWID;
            PRAGMA application_id = {_APPLICATION_ID};
            PRAGMA user_version = {FORMAT};
            COMMIT;
            """
        )
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _connect(path: Path, mode: str, lock_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=lock_timeout,
        isolation_level=None,
        # The server's threads take turns.
        check_same_thread=False,
    )
    # EXCLUSIVE: a run that starts waits until a killed one has released the file. secure_delete: overwrite ciphertexts
    # of removed keys. synchronous and fullfsync: a write returns when it is on the disk.
    for pragma in ("locking_mode = EXCLUSIVE", "secure_delete = ON", "synchronous = FULL", "fullfsync = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _check(path: Path, connection: sqlite3.Connection) -> None:
    if path.stat().st_size == 0:
        raise damaged(path, "it is empty")
    (application,), (version,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
    )
    if application != _APPLICATION_ID:
        raise damaged(path, "it is a file of another program")
    if version != FORMAT:
        message = f"{path} has format {version}, and this version of Service Keys reads format {FORMAT}"
        raise StateError(f"{message}. Use the version that wrote it, or {START_EMPTY}.")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")
    (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if result != "ok":
        raise damaged(path, " ".join(result.split()))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _cannot_open(path: Path, exc: sqlite3.Error) -> StateError:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return damaged(path, str(exc))
    if code == sqlite3.SQLITE_BUSY:
        return StateError(f"{path} is in use by another process. End it: `fuser {path}` prints its id.")
    return StateError(f"{path} cannot be opened: {exc}. {_REMEDY}")


def _checksum(kind: str, record_id: str, value: str) -> int:
    return zlib.crc32(f"{kind}\n{record_id}\n{value}".encode())
