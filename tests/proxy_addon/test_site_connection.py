"""One request and its answer: what arrived counts before the fault that followed, and nothing is left open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import h11
import pytest

from proxy_addon import site_connection
from proxy_addon.site_connection import HEAD_BYTES_MAX, ConnectFault, ConnectTimeout, Request
from tests.proxy_addon.robots_server import unused_port
from tests.proxy_addon.test_fetcher import client_tls

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def site(speak: Speak) -> AsyncIterator[int]:
    """A server that does as ``speak`` says on every connection; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await speak(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def says(octets: bytes) -> Speak:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(octets)
        await writer.drain()

    return speak


def asking(port: int, **changes: object) -> Request:
    values = {"host": "127.0.0.1", "port": port, "target": b"/robots.txt", "headers": [(b"Host", b"a")], "tls": None}
    return Request(**{**values, **changes})  # type: ignore[arg-type]


async def whole(request: Request) -> tuple[int, bytes]:
    async with asyncio.timeout(10), site_connection.get(request, 5) as answer:
        return answer.status, b"".join([octets async for octets in answer.body()])


def asked(speak: Speak) -> tuple[int, bytes]:
    async def scenario() -> tuple[int, bytes]:
        async with site(speak) as port:
            return await whole(asking(port))

    return asyncio.run(scenario())


def test_fields_are_given_by_name_once_or_joined_in_order() -> None:
    head = b"HTTP/1.1 200 OK\r\nLocation: /a\r\nVia: 1\r\nlocation: /b\r\nX-Name: caf\xc3\xa9\r\nY: caf\xe9\r\n\r\n"

    async def scenario() -> None:
        async with site(says(head)) as port, site_connection.get(asking(port), 5) as answer:
            assert answer.values("location") == ["/a", "/b"]
            assert (answer.field("location"), answer.field("via"), answer.field("age")) == ("/a, /b", "1", None)
            assert (answer.field("x-name"), answer.field("y")) == ("café", "café")
            assert answer.server_ip == "127.0.0.1"

    asyncio.run(scenario())


def test_an_answer_that_is_whole_counts_though_the_connection_is_reset_behind_it() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.transport.abort()

    async def scenario() -> tuple[int, bytes]:
        async with site(speak) as port, site_connection.get(asking(port), 5) as answer:
            await asyncio.sleep(0.1)  # until the reset is there, too
            return answer.status, b"".join([octets async for octets in answer.body()])

    assert asyncio.run(scenario()) == (200, b"whole")


def test_an_answer_before_the_request_was_read_counts() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    assert asked(speak) == (503, b"")


@pytest.mark.parametrize(
    "octets,error",
    [
        (b"", h11.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshor", h11.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n", h11.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", h11.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", h11.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * (HEAD_BYTES_MAX + 1), h11.RemoteProtocolError),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", h11.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", h11.RemoteProtocolError),
        (b"SSH-2.0-x\r\n", h11.RemoteProtocolError),
    ],
    ids=["nothing", "short", "no last chunk", "no chunk", "two lengths", "long head", "101", "coding", "not HTTP"],
)
def test_what_is_not_a_whole_answer_is_an_error(octets: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        asked(says(octets))


def test_interim_answers_are_passed_over() -> None:
    octets = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert asked(says(octets)) == (200, b"ok")


def test_a_site_that_sends_faster_than_is_read_has_to_wait() -> None:
    sent = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(64 * 1024))
            await writer.drain()
            sent += 64 * 1024

    async def scenario() -> None:
        async with site(speak) as port, site_connection.get(asking(port), 5) as answer:
            before = -1
            while before != sent:  # until it stands still
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 32 * 1024 * 1024
            got = 0
            async for octets in answer.body():
                got += len(octets)
                if got > before + 1024 * 1024:
                    break
            assert sent > before, "and may go on once it is read"

    asyncio.run(scenario())


def test_the_connection_ends_with_the_block_whatever_is_still_to_come() -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
            with contextlib.suppress(OSError):
                await reader.read()
            gone.set()

        async with site(speak) as port:
            with pytest.raises(KeyError):
                async with site_connection.get(asking(port), 5):
                    raise KeyError
            await asyncio.wait_for(gone.wait(), 5)

    asyncio.run(scenario())


def test_a_port_that_nobody_listens_on_is_no_connection() -> None:
    with pytest.raises(ConnectFault) as refused:
        asyncio.run(whole(asking(unused_port())))
    assert isinstance(refused.value.__cause__, ConnectionRefusedError)


@pytest.mark.parametrize("talks", [False, True], ids=["silent", "plain text at once"])
def test_where_the_server_does_not_speak_tls_connecting_ends_in_time_and_nothing_stays_open(talks: bool) -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if talks:
                writer.write(b"220 mail.example ESMTP\r\n")
            with contextlib.suppress(OSError):
                while await reader.read(1000):
                    pass
            gone.set()

        async with site(speak) as port:
            with pytest.raises((ConnectTimeout, OSError)):
                async with site_connection.get(asking(port, tls=client_tls()), 0.3):
                    raise AssertionError("no answer can come")
            await asyncio.wait_for(gone.wait(), 5)

    asyncio.run(scenario())
