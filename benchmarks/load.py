"""A closed-loop load generator: some connections through an HTTP proxy, each sending its next request on an answer."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Result:
    """What one run of one scenario gave."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    failures: int = 0

    @property
    def requests_per_s(self) -> float:
        """Answered requests a second."""
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, share: float) -> float:
        """Latency that ``share`` of the requests stayed below."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way of asking: over TLS or not, one connection for all requests or a new one each, one host or many.

    ``sites``: that many hosts in turn; ``page``: what the paths of what is asked for begin with; ``pause_s``: between
    an answer and the next request, for latency at low load; ``connections``: where not as many as the run says.
    """

    name: str
    tls: bool = False
    new_connections: bool = False
    new_hosts: bool = False
    sites: int = 1
    page: str = "/page/"
    pause_s: float = 0
    connections: int | None = None


# Each of 127.x.y.z is a site of its own without any set-up.
_HOSTS = (f"127.{a}.{b}.{c}" for a in range(1, 250) for b in range(250) for c in range(1, 250))


def fresh_host() -> str:
    """A loopback host that no request of this process has gone to."""
    return next(_HOSTS)


class Connection:
    def __init__(self, proxy: tuple[str, int], host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._proxy, self._host, self._port, self._context = proxy, host, port, context
        self.is_open = True

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(*self._proxy)
        if self._context is not None:
            authority = f"{self._host}:{self._port}"
            self._writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            await self._reader.readuntil(b"\r\n\r\n")
            await self._writer.start_tls(self._context, server_hostname=self._host)

    async def ask(self, path: str, host: str) -> bool:
        """Whether the answer, of a known length or in chunks, came whole and is a 200."""
        authority = f"{host}:{self._port}"
        line = path if self._context is not None else f"http://{authority}{path}"
        self._writer.write(f"GET {line} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: BenchBot/1.0\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        lengths = [int(f[15:]) for f in head.split(b"\r\n") if f.lower().startswith(b"content-length:")]
        if lengths:
            await self._reader.readexactly(lengths[0])
        else:
            while size := int(await self._reader.readline(), 16):
                await self._reader.readexactly(size + 2)
            await self._reader.readline()
        if head.startswith(b"HTTP/1.0") or b"\r\nconnection: close" in head.lower():
            self.is_open = False  # as a client does on hearing that nothing more comes on this connection
        return head.partition(b" ")[2].startswith(b"200")

    def close(self) -> None:
        self._writer.close()


async def _worker(scenario: Scenario, proxy: tuple[str, int], port: int, until: float, result: Result) -> None:
    context = None
    if scenario.tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, connection = "127.0.0.2", None
    for number in itertools.count():
        started = time.perf_counter()
        if started >= until:
            break
        try:
            if connection is None or not connection.is_open or scenario.new_connections or scenario.new_hosts:
                if connection is not None:
                    connection.close()
                host = fresh_host() if scenario.new_hosts else host
                connection = Connection(proxy, host, port, context)
                await connection.open()
            site = f"127.250.{number % scenario.sites // 250}.{number % scenario.sites % 250 + 1}"
            if not await connection.ask(f"{scenario.page}{number}", site if scenario.sites > 1 else host):
                result.failures += 1
            result.latencies_ms.append((time.perf_counter() - started) * 1000)
            if scenario.pause_s:
                await asyncio.sleep(scenario.pause_s)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            result.failures += 1
            connection = None
    if connection is not None:
        connection.close()


async def run(scenario: Scenario, proxy: tuple[str, int], port: int, connections: int, seconds: float) -> Result:
    """Load the proxy for some seconds; ``port`` is the origin server's for the scenario."""
    result = Result()
    started = time.perf_counter()
    workers = (_worker(scenario, proxy, port, started + seconds, result) for _ in range(connections))
    await asyncio.gather(*workers)
    result.seconds = time.perf_counter() - started
    return result
