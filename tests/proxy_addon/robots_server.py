"""A local HTTP server that answers /robots.txt by a script: right, wrong, slowly, endlessly or not at all."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from crawl_audit.target import Scope


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    port: int


Reply = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RobotsServer:
    """A running server and what it was asked."""

    port: int
    scheme: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def scope(self) -> Scope:
        return Scope(self.scheme, "127.0.0.1", self.port)


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
    """A plain answer with the right Content-Length."""
    fields = {"Content-Type": "text/plain", "Content-Length": str(len(body)), **(headers or {})}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    return raw(head.encode("latin-1") + body)


def raw(octets: bytes) -> Reply:
    """Exactly these octets, then the end of the connection."""

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        await writer.drain()

    return reply


def redirect(location: str, status: int = 302) -> Reply:
    """A redirect; in ``location``, ``{port}`` is the server's port and ``{next}`` one more than the path's number."""

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        number = asked.path.strip("/")
        following = int(number) + 1 if number.isdigit() else 1
        await answer(status, b"", {"Location": location.format(port=asked.port, next=following)})(asked, writer)

    return reply


def redirects_then(count: int, last: Reply) -> Reply:
    """``count`` redirects one after the other, then ``last``."""

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        number = asked.path.strip("/")
        done = int(number) if number.isdigit() else 0
        await (last if done >= count else redirect("/{next}"))(asked, writer)

    return reply


def by_path(replies: Mapping[str, Reply]) -> Reply:
    """Another reply for each path."""

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await replies[asked.path](asked, writer)

    return reply


async def hang(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def reset(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answer with a TCP reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def drip(head: bytes, octet: bytes, pause_s: float = 0.02) -> Reply:
    """``head``, then the same octets again and again with a pause between them, for ever."""

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(octet)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return reply


@asynccontextmanager
async def serving(replies: Reply | Sequence[Reply], tls: ssl.SSLContext | None = None) -> AsyncIterator[RobotsServer]:
    """A server whose n-th request gets the n-th reply, the last one for all that follow."""
    script = [replies] if callable(replies) else list(replies)
    open_connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_connections.add(task)
        try:
            asked = await _read_request(reader, server.port)
            server.asked.append(asked)
            await script[min(len(server.asked), len(script)) - 1](asked, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            open_connections.discard(task)
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server = RobotsServer(listener.sockets[0].getsockname()[1], "https" if tls else "http")
    try:
        yield server
    finally:
        listener.close()
        pending = list(open_connections)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await asyncio.sleep(0)


async def _read_request(reader: asyncio.StreamReader, port: int) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return Asked(method, path, {name.lower(): value.strip() for name, _, value in pairs}, port)


def unused_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
