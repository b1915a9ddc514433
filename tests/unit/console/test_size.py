"""The size of the web console, which every visitor downloads without a build step."""

from console.files import read_files
from tests.support.processes import ROOT

LIMIT = 100 * 1024


def test_the_files_have_at_most_100_kb() -> None:
    """Count the bytes as served; the generated page of the API is not part of the console."""
    files = read_files(ROOT / "functions" / "console" / "static")
    sizes = {path: len(file.text.encode()) for path, file in files.items() if path != "api.html"}

    assert sum(sizes.values()) <= LIMIT, sizes
