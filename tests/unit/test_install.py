"""Tests of the installation of locks, with a fake of Python whose pip prints recorded output."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import ROOT
from tools.install import Environment, InstallError, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = f"{sys.version_info[0]} {sys.version_info[1]}"
# `python -m venv FOLDER` creates an interpreter whose pip prints the file output and runs the file program, both in the
# folder of this script.
PYTHON = """#!/bin/sh
here=$(dirname "$0")
if [ "$1" = -I ]; then
  shift
  exec {real} -I -c 'import runpy, sys; sys.executable = sys.argv.pop(1); del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")' "$0" "$@"
fi
echo "venv" >>"$here/calls"
[ -e "$here/venv" ] && . "$here/venv"
mkdir -p "$3/bin"
: >"$3/pyvenv.cfg"
cat >"$3/bin/python" <<END
#!/bin/sh
if [ "\\$2" = -c ]; then cat "$here/version"; exit; fi
echo "\\$*" >>"$here/calls"
cat "$here/output"
. "$here/program"
END
chmod +x "$3/bin/python"
"""
LOCK = "six==1.17.0 \\\n    --hash=sha256:0\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n"
OUTPUT = """\
Looking in indexes: https://pypi.org/simple
Ignoring colorama: markers 'sys_platform == "win32"' don't match your environment
Collecting six==1.17.0 (from -r local/requirements.txt (line 1))
  Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)
