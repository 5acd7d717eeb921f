"""The command line tells in one sentence what a sidecar could not do, and that what answered is none."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from crawl_audit.errors import CrawlAuditError
from proxy_addon.admin_client import ask


@contextmanager
def answering(octets: bytes) -> Iterator[str]:
    """The address of something that gives one answer to everybody."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(octets)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_what_the_sidecar_says_is_given_back() -> None:
    with answering(b'HTTP/1.0 200 OK\r\n\r\n{"sealed": true}') as address:
        assert ask(address, "/seal", verb="seal", within_s=10) == {"sealed": True}


@pytest.mark.parametrize(
    "octets,sentence",
    [
        (b'HTTP/1.0 503 No\r\n\r\n{"error": "the disk is full"}', "could not seal: the disk is full"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n<h1>not here</h1>", "is no sidecar"),
        (b"HTTP/1.0 200 OK\r\n\r\n<h1>welcome</h1>", "is no sidecar"),
        (b"HTTP/1.0 200 OK\r\n\r\n[]", "is no sidecar"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "No sidecar answers"),
        (b"", "No sidecar answers"),
    ],
)
def test_whatever_answers_there_is_one_sentence(octets: bytes, sentence: str) -> None:
    with answering(octets) as address, pytest.raises(CrawlAuditError, match=sentence) as caught:
        ask(address, "/seal", verb="seal", within_s=10)
    assert address in str(caught.value) and "\n" not in str(caught.value)


def test_a_port_where_nobody_listens_is_said() -> None:
    with pytest.raises(CrawlAuditError, match=r"No sidecar answers at 127\.0\.0\.1:1 "):
        ask("127.0.0.1:1", "/seal", verb="seal", within_s=10)
