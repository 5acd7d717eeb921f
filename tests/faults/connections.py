"""Ten thousand connections at once, more than the sidecar serves: each is served, told why not, or closed at once."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Iterator

from tests.end_to_end.bystander import MEMORY_KIB
from tests.end_to_end.harness import Sidecar
from tests.end_to_end.origin import Origin
from tests.faults.processes import MissingError
from tests.faults.results import Row
from tests.faults.sidecars import crawling, stage, stop_and_judge

_AT_ONCE = 100
_DESCRIPTORS_BESIDE = 500


def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
    """Open them, half with a request on each and half with half a head, hold them, and let them go."""
    count = 1000 if quick else 10_000
    _descriptors(2 * count + _DESCRIPTORS_BESIDE)
    with stage() as on:
        row = Row(
            family="connections",
            fault=f"{count:,} connections at once, half with a request and half with half a head",
            runs=0,
            records=0,
            lost=0,
            duplicated=0,
            control="",
        )
        settings = "[client]\nhead_timeout_s = 60\n" + ("[limits]\nopen_connections = 800\n" if quick else "")
        with crawling(on, on.sidecar(settings=settings)) as crawl:
            say(f"{count} connections")
            crawl.sidecar.reset_peak()
            idle = crawl.sidecar.peak_kib()
            flood = Flood(crawl.sidecar, crawl.origins[0])
            asyncio.run(flood.run(count))
            grown = crawl.sidecar.peak_kib() - idle
            crawl.goes_on(60)
            found = flood.found
            row.control = (
                f"the limit was met: {found['served']:,} served, {found['held']:,} waiting, {found['told']:,} told 503,"
                f" {found['closed']:,} closed at once; {grown / 1024:.0f} MiB more memory"
            )
            if not found["told"] + found["closed"]:
                row.failures.append("the limit was never met")
            if found.total() != count or found["odd"]:
                row.failures.append(f"not every connection got what it should: {dict(found)}")
            if grown > MEMORY_KIB:
                row.failures.append(f"memory grew by {grown // 1024} MiB")
            stop_and_judge(crawl, row)
        yield row


class Flood:
    """Connections of one client, and what became of each."""

    def __init__(self, sidecar: Sidecar, origin: Origin) -> None:
        self.found: Counter[str] = Counter()
        self._host, _, port = str(sidecar.ready["proxy"]).rpartition(":")
        self._port = int(port)
        self._request = f"GET {origin.url}/flood HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n".encode()
        self._open: list[asyncio.StreamWriter] = []

    async def run(self, count: int) -> None:
        """Open all, a hundred at a time; close them when all are there."""
        gate = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._one(gate, whole=number % 2 == 0) for number in range(count)))
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _one(self, gate: asyncio.Semaphore, *, whole: bool) -> None:
        async with gate:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            self._open.append(writer)
            writer.write(self._request if whole else self._request[:-2])
            try:
                answer = await asyncio.wait_for(reader.read(4096), 60 if whole else 0.05)
            except TimeoutError:
                self.found["odd" if whole else "held"] += 1
                return
            except ConnectionResetError:
                answer = b""
        if not answer:
            self.found["closed"] += 1
        elif answer.startswith(b"HTTP/1.1 200 "):
            self.found["served"] += 1
        else:
            # The problem document may come in a piece of its own.
            self.found["told" if answer.startswith(b"HTTP/1.1 503 ") else "odd"] += 1


def _descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        wanted = hard if hard > wanted * 3 // 4 else wanted
        if hard < wanted:
            raise MissingError(f"{wanted} open files are needed, the limit here is {hard}.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
