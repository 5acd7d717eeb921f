"""A witness over HTTP: one connection a thread, small requests only, and nothing that is not the protocol.

``POST /add-checkpoint`` is C2SP tlog-witness; ``POST /enrol`` takes enrolment notes; ``GET /`` says the public key.
Put a reverse proxy in front of it for TLS.
"""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reports.witness_state import Reply, WitnessState

BODY_BYTES_MAX = 64 * 1024
_CONNECTIONS_MAX = 128
_IDLE_S = 30.0


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"  # C2SP tlog-witness: keep-alive SHOULD be supported
    server_version = "crawl-audit-witness"
    sys_version = ""
    timeout = _IDLE_S

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(Reply(status=200, body=f"{self.server.state.vkey}\n"))
        else:
            self._answer(Reply(status=404, body="There is GET /, POST /add-checkpoint and POST /enrol.\n"))

    def do_POST(self) -> None:
        act = {"/add-checkpoint": self.server.state.add, "/enrol": self.server.state.enrol}.get(self.path)
        body = self._body()
        if isinstance(body, Reply):
            self.close_connection = True  # what was not read would be taken for the next request
            self._answer(body)
        elif act is None:
            self._answer(Reply(status=404, body="There is GET /, POST /add-checkpoint and POST /enrol.\n"))
        else:
            self._answer(act(body))

    def _body(self) -> bytes | Reply:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or self.headers.get("Transfer-Encoding") is not None:
            return Reply(status=411, body="The request needs a Content-Length.\n")
        if len(length) > 9 or int(length) > BODY_BYTES_MAX:
            return Reply(status=413, body=f"The request is larger than {BODY_BYTES_MAX} octets.\n")
        body = self.rfile.read(int(length))
        return body if len(body) == int(length) else Reply(status=400, body="The request is cut short.\n")

    def _answer(self, reply: Reply) -> None:
        octets = reply.body.encode("utf-8")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(octets)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_: object) -> None:
        """Requests are not written down: the state says what was signed."""


class WitnessServer(ThreadingHTTPServer):
    """A listening witness; ``serve_forever`` and ``shutdown`` are those of the standard library."""

    daemon_threads = True

    def __init__(self, host: str, port: int, state: WitnessState) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.state = state
        self._free = threading.BoundedSemaphore(_CONNECTIONS_MAX)
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Where it listens, which is also the submission prefix."""
        host, port = self.server_address[:2]
        name = str(host)
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Serve a connection in a thread of its own; one too many is closed at once."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Give the place free again, whatever becomes of the connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, *_: object) -> None:
        """A connection that breaks off is its client's affair."""
