"""Side by side in one run: plain mitmdump, the sidecar and other proxies; same origin server, same load.

Rounds are interleaved.  Prints a Markdown table: requests/s (median and range over the rounds), ratio to plain
mitmdump, latency, CPU per request of the whole process tree, and peak memory.  Proxies that are not on this machine
are named with what to install.  Noise on shared machines is about ±25 %; read the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import trustme

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks import load, peers
from benchmarks.load import Scenario

SCENARIOS = (
    Scenario(name="http keep-alive"),
    Scenario(name="https keep-alive", tls=True),
    Scenario(name="https new connection", tls=True, new_connections=True),
    Scenario(name="https new host each", tls=True, new_hosts=True),
    Scenario(name="http, 1,000 sites in turn", sites=1000),
    Scenario(name="http, 5 MB each", page="/large/"),
    Scenario(name="http, one request in 20 ms", pause_s=0.02, connections=1),
    Scenario(name="https, one request in 20 ms", tls=True, pause_s=0.02, connections=1),
)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Contender:
    """A running proxy and what was measured of it, by scenario."""

    name: str
    process: subprocess.Popen[str]
    address: tuple[str, int]
    rates: dict[str, list[float]] = field(default_factory=dict)
    p50: dict[str, list[float]] = field(default_factory=dict)
    p99: dict[str, list[float]] = field(default_factory=dict)
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)
    failures: int = 0
    peak_mib: float = 0.0


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(p for child in children for p in _tree(int(child)))]


def _cpu_s(pid: int) -> float:
    """User and system time of a process and all its children, ended ones included."""
    total = 0.0
    for one in _tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(fields[i]) for i in (11, 12, 13, 14)) / _TICKS
    return total


def rss_mib(pid: int) -> float:
    total = 0
    for one in _tree(pid):
        status = Path(f"/proc/{one}/status").read_text()
        total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return total / 1024


@contextlib.contextmanager
def origin_server(ca: Path) -> Iterator[tuple[int, int]]:
    process = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "origin.py", ca], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        plain, tls = process.stdout.readline().split()
        yield int(plain), int(tls)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def origin(place: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    """An origin server and the file of the authority of its certificates, with its ports for http and https."""
    ca = place / "ca.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca))
    authority.private_key_pem.write_to_path(str(ca.with_suffix(".key")))
    with origin_server(ca) as ports:
        yield ca, ports


def machine() -> str:
    """What a run was made with and on, in one line."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("mitmproxy", "duckdb", "protego"))
    cpu = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {versions}; {os.cpu_count()} cores"
        f" ({cpu or 'unnamed'}), {memory:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}"
    )


def _contender(one: peers.Started) -> Contender:
    return Contender(one.name, one.process, one.address)


def mitmdump(place: Path) -> Contender:
    """Plain mitmdump, which all others are compared with."""
    return _contender(peers.mitmdump(place))


