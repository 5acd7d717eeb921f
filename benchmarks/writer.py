"""What the durable log costs, side by side in one run: the sidecar, the same with durability off, plain mitmdump.

Run from the repository: ``python -m benchmarks.writer [PART …]``; parts are latency, share, memory and rotation (all by
default, some 15 minutes).  Durability off means that nothing waits for the disk: DuckDB's ``fsync_mode`` is ``NONE``
and our own fsyncs do nothing; all else is the same.  Prints Markdown tables; rounds of those compared are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import importlib.metadata
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from benchmarks import load, proxy
from benchmarks.load import Scenario

_PLAIN = Scenario(name="http keep-alive")
_CONNECTIONS = 10
_TICK_S = 0.001
_BUCKETS_PER_MS = 10
_SNAPSHOT_S = 0.25
_BEAT_S = 0.005


# --- inside the measured process -------------------------------------------------------------------------------------


def _without_durability() -> None:
    """From here on nothing in this process waits for the disk."""
    from proxy_addon import live, log_directory

    settings = vars(live)
    settings["_SETTINGS"] = (*settings["_SETTINGS"], "SET fsync_mode = 'NONE'")
    os.fdatasync = os.fsync = str  # type: ignore[assignment]  # of the front, which makes rows durable
    for module in [log_directory, *(m for n, m in sys.modules.items() if n.startswith("proxy_addon."))]:
        if hasattr(module, "fsync_path"):
            module.fsync_path = str  # type: ignore[attr-defined]


class _Probe:
    """Lag of the event loop and processor time of the writer's thread, written to a file a few times a second."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lags = [0] * (1000 * _BUCKETS_PER_MS)

    async def tick(self) -> None:
        """Sleep for 1 ms again and again; what a sleep takes longer is what every request at that moment waits."""
        loop = asyncio.get_running_loop()
        written = 0.0
        while True:
            before = loop.time()
            await asyncio.sleep(_TICK_S)
            now = loop.time()
            bucket = int((now - before - _TICK_S) * 1000 * _BUCKETS_PER_MS)
            self._lags[max(0, min(bucket, len(self._lags) - 1))] += 1
            if now - written > _SNAPSHOT_S:
                written = now
                self._write()

    def _write(self) -> None:
        writers = [thread for thread in threading.enumerate() if thread.name == "log-writer"]
        cpu = sum(time.clock_gettime(time.pthread_getcpuclockid(t.ident)) for t in writers if t.ident is not None)
        made = self._file.with_suffix(".new")
        made.write_text(json.dumps({"at": time.monotonic(), "writer_cpu_s": cpu, "lags": self._lags}))
        made.rename(self._file)


def _sidecar_main(durable: bool, probe: str | None, arguments: list[str]) -> None:
    from proxy_addon import __main__ as program
    from proxy_addon import sidecar

    if not durable:
        _without_durability()
    if probe is not None:
        real = sidecar.Sidecar.run

        async def run(self: sidecar.Sidecar) -> int:
            ticking = asyncio.create_task(_Probe(Path(probe)).tick())
            try:
                return await real(self)
            finally:
                ticking.cancel()

        sidecar.Sidecar.run = run  # type: ignore[method-assign]
    sys.argv = ["crawl-audit-proxy", *arguments]
    program.main()


# --- outside ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sidecar:
    name: str
    process: subprocess.Popen[str]
    address: tuple[str, int]
    probe: Path
    results: list[load.Result] = field(default_factory=list)

    def snapshot(self) -> dict[str, Any]:
        """What its probe last wrote, waiting for one that is new."""
        asked = time.monotonic()
        while True:
            with contextlib.suppress(OSError, ValueError):
                found: dict[str, Any] = json.loads(self.probe.read_text())
                if found["at"] >= asked:
                    return found
            time.sleep(0.05)


@contextlib.contextmanager
def _sidecar(
    place: Path, name: str, *, durable: bool = True, probe: bool = False, config: str = ""
) -> Iterator[_Sidecar]:
    home = Path(tempfile.mkdtemp(dir=place))
    (home / "config.toml").write_text(f'{config}\n[egress]\nallow_networks = ["127.0.0.0/8"]\n')
    command = [sys.executable, "-m", "benchmarks.writer", "--as-sidecar", "1" if durable else "0"]
    command += [str(home / "probe.json") if probe else "-", "run", "--config", str(home / "config.toml")]
    command += [
        "--log",
        str(home / "log"),
        "--ca",
        str(home / "ca"),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]
    command += ["--crawler", "bench", "--product-token", "BenchBot"]
    quiet = subprocess.DEVNULL
    subprocess.run([sys.executable, "-m", "proxy_addon", "ca", "--ca", str(home / "ca")], check=True, stdout=quiet)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host, _, port = json.loads(process.stdout.readline())["proxy"].rpartition(":")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        try:
            yield _Sidecar(name, process, (host, int(port)), home / "probe.json")
        finally:
            process.terminate()
            process.wait(120)
            shutil.rmtree(home, ignore_errors=True)


