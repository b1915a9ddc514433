"""Folder of a local run: its lock, its kept state and its env file.

The first run owns `.local`. Each run beside it owns `.local/<port>` and removes that folder at its end. The operating
system releases the lock of a run that crashed, and the next run removes the rest.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import LocalStack

_LOCK: Final = "lock"
_ENV: Final = "env"
_URL_VARIABLE: Final = "SERVICE_KEYS_LOCAL_URL"
# Files that show that a folder is a run's own.
_OWN_FILES: Final = ("issuer.pem", _LOCK, _ENV)


class RunFolderError(LocalError):
    """The folder cannot be used. The message states the remedy."""


@dataclass(frozen=True)
class RunFolder:
    """A folder that belongs to one run.

    Attributes:
        path: The folder.
        first: True if its state outlives the run; False in a folder that is removed at the end.
    """

    path: Path
    first: bool

    @property
    def state(self) -> Path:
        """The file of the kept state."""
        return self.path / "state.sqlite"

    def start_fresh(self) -> Path | None:
        """Set the kept state aside, except the port of moto's server, so that environments of earlier runs stay valid.

        Returns:
            The new path of the state; None if there was none.

        Raises:
            RunFolderError: The file cannot be renamed.
        """
        from local.state_file import start_fresh

        try:
            return start_fresh(self.state, time.strftime("state-%Y%m%d-%H%M%S"))
        except OSError as exc:
            raise _unusable(self.path, exc) from exc

    @contextmanager
    def environment(self, stack: LocalStack) -> Iterator[Path]:
        """Write the env file of a stack; remove it at the end of the block.

        Raises:
            RunFolderError: The file cannot be written.
        """
        path = self.path / _ENV
        try:
            _write_environment(path, stack)
        except OSError as exc:
            raise _unusable(path, exc) from exc
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def run_folder(base: Path, port: int, *, beside: bool = False) -> Iterator[RunFolder]:
    """Own a folder until the block ends: `base`, or `base/<port>` if another run has `base`.

    Args:
        base: The folder of the first run.
        port: The port of the run.
        beside: True to leave `base` to another run.

    Raises:
        RunFolderError: A folder is not writable, or both belong to running processes.
    """
    try:
        make_private(base)
        _remove_leftovers(base)
        lock = None if beside else _lock(base)
        path = base if lock is not None else base / str(port)
        if lock is None:
            lock = _lock(path, attempts=10)
    except OSError as exc:
        raise _unusable(base, exc) from exc
    if lock is None:
        raise RunFolderError(f"{path} belongs to a run on the same port. End it, or choose another port.")
    try:
        try:
            # Of a run that crashed.
            (path / _ENV).unlink(missing_ok=True)
        except OSError as exc:
            raise _unusable(path / _ENV, exc) from exc
        yield RunFolder(path, first=path == base)
    finally:
        if path != base:
            shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can read; narrow the permissions of an earlier one of a run."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077 and any((folder / name).exists() for name in _OWN_FILES):
        folder.chmod(0o700)


def url_of(folder: Path) -> str | None:
    """Return the URL of the stack that runs with a folder, or None if there is none or it has ended."""
    try:
        text = (folder / _ENV).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    match = re.search(rf"^export {_URL_VARIABLE}=(http://([0-9.]+):([0-9]+))$", text, re.MULTILINE)
    if match is None:
        return None
    try:
        socket.create_connection((match[2], int(match[3])), timeout=2).close()
    except OSError:
        # A run that crashed.
        return None
    return match[1]


def shown(path: Path) -> str:
    """Return a path as a command in the working directory takes it."""
    absolute, here = path.absolute(), Path.cwd()
    return shlex.quote(str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute))


def _unusable(path: Path, exc: OSError) -> RunFolderError:
    remedy = "Correct its permissions, or free space on its disk."
    return RunFolderError(f"{exc.filename or path} cannot be used: {exc.strerror}. {remedy}")


def _lock(folder: Path, attempts: int = 1) -> int | None:
    """Lock a folder; return the descriptor of the lock, or None if another process has it.

    A process that removes leftovers has the lock for milliseconds: more attempts outlast it.
    """
    while attempts:
        make_private(folder)
        try:
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            # Another process removed the folder just now.
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BlockingIOError:
            attempts -= 1
            time.sleep(0.05 if attempts else 0)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


def _remove_leftovers(base: Path) -> None:
    """Remove the folders of runs beside the first one that crashed."""
    for folder in base.iterdir():
        if folder.name.isdecimal() and (folder / _LOCK).exists():
            lock = _lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _write_environment(path: Path, stack: LocalStack) -> None:
    """Write a shell script that sets the environment of a local consumer, or reports that the run has ended."""
    variables = stack.consumer_environment()
    # Unset variables that would override the local endpoint.
    unset = sorted({"AWS_ENDPOINT_URL_DYNAMODB", "AWS_PROFILE", "AWS_SESSION_TOKEN"} - variables.keys())
    host, _, port = stack.endpoint_url.removeprefix("http://").partition(":")
    connect = f'import socket; socket.create_connection(("{host}", {port}), 2).close()'
    remedy = "Start make run, and source the file again."
    ended = f"{path.absolute()} is of a run that ended: nothing listens on {stack.endpoint_url}. {remedy}"
    lines = [
        f"# Written by `make run`; holds nothing secret. Use it with: source {shown(path)}",
        f"{shlex.quote(sys.executable)} -ISc {shlex.quote(connect)} 2>/dev/null ||",
        f"  {{ echo {shlex.quote(ended)} >&2; return 1; }}",
        f"unset {' '.join(unset)}",
        f"export {_URL_VARIABLE}={shlex.quote(stack.url)}",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())),
        f"export PYTHONPATH={shlex.quote(str(stack.template.consumer_layer()))}${{PYTHONPATH:+:$PYTHONPATH}}",
    ]
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text("\n".join(lines) + "\n", encoding="utf-8")
    new.rename(path)
