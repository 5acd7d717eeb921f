"""A timestamp authority for tests: `openssl ts` behind HTTP, with a CA of its own."""

from __future__ import annotations

import contextlib
import datetime
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CONFIG = """
[tsa]
default_tsa = tsa_config
[tsa_config]
dir = {dir}
serial = $dir/serial
crypto_device = builtin
signer_cert = $dir/tsa.pem
signer_key = $dir/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
other_policies = 1.2.3.4.5
digests = sha256, sha512
accuracy = secs:1
ordering = yes
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[ext]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
"""


@dataclass(frozen=True)
class Authority:
    """A CA and a signer of timestamps; ``ca`` is the PEM file that verifies what it signs."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    def answer(self, request: bytes) -> bytes:
        """A TimeStampResp for a TimeStampReq."""
        query = self.directory / f"{threading.get_ident()}.tsq"
        query.write_bytes(request)
        command = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", query.name]
        return subprocess.run(command, cwd=self.directory, check=True, capture_output=True).stdout


def make(directory: Path, *, key: str = "ec", name: str = "Test") -> Authority:
    """A new authority; ``key`` is `ec` or `rsa`."""
    _begin(directory)
    new = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}[key]

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    ca_key = ["-newkey", *new, "-nodes", "-keyout", "ca.key"]
    openssl("req", "-x509", *ca_key, "-out", "ca.pem", "-days", "3650", "-subj", f"/CN={name} CA")
    openssl("req", "-new", "-newkey", *new, "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", f"/CN={name}")
    sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "tsa.cnf", "-extensions", "ext"]
    openssl("x509", "-req", "-in", "tsa.csr", *sign, "-out", "tsa.pem", "-days", "3650")
    return Authority(directory)


def make_valid(directory: Path, start: datetime.datetime, end: datetime.datetime) -> Authority:
    """A new authority whose certificates are valid from ``start`` to ``end`` only."""
    _begin(directory)
    ca_key, tsa_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Short CA")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Short")])
    made = x509.CertificateBuilder().issuer_name(issuer).not_valid_before(start).not_valid_after(end)
    root = (
        made.subject_name(issuer)
        .public_key(ca_key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        made.subject_name(subject)
        .public_key(tsa_key.public_key())
        .serial_number(2)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (directory / "tsa.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "tsa.key").write_bytes(tsa_key.private_bytes(serialization.Encoding.PEM, *secret))
    return Authority(directory)


def _begin(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "tsa.cnf").write_text(CONFIG.format(dir=directory))
    (directory / "serial").write_text("01\n")


@contextlib.contextmanager
def served(answer_with: Authority | int | threading.Event) -> Iterator[str]:
    """The URL of an HTTP server that answers as the authority, with a status, or not before the event."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if isinstance(answer_with, threading.Event):
                answer_with.wait(30)
                return
            status = answer_with if isinstance(answer_with, int) else 200
            answer = answer_with.answer(body) if isinstance(answer_with, Authority) else b"no"
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            """Tests are silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        if isinstance(answer_with, threading.Event):
            answer_with.set()
        server.shutdown()
        thread.join()
        server.server_close()