async def _paced(address: tuple[str, int], port: int, rate: float, seconds: float) -> load.Result:
    """So many requests a second over ten connections, each sent at its time unless the answer before it is late."""
    result, began = load.Result(), time.perf_counter()

    async def worker(number: int) -> None:
        connection = load.Connection(address, "127.0.0.2", port, None)
        await connection.open()
        for count in itertools.count():
            due = began + (count + number / _CONNECTIONS) * _CONNECTIONS / rate
            if due > began + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent = time.perf_counter()
            result.failures += not await connection.ask(f"/page/{number}/{count}", "127.0.0.2")
            result.latencies_ms.append((time.perf_counter() - sent) * 1000)
        connection.close()

    await asyncio.gather(*(worker(number) for number in range(_CONNECTIONS)))
    result.seconds = time.perf_counter() - began
    return result


def _row(*cells: object) -> str:
    return f"| {' | '.join(f'{cell:.1f}' if isinstance(cell, float) else str(cell) for cell in cells)} |"


def _latency(place: Path, ports: tuple[int, int], rounds: int, seconds: float) -> Iterator[str]:
    """Closed loop of ten connections, rounds interleaved."""
    yield "| 10 connections, closed loop | requests/s | p50 ms | p99 ms | p50 added to plain mitmdump |"
    yield "|---|---|---|---|---|"
    plain = proxy.mitmdump(place)
    try:
        with (
            _sidecar(place, "crawl-audit, durable") as durable,
            _sidecar(place, "crawl-audit, durability off", durable=False) as control,
        ):
            measured: dict[str, list[load.Result]] = {}
            addresses = {plain.name: plain.address, control.name: control.address, durable.name: durable.address}
            for _, (name, address) in itertools.product(range(rounds), addresses.items()):
                print(f"latency: {name}", file=sys.stderr)
                result = asyncio.run(load.run(_PLAIN, address, ports[0], _CONNECTIONS, seconds))
                measured.setdefault(name, []).append(result)
    finally:
        plain.process.terminate()
        plain.process.wait(60)
    base = statistics.median(result.percentile_ms(0.5) for result in measured[plain.name])
    for name, results in measured.items():
        rate, p50, p99 = (
            statistics.median(values)
            for values in (
                [result.requests_per_s for result in results],
                [result.percentile_ms(0.5) for result in results],
                [result.percentile_ms(0.99) for result in results],
            )
        )
        yield _row(name, f"{rate:.0f}", p50, p99, f"{p50 - base:+.1f} ms")


def _quantile(lags: list[int], share: float) -> float:
    """The lag in ms that ``share`` of the ticks stayed below."""
    wanted, seen = share * sum(lags), 0
    for bucket, count in enumerate(lags):
        seen += count
        if seen >= wanted:
            return (bucket + 1) / _BUCKETS_PER_MS
    return float("nan")


def _share(place: Path, ports: tuple[int, int], rounds: int, seconds: float) -> Iterator[str]:
    """500 requests a second: processor time of the writer's thread, and lag of the event loop."""
    yield "| 500 requests/s | reached | p50 ms | p99 ms | writer thread, % of a core | loop lag p99 | largest |"
    yield "|---|---|---|---|---|---|---|"
    rotating = "[logging]\nsegment_age_s = 3\nseal_interval_s = 2\n"
    with (
        _sidecar(place, "no rotation, durability off", durable=False, probe=True) as control,
        _sidecar(place, "no rotation, durable", probe=True) as durable,
        _sidecar(place, "rotating every 3 s, durable", probe=True, config=rotating) as rotated,
    ):
        measured: dict[str, list[tuple[float, ...]]] = {}
        for _, one in itertools.product(range(rounds), (control, durable, rotated)):
            print(f"share: {one.name}", file=sys.stderr)
            before = one.snapshot()
            result = asyncio.run(_paced(one.address, ports[0], 500, seconds))
            after = one.snapshot()
            lags = [b - a for a, b in zip(before["lags"], after["lags"], strict=True)]
            cpu = 100 * (after["writer_cpu_s"] - before["writer_cpu_s"]) / (after["at"] - before["at"])
            figures = (result.requests_per_s, result.percentile_ms(0.5), result.percentile_ms(0.99))
            measured.setdefault(one.name, []).append((*figures, cpu, _quantile(lags, 0.99), _quantile(lags, 1)))
    for name, rows in measured.items():
        middle = [statistics.median(column) for column in zip(*rows, strict=True)]
        yield _row(name, f"{middle[0]:.0f}", *middle[1:5], max(row[5] for row in rows))


