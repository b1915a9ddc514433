"""`make run` and the commands beside it, in an environment with the packages of local/requirements.txt alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import distributions
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from tests.support.processes import ROOT
from tests.support.pythons import link_packages

if TYPE_CHECKING:
    from pathlib import Path

PINS = re.findall(r"^([a-z0-9.-]+)==", (ROOT / "local" / "requirements.txt").read_text(), re.MULTILINE)
OPEN = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"


@pytest.fixture
def python(tmp_path: Path) -> str:
    """Return the interpreter of a new environment with links to packages of this one, so that no index is needed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    # Packages for other platforms are not installed.
    link_packages(site, {canonicalize_name(each.name) for each in distributions()} & set(PINS))
    return str(tmp_path / "venv" / "bin" / "python")


@pytest.mark.slow
def test_the_packages_of_make_run_suffice(tmp_path: Path, python: str) -> None:
    """Start with sample keys, open the page of the API, run make smoke, and read a key as make run prints it."""
    state = str(tmp_path / "state")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DEMO": "1"}

    def output(*command: str, **variables: str) -> str:
        ran = subprocess.run(
            command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    command = [python, "-m", "local", "run", "--port", "0", "--state", state]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = next(line.split()[3] for line in server.stdout if line.startswith("Service Keys on http"))
            (read,) = next(
                found for line in server.stdout if (found := re.findall(r"\.venv/bin/python -c '(.*)'", line))
            )
            token = output(python, "-m", "local", "token", "--state", state).strip()
            api = f"{url}/api/v1/admin/api-keys"
            smoke = output(python, "-m", "tools.smoke", API_URL=api, SERVICE_KEYS_TOKEN=token)
            page = output(python, "-c", OPEN, f"{url}/console/api.html")
            client_id = output("bash", "-c", f"source {state}/env && {python} -c '{read}'")
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0
        finally:
            server.kill()

    assert smoke
    assert page == "200\n"
    assert re.fullmatch("[0-9a-f]{32}\n", client_id)
    assert "usage: " in output(python, "-m", "tools.sign_in", "--help")
