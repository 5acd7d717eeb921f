"""The witness over HTTP: its routes, its limits, and connections that stay open."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from crawl_audit import witness
from crawl_audit.seal import Signer, checkpoint_text, leaf_hash, merkle_root
from reports.witness_server import BODY_BYTES_MAX, WitnessServer
from reports.witness_state import WitnessState
from tests.witnesses import listening

LOG_KEY = Signer.generate("crawl-audit/x")
WITNESS = Signer.generate("witness.example/w1")
LEAVES = [leaf_hash(bytes([i])) for i in range(4)]
REQUEST = witness.submission(0, [], LOG_KEY.sign_note(checkpoint_text("crawl-audit/x", 4, merkle_root(LEAVES))))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with listening(WitnessState(tmp_path / "state", WITNESS, log_keys=[LOG_KEY.verifier])) as found:
        yield found


@pytest.fixture
def connection(url: str) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    yield made
    made.close()


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_one_connection_serves_many_requests(connection: http.client.HTTPConnection) -> None:
    vkey = witness.Cosigner.of(WITNESS.verifier).vkey
    assert ask(connection, "GET", "/") == (200, f"{vkey}\n")
    status, line = ask(connection, "POST", "/add-checkpoint", REQUEST)
    assert (status, line[:20]) == (200, "— witness.example/w1")
    assert ask(connection, "POST", "/add-checkpoint", REQUEST) == (409, "4\n")
    assert ask(connection, "POST", "/enrol", b"x")[0] == 403


def test_a_conflict_has_the_content_type_of_the_protocol(connection: http.client.HTTPConnection) -> None:
    connection.request("POST", "/add-checkpoint", REQUEST.replace(b"old 0", b"old 1"))
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"], answer.read()) == (409, "text/x.tlog.size", b"0\n")


def test_other_paths_and_methods_are_refused(connection: http.client.HTTPConnection) -> None:
    assert ask(connection, "GET", "/add-checkpoint")[0] == 404
    assert ask(connection, "POST", "/", b"")[0] == 404
    assert ask(connection, "PUT", "/add-checkpoint", REQUEST)[0] == 501


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", b"411"),
        (b"Content-Length: x\r\n", b"411"),
        (b"Content-Length: -1\r\n", b"411"),
        (b"Transfer-Encoding: chunked\r\n", b"411"),
        (b"Content-Length: %d\r\n" % (BODY_BYTES_MAX + 1), b"413"),
        (b"Content-Length: 99999999999999999999\r\n", b"413"),
    ],
)
def test_a_request_without_a_sound_length_is_refused_and_the_connection_closed(
    url: str, head: bytes, status: bytes
) -> None:
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=10) as raw:
        raw.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n" + head + b"\r\n")
        answer = b""
        while chunk := raw.recv(4096):
            answer += chunk
    assert answer.split(b" ")[1] == status


def test_a_request_that_is_cut_short_is_no_request(url: str) -> None:
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=10) as raw:
        raw.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 5000\r\n\r\n" + REQUEST)
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(4096).split(b" ")[1] == b"400"


def test_one_connection_too_many_is_closed_and_the_others_go_on(
    url: str, connection: http.client.HTTPConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(connection, "GET", "/")[0] == 200
    monkeypatch.setattr("threading.BoundedSemaphore.acquire", lambda *_, **__: False)
    refused = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(refused, "GET", "/")
    monkeypatch.undo()
    assert ask(connection, "GET", "/")[0] == 200


def test_it_listens_on_ipv6_too(tmp_path: Path) -> None:
    state = WitnessState(tmp_path / "state", WITNESS, log_keys=[LOG_KEY.verifier])
    server = WitnessServer("::1", 0, state)
    assert server.url.startswith("http://[::1]:")
    server.server_close()
    state.close()
