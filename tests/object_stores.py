"""An S3 server on this machine for tests (moto's, a process of its own), and a proxy before it that makes trouble."""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# What the process of the server runs: it says its port and ends with whoever started it.
_SERVER = """
import sys, logging
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler
logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
WSGIRequestHandler.protocol_version = "HTTP/1.1"
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test-key",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
# The server looks at who asks, never at the signature.
_AUTHORIZED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=test-key/20260101/us-east-1/s3/aws4_request,"
    " SignedHeaders=host, Signature=0",
    "Content-Type": "application/octet-stream",
}


@functools.cache
def endpoint() -> str:
    """The URL of the S3 server of this test process, started when it is first asked for."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    atexit.register(_stop, process)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    return f"http://127.0.0.1:{port}"


def _stop(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


@dataclass(slots=True)
class Fault:
    """Trouble for the next ``times`` requests whose method and path match; ``kind`` is one of those in _HANDLERS."""

    kind: str
    method: str = ".*"
    path: str = ".*"
    times: int = 1
    seconds: float = 0.0


@dataclass
class Store:
    """A bucket of a test: what the code under test is told, and what the test looks at without it."""

    url: str
    bucket: str
    environment: dict[str, str]
    direct: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    kept: Path | None = None
    """Where the objects lie as files, of a server that does not keep to If-None-Match: the proxy does it."""
    checks_signatures: bool = False

    def address(self, prefix: str = "logs") -> str:
        """The address of a prefix in the bucket."""
        return f"s3://{self.bucket}/{prefix}" if prefix else f"s3://{self.bucket}"

    def fault(self, kind: str, **matching: object) -> None:
        """Make trouble; see :class:`Fault`."""
        self.faults.append(Fault(kind, **matching))  # type: ignore[arg-type]

    def keys(self, prefix: str = "") -> list[str]:
        """Every key in the bucket that begins so."""
        found: list[str] = []
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
            tree = ElementTree.fromstring(self._ask("GET", f"?{urllib.parse.urlencode(query)}"))
            space = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}
            found += [key.text or "" for key in tree.findall("s3:Contents/s3:Key", space)]
            token = tree.findtext("s3:NextContinuationToken", "", space)
            if not token:
                return sorted(found)

    def get(self, key: str) -> bytes:
        """The octets of an object."""
        return self._ask("GET", f"/{key}")

    def put(self, key: str, octets: bytes) -> None:
        """Put an object, whatever was there."""
        self._ask("PUT", f"/{key}", octets)

    def delete(self, key: str) -> None:
        """Take an object away."""
        self._ask("DELETE", f"/{key}")

    def head(self, key: str) -> dict[str, str]:
        """The fields an object has, by lower-case name."""
        request = urllib.request.Request(f"{self.direct}/{self.bucket}/{key}", headers=_AUTHORIZED, method="HEAD")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}

    def versions(self, key: str) -> int:
        """How many versions of an object there are, in a bucket that keeps them."""
        tree = ElementTree.fromstring(self._ask("GET", f"?versions&prefix={key}"))
        return len(tree.findall("{http://s3.amazonaws.com/doc/2006-03-01/}Version"))

    def configure(self, what: str, body: bytes) -> None:
        """Change a setting of the bucket, for example ``object-lock``."""
        self._ask("PUT", f"?{what}", body)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        address = f"{self.direct}/{self.bucket}{path}"
        request = urllib.request.Request(address, data=body, headers=_AUTHORIZED, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())


@contextlib.contextmanager
def s3_server(*, faulty: bool = False, object_lock: bool = False) -> Iterator[Store]:
    """A bucket of its own on the S3 server of this process, with AWS_* in the environment as long as it is open.

    With ``faulty`` a proxy stands before the server that makes trouble where :meth:`Store.fault` says so.
    """
    bucket = f"test-{secrets.token_hex(6)}"
    direct = endpoint()
    request = urllib.request.Request(f"{direct}/{bucket}", headers=_AUTHORIZED, method="PUT")
    if object_lock:
        request.add_header("x-amz-bucket-object-lock-enabled", "true")
    urllib.request.urlopen(request, timeout=30).close()
    store = Store(url=direct, bucket=bucket, environment={}, direct=direct)
    with contextlib.ExitStack() as stack:
        if faulty:
            store.url = stack.enter_context(faulty_proxy(store))
        store.environment = ENVIRONMENT | {"AWS_ENDPOINT_URL": store.url}
        stack.enter_context(aws_environment(store.environment))
        yield store


