"""HTTP GET of the authorizer: its request, and the source file shared with the layer."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aws_lambda_builders.actions import CopySourceAction  # type: ignore[import-untyped]
from aws_lambda_builders.workflows.custom_make.workflow import CustomMakeWorkflow  # type: ignore[import-untyped]

from authorizer import bounded_http
from authorizer.http_get import get
from service_keys.admin import bounded_http as layers_bounded_http
from tests.support.tls import TlsTap, certificate, is_tls

ROOT = Path(__file__).parents[3]
AUTHORIZER = ROOT / "functions" / "authorizer"


@pytest.mark.parametrize(
    ("asked", "target"),
    [("", "/"), ("/", "/"), ("/jwks.json", "/jwks.json"), ("/jwks?tenant=a&v=2", "/jwks?tenant=a&v=2")],
)
def test_request_target_and_headers(asked: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send the target of the URL and two headers, over TLS."""
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with TlsTap(pem) as tap:
        assert get(f"https://127.0.0.1:{tap.port}{asked}", deadline=5, max_bytes=2) == b"{}"
        tap.join()
        (conversation,) = tap.take()

    lines = conversation.decrypted.decode().split("\r\n")
    assert lines[0] == f"GET {target} HTTP/1.1"
    assert {"Accept: application/json", "User-Agent: service-keys-authorizer"} <= set(lines)
    assert is_tls(conversation.raw)


# --- one source file --------------------------------------------------------------------------------------------------


def test_the_authorizer_and_the_layer_share_one_source_file() -> None:
    """Find the layer's file through the link in the authorizer's folder."""
    assert (AUTHORIZER / "authorizer" / "bounded_http.py").is_symlink()
    assert Path(bounded_http.__file__).samefile(layers_bounded_http.__file__)


def test_the_shared_file_imports_the_standard_library_alone() -> None:
    """Reject imports that are missing in the authorizer's package."""
    tree = ast.parse(Path(bounded_http.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_the_build_copies_the_shared_file(tmp_path: Path) -> None:
    """Run the build as `sam build` does, without pip: the artifact has a regular file with the same bytes."""
    artifacts, scratch = tmp_path / "artifacts", tmp_path / "scratch"
    artifacts.mkdir()
    CopySourceAction(str(AUTHORIZER), str(scratch), excludes=CustomMakeWorkflow.EXCLUDED_FILES).execute()

    command = ["make", "build-Authorizer", f"ARTIFACTS_DIR={artifacts}", "PYTHON=true", "RUNTIME_PYTHON=false"]
    subprocess.run(command, cwd=scratch, check=True, capture_output=True)

    built = artifacts / "authorizer" / "bounded_http.py"
    assert not built.is_symlink()
    assert built.read_bytes() == Path(layers_bounded_http.__file__).read_bytes()
    code = "import authorizer.http_get, sys; print('service_keys' in sys.modules)"
    environment = {"PYTHONPATH": str(artifacts), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-S", "-c", code]
    assert subprocess.run(command, env=environment, capture_output=True, check=True).stdout == b"False\n"
