"""Tests of the Makefile and .ci/run in a temporary checkout, with fakes of Python, pip and make."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Runs tools/install.py, and creates its virtual environment. Both print on stdout, because real ones may do so too.
PYTHON = f"""#!/bin/sh
[ "$1" = -c ] && exit 0
if [ "$1" = -I ]; then
  shift
  exec {sys.executable} -I -c 'import runpy, sys; sys.executable = sys.argv.pop(1); del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")' "$0" "$@"
fi
echo "creating $3"
mkdir -p "$3/bin"
: >"$3/pyvenv.cfg"
cat >"$3/bin/python" <<'END'
#!/bin/sh
case "$*" in
  *" -m pip "*) echo "Installing collected packages: x"; echo "$*" >>installed ;;
  "-m local token") echo "the.made-up.token" ;;
  "-m tools.generate_"*) echo "$PYTHONUTF8" ;;
  *" -c "*) echo {sys.version_info[0]} {sys.version_info[1]} ;;
esac
END
chmod +x "$3/bin/python"
"""

# Writes the requested pytest report, with one test of each kind.
MAKE = """#!/bin/sh
report=$(expr "$PYTEST_ADDOPTS" : '--junitxml=\\(.*\\)')
[ -z "$report" ] && exit 0
cases=
for kind in unit functional template; do cases="$cases<testcase classname='tests.$kind.test_x' name='test_x'/>"; done
echo "<testsuites><testsuite>$cases</testsuite></testsuites>" >"$report"
"""
VENV_PYTHON = f"""#!/bin/sh
[ "$1" = -m ] && exit 1
exec {sys.executable} "$@"
"""
HELPER = """#!/bin/sh
echo "$0 $*" >>"$MARKER"
echo http://127.0.0.1:1
"""


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def run(command: list[str | Path], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command without the settings of the processes that started this one."""
    # The options of an outer make would apply to the inner one.
    ignored = re.compile("MAKE.*|CI|DYNAMODB_ENDPOINT")
    kept = {name: value for name, value in os.environ.items() if not ignored.fullmatch(name)}
    return subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False, timeout=60
    )