@contextlib.contextmanager
def aws_environment(wanted: dict[str, str]) -> Iterator[None]:
    """Of AWS_* only what is wanted, for a while."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in before:
        del os.environ[name]
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(before)


def unused_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def faulty_proxy(store: Store) -> Iterator[str]:
    """The URL of a proxy before ``store.direct`` that makes the trouble in ``store.faults``."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.store = store
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    store: Store

    def handle_error(self, *_: object) -> None:
        """A client that was killed in the middle of a request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""

    def _serve(self) -> None:
        self.server.store.requests.append((self.command, self.path))
        self.server.store.headers.append({name.lower(): value for name, value in self.headers.items()})
        if self._is_kept():
            self._error(412, "PreconditionFailed")
            return
        fault = self._fault()
        handle = _HANDLERS[fault.kind] if fault else _Handler._pass_on
        with contextlib.suppress(ConnectionError):
            handle(self, fault.seconds if fault else 0.0)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve  # noqa: N815 - named by the base class

    def _fault(self) -> Fault | None:
        for fault in self.server.store.faults:
            if fault.times and re.fullmatch(fault.method, self.command) and re.search(fault.path, self.path):
                fault.times -= 1
                return fault
        return None

    def _is_kept(self) -> bool:
        place = self.server.store.kept
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).partition(f"/{self.server.store.bucket}/")[2]
        return (
            self.command == "PUT" and "If-None-Match" in self.headers and place is not None and (place / path).exists()
        )

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        host = urllib.parse.urlsplit(self.server.store.direct).netloc
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            fields = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
            if "x-amz-checksum-sha256" in self.headers and not self.server.store.checks_signatures:
                # moto wants the name of the algorithm too, Amazon S3 does not
                fields["x-amz-sdk-checksum-algorithm"] = "SHA256"
            connection.request(self.command, self.path, body, fields | {"Content-Length": str(len(body))})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, fields: list[tuple[str, str]], body: bytes, *, cut: int | None = None) -> None:
        self.send_response_only(status)
        dropped = {"transfer-encoding", "connection", "content-length"}
        length = [value for name, value in fields if name.lower() == "content-length"]
        for name, value in fields:
            if name.lower() not in dropped:
                self.send_header(name, value)
        self.send_header("Content-Length", length[0] if self.command == "HEAD" and length else str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body[:cut])

    def _pass_on(self, _: float) -> None:
        self._answer(*self._forward(self._body()))

    def _refuse(self, _: float) -> None:
        self.close_connection = True

    def _slow(self, seconds: float) -> None:
        body = self._body()
        time.sleep(seconds)
        self._answer(*self._forward(body))

    def _late_answer(self, seconds: float) -> None:
        answer = self._forward(self._body())
        time.sleep(seconds)
        self._answer(*answer)

    def _torn_upload(self, _: float) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
        self.close_connection = True

    def _torn_answer(self, _: float) -> None:
        status, fields, body = self._forward(self._body())
        self._answer(status, fields, body, cut=len(body) // 2)
        self.close_connection = True

    def _lost_answer(self, _: float) -> None:
        self._forward(self._body())
        self.close_connection = True

    def _wrong_stored(self, _: float) -> None:
        self._answer(*self._forward(_changed(self._body())))

    def _wrong_answered(self, _: float) -> None:
        status, fields, body = self._forward(self._body())
        self._answer(status, fields, _changed(body))

    def _duplicate(self, _: float) -> None:
        body = self._body()
        self._forward(body)
        self._answer(*self._forward(body))

    def _overwrite(self, _: float) -> None:
        del self.headers["If-None-Match"]
        self._answer(*self._forward(self._body()))

    def _error(self, status: int, code: str) -> None:
        self._body()
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self._answer(status, [("Content-Type", "application/xml")], text.encode())


def _changed(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1]) if body else b"x"


_HANDLERS = {
    "pass": _Handler._pass_on,
    "refused": _Handler._refuse,
    "slow": _Handler._slow,
    "late_answer": _Handler._late_answer,
    "torn_upload": _Handler._torn_upload,
    "torn_answer": _Handler._torn_answer,
    "lost_answer": _Handler._lost_answer,
    "wrong_stored": _Handler._wrong_stored,
    "wrong_answered": _Handler._wrong_answered,
    "duplicate": _Handler._duplicate,
    "unavailable": lambda self, _: self._error(503, "SlowDown"),
    "internal": lambda self, _: self._error(500, "InternalError"),
    "skewed": lambda self, _: self._error(403, "RequestTimeTooSkewed"),
    "denied": lambda self, _: self._error(403, "AccessDenied"),
    "bad_key": lambda self, _: self._error(403, "InvalidAccessKeyId"),
    "ignores_condition": _Handler._overwrite,
    "no_condition": lambda self, _: self._error(501, "NotImplemented"),
    "no_bucket": lambda self, _: self._error(404, "NoSuchBucket"),
    "no_object": lambda self, _: self._error(404, "NoSuchKey"),
}
