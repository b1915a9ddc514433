"""A TLS server for tests that records the raw bytes of each client before any decryption."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

_RECORD_TYPES = range(20, 25)
"""change_cipher_spec to heartbeat (RFC 8446, section 5.1)."""
_RECORD_MAX_BYTES = 2**14 + 256
_HEADER_BYTES = 5


def certificate(folder: Path) -> Path:
    """Write a self-signed certificate for 127.0.0.1 and localhost with its key into one PEM file; return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / "server.pem"
    path.write_bytes(_pem(key) + _pem(_sign("made-up server", key, "made-up server", key)))
    return path


@dataclass(frozen=True)
class Chain:
    """PEM files: a server's certificate with its key and its intermediate, and the root, which it does not send."""

    server: Path
    root: Path


def certificate_chain(folder: Path, root_name: str = "made-up root") -> Chain:
    """Write a certificate for 127.0.0.1 and localhost that a root has issued by an intermediate."""
    root, intermediate, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    sent = _pem(_sign("made-up server", leaf, "made-up intermediate", intermediate))
    sent += _pem(_sign("made-up intermediate", intermediate, root_name, root))
    chain = Chain(folder / "chain.pem", folder / "root.pem")
    chain.server.write_bytes(_pem(leaf) + sent)
    chain.root.write_bytes(_pem(_sign(root_name, root, root_name, root)))
    return chain


def _sign(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.DNSName("localhost"),
    ]
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(each: ec.EllipticCurvePrivateKey | x509.Certificate) -> bytes:
    if isinstance(each, x509.Certificate):
        return each.public_bytes(serialization.Encoding.PEM)
    kind = serialization.PrivateFormat.PKCS8
    return each.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())


def is_tls(raw: bytes) -> bool:
    """Return True if the bytes are TLS records, the last of which may be incomplete."""
    while raw:
        header = raw[:_HEADER_BYTES]
        if header[0] not in _RECORD_TYPES or header[1:2] not in (b"", b"\x03"):
            return False
        if len(header) < _HEADER_BYTES:
            return True
        length = int.from_bytes(header[3:])
        if length > _RECORD_MAX_BYTES:
            return False
        raw = raw[_HEADER_BYTES + length :]
    return True


@dataclass(slots=True)
class Conversation:
    """The bytes that the client of one connection sent, raw and decrypted."""

    raw: bytes = b""
    decrypted: bytes = b""


class TlsTap:
    """A TLS server on a loopback port that records each conversation. Use it as a context manager.

    Args:
        pem: The certificate and its key, in one file.
        response: The response to a complete request.
    """

    def __init__(self, pem: Path, response: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._response = response
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._lock = threading.Lock()
        self._accepted: set[int] = set()
        self._has_accepted = threading.Condition(self._lock)
        self._ended: list[Conversation] = []
        self._open: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def take(self) -> list[Conversation]:
        """Return the conversations that ended since the last call, except those without a byte."""
        with self._lock:
            ended, self._ended = self._ended, []
        return ended

    def join(self) -> None:
        """Wait until every connection that a client has opened is accepted and has ended."""
        # Connections are accepted in the order of their opening, so this one is the last.
        with socket.create_connection(("127.0.0.1", self.port)) as marker:
            port = marker.getsockname()[1]
            with self._has_accepted:
                assert self._has_accepted.wait_for(lambda: port in self._accepted, 10)
                self._accepted.clear()
        self._join_threads()

    def _join_threads(self) -> None:
        with self._lock:
            threads = list(self._open)
        for thread in threads:
            thread.join(10)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # close() alone does not wake a thread that waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        self._join_threads()

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._has_accepted:
                self._open.add(thread)
                thread.start()
                self._accepted.add(address[1])
                self._has_accepted.notify_all()

    def _serve(self, connection: socket.socket) -> None:
        conversation = Conversation()
        connection.settimeout(10)
        try:
            with connection:
                self._converse(connection, conversation)
        except OSError:  # the client left, which is the purpose of most tests
            pass
        finally:
            with self._lock:
                if conversation.raw:
                    self._ended.append(conversation)
                self._open.discard(threading.current_thread())

    def _converse(self, connection: socket.socket, conversation: Conversation) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls: ssl.SSLObject | None = self._context.wrap_bio(incoming, outgoing, server_side=True)
        answered = False
        while raw := connection.recv(65536):
            conversation.raw += raw
            if tls is None:  # no longer TLS: only record the rest
                continue
            incoming.write(raw)
            try:
                tls.do_handshake()
                conversation.decrypted += tls.read(65536)
                if b"\r\n\r\n" in conversation.decrypted and not answered:
                    answered = True
                    tls.write(self._response)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                tls = None
            if sent := outgoing.read():
                connection.sendall(sent)
