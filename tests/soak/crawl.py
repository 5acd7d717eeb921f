"""Several crawlers at a steady rate: what they ask for, how they behave, and what came of every request.

Of each request two octets are kept, however many there are: the status that came back, and how often a site saw it.
"""

from __future__ import annotations

import asyncio
import base64
import random
import ssl
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.end_to_end.origin import Origin

TOKENS = {"alpha": "alpha-token-of-the-soak", "beta": "beta-token-of-the-soak", "gamma": "gamma-token-of-the-soak"}
HOSTS_KEPT = 20
HOSTS_PASSING = 2_000
_PATIENCE_S = 30
_NEW_CONNECTION = 0.1
_PASSING_HOST = 0.03
# What is asked for, and how often of 1,000.
MIX = {
    "page": 600,
    "private": 120,
    "missing": 70,
    "post": 60,
    "head": 50,
    "big": 30,
    "reset": 15,
    "cut": 10,
    "leave_response": 10,
    "leave_request": 10,
    "nowhere": 10,
    "contradicting": 8,
    "stranger": 7,
}
_PATHS = {
    "private": "/private/p",
    "missing": "/missing",
    "big": "/odd/big",
    "reset": "/odd/reset",
    "cut": "/odd/cut",
    "leave_response": "/odd/drip",
}
NOTHING = 0  # no status came back


@dataclass(slots=True, kw_only=True)
class Crawl:
    """Requests through one proxy at ``rate`` a second; ``kinds`` and ``statuses`` fill while it runs."""

    proxy: str
    origins: Sequence[Origin]
    closed_port: int
    tls: ssl.SSLContext
    rate: float
    seed: int = 11
    statuses: array[int] = field(default_factory=lambda: array("H"))
    kinds: Counter[str] = field(default_factory=Counter)
    came_back: Counter[int] = field(default_factory=Counter)
    stopped: bool = False
    _next_at: float = 0.0
    _passing: int = 0

    async def run(self, seconds: float, workers: int = 32) -> None:
        """Ask for so many seconds; a request whose turn comes while all are busy is sent when one is free."""
        self._next_at = time.monotonic()
        until = self._next_at + seconds
        await asyncio.gather(*(self._work(until, random.Random(self.seed * 1000 + n)) for n in range(workers)))

    async def _work(self, until: float, chance: random.Random) -> None:
        crawler = chance.choice(list(TOKENS))
        kept: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        while not self.stopped:
            at = self._next_at = max(self._next_at + 1 / self.rate, time.monotonic() - 1)
            if at > until:
                break
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await self._one(crawler, kept, chance)
        for _, writer in kept.values():
            writer.transport.abort()

    async def _one(
        self, crawler: str, kept: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]], chance: random.Random
    ) -> None:
        number, kind = len(self.statuses), chance.choices(list(MIX), list(MIX.values()))[0]
        self.statuses.append(NOTHING)
        self.kinds[kind] += 1
        origin = self.origins[0] if kind in ("contradicting", "stranger") else chance.choice(self.origins)
        name = self._host(chance)
        place = f"{origin.scheme}://{name}"
        pair = kept.pop(place, None) if kind not in ("nowhere", "stranger") else None
        if pair is not None and (chance.random() < _NEW_CONNECTION or pair[0].at_eof()):
            pair[1].close()
            pair = None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                port = self.closed_port if kind == "nowhere" else origin.port
                token = "nobody's" if kind == "stranger" else TOKENS[crawler]
                pair = pair or await self._connect(origin.scheme, name, port, token)
                again = await self._ask(pair, kind, number, origin.scheme, name, port, token, chance)
                if again and len(kept) < 4:
                    kept[place] = pair
                else:
                    pair[1].close()
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            if pair is not None:
                pair[1].transport.abort()
        self.came_back[self.statuses[number]] += 1

    def _host(self, chance: random.Random) -> str:
        if chance.random() >= _PASSING_HOST:
            return f"kept{chance.randrange(HOSTS_KEPT)}.shop.test"
        self._passing = (self._passing + 1) % HOSTS_PASSING
        return f"new{self._passing}.shop.test"

    async def _connect(
        self, scheme: str, name: str, port: int, token: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, proxy_port = self.proxy.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(proxy_port))
        if scheme == "https":
            authority = f"{name}:{port}"
            writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{_proof(token)}\r\n".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer.partition(b"\r\n")[0]:
                writer.transport.abort()
                raise OSError("no tunnel")
            try:
                await writer.start_tls(self.tls, server_hostname=name)
            except (OSError, TimeoutError):
                writer.transport.abort()
                raise
        return reader, writer

    async def _ask(
        self,
        pair: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        kind: str,
        number: int,
        scheme: str,
        name: str,
        port: int,
        token: str,
        chance: random.Random,
    ) -> bool:
        """Send one request and read its answer; whether the connection can be used again."""
        reader, writer = pair
        method = {"head": "HEAD", "post": "POST", "leave_request": "POST"}.get(kind, "GET")
        inside = scheme == "https"
        size = f"&bytes={chance.randrange(50_000, 500_000)}" if kind == "big" else ""
        target = f"{'' if inside else f'http://{name}:{port}'}{_PATHS.get(kind, '/page')}?id={number}{size}"
        body = bytes(chance.randrange(1, 20_000)) if method == "POST" else b""
        host = "other.shop.test" if kind == "contradicting" else f"{name}:{port}"
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: SoakBot/1\r\n"
        head += f"traceparent: 00-{number + 1:032x}-00f067aa0ba902b7-01\r\n" if number % 10 == 0 else ""
        head += "" if inside else _proof(token)
        head += f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        if kind == "leave_request":
            writer.write(f"{head}\r\n".encode() + body[: len(body) // 2])
            await writer.drain()
            await asyncio.sleep(0.02)
            return False
        writer.write(f"{head}\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        self.statuses[number] = int(answer.split(" ", 2)[1])
        if kind == "leave_response":
            return False
        await _discard(reader, 0 if method == "HEAD" else _length(answer))
        return "connection: close" not in answer


def _proof(token: str) -> str:
    return f"Proxy-Authorization: Basic {base64.b64encode(f'crawler:{token}'.encode()).decode()}\r\n"


def _length(answer: str) -> int:
    at = answer.find("content-length:")
    return int(answer[at + 15 :].split("\r\n", 1)[0]) if at >= 0 else 0


async def _discard(reader: asyncio.StreamReader, size: int) -> None:
    while size > 0:
        chunk = await reader.read(min(size, 65_536))
        if not chunk:
            raise EOFError
        size -= len(chunk)


def numbers(targets: Iterator[str]) -> Iterator[int]:
    """The number of each request target that has one."""
    for target in targets:
        tail = target.partition("?id=")[2].partition("&")[0]
        if tail.isdigit():
            yield int(tail)
