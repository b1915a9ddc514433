"""Install a lock into a virtual environment with pip, and report each package with its size on stderr.

`python3 -I tools/install.py local/requirements.txt .venv/run`, which `make` runs before any package is installed: this
module needs only the standard library. The environment is the folder of the markers, files that are touched after
success. An environment is created anew unless an earlier installation into it is complete, so an interrupted one leaves
nothing that later commands would use.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Present from before the first change of an environment until the last.
UNFINISHED: Final = "unfinished"
# Of Python's module venv: https://docs.python.org/3/library/venv.html
_CONFIGURATION: Final = "pyvenv.cfg"

_PIN: Final = re.compile(r"^[A-Za-z0-9._-]+==", re.MULTILINE)
_FETCHED: Final = re.compile(
    r"(?:Downloading|Using cached|Processing) (?P<place>.+?)(?: \((?P<size>[\d.]+ (?:bytes|[kMG]B))\))?"
)
_FILE: Final = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*?)(?:-[^/]*\.whl|\.tar\.gz|\.zip)")
_RETRY: Final = re.compile(r"WARNING: Retrying \(Retry\(total=(\d+)")
_ERROR: Final = re.compile(r"\s*(ERROR|Error|\w+Error)\b")
_BYTES: Final = {"bytes": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}

# Settings that would install to another place, or change the output that is parsed here. Those of indexes, proxies,
# certificates and the cache stay.
_IGNORED_SETTINGS: Final = re.compile(
    "PYTHON(HOME|PATH)|PIP_(DRY_RUN|IGNORE_INSTALLED|LOG|PREFIX|PYTHON|QUIET|REPORT|ROOT|TARGET|UPGRADE|USER|VERBOSE)"
)


class _Remedy(NamedTuple):
    pattern: str
    advice: str


# The first pattern that the output of venv or pip contains selects the advice, so specific ones precede.
_REMEDIES: Final = (
    _Remedy(
        r"No module named '?(venv|ensurepip)|ensurepip is not$",
        "This Python cannot create virtual environments. On Debian and Ubuntu: sudo apt-get install python3-venv. "
        "Or select another Python: make PYTHON=/path/to/python3",
    ),
    _Remedy(
        r"No space left on device|Disk quota exceeded",
        "The disk is full. Free 1 GB for {folder}, the cache of pip and the temporary folder (TMPDIR selects another), "
        "and repeat the command",
    ),
    _Remedy(
        r"DO NOT MATCH THE HASHES",
        "A package differs from the one that {lock} pins: the download was damaged, or the index serves another file. "
        "Repeat the command with PIP_NO_CACHE_DIR=1; if it fails again, use another index (PIP_INDEX_URL)",
    ),
    _Remedy(
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError",
        "The certificate of the package index is not trusted. Behind a proxy that inspects TLS, give its certificate: "
        "PIP_CERT=/path/to/ca.pem",
    ),
    _Remedy(
        r"ProxyError|Tunnel connection failed|Cannot connect to proxy",
        "The proxy refused the connection or cannot be reached. Correct HTTPS_PROXY (http://host:port), or unset it",
    ),
    _Remedy(
        r"WARNING: Retrying|NewConnectionError|NameResolutionError|Connection(Error| refused| reset| broken)|"
        r"Temporary failure in name resolution|Network is unreachable|ReadTimeoutError|IncompleteRead|ProtocolError|"
        r"SSL module is not available|HTTP error|\b(401|403|50\d) (Client|Server) Error",
        "The package index cannot be reached. Check the network; behind a proxy set HTTPS_PROXY, and for another index "
        "PIP_INDEX_URL. Then repeat the command: pip keeps complete downloads",
    ),
    _Remedy(
        r"No matching distribution found|not a supported wheel on this platform",
        "The package index has no file for this Python and machine. Select another Python: make PYTHON=python3.13; or "
        "another index, if yours is not complete (pip config list, PIP_INDEX_URL)",
    ),
    _Remedy(
        r"Permission denied|Read-only file system|Operation not permitted",
        "{folder} cannot be written. Run make as the owner of this folder; if another user created {folder}, remove it",
    ),
)


class InstallError(Exception):
    """The installation failed. The message states the reason and the remedy."""


class Progress:
    """Reader of pip's output: prints a line for each package that it fetches.

    Attributes:
        output: The lines of pip.
        unpacking: True from the first change of the environment on.
        fetched: The number of fetched packages.
        size: Their size in bytes, as far as pip states it.
    """

    def __init__(self, pins: int, show: Callable[[str], None]) -> None:
        self.output: list[str] = []
        self.unpacking = False
        self.fetched = 0
        self.size = 0.0
        self._pins = pins
        self._done = 0
        self._show = show

    def read(self, line: str) -> None:
        """Read one line of pip's output."""
        self.output.append(line)
        # pip appends the requirement: Processing /wheels/x-1-py3-none-any.whl (from -r requirements.txt (line 1))
        text = line.strip().partition(" (from ")[0]
        if line.startswith("Ignoring "):
            self._pins -= 1
        elif line.startswith("Requirement already satisfied: "):
            self._done += 1
        elif found := _FETCHED.fullmatch(text):
            self._count(found["place"], found["size"])
        elif found := _RETRY.match(line):
            self._show(f"  No answer from the package index, {found[1]} more tries ...")
        elif line.startswith("Installing collected packages: "):
            self.unpacking = True
            self._show(f"Unpacking {self.total()} ...")

    def total(self) -> str:
        """Return the number of fetched packages and their size."""
        return f"{self.fetched} package{'' if self.fetched == 1 else 's'}, {_megabytes(self.size)}"

    def _count(self, place: str, size: str | None) -> None:
        if not (file := _FILE.fullmatch(place.rpartition("/")[2])):
            return
        size = size or _size_of(place)
        if size:
            number, unit = size.split()
            self.size += float(number) * _BYTES[unit]
        self._done += 1
        self.fetched += 1
        position = f"{self._done:{len(str(self._pins))}}/{self._pins}"
        name = file["name"].replace("_", "-")
        self._show(f"  [{position}] {name} {file['version']}{f', {size}' if size else ''}")