def _memory(place: Path, ports: tuple[int, int], requests: int) -> Iterator[str]:
    """Resident memory of the sidecar's own process over many requests, and the helpers' beside it."""
    yield "| requests so far | sidecar RSS MiB | with helper processes MiB |"
    yield "|---|---|---|"
    done, next_mark = 0, 0
    with _sidecar(place, "memory", config="[logging]\nsegment_age_s = 30\n") as one:
        while True:
            if done >= next_mark:
                pid = one.process.pid
                own = next(
                    int(line.split()[1]) / 1024
                    for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                    if line.startswith("VmRSS")
                )
                print(f"memory: {done} requests, {own:.0f} MiB", file=sys.stderr)
                yield _row(f"{done:,}", f"{own:.0f}", f"{proxy.rss_mib(pid):.0f}")
                next_mark += requests // 8
            if done >= requests:
                return
            done += len(asyncio.run(load.run(_PLAIN, one.address, ports[0], _CONNECTIONS, 5.0)).latencies_ms)


async def _fill(writer: Any, entries: int) -> None:
    from tests.logs import completion
    from tests.writing import decision

    for number in range(0, entries, 1000):
        await writer.append_many(
            lambda base, number=number: [
                record for place in range(500) for record in (decision(number + place), completion(base + 2 * place))
            ]
        )


async def _beats(writer: Any, until: asyncio.Event | float) -> list[float]:
    """How long appends take, one every 5 ms, in ms, until the time or the event."""
    from tests.writing import decision

    taken: list[float] = []
    end = time.perf_counter() + (until if isinstance(until, float) else 3600)
    while time.perf_counter() < end and not (isinstance(until, asyncio.Event) and until.is_set()):
        began = time.perf_counter()
        await writer.append(decision(1))
        taken.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(max(0.0, _BEAT_S - taken[-1] / 1000))
    return taken


def _in_segments(taken: list[float]) -> tuple[float, ...]:
    ordered = sorted(taken)
    return (*(ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 0.999)), ordered[-1])


async def _rotate(place: Path, entries: int) -> list[tuple[str, list[float], float]]:
    from proxy_addon import interpreter
    from tests.writing import writer_in

    found = []
    with interpreter.sharing_time():
        async with writer_in(place / "rotation", segment_bytes=2**30, seal_interval_s=15) as writer:
            await _beats(writer, 2.0)
            found.append(("before, nothing else runs", await _beats(writer, 20.0), 20.0))
            await _fill(writer, entries)
            over, began = asyncio.Event(), time.perf_counter()
            rotation = asyncio.create_task(writer.rotate())
            rotation.add_done_callback(lambda _: over.set())
            found.append((f"while {entries:,} records are rotated and converted", await _beats(writer, over), 0.0))
            seconds = time.perf_counter() - began
            found[-1] = (*found[-1][:2], seconds)
            assert rotation.result().rows >= entries
            found.append(("after, nothing else runs", await _beats(writer, 20.0), 20.0))
            burner = await asyncio.create_subprocess_exec("nice", "-n", "10", sys.executable, "-c", "while True: pass")
            found.append(("after, a process of niceness 10 that only computes", await _beats(writer, 20.0), 20.0))
            burner.kill()
            await burner.wait()
    return found


def _rotation(place: Path, entries: int) -> Iterator[str]:
    """How long one append takes at most while a large live file becomes a segment."""
    yield "| one append every 5 ms | for s | p50 ms | p99 ms | p99.9 ms | largest ms |"
    yield "|---|---|---|---|---|---|"
    for name, taken, seconds in asyncio.run(_rotate(place, entries)):
        yield _row(name, f"{seconds:.0f}", *_in_segments(taken))


def main() -> None:
    """Run the parts asked for and print their tables."""
    if sys.argv[1:2] == ["--as-sidecar"]:
        _sidecar_main(sys.argv[2] == "1", None if sys.argv[3] == "-" else sys.argv[3], sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="latency, share, memory, rotation; all where none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="per contender and round")
    parser.add_argument("--requests", type=int, default=200_000, help="of the memory part")
    parser.add_argument("--records", type=int, default=1_000_000, help="of the rotation part")
    chosen = parser.parse_args()
    wanted = chosen.parts or ["latency", "share", "memory", "rotation"]
    place = Path(tempfile.mkdtemp(prefix="crawl-audit-bench-"))
    versions = {name: importlib.metadata.version(name) for name in ("mitmproxy", "duckdb")}
    today = datetime.datetime.now(datetime.UTC).date()
    print(
        f"{today}, {platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, {versions}"
    )
    try:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(place / "ca.pem"))
        ca.private_key_pem.write_to_path(str(place / "ca.key"))
        with proxy.origin_server(place / "ca.pem") as ports:
            tables = {
                "latency": lambda: _latency(place, ports, chosen.rounds, chosen.seconds),
                "share": lambda: _share(place, ports, chosen.rounds, chosen.seconds),
                "memory": lambda: _memory(place, ports, chosen.requests),
                "rotation": lambda: _rotation(place, chosen.records),
            }
            for part in wanted:
                print(f"\nload average {os.getloadavg()[0]:.1f}\n", flush=True)
                for line in tables[part]():
                    print(line, flush=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
