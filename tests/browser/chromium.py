"""Find the Chromium for the browser tests. `python -m tests.browser.chromium` prints it, and fails if there is none.

Playwright's own browsers are not used, because their download is not pinned by requirements-dev.txt.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

VARIABLE: Final = "CHROMIUM"
OPTIONS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING: Final = (
    f"There is no Chromium: install it (Debian: apt-get install chromium), or name a program like it in {VARIABLE}."
)
_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_APPLICATIONS: Final = ("/Applications/Chromium.app/Contents/MacOS/Chromium", "/snap/bin/chromium")


def find() -> Path | None:
    """Return the program that the environment variable CHROMIUM names, or an installed one, or None."""
    named = os.environ.get(VARIABLE)
    programs = (named,) if named else (*_PROGRAMS, *_APPLICATIONS)
    found = (shutil.which(program) for program in programs)
    return next((Path(path) for path in found if path), None)


def main() -> int:
    """Print the path and return the exit code."""
    found = find()
    sys.stdout.write(f"{found or MISSING}\n")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