def _size_of(place: str) -> str | None:
    """Return the size of a file of a local index, in pip's format."""
    with suppress(OSError):
        size = Path(place).stat().st_size
        return _megabytes(size) if size >= _BYTES["MB"] else f"{size / 1e3:.0f} kB"
    return None


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


class Environment:
    """A virtual environment that locks are installed into.

    Args:
        folder: The folder of the environment.
        python: The interpreter that creates it.
        show: A callback that prints one line.
    """

    def __init__(self, folder: Path, python: str, show: Callable[[str], None]) -> None:
        self.folder = folder
        self._python = python
        self._show = show
        self._own_python = folder / "bin" / "python"
        self._unfinished = folder / UNFINISHED

    def install(self, lock: Path, markers: Sequence[Path], *, sources: bool) -> None:
        """Install the pins of a lock, unless the markers are newer than the lock, and touch the markers.

        Args:
            lock: A requirements file with hashes.
            markers: Files in the folder of the environment.
            sources: True to allow packages that are published only as source, whose builds run code.

        Raises:
            InstallError: Nothing was installed. The message states the remedy.
        """
        try:
            with _locked(self.folder.resolve().parent, self._wait) as descriptor:
                usable = self._is_usable()
                # Another process may have installed the lock while this one waited.
                if not usable or any(_is_older(marker, lock) for marker in markers):
                    self._install(lock, markers, descriptor, usable=usable, sources=sources)
        except OSError as exc:
            raise self._failure(lock, [str(exc)]) from exc

    def _wait(self) -> None:
        self._show(f"Another command installs into {self.folder}; waiting for it ...")

    def _failure(self, lock: Path, output: Sequence[str]) -> InstallError:
        return InstallError(f"{lock} is not installed. {_explain(output, self.folder, lock)}")

    def _is_usable(self) -> bool:
        """Return True if no installation was interrupted, and the environment has the requested version of Python."""
        if self._unfinished.exists() or not self._own_python.exists():
            return False
        command = [str(self._own_python), "-I", "-c", "import sys, pip; print(*sys.version_info[:2])"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the command above
        except OSError:
            # An interpreter for another machine, as in a folder that is shared with a container.
            return False
        return ran.stdout.split() == [str(number) for number in sys.version_info[:2]]

    def _install(self, lock: Path, markers: Sequence[Path], descriptor: int, *, usable: bool, sources: bool) -> None:
        begun = time.monotonic()
        # A lock that changes during the installation is newer than its markers.
        started = max(time.time(), lock.stat().st_mtime)
        pins = len(_PIN.findall(lock.read_text(encoding="utf-8")))
        if not usable:
            self._create(lock, descriptor)
        self._show(f"Installing {lock} into {self.folder} ...")
        progress = Progress(pins, self._show)
        self._unfinished.touch()
        if _run(self._pip(lock, sources=sources), progress.read, descriptor):
            if not usable:
                shutil.rmtree(self.folder, ignore_errors=True)
            elif not progress.unpacking:
                self._unfinished.unlink()
            raise self._failure(lock, progress.output)
        for marker in markers:
            marker.touch()
            os.utime(marker, (started, started))
        self._unfinished.unlink()
        seconds = f"{time.monotonic() - begun:.0f} s"
        self._show(f"Installed {progress.total()}, in {seconds}." if progress.fetched else "All are installed already.")

    def _create(self, lock: Path, descriptor: int) -> None:
        """Create the environment, and remove the rest of another one first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._is_own():
            # A path with a space is two words for make, and the first one may lead to any folder.
            message = f"{self.folder.absolute()} has files and is no virtual environment, so nothing in it was changed"
            raise InstallError(f"{message}. Remove it if you do not need it, or select a path without spaces.")
        self._show(f"Creating {self.folder} ...")
        self._unfinished.touch()
        for each in self.folder.iterdir():
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            elif each != self._unfinished:
                each.unlink()
        output: list[str] = []
        if _run([self._python, "-m", "venv", str(self.folder)], output.append, descriptor):
            shutil.rmtree(self.folder, ignore_errors=True)
            raise self._failure(lock, output)

    def _is_own(self) -> bool:
        """Return True for an empty folder, an environment, and the rest of one that was not completed."""
        names = {path.name for path in self.folder.iterdir()}
        return not names or not names.isdisjoint({_CONFIGURATION, UNFINISHED})

    def _pip(self, lock: Path, *, sources: bool) -> list[str]:
        command = [str(self._own_python), "-I", "-u", "-m", "pip", "install"]
        # The lock is complete, and pip 23 rejects a lock with hashes if a package is required both with and without
        # extras: --no-deps. Python compiles a module when it is first imported, a fraction of all: --no-compile.
        command += ["--require-hashes", "--no-deps", "--no-compile", "--no-user", "--no-input", "--progress-bar=off"]
        command += ["--disable-pip-version-check", *([] if sources else ["--only-binary=:all:"])]
        return [*command, "--requirement", str(lock)]


def _is_older(marker: Path, lock: Path) -> bool:
    return not marker.exists() or marker.stat().st_mtime < lock.stat().st_mtime


@contextmanager
def _locked(folder: Path, wait: Callable[[], None]) -> Iterator[int]:
    """Exclude other processes that install into an environment of this folder; yield the descriptor of the lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems cannot lock a folder. Go on there, because two installations at once are rare.
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                wait()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _run(command: Sequence[str], read: Callable[[str], None], descriptor: int) -> int:
    """Run a program, pass on each line of its output, and return its exit code."""
    environment = {name: value for name, value in os.environ.items() if not _IGNORED_SETTINGS.fullmatch(name)}
    with subprocess.Popen(  # noqa: S603 - the commands above
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # If this process is killed, the lock stays until the program has ended too.
        pass_fds=[descriptor],
    ) as process:
        assert process.stdout is not None  # noqa: S101 - narrows the type: it is a pipe
        try:
            for line in process.stdout:
                read(line.rstrip("\n"))
        except KeyboardInterrupt:
            process.terminate()
            raise
    return process.returncode


def _explain(output: Sequence[str], folder: Path, lock: Path) -> str:
    """Return the remedy for a failure, and the lines of output that state it."""
    for remedy in _REMEDIES:
        if causes := [index for index, line in enumerate(output) if re.search(remedy.pattern, line)]:
            # pip prints details, such as the name of a package, after the first line with an error.
            first = next((index for index, line in enumerate(output) if _ERROR.match(line)), causes[-1])
            cause = output[causes[-1]] if causes[-1] < first else None
            reasons = [*([cause] if cause else []), *output[first:]]
            return f"{remedy.advice.format(folder=folder, lock=lock)}.{_indented(reasons[:8])}"
    return f"Correct the cause that the lines below state, and repeat the command.{_indented(output[-8:])}"


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"\n  {line.rstrip()}" for line in lines if line.strip())


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _show(line: str) -> None:
    # stdout of `make -s token` is the token only.
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Install a lock; return the exit code."""
    parser = argparse.ArgumentParser(description="Install a lock into the virtual environment of its markers.")
    parser.add_argument("lock", type=Path, help="a requirements file with hashes")
    parser.add_argument(
        "markers", type=Path, nargs="+", help="files in the environment's folder, touched after success"
    )
    parser.add_argument("--sources", action="store_true", help="allow packages that are published only as source")
    options = parser.parse_args(arguments)
    # SIGINT too, because a shell that starts make in the background may ignore it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    folder = options.markers[0].parent
    # The environment may be the active one. Create it with the interpreter behind it, which stays.
    is_active = Path(sys.prefix).resolve() == folder.resolve()
    python: str = sys._base_executable if is_active else sys.executable  # type: ignore[attr-defined] # noqa: SLF001
    environment = Environment(folder, python, _show)
    try:
        environment.install(options.lock, options.markers, sources=options.sources)
    except InstallError as exc:
        _show(str(exc))
        return 1
    except KeyboardInterrupt:
        _show("Interrupted. Repeat the command: it begins again, with the packages that pip has downloaded completely.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