def sidecar(place: Path, mode: str, ca: Path, *, durable: bool = True, options: tuple[str, ...] = ()) -> Contender:
    """Our sidecar with an authority and a log of its own below ``place``; not ``durable``: it waits for no disk."""
    what = mode if durable else f"{mode}, durability off"
    what = " ".join((what, *options)).replace("--", "")
    place = place / what.replace(" ", "-")
    place.mkdir()
    config = place / f"{mode}.toml"
    config.write_text(f'[upstream]\ntrusted_ca = "{ca}"\n[egress]\nallow_networks = ["127.0.0.0/8"]\n')
    authority = place / f"ca-{mode}"
    program = [sys.executable, "-m", "proxy_addon"]
    subprocess.run([*program, "ca", "--ca", authority], check=True, stdout=subprocess.DEVNULL)
    if not durable:
        program = [sys.executable, "-m", "benchmarks.writer", "--as-sidecar", "0", "-"]
    command = [
        *program,
        "run",
        *options,
        "--config",
        config,
        "--log",
        place / f"log-{mode}",
        "--ca",
        authority,
        "--mode",
        mode,
    ]
    command += [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--crawler",
        "bench",
        "--product-token",
        "BenchBot",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    host, _, port = ready["proxy"].rpartition(":")
    return Contender(f"crawl-audit ({what})", process, (host, int(port)))


def _measure(
    contender: Contender, scenario: Scenario, ports: tuple[int, int], connections: int, seconds: float
) -> None:
    pid, port = contender.process.pid, ports[1] if scenario.tls else ports[0]
    before = _cpu_s(pid)
    connections = scenario.connections or connections
    result = asyncio.run(load.run(scenario, contender.address, port, connections, seconds))
    count = max(1, len(result.latencies_ms))
    contender.rates.setdefault(scenario.name, []).append(result.requests_per_s)
    contender.p50.setdefault(scenario.name, []).append(result.percentile_ms(0.5))
    contender.p99.setdefault(scenario.name, []).append(result.percentile_ms(0.99))
    contender.cpu_ms.setdefault(scenario.name, []).append((_cpu_s(pid) - before) * 1000 / count)
    contender.failures += result.failures
    contender.peak_mib = max(contender.peak_mib, rss_mib(pid))


def _table(contenders: list[Contender], scenarios: tuple[Scenario, ...]) -> str:
    lines = [
        "| scenario | proxy | requests/s (range) | × plain | p50 ms | p99 ms | CPU ms/request |",
        "|---|---|---|---|---|---|---|",
    ]
    for scenario in scenarios:
        base = statistics.median(contenders[0].rates[scenario.name])
        for contender in contenders:
            rates = contender.rates[scenario.name]
            middle = statistics.median(rates)
            figures = (
                statistics.median(measured[scenario.name])
                for measured in (contender.p50, contender.p99, contender.cpu_ms)
            )
            p50, p99, cpu = figures
            spread = f"{middle:.0f} ({min(rates):.0f}–{max(rates):.0f})"
            cells = (
                scenario.name,
                contender.name,
                spread,
                f"{middle / base:.2f}",
                f"{p50:.1f}",
                f"{p99:.1f}",
                f"{cpu:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    lines += [f"- {c.name}: peak memory {c.peak_mib:.0f} MiB, failed requests {c.failures:,}" for c in contenders]
    return "\n".join(lines)


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="per scenario, contender and round")
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--only", action="append", metavar="SCENARIO", help="may be repeated; default: all")
    parser.add_argument("--peers", action="store_true", help="other proxies too, those that are installed")
    chosen = parser.parse_args()
    scenarios = tuple(scenario for scenario in SCENARIOS if not chosen.only or scenario.name in chosen.only)
    if not scenarios:
        parser.error(f"--only takes {', '.join(repr(scenario.name) for scenario in SCENARIOS)}")
    place = Path(tempfile.mkdtemp(prefix="crawl-audit-bench-"))
    contenders: list[Contender] = []
    missing: list[peers.Missing] = []
    try:
        with origin(place) as (ca, ports):
            contenders.append(mitmdump(place))
            contenders += [sidecar(place, mode, ca) for mode in ("audit", "enforce")]
            contenders.append(sidecar(place, "audit", ca, durable=False))
            for peer in peers.PEERS if chosen.peers else ():
                found = peer(place)
                if isinstance(found, peers.Missing):
                    missing.append(found)
                else:
                    contenders.append(_contender(found))
            for number in range(chosen.rounds):
                for scenario in scenarios:
                    for contender in contenders:
                        print(f"round {number + 1}: {scenario.name}: {contender.name}", file=sys.stderr)
                        _measure(contender, scenario, ports, chosen.connections, chosen.seconds)
        print(machine() + "\n")
        print(_table(contenders, scenarios))
        for one in missing:
            print(f"- {one.name}: not on this machine: {one.why}")
    finally:
        for contender in contenders:
            contender.process.terminate()
        for contender in contenders:
            try:
                contender.process.wait(20)
            except subprocess.TimeoutExpired:
                contender.process.kill()
                contender.process.wait()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