def make(folder: Path, python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a checkout with a fake Python."""
    if not (folder / "Makefile").exists():
        for name in ("Makefile", "tools/install.py", "requirements-dev.txt", "local/requirements.txt"):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        script(folder / "python", python)
    return run(["make", *arguments, f"PYTHON={folder / 'python'}"], folder)


@pytest.mark.parametrize("options", [["-s"], []])
def test_make_token_prints_only_the_token(tmp_path: Path, options: list[str]) -> None:
    """Print messages to stderr, also in a fresh checkout, where make installs everything first."""
    first, second = (make(tmp_path, PYTHON, *options, "token") for _ in range(2))

    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout == "the.made-up.token\n"
    assert [line.split()[0] for line in first.stderr.splitlines()] == ["Creating", "Installing", "Unpacking", "All"]
    assert second.stderr == ""


@pytest.mark.parametrize("name", ["VENV", "PACKAGE_VENV"])
@pytest.mark.parametrize("value", ["documents/my venv", ""])
def test_a_folder_of_packages_with_a_space_is_refused(tmp_path: Path, name: str, value: str) -> None:
    """Change nothing, because make would take the first word for a folder of its own, and `make clean` remove it."""
    (tmp_path / "documents" / "my").mkdir(parents=True)

    ran = make(tmp_path, PYTHON, f"{name}={value}", "clean")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"{name}={value} has a space or is empty: give the path of a folder without spaces" in ran.stderr
    assert (tmp_path / "documents" / "my").exists()


def test_generated_files_are_utf_8_under_every_locale(tmp_path: Path) -> None:
    """Write the same bytes where the terminal has another encoding."""
    (tmp_path / "docs").mkdir()
    assert make(tmp_path, PYTHON, "openapi", "template", "docs").returncode == 0

    written = [tmp_path / name for name in ("openapi.yaml", "template.yaml", "docs/postman_collection.json")]
    assert {path.read_text() for path in [*written, *(tmp_path / "docs").iterdir()]} == {"1\n"}


def locks(folder: Path) -> list[str]:
    """Return the locks that pip installed since the last time."""
    path = folder / "installed"
    installed = path.read_text().split("\n") if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.split()[-1] for line in installed if line]


def test_running_needs_the_packages_of_make_run_alone(tmp_path: Path) -> None:
    """Install the development packages with the first command that needs them, into the same environment."""
    assert make(tmp_path, PYTHON, "run").returncode == 0
    assert locks(tmp_path) == ["local/requirements.txt"]
    for command in (["token"], ["smoke"], ["sign-in", "STACK=service-keys"]):
        assert make(tmp_path, PYTHON, *command).returncode == 0
    assert locks(tmp_path) == []

    ran = make(tmp_path, PYTHON, "types")
    assert locks(tmp_path) == ["requirements-dev.txt"]
    assert "Creating" not in ran.stderr


def test_the_development_packages_suffice_for_make_run(tmp_path: Path) -> None:
    """Install nothing more, because they contain the others."""
    make(tmp_path, PYTHON, ".venv/ready")
    assert locks(tmp_path) == ["requirements-dev.txt"]

    assert make(tmp_path, PYTHON, "run", ".venv/ready").returncode == 0
    assert locks(tmp_path) == []


@pytest.mark.parametrize("lock", ["local/requirements.txt", "requirements-dev.txt"])
def test_a_changed_lock_is_installed(tmp_path: Path, lock: str) -> None:
    """Follow an update of the checkout."""
    make(tmp_path, PYTHON, ".venv/ready")
    locks(tmp_path)
    newer = (tmp_path / ".venv" / "ready").stat().st_mtime + 10
    os.utime(tmp_path / lock, (newer, newer))

    assert make(tmp_path, PYTHON, ".venv/run", ".venv/ready").returncode == 0
    assert locks(tmp_path) == [lock]


def test_a_removed_interpreter_is_replaced(tmp_path: Path) -> None:
    """Create the environment anew after an upgrade of Python has left a link to nowhere."""
    make(tmp_path, PYTHON, "token")
    python = tmp_path / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(tmp_path / "removed")

    ran = make(tmp_path, PYTHON, "-s", "token")

    assert ran.stdout == "the.made-up.token\n"
    assert "Creating" in ran.stderr


def test_an_old_python_is_reported_on_stderr(tmp_path: Path) -> None:
    """Keep the reason off stdout, where a caller would use it as a token."""
    ran = make(tmp_path, "#!/bin/sh\n[ $1 = -V ] && echo Python 3.9.1\nexit 1\n", "-s", "token")

    assert ran.returncode != 0
    assert ran.stdout == ""
    assert "Needs Python 3.11 or later" in ran.stderr


def ci(folder: Path, make: str = MAKE, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/run in a checkout beside fakes of the programs that it uses."""
    checkout = folder / "checkout"
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    script(checkout / ".venv" / "bin" / "python", VENV_PYTHON)
    script(folder / "bin" / "make", make)
    for name in ("dynamodb-local", "lambda-base-image"):
        script(folder / "shared" / "tools" / name, HELPER)
    script(folder / "bin" / "apt-get", HELPER)
    script(folder / "bin" / "id", "#!/bin/sh\necho 0\n")
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return run([checkout / ".ci" / "run"], folder, PATH=path, MARKER=str(folder / "marker"), **environment)


@pytest.mark.parametrize("environment", [{}, {"CI": ""}, {"CI": "false"}], ids=str)
def test_a_developer_run_starts_no_program_beside_the_checkout(tmp_path: Path, environment: dict[str, str]) -> None:
    """Ignore a folder shared/tools beside the checkout, which is not part of the project."""
    ran = ci(tmp_path, **environment)

    assert not (tmp_path / "marker").exists()
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "OK")
    assert re.search(r"^integration +NOT RUN: no DYNAMODB_ENDPOINT was given$", ran.stdout, re.MULTILINE)
    assert re.search(r"^e2e +NOT RUN: there is no Docker engine$", ran.stdout, re.MULTILINE)
    assert re.search(r"^browser +NOT RUN: there is no Chromium$", ran.stdout, re.MULTILINE)


def test_ci_uses_the_programs_beside_the_checkout(tmp_path: Path) -> None:
    """Start them, because the CI machine provides them."""
    ran = ci(tmp_path, CI="true")

    started = (tmp_path / "marker").read_text()
    assert "dynamodb-local start" in started
    assert "lambda-base-image up" in started
    assert re.search("apt-get .*install .*chromium", started)
    assert ran.returncode == 0


def test_ci_reports_that_clients_cannot_be_installed(tmp_path: Path) -> None:
    """Without npm, or without an index of packages, the tests of clients are not run, and CI passes."""
    ran = ci(tmp_path, MAKE.replace("\n", '\ncase "$*" in *node_modules*) exit 2 ;; esac\n', 1))

    assert re.search(r"^clients +NOT RUN: there is no npm", ran.stdout, re.MULTILINE)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "OK")


def test_ci_counts_each_kind_of_test_on_its_own_line(tmp_path: Path) -> None:
    """Report slow tests as a separate stage."""
    ran = ci(tmp_path)

    counts = dict(re.findall(r"^(\w+) +(\d+) passed$", ran.stdout, re.MULTILINE))
    assert counts == {
        "unit": "1",
        "functional": "1",
        "template": "1",
        "slow": "3",
        "fuzz": "3",
        "package": "3",
        "release": "3",
        "clients": "3",
        "deploy": "3",
    }
    assert "=== slow (" in ran.stdout
