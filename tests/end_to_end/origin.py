"""A scripted site on 127.0.0.1: pages, odd behaviour on request, and an access log of its own.

What the tests compare the sidecar's log with.  One thread runs all origins of a test; every request is noted before
it is answered, with the wall clock, so that "the decision came first" can be checked by somebody else's record.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.end_to_end.access_log import Seen
from tests.end_to_end.odd_behaviour import BEHAVIOURS, Behaviour

ROBOTS = b"User-agent: *\nDisallow: /private/\n"
PAGE = (
    b"<!doctype html><title>shop</title><h1>Shop</h1>"
    b'<a href="/a.html">a</a> <a href="/b.html">b</a> <a href="/private/one.html">one</a>'
    b' <a href="/private/two.html">two</a> <a href="/missing.html">missing</a>'
)


@dataclass(slots=True, eq=False)
class Origin:
    """One listening site and what it has seen."""

    scheme: str
    name: str
    port: int = 0
    robots: bytes | int | Behaviour = ROBOTS
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    answered: int = 0
    first_bytes: list[bytes] = field(default_factory=list)

    @property
    def authority(self) -> str:
        """name:port."""
        return f"{self.name}:{self.port}"

    @property
    def url(self) -> str:
        """URL of the site without a path."""
        return f"{self.scheme}://{self.authority}"

    def hits(self, prefix: str) -> list[Seen]:
        """Requests whose path begins with ``prefix``."""
        return [seen for seen in list(self.seen) if seen.path.startswith(prefix)]

    def wait_for(self, prefix: str, seconds: float = 10) -> Seen:
        """The first request for ``prefix``, as soon as it has arrived."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := self.hits(prefix):
                return found[0]
            time.sleep(0.01)
        raise AssertionError(f"{self.url} was never asked for {prefix}")


class Farm:
    """Starts origins on one event loop in one thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext) -> None:
        self._loop = loop
        self._tls = tls
        self._open: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    def start(
        self,
        scheme: str = "http",
        *,
        name: str = "shop.test",
        address: str = "127.0.0.1",
        port: int = 0,
        robots: bytes | int | Behaviour = ROBOTS,
        tls: ssl.SSLContext | None = None,
    ) -> Origin:
        """A new site, on a port of its own where none is given; ``tls`` replaces its good certificate."""
        origin = Origin(scheme, name, port, robots=robots)
        context = (tls or self._tls) if scheme == "https" else None
        asyncio.run_coroutine_threadsafe(self._listen(origin, address, context), self._loop).result(10)
        return origin

    async def _listen(self, origin: Origin, address: str, tls: ssl.SSLContext | None) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._open.add(task)
            origin.connections += 1
            try:
                while await _serve_one(origin, reader, writer):
                    pass
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
                pass  # the other side went away, or the test is over
            finally:
                self._open.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, address, origin.port, ssl=tls, backlog=512)
        origin.port = server.sockets[0].getsockname()[1]
        self._servers.append(server)

    async def stop(self) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        pending = list(self._open)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await asyncio.sleep(0)


@contextmanager
def farm(tls: ssl.SSLContext) -> Iterator[Farm]:
    """A running farm whose https sites present the certificate in ``tls``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="origins", daemon=True)
    thread.start()
    made = Farm(loop, tls)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _serve_one(origin: Origin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Read one request and answer it; whether the connection goes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    now = time.time_ns() // 1000
    line, *lines = head[:-4].decode("latin-1").split("\r\n")
    origin.first_bytes.append(head)
    method, target, _ = line.split(" ", 2)
    pairs = [field.partition(":") for field in lines]
    seen = Seen(method=method, target=target, at_us=now, fields=[(name, value.strip()) for name, _, value in pairs])
    origin.seen.append(seen)
    await _read_body(seen, reader)
    parts = urlsplit(target)
    origin.answered += parts.path != "/robots.txt"
    if parts.path == "/robots.txt" and callable(origin.robots):
        await origin.robots(seen, {}, reader, writer)
        return False
    if parts.path == "/robots.txt":
        await _robots(origin, seen, writer)
        return True
    handler = BEHAVIOURS.get(parts.path)
    if handler is not None:
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        await handler(seen, query, reader, writer)
        return False
    status = 404 if parts.path.startswith("/missing") else 200
    body = PAGE if parts.path == "/" else f"<title>{status}</title>{method}\n".encode()
    await _answer(writer, seen, status, body)
    return True


async def _read_body(seen: Seen, reader: asyncio.StreamReader) -> None:
    if "chunked" in (seen.field("transfer-encoding") or "").lower():
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            await _discard(seen, reader, size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    else:
        await _discard(seen, reader, int(seen.field("content-length") or 0))


async def _discard(seen: Seen, reader: asyncio.StreamReader, size: int) -> None:
    while size:
        chunk = await reader.read(min(size, 1024 * 1024))
        if not chunk:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(chunk)
        seen.body_bytes += len(chunk)


async def _robots(origin: Origin, seen: Seen, writer: asyncio.StreamWriter) -> None:
    assert not callable(origin.robots)
    status, body = (origin.robots, b"no\n") if isinstance(origin.robots, int) else (200, origin.robots)
    await _answer(writer, seen, status, body, "text/plain")


async def _answer(
    writer: asyncio.StreamWriter, seen: Seen, status: int, body: bytes, content_type: str = "text/html"
) -> None:
    head = f"HTTP/1.1 {status} Word\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    writer.write(head if seen.method == "HEAD" else head + body)
    await writer.drain()
