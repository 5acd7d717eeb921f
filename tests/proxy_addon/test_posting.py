"""A POST to an authority ends: by an answer, by the deadline, or by a size; never through a proxy or a redirect."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from proxy_addon.posting import ANSWER_BYTES_MAX, AnchorError, post


@contextlib.contextmanager
def answering(act: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a server that does ``act`` with each connection, and the heads of the requests it got."""
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                request = b""
                while not request.endswith(b"body"):
                    request += connection.recv(65536)
                heads.append(request)
                act(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x", heads
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def asked(url: str, timeout_s: float = 5) -> tuple[int, str, bytes]:
    answer = post(url, b"body", content_type="text/plain", timeout_s=timeout_s, headers={"Authorization": "Bearer t"})
    return answer.status, answer.content_type, answer.body


def says(octets: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(octets)


def test_an_answer_is_given_whatever_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(says(b"HTTP/1.1 409 C\r\nContent-Type: Text/X; q=1\r\nContent-Length: 2\r\n\r\n5\n")) as (
        url,
        heads,
    ):
        assert asked(url) == (409, "text/x", b"5\n")
    assert b"Authorization: Bearer t" in heads[0]
    assert b"User-Agent: crawl-audit/" in heads[0]


def test_a_redirect_is_not_followed() -> None:
    with answering(says(b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")) as (url, _):
        assert asked(url)[0] == 302


def test_nobody_listening_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(AnchorError, match=f"127.0.0.1:{port} gave no answer"):
        asked(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("octets", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
def test_what_is_no_whole_answer_is_none(octets: bytes) -> None:
    with answering(says(octets)) as (url, _), pytest.raises(AnchorError, match="gave no answer"):
        asked(url)


def test_silence_ends_at_the_deadline() -> None:
    stop = threading.Event()
    with answering(lambda _: stop.wait(20) and None) as (url, _):
        with pytest.raises(AnchorError, match="timed out"):
            asked(url, timeout_s=0.2)
        stop.set()


def test_an_answer_that_trickles_ends_at_the_deadline_all_the_same() -> None:
    stop = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not stop.wait(0.02):
            connection.sendall(b"x")

    began = time.monotonic()
    with answering(trickle) as (url, _):
        with pytest.raises(AnchorError, match="too long"):
            asked(url, timeout_s=0.3)
        stop.set()
    assert time.monotonic() - began < 15


def test_an_answer_without_end_is_broken_off() -> None:
    octets = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(ANSWER_BYTES_MAX + 20_000)
    with answering(says(octets)) as (url, _), pytest.raises(AnchorError, match="larger than"):
        asked(url)
