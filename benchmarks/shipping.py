"""What shipping costs a sidecar at a steady 500 requests/s: processor time of the process that ships, and latency.

    python -m benchmarks.shipping --seconds 60 --rounds 3

Two sidecars with the same settings, one of which ships to an S3 server on this machine, take turns under the same load.
The cost is the processor time of the process that ships beside that of the whole sidecar in the same run: the
difference between two runs would be lost in the noise of a shared machine.  Segments are published every ten seconds
instead of every five minutes, so that a run sees many; with the default there are thirty times fewer objects.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks import load, proxy
from benchmarks.proxy import Contender
from tests.object_stores import s3_server

_cpu_s = proxy._cpu_s  # noqa: SLF001 - measured in the same way
_CONNECTIONS = 20
_SEGMENT_AGE_S = 10
# A last segment is published and shipped within this.
_SETTLING_S = 15


@dataclass(slots=True)
class Measured:
    """What was measured of one sidecar, by round."""

    contender: Contender
    cpu_s: list[float] = field(default_factory=list)
    shipping_s: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    failures: int = 0


async def _paced(address: tuple[str, int], port: int, rate: float, seconds: float) -> load.Result:
    """So many requests a second, each connection's at even distances; latency counts from when it was due."""
    result, began = load.Result(), time.perf_counter()
    every = _CONNECTIONS / rate

    async def ask(number: int) -> None:
        connection = load.Connection(address, "127.0.0.2", port, None)
        await connection.open()
        due = began + every * number / _CONNECTIONS
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            good = await connection.ask(f"/page/{due:.6f}", "127.0.0.2")
            result.latencies_ms.append((time.perf_counter() - due) * 1000)
            result.failures += not good
            due += every
        connection.close()

    await asyncio.gather(*(ask(number) for number in range(_CONNECTIONS)))
    result.seconds = time.perf_counter() - began
    return result


def _shipping_s(pid: int) -> float:
    """Processor time of the process that ships; it was started by a thread, so it is no child of the main one."""
    children = [one for task in Path(f"/proc/{pid}/task").glob("*/children") for one in task.read_text().split()]
    return sum(
        _cpu_s(int(one)) for one in children if b"proxy_addon.shipper" in Path(f"/proc/{one}/cmdline").read_bytes()
    )


def _round(measured: Measured, port: int, rate: float, seconds: float) -> None:
    pid = measured.contender.process.pid
    serving, shipping = _cpu_s(pid), _shipping_s(pid)
    result = asyncio.run(_paced(measured.contender.address, port, rate, seconds))
    time.sleep(_SETTLING_S)
    measured.shipping_s.append(_shipping_s(pid) - shipping)
    measured.cpu_s.append(_cpu_s(pid) - serving + measured.shipping_s[-1])
    measured.p50_ms.append(result.percentile_ms(0.5))
    measured.p99_ms.append(result.percentile_ms(0.99))
    measured.rate.append(result.requests_per_s)
    measured.failures += result.failures


@contextlib.contextmanager
def _sidecars(place: Path, ca: Path) -> Iterator[tuple[Measured, Measured]]:
    os.environ["CRAWL_AUDIT_LOGGING__SEGMENT_AGE_S"] = str(_SEGMENT_AGE_S)
    made: list[Contender] = []
    try:
        with s3_server() as store:
            for name, url in (("plain", ""), ("shipping", store.address())):
                (place / name).mkdir()
                os.environ["CRAWL_AUDIT_SHIP__URL"] = url
                made.append(proxy.sidecar(place / name, "audit", ca))
                made[-1].name = name
            yield Measured(made[0]), Measured(made[1])
            print(f"{len(store.keys('logs/shipped/'))} segments lie in the object store.\n")
    finally:
        for one in made:
            one.process.kill()
            one.process.wait()


def _table(both: tuple[Measured, Measured]) -> Iterator[str]:
    yield "| sidecar | requests/s | p50 ms | p99 ms | processor s | of it shipping | failures |"
    yield "|---|---|---|---|---|---|---|"
    for one in both:
        figures = (statistics.median(values) for values in (one.rate, one.p50_ms, one.p99_ms, one.cpu_s))
        rate, p50, p99, cpu = figures
        share = f"{100 * sum(one.shipping_s) / sum(one.cpu_s):.1f} %"
        yield f"| {one.contender.name} | {rate:.0f} | {p50:.2f} | {p99:.2f} | {cpu:.2f} | {share} | {one.failures} |"


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, proxy.origin(Path(made)) as (ca, (port, _)):
        with _sidecars(Path(made), ca) as both:
            for _ in range(given.rounds):
                for one in both:
                    _round(one, port, given.rate, given.seconds)
        print("\n".join(_table(both)))


if __name__ == "__main__":
    main()
