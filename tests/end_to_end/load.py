"""A crawler that sends thousands of mixed requests, each with a number of its own in the query.

Written on bare streams: it can leave in the middle, keep connections or not, and costs less than the sidecar.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.end_to_end.origin import Origin

# What is asked for, and how often of 100.
_MIX = {"page": 50, "private": 16, "missing": 10, "post": 10, "head": 6, "leave_response": 4, "leave_request": 4}
_PATHS = {"private": "/private/p", "missing": "/missing", "leave_response": "/odd/drip", "reset": "/odd/reset"}
_NEW_CONNECTION = 0.15
_PATIENCE_S = 20


@dataclass(slots=True)
class Sent:
    """One request: its number, its kind, the site it was for and the status that came back, if any did."""

    number: int
    kind: str
    origin: Origin
    status: int | None = None


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(slots=True, kw_only=True)
class Load:
    """Requests through one proxy; ``sent`` fills while it runs."""

    proxy: str
    origins: Sequence[Origin]
    tls: ssl.SSLContext
    seed: int = 1
    mix: dict[str, int] = field(default_factory=lambda: dict(_MIX))
    sent: list[Sent] = field(default_factory=list)
    stopped: bool = False
    _connections: list[_Connection] = field(default_factory=list)

    async def run(self, count: int, workers: int = 16) -> None:
        """Send ``count`` requests, or fewer once ``stopped``."""
        numbers = iter(range(count))
        try:
            await asyncio.gather(*(self._work(numbers, random.Random(self.seed * 1000 + n)) for n in range(workers)))
        finally:
            for connection in self._connections:
                connection.writer.transport.abort()
            await asyncio.sleep(0.1)

    async def _work(self, numbers: Iterator[int], chance: random.Random) -> None:
        open_connections: dict[str, _Connection] = {}
        for number in numbers:
            if self.stopped:
                break
            kind = chance.choices(list(self.mix), list(self.mix.values()))[0]
            sent = Sent(number, kind, chance.choice(self.origins))
            self.sent.append(sent)
            kept = open_connections.pop(sent.origin.url, None)
            if kept is not None and chance.random() < _NEW_CONNECTION:
                kept.writer.close()
                kept = None
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    connection = kept or await self._connect(sent.origin)
                    if await self._ask(connection, sent, chance):
                        open_connections[sent.origin.url] = connection
                    else:
                        connection.writer.close()
            except (OSError, EOFError, TimeoutError):
                pass  # no status is what is remembered of it

    async def _connect(self, origin: Origin) -> _Connection:
        host, _, port = self.proxy.rpartition(":")
        connection = _Connection(*await asyncio.open_connection(host, int(port)))
        self._connections.append(connection)
        if origin.scheme == "https":
            name = origin.authority.encode()
            connection.writer.write(b"CONNECT " + name + b" HTTP/1.1\r\nHost: " + name + b"\r\n\r\n")
            answer = await connection.reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer.partition(b"\r\n")[0]:
                raise OSError("no tunnel")
            await connection.writer.start_tls(self.tls, server_hostname=origin.name)
        return connection

    async def _ask(self, connection: _Connection, sent: Sent, chance: random.Random) -> bool:
        """Send one request and read its answer; whether the connection can be used again."""
        method = {"head": "HEAD", "post": "POST", "leave_request": "POST"}.get(sent.kind, "GET")
        place = "" if sent.origin.scheme == "https" else sent.origin.url
        target = f"{place}{_PATHS.get(sent.kind, '/page')}?id={sent.number}"
        body = bytes(chance.randrange(1, 20_000)) if method == "POST" else b""
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: {sent.origin.authority}\r\nUser-Agent: TestBot/1\r\n{length}\r\n"
        if sent.kind == "leave_request":
            connection.writer.write(head.encode() + body[: len(body) // 2])
            await connection.writer.drain()
            await asyncio.sleep(0.02)
            return False
        connection.writer.write(head.encode() + body)
        answer = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        sent.status = int(answer.split(" ", 2)[1])
        if sent.kind == "leave_response":
            return False
        length_at = answer.find("content-length:")
        size = int(answer[length_at + 15 :].split("\r\n", 1)[0]) if length_at >= 0 and method != "HEAD" else 0
        await connection.reader.readexactly(size)
        return "connection: close" not in answer
