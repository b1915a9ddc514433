"""Tests of the trusted certificates: AWS's roots first, all of the system's when they are needed."""

from __future__ import annotations

import ssl
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import botocore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from service_keys.store.direct import connection, errors, trust
from tests.support.processes import ROOT
from tests.support.pythons import SUPPORTED, require_python
from tests.support.scripted_server import ScriptedServer
from tests.support.tls import certificate, certificate_chain

if TYPE_CHECKING:
    from service_keys.store.direct.client import DirectDynamoDB
    from tests.unit.store.direct.conftest import Create

# AWS's roots are in every list of certificates for the web, such as botocore's own.
BOTOCORE_BUNDLE = Path(botocore.__file__).parent / "cacert.pem"
AMAZON = [
    *(f"Amazon Root CA {number}" for number in (1, 2, 3, 4)),
    "Starfield Services Root Certificate Authority - G2",
]
LAYER = ROOT / "layers" / "service_keys"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up"}
QUERY = """
import os
from service_keys.store.direct import trust
from service_keys.store.direct.client import DirectDynamoDB
from service_keys.store.direct.endpoints import Endpoint
from service_keys.store.timeouts import Timeouts
endpoint = Endpoint("localhost", int(os.environ["PORT"]), tls=True)
DirectDynamoDB("dynamodb", endpoint, "eu-west-1", Timeouts(20, 20)).query(TableName="table")
print(trust.current().is_whole, len(trust.current().context.get_ca_certs()))
"""


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A list of certificates like a system's; the tests append others."""
    path = tmp_path / "bundle.pem"
    path.write_bytes(BOTOCORE_BUNDLE.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def names(context: ssl.SSLContext) -> list[str]:
    subjects = [dict(part[0] for part in found["subject"]) for found in context.get_ca_certs()]  # type: ignore[misc]
    return sorted(subject["commonName"] for subject in subjects)


@pytest.mark.usefixtures("bundle")
def test_the_roots_of_aws_are_selected() -> None:
    """Trust the five roots that the system has, and no other certificate."""
    trusted = trust.current()

    assert not trusted.is_whole
    assert names(trusted.context) == AMAZON
    assert trust.current() is trusted


def test_a_root_that_the_system_lacks_is_not_trusted(bundle: Path) -> None:
    """Take certificates from the system's list only."""
    text = bundle.read_text()
    begin = text.rindex("-----BEGIN", 0, text.index(trust._AMAZON_ROOTS[0].decode()))
    bundle.write_text(text[:begin] + text[text.index("-----END CERTIFICATE-----", begin) + 25 :])

    assert "Amazon Root CA 1" not in names(trust.current().context)


@pytest.mark.parametrize(
    "damage",
    ["no such file", "empty", "line without a certificate", "line inside a certificate", "damaged", "not ASCII"],
)
def test_a_list_without_usable_roots_is_loaded_as_a_whole(
    bundle: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust what OpenSSL finds itself."""
    line = trust._AMAZON_ROOTS[0].decode()
    match damage:
        case "no such file":
            monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
        case "empty":
            bundle.write_text("")
        case "line without a certificate":
            bundle.write_text(f"# {line}\n")
        case "damaged certificate" | "not ASCII":
            text = bundle.read_text()
            bundle.write_text(text.replace(line, line + ("\nMIIx" if damage.startswith("damaged") else "\nü")))
        case _:
            bundle.write_text(f"-----BEGIN CERTIFICATE-----\nMIIx\n{line}\n-----END CERTIFICATE-----\n")

    assert trust.current().is_whole


@pytest.mark.usefixtures("bundle")
def test_every_context_checks_certificate_and_hostname() -> None:
    """Require TLS 1.2, and write no keys to the file in SSLKEYLOGFILE."""
    for trusted in (trust.current(), trust.whole()):
        assert trusted.context.verify_mode == ssl.CERT_REQUIRED
        assert trusted.context.check_hostname
        assert trusted.context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert trusted.context.keylog_filename is None
    assert len(trust.whole().context.get_ca_certs()) > 50


def test_another_root_is_found_among_the_certificates(
    server: ScriptedServer, create: Create, bundle: Path, pem: Path, waits: list[float]
) -> None:
    """Connect again with the root as well, without counting an attempt, and keep it for later connections."""
    bundle.write_bytes(bundle.read_bytes() + pem.read_bytes())

    create().query(TableName="table")
    create().query(TableName="table")

    assert (len(server.requests), server.accepted, waits) == (2, 3, [])
    assert not trust.current().is_whole
    assert names(trust.current().context) == [*AMAZON, "made-up server"]


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_root_is_found_by_an_intermediate(bundle: Path, tmp_path: Path, version: str) -> None:
    """Load the root only, on each Python, which show the server's certificates in different ways."""
    chain = certificate_chain(tmp_path)
    bundle.write_bytes(bundle.read_bytes() + chain.root.read_bytes())
    with ScriptedServer(chain.server) as server:
        environment = {"SSL_CERT_FILE": str(bundle), "PYTHONPATH": str(LAYER), "PORT": str(server.port), **CREDENTIALS}
        command = [require_python(version), "-c", QUERY]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)

    assert (ran.stdout, ran.stderr) == ("False 6\n", "")
    assert (len(server.requests), server.accepted) == (1, 2)


@pytest.mark.parametrize("bundled", ["no", "damaged", "of another key"])
def test_a_chain_without_its_root_loads_all_certificates(
    create: Create, bundle: Path, tmp_path: Path, bundled: str
) -> None:
    """Reject the server after all: a certificate with the issuer's name has to be the issuer's."""
    chain = certificate_chain(tmp_path)
    if bundled == "damaged":
        bundle.write_text(bundle.read_text() + chain.root.read_text().replace("MII", "MI", 1))
    elif bundled == "of another key":
        (tmp_path / "other").mkdir()
        bundle.write_bytes(bundle.read_bytes() + certificate_chain(tmp_path / "other").root.read_bytes())

    with ScriptedServer(chain.server) as server, pytest.raises(errors.CertificateError):
        create(port=server.port).query(TableName="table")

    assert server.requests == []
    assert trust.current().is_whole


def test_a_hidden_chain_loads_all_certificates(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, create: Create, bundle: Path, pem: Path
) -> None:
    """Trust all of the system's certificates if Python does not show those of the server."""
    bundle.write_bytes(bundle.read_bytes() + pem.read_bytes())
    monkeypatch.setattr(connection, "_received_chain", lambda _: [])

    create().query(TableName="table")

    assert (len(server.requests), server.accepted, trust.current().is_whole) == (1, 2, True)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_the_issuer_of_every_public_root_is_read() -> None:
    """Compare with another parser of certificates."""
    roots = x509.load_pem_x509_certificates(BOTOCORE_BUNDLE.read_bytes())

    assert len(roots) > 100
    for root in roots:
        assert trust._issuer(root.public_bytes(Encoding.DER)) == root.issuer.public_bytes()


@pytest.mark.usefixtures("bundle")
def test_an_unknown_root_is_rejected_with_all_certificates(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Raise CertificateError if no certificate of the system is the root."""
    with pytest.raises(errors.CertificateError):
        dynamodb.query(TableName="table")

    assert server.requests == []


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_named_file_replaces_the_certificates_of_the_system(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, create: Create, pem: Path, tmp_path: Path, name: str
) -> None:
    """Trust the file's certificates only, as botocore does; fail if the file is gone."""
    monkeypatch.delenv("SSL_CERT_FILE")
    other = certificate(tmp_path)
    for file, is_trusted in ((pem, True), (other, False)):
        monkeypatch.setenv(name, str(file))
        with nullcontext() if is_trusted else pytest.raises(errors.CertificateError):
            create().query(TableName="table")
    other.unlink()
    trust._current.clear()
    with pytest.raises(errors.CertificateError, match="cannot be loaded"):
        create().query(TableName="table")
    assert len(server.requests) == 1


@pytest.mark.parametrize(("name", "is_trusted"), [("AWS_CA_BUNDLE", False), ("REQUESTS_CA_BUNDLE", True)])
def test_openssls_variable_precedes_that_of_requests(
    monkeypatch: pytest.MonkeyPatch,
    server: ScriptedServer,
    create: Create,
    tmp_path: Path,
    name: str,
    *,
    is_trusted: bool,
) -> None:
    """SSL_CERT_FILE counts more than REQUESTS_CA_BUNDLE, and less than AWS_CA_BUNDLE."""
    monkeypatch.setenv(name, str(certificate(tmp_path)))

    with nullcontext() if is_trusted else pytest.raises(errors.CertificateError):
        create().query(TableName="table")

    assert len(server.requests) == is_trusted


def test_other_certificates_in_the_environment_are_loaded(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, create: Create, tmp_path: Path
) -> None:
    """Follow SSL_CERT_FILE if it changes."""
    create().query(TableName="table")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path)))

    with pytest.raises(errors.CertificateError):
        create().query(TableName="table")

    assert len(server.requests) == 1
