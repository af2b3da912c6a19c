"""A server over TLS, as of webhooks, with a certificate authority of its own."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.lab.readiness import PATIENCE

HOST = "127.0.0.1"
Answer = Callable[[BaseHTTPRequestHandler], None]
"""Writes the response to a request, or what comes in place of one."""


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes


class Authority:
    """A certificate authority, and the files of what it has issued."""

    def __init__(self, directory: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("lab authority")
        certificate = _certificate(self._name, self._name, self._key, self._key, is_authority=True)
        self._directory = directory
        self.file = directory / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, address: str = HOST) -> Path:
        """A file with a certificate for *address*, or a name, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(_name("receiver"), self._name, key, self._key, address=address)
        path = self._directory / f"{address}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
        return path


@dataclass
class Receiver:
    """A receiver that runs; *answer* may be changed at any time."""

    port: int
    answer: Answer
    received: list[Received] = field(default_factory=list)
    """In the order in which they came."""
    ended: threading.Event = field(default_factory=threading.Event)
    """An answer that takes long waits for this."""

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/hooks/alignd?from=lab"


def status(code: int, body: bytes = b"", **fields: str) -> Answer:
    """The answer with this status."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in fields.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def close(request: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    request.close_connection = True


@contextmanager
def run_receiver(certificate: Path, answer: Answer, port: int = 0) -> Iterator[Receiver]:
    """Run a receiver until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.receive(self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            self.receive(b"")

        def receive(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body))
            with suppress(OSError):  # it may have gone away
                receiver.answer(self)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Say nothing: the requests are kept."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with _Server((HOST, port), Handler) as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        receiver = Receiver(server.server_address[1], answer)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.ended.set()
            server.shutdown()
            thread.join(PATIENCE)


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that do not like the certificate go away in the middle."""


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signed_by: ec.EllipticCurvePrivateKey,
    address: str = "",
    *,
    is_authority: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    public, authority = key.public_key(), signed_by.public_key()
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False
        )
    )
    if address:
        names = x509.SubjectAlternativeName([_alternative_name(address)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signed_by, hashes.SHA256())
