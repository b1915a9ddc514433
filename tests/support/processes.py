"""`make run`, started in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]


def local_command(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of `python -m local` to its end."""
    command = [sys.executable, "-m", "local", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def local_run(
    state: Path, environment: Mapping[str, str] | None = None, *arguments: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the local stack on a free port; yield the process, which the test ends, and the URL of the API."""
    with subprocess.Popen(
        [sys.executable, "-m", "local", "run", "--port", "0", "--state", str(state), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        yield process, next(line.split()[3] for line in process.stdout if line.startswith("Service Keys on http"))