Installing collected packages: six
Successfully installed six-1.17.0
"""


class Checkout:
    """A folder with a lock and a fake of Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "requirements.txt"
        self.environment = folder / ".venv"
        self.marker = self.environment / "ready"
        self.python = folder / "fake" / "python"
        self.shown: list[str] = []
        self.python.parent.mkdir()
        self.lock.write_text(LOCK)
        self.python.write_text(PYTHON.format(real=sys.executable))
        self.python.chmod(0o755)
        self.set(output=OUTPUT, program="exit 0", version=VERSION)

    def set(self, **files: str) -> None:
        for name, text in files.items():
            (self.python.parent / name).write_text(f"{text}\n")

    def calls(self) -> list[str]:
        """Return the calls since the last time: of venv, and the arguments of pip."""
        path = self.python.parent / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return ["pip" if " pip " in line else line for line in lines]

    def install(self) -> list[str]:
        """Install the lock; return the lines that were shown."""
        self.shown.clear()
        Environment(self.environment, str(self.python), self.shown.append).install(
            self.lock, [self.marker], sources=False
        )
        return self.shown

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[str]]:
        """Start an installation in a process, as make does."""
        command = [str(self.python), "-I", str(ROOT / "tools" / "install.py"), str(self.lock), str(self.marker)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def lines_until(process: subprocess.Popen[str], start: str) -> str:
    """Return the first line of stderr that begins like this; fail at the end of the output."""
    assert process.stderr is not None
    return next(line for line in process.stderr if line.startswith(start))


# --- progress ---------------------------------------------------------------------------------------------------------


def test_each_package_is_shown_with_its_size(tmp_path: Path) -> None:
    """Read the output of pip for an index, its cache, a mirror, a local index, and sources."""
    shown: list[str] = []
    progress = Progress(12, shown.append)
    wheel = tmp_path / "a folder (1)" / "idna-3.20-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(bytes(69_400))

    for line in f"""\
Looking in indexes: https://pypi.org/simple
WARNING: Location 'file:///mirror/simple/botocore/' is ignored: it is neither a file nor a directory.
Ignoring colorama: markers 'sys_platform == "win32"' don't match your environment
Ignoring pywin32: markers 'sys_platform == "win32"' don't match your environment
Requirement already satisfied: attrs==26.1.0 in ./.venv/lib/python3.11/site-packages (from -r x.txt (line 9)) (26.1.0)
Collecting botocore==1.43.127 (from -r requirements.txt (line 30))
  Downloading botocore-1.43.127-py3-none-any.whl (16.3 MB)
  Downloading botocore-1.43.127-py3-none-any.whl.metadata (5.2 kB)
     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 16.3/16.3 MB 27.8 MB/s eta 0:00:00
  Using cached pydantic_core-2.46.5-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl (2.1 MB)
  Downloading https://mirror.example.com/files/python_dateutil-2.9.0.post0-py2.py3-none-any.whl (229 kB)
Processing {wheel} (from -r /a/requirements.txt (line 99))
Processing /nowhere/six-1.17.0-py2.py3-none-any.whl
  Downloading ruamel.yaml-0.19.1.tar.gz (900 bytes)
  Downloading sqlalchemy-2.0.1.tar.gz (1.5 MB)
Installing collected packages: six, idna
""".splitlines():
        progress.read(line)

    assert shown == [
        "  [ 2/10] botocore 1.43.127, 16.3 MB",
        "  [ 3/10] pydantic-core 2.46.5, 2.1 MB",
        "  [ 4/10] python-dateutil 2.9.0.post0, 229 kB",
        "  [ 5/10] idna 3.20, 69 kB",
        "  [ 6/10] six 1.17.0",
        "  [ 7/10] ruamel.yaml 0.19.1, 900 bytes",
        "  [ 8/10] sqlalchemy 2.0.1, 1.5 MB",
        "Unpacking 7 packages, 20.2 MB ...",
    ]


def test_a_first_installation_shows_its_steps(checkout: Checkout) -> None:
    """Show the environment, the lock, each package, and the total."""
    shown = checkout.install()

    assert [re.sub(r"in \d+ s", "in 1 s", line).replace(str(checkout.folder), "") for line in shown] == [
        "Creating /.venv ...",
        "Installing /requirements.txt into /.venv ...",
        "  [1/1] six 1.17.0, 11 kB",
        "Unpacking 1 package, 0.0 MB ...",
        "Installed 1 package, 0.0 MB, in 1 s.",
    ]
    assert checkout.calls() == ["venv", "pip"]


def test_pip_installs_wheels_by_hash_from_the_lock_alone(checkout: Checkout) -> None:
    """Exclude sdists, whose builds would run unlocked build tools, and dependencies that the lock does not name."""
    checkout.install()

    arguments = (checkout.python.parent / "calls").read_text().splitlines()[-1].split()
    assert arguments[:5] == ["-I", "-u", "-m", "pip", "install"]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(arguments)
    assert arguments[-2:] == ["--requirement", str(checkout.lock)]


def test_settings_of_other_places_are_ignored(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the index; do not install to the folder that PIP_TARGET names, and do not quiet pip."""
    names = ("PIP_TARGET", "PIP_USER", "PIP_QUIET", "PIP_INDEX_URL", "PYTHONPATH")
    for name in names:
        monkeypatch.setenv(name, "1")
    checkout.set(program=f'env >"{checkout.folder}/environment"')

    checkout.install()

    kept = re.findall(r"^([A-Z_]+)=1$", (checkout.folder / "environment").read_text(), re.MULTILINE)
    assert set(kept) & set(names) == {"PIP_INDEX_URL"}


# --- repetition -------------------------------------------------------------------------------------------------------


def test_a_lock_is_installed_once(checkout: Checkout) -> None:
    """Do nothing if the markers are newer, as after another process has installed the lock."""
    checkout.install()
    checkout.calls()

    assert checkout.install() == []
    assert checkout.calls() == []


def test_a_newer_lock_is_installed_into_the_same_environment(checkout: Checkout) -> None:
    """Keep the packages of another lock."""
    checkout.install()
    checkout.calls()
    newer = checkout.marker.stat().st_mtime + 10
    os.utime(checkout.lock, (newer, newer))

    assert "Creating" not in checkout.install()[0]
    assert checkout.calls() == ["pip"]
    assert checkout.marker.stat().st_mtime >= newer


def test_a_lock_that_changes_during_its_installation_is_newer(checkout: Checkout) -> None:
    """Install it again."""
    checkout.set(program=f'touch -d "+1 minute" "{checkout.lock}"')
    checkout.install()

    assert checkout.marker.stat().st_mtime < checkout.lock.stat().st_mtime


def test_an_environment_of_another_python_is_created_anew(checkout: Checkout) -> None:
    """Remove the packages, whose native modules are for the other version."""
    checkout.install()
    (checkout.environment / "lib").mkdir()
    (checkout.environment / "link").symlink_to(checkout.folder)
    checkout.set(version="3 10")

    assert checkout.install()[0].startswith("Creating")
    assert checkout.lock.exists()
    assert not (checkout.environment / "lib").exists()


@pytest.mark.parametrize("state", ["removed", "of another machine", "without pip"])
def test_an_environment_without_interpreter_is_created_anew(checkout: Checkout, state: str) -> None:
    """Replace links to a Python that has been removed, and interpreters that cannot run here."""
    checkout.install()
    python = checkout.environment / "bin" / "python"
    python.unlink()
    if state == "removed":
        python.symlink_to(checkout.folder / "removed")
    else:
        python.write_bytes(b"\x7fELF\0" if state == "of another machine" else b"#!/bin/sh\nexit 1\n")
        python.chmod(0o755)

    assert checkout.install()[0].startswith("Creating")
    assert checkout.calls() == ["venv", "pip", "venv", "pip"]


# --- failures ---------------------------------------------------------------------------------------------------------

POOL = "HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded with url: /simple/six/"
RETRYING = (
    "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError(...)': /simple/"
)
NO_VERSION = "ERROR: Could not find a version that satisfies the requirement six==1.17.0 (from versions: {})"
NO_MATCH = "ERROR: No matching distribution found for six==1.17.0"
FAILURES = {
    "no network": (
        f"{RETRYING}\n{NO_VERSION.format('none')}\n{NO_MATCH}",
        "Check the network; behind a proxy set HTTPS_PROXY",
    ),
    "timeout": (
        f"ERROR: {POOL} (Caused by ReadTimeoutError('Read timed out.'))",
        "The package index cannot be reached",
    ),
    "status": ("ERROR: 403 Client Error: Forbidden for url: https://pypi.org/simple/six/", "The package index cannot"),
    "proxy": (f"{RETRYING}\nERROR: {POOL} (Caused by ProxyError('Cannot connect to proxy.'))", "Correct HTTPS_PROXY"),
    "certificate": ("Could not fetch URL: CERTIFICATE_VERIFY_FAILED", "PIP_CERT=/path/to/ca.pem"),
    "hash": (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    six==1.17.0:\n        Expected",
        "requirements.txt pins: the download was damaged, or the index serves another file. Repeat the command with",
    ),
    "disk": ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "Free 1 GB"),
    "platform": (f"{NO_VERSION.format('1.16.0, 1.17.0')}\n{NO_MATCH}", "make PYTHON=python3.13"),
    "permission": (
        "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied",
        "cannot be written",
    ),
    "unknown": ("first\nERROR: the reason\nlast", "Correct the cause that the lines below state"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_names_the_remedy(checkout: Checkout, failure: str) -> None:
    """State the reason too, and leave no environment."""
    output, advice = FAILURES[failure]
    checkout.set(output=output, program="exit 1")

    with pytest.raises(InstallError) as raised:
        checkout.install()

    message = str(raised.value)
    assert message.startswith(f"{checkout.lock} is not installed. ")
    assert advice in message
    assert message.endswith(output.splitlines()[-1])
    assert not checkout.environment.exists()


def test_a_python_without_venv_names_the_package_of_debian(checkout: Checkout) -> None:
    """Remove the half-created environment."""
    said = "The virtual environment was not created successfully because ensurepip is not\navailable.  On Debian/Ubuntu"
    checkout.set(venv=f'mkdir "$3/bin"; echo "{said}"; exit 1')

    with pytest.raises(InstallError, match=r"apt-get install python3-venv(.|\n)*ensurepip is not\n"):
        checkout.install()

    assert not checkout.environment.exists()


def test_a_file_in_place_of_the_environment_is_reported(checkout: Checkout) -> None:
    """State the system's reason, without a traceback."""
    checkout.environment.write_text("")

    with pytest.raises(InstallError, match="File exists"):
        checkout.install()


def test_a_folder_of_other_files_is_not_emptied(checkout: Checkout) -> None:
    """Refuse a folder that is no environment, such as the home folder in the first word of a path with a space."""
    (checkout.environment / "documents").mkdir(parents=True)
    (checkout.environment / "documents" / "thesis.txt").write_text("made up")

    with pytest.raises(InstallError, match=f"^{checkout.environment} has files and is no virtual environment"):
        checkout.install()

    assert (checkout.environment / "documents" / "thesis.txt").read_text() == "made up"
    assert not (checkout.environment / "unfinished").exists()
    assert checkout.calls() == []


def test_an_update_without_network_keeps_the_environment(checkout: Checkout) -> None:
    """Change nothing before all packages are fetched."""
    checkout.install()
    checkout.set(output=RETRYING, program="exit 1")
    checkout.lock.touch()
    with pytest.raises(InstallError):
        checkout.install()
    checkout.calls()
    checkout.set(output=OUTPUT, program="exit 0")

    assert checkout.install()[0].startswith("Installing")
    assert checkout.calls() == ["pip"]


def test_an_update_that_fails_half_way_begins_anew(checkout: Checkout) -> None:
    """Create the environment again after a failure that left part of a package."""
    checkout.install()
    checkout.set(program="exit 1")
    checkout.lock.touch()
    with pytest.raises(InstallError):
        checkout.install()
    checkout.calls()
    checkout.set(program="exit 0")

    assert checkout.install()[0].startswith("Creating")
    assert checkout.calls() == ["venv", "pip"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_installation_begins_anew(checkout: Checkout, number: signal.Signals) -> None:
    """End pip, state the next step, and trust nothing of the environment."""
    checkout.set(program=f'echo $$ >"{checkout.folder}/pid"; exec sleep 600')
    with checkout.process() as process:
        lines_until(process, "Unpacking")
        process.send_signal(number)
        assert lines_until(process, "Interrupted. Repeat the command")
        assert process.wait() == 130
    assert not checkout.marker.exists()
    checkout.set(program="exit 0")

    assert checkout.install()[0].startswith("Creating")


def test_a_second_installation_waits_for_the_first(checkout: Checkout) -> None:
    """Use the packages of the first, as if two commands start in a fresh checkout."""
    release = checkout.folder / "release"
    os.mkfifo(release)
    checkout.set(program=f'cat "{release}"')
    with checkout.process() as first:
        lines_until(first, "Unpacking")
        with checkout.process() as second:
            lines_until(second, "Another command installs into")
            release.write_text("")
            assert (first.wait(), second.wait()) == (0, 0)

    assert checkout.calls() == ["venv", "pip"]


def test_a_killed_installation_excludes_others_until_pip_ends(checkout: Checkout) -> None:
    """Then begin anew, because pip is a process of its own and goes on after a SIGKILL of its parent."""
    release = checkout.folder / "release"
    os.mkfifo(release)
    checkout.set(program=f'cat "{release}"')
    with checkout.process() as first:
        lines_until(first, "Unpacking")
        first.kill()
        first.wait()
    with checkout.process() as second:
        lines_until(second, "Another command installs into")
        checkout.set(program="exit 0")
        release.write_text("")
        assert lines_until(second, "Creating")
        assert second.wait() == 0

    assert checkout.calls() == ["venv", "pip", "venv", "pip"]
