"""The TLS context of all connections.

To parse the 140 certificates of a system takes 22 ms, as much as half of a first read with this client. The first
context therefore trusts only the roots of AWS among them. If a server's certificate has another root, the connection is
made again with the certificates of its issuers, and if they are no roots of it, with all of the system
(docs/decisions/30-a-direct-client.md).
"""

from __future__ import annotations

import binascii
import os
import ssl

from service_keys.store.direct.errors import CertificateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_AMAZON_ROOTS: Final = (
    b"MIIDQTCCAimgAwIBAgITBmyfz5m/jAo54vB4ikPmljZbyjANBgkqhkiG9w0BAQsF",  # Amazon Root CA 1
    b"MIIFQTCCAymgAwIBAgITBmyf0pY1hp8KD+WGePhbJruKNzANBgkqhkiG9w0BAQwF",  # Amazon Root CA 2
    b"MIIBtjCCAVugAwIBAgITBmyf1XSXNmY/Owua2eiedgPySjAKBggqhkjOPQQDAjA5",  # Amazon Root CA 3
    b"MIIB8jCCAXigAwIBAgITBmyf18G7EEwpQ+Vxe3ssyBrBDjAKBggqhkjOPQQDAzA5",  # Amazon Root CA 4
    b"MIID7zCCAtegAwIBAgIBADANBgkqhkiG9w0BAQsFADCBmDELMAkGA1UEBhMCVVMx",  # Starfield Services Root CA - G2
)
"""The first line of each root in PEM (https://www.amazontrust.com/repository/). It selects a certificate of the system;
a certificate that the system does not have is not trusted."""
_EXPLICIT_VERSION, _LONG_FORM = 0xA0, 0x80
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class Trust:
    """A TLS context: TLS 1.2 or later, and a check of certificate and hostname.

    Attributes:
        context: The context.
        is_whole: True if it trusts every certificate of the system.
    """

    __slots__ = ("context", "is_whole")

    def __init__(self, roots: str) -> None:
        # `ssl.create_default_context` would also write the keys of connections to the file in SSLKEYLOGFILE.
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.is_whole = not roots
        try:
            if roots:
                self.context.load_verify_locations(cadata=roots)
            elif file := _named_file():
                self.context.load_verify_locations(cafile=file)
            else:
                self.context.load_default_certs()
        except OSError as error:  # also SSLError
            raise CertificateError(f"the certificates cannot be loaded: {type(error).__name__}") from error


def wider(trusted: Trust, chain: list[bytes]) -> Trust:
    """Return a context that trusts more certificates of the system, after one that does not trust a server's.

    Args:
        trusted: The context that failed, which does not trust all certificates of the system.
        chain: The certificates that the server sent, in DER. Only their issuers are read: a name that they have
            invented selects no certificate, or one that the system trusts.
    """
    before = trusted.context.cert_store_stats()["x509"]
    try:
        if found := b"".join(_issuers(chain)):
            trusted.context.load_verify_locations(cadata=found)
    except (OSError, ValueError, IndexError):  # a damaged certificate
        return whole()
    return trusted if trusted.context.cert_store_stats()["x509"] > before else whole()


# Without a lock, which a fork could leave locked: two threads may load certificates at once, and one result stays.
_current: dict[tuple[str | None, ...], Trust] = {}
"""The contexts in use, by the variables that name other certificates to OpenSSL."""


def current() -> Trust:
    """Return the shared context: with AWS's roots only, until `wider` or `whole` is called."""
    source = _source()
    found = _current.get(source)
    if found is None:
        found = _current.setdefault(source, _with_amazon_roots())
    return found


def _with_amazon_roots() -> Trust:
    try:
        return Trust(_amazon_roots())
    except (CertificateError, ValueError):  # a damaged certificate, which OpenSSL skips in a file
        return Trust("")


def whole() -> Trust:
    """Return the shared context with all certificates of the system, from now on for all connections."""
    source = _source()
    found = _current.get(source)
    if found is None or not found.is_whole:
        found = _current[source] = Trust("")
    return found


def _source() -> tuple[str | None, ...]:
    return _named_file(), os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


def _named_file() -> str | None:
    """Return the file of certificates that replaces the system's and those of OpenSSL's own variables."""
    # OpenSSL's variables count more than the one of another library.
    openssl = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    return os.environ.get("AWS_CA_BUNDLE") or (not openssl and os.environ.get("REQUESTS_CA_BUNDLE")) or None


def _amazon_roots() -> str:
    """Return AWS's roots among the system's certificates in PEM; empty if the system has them in no file."""
    bundle, found = _bundle(), []
    for line in _AMAZON_ROOTS:
        at = bundle.find(line)
        start, end = bundle.rfind(_BEGIN, 0, at), bundle.find(_END, at)
        if at >= 0 and start >= 0 and end >= 0 and not bundle[start + len(_BEGIN) : at].strip():
            found.append(bundle[start : end + len(_END)].decode("ascii"))
    return "\n".join(found)


def _issuers(chain: list[bytes]) -> list[bytes]:
    """Return the system's certificates, in DER, that contain the name of an issuer in a chain."""
    names = [_issuer(certificate) for certificate in chain]
    texts = (each.partition(_END)[0] for each in _bundle().split(_BEGIN)[1:])
    return [der for der in map(binascii.a2b_base64, texts) if any(name in der for name in names)]


def _issuer(certificate: bytes) -> bytes:
    """Return the name of the issuer of a certificate, both in DER (RFC 5280, section 4.1)."""
    at, _ = _element(certificate, 0)
    at, _ = _element(certificate, at)
    if certificate[at] == _EXPLICIT_VERSION:
        _, at = _element(certificate, at)
    for _before_issuer in ("serialNumber", "signature"):
        _, at = _element(certificate, at)
    return certificate[at : _element(certificate, at)[1]]


def _element(der: bytes, at: int) -> tuple[int, int]:
    """Return the indices of the content and of the end of the element at an index."""
    content, length = at + 2, der[at + 1]
    if length & _LONG_FORM:
        content += length & ~_LONG_FORM
        length = int.from_bytes(der[at + 2 : content], "big")
    return content, content + length


def _bundle() -> bytes:
    """Return the system's certificates in PEM; empty if they are in no file."""
    file = _named_file() or ssl.get_default_verify_paths().cafile
    try:
        with open(file or os.devnull, "rb") as opened:  # noqa: PTH123 - pathlib costs an import
            return opened.read()
    except OSError:
        return b""
