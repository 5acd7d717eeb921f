"""A site on the internet of the namespace tests, run as a program: everything that arrives is a line in a file.

python internet_site.py ARRIVALS ADDRESS4 ADDRESS6 CERTIFICATE
"""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import sys
import threading
from pathlib import Path

_PAGES = {"/robots.txt": b"User-agent: *\nDisallow: /private/\n"}
_noted = threading.Lock()


def note(arrivals: Path, how: str, what: str) -> None:
    with _noted, arrivals.open("a") as file:
        file.write(json.dumps({"how": how, "what": what}) + "\n")


def tcp(arrivals: Path, address: str, port: int, tls: ssl.SSLContext | None) -> None:
    """A site that answers every request with a page."""

    class Handler(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            note(arrivals, f"tcp {port}", self.client_address[0])
            if tls is not None:
                try:
                    self.connection = tls.wrap_socket(self.connection, server_side=True)
                except OSError:
                    return
                self.rfile = self.connection.makefile("rb")
            line = self.rfile.readline().decode("latin-1")
            while self.rfile.readline().strip():
                pass
            if not line:
                return
            path = line.split(" ")[1]
            note(arrivals, f"request {port}", path)
            body = _PAGES.get(path, b"page\n")
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            self.connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
            self.connection.close()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    threading.Thread(target=Server((address, port), Handler).serve_forever, daemon=True).start()


def udp(arrivals: Path, address: str, port: int) -> None:
    """Whatever arrives is sent back: a QUIC or a DNS server answers too."""
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))

    def serve() -> None:
        while True:
            octets, sender = server.recvfrom(4096)
            note(arrivals, f"udp {port}", sender[0])
            server.sendto(octets, sender)

    threading.Thread(target=serve, daemon=True).start()


def main(arrivals: Path, addresses: list[str], certificate: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    for address in addresses:
        for port in (80, 8443):
            tcp(arrivals, address, port, None)
        tcp(arrivals, address, 443, tls)
        for port in (53, 443):
            udp(arrivals, address, port)
    arrivals.touch()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:4], sys.argv[4])
