"""Development scripts: generators of documents, and mutation tests."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "layers" / "service_keys"))
