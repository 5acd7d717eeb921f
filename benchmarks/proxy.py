"""Side by side in one run: plain mitmdump and the sidecar, same origin server, same load, rounds interleaved.

Prints a Markdown table: requests/s (median and range over the rounds), ratio to plain mitmdump, latency, CPU per
request of the whole process tree, and peak memory.  Noise on shared machines is about ±25 %; read the ratios.
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
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import trustme

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks import load
from benchmarks.load import Scenario

SCENARIOS = (
    Scenario(name="http keep-alive"),
    Scenario(name="https keep-alive", tls=True),
    Scenario(name="https new connection", tls=True, new_connections=True),
    Scenario(name="https new host each", tls=True, new_hosts=True),
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def mitmdump(place: Path) -> Contender:
    port = _free_port()
    program = Path(sys.executable).with_name("mitmdump")
    command = [program, "-q", "--listen-host", "127.0.0.1", "-p", str(port), "--set", "ssl_insecure=true"]
    command += ["--set", "flow_detail=0", "--set", f"confdir={place / 'mitmdump'}"]
    process = subprocess.Popen(command, text=True)
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return Contender("mitmdump (plain)", process, ("127.0.0.1", port))
        asyncio.run(asyncio.sleep(0.05))
    raise SystemExit("mitmdump did not start")


def _sidecar(place: Path, mode: str, ca: Path) -> Contender:
    config = place / f"{mode}.toml"
    config.write_text(f'[upstream]\ntrusted_ca = "{ca}"\n[egress]\nallow_networks = ["127.0.0.0/8"]\n')
    authority = place / f"ca-{mode}"
    program = [sys.executable, "-m", "proxy_addon"]
    subprocess.run([*program, "ca", "--ca", authority], check=True, stdout=subprocess.DEVNULL)
    command = [*program, "run", "--config", config, "--log", place / f"log-{mode}", "--ca", authority, "--mode", mode]
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
    return Contender(f"crawl-audit ({mode})", process, (host, int(port)))


def _measure(
    contender: Contender, scenario: Scenario, ports: tuple[int, int], connections: int, seconds: float
) -> None:
    pid, port = contender.process.pid, ports[1] if scenario.tls else ports[0]
    before = _cpu_s(pid)
    result = asyncio.run(load.run(scenario, contender.address, port, connections, seconds))
    count = max(1, len(result.latencies_ms))
    contender.rates.setdefault(scenario.name, []).append(result.requests_per_s)
    contender.p50.setdefault(scenario.name, []).append(result.percentile_ms(0.5))
    contender.p99.setdefault(scenario.name, []).append(result.percentile_ms(0.99))
    contender.cpu_ms.setdefault(scenario.name, []).append((_cpu_s(pid) - before) * 1000 / count)
    contender.failures += result.failures
    contender.peak_mib = max(contender.peak_mib, rss_mib(pid))


def _table(contenders: list[Contender]) -> str:
    lines = [
        "| scenario | proxy | requests/s (range) | × plain | p50 ms | p99 ms | CPU ms/request |",
        "|---|---|---|---|---|---|---|",
    ]
    for scenario in SCENARIOS:
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
    lines += [f"- {c.name}: peak memory {c.peak_mib:.0f} MiB, failed requests {c.failures}" for c in contenders]
    return "\n".join(lines)


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="per scenario, contender and round")
    parser.add_argument("--connections", type=int, default=10)
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="crawl-audit-bench-"))
    contenders: list[Contender] = []
    try:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(place / "ca.pem"))
        ca.private_key_pem.write_to_path(str(place / "ca.key"))
        with origin_server(place / "ca.pem") as ports:
            contenders += [
                mitmdump(place),
                _sidecar(place, "audit", place / "ca.pem"),
                _sidecar(place, "enforce", place / "ca.pem"),
            ]
            for number in range(chosen.rounds):
                for scenario in SCENARIOS:
                    for contender in contenders:
                        print(f"round {number + 1}: {scenario.name}: {contender.name}", file=sys.stderr)
                        _measure(contender, scenario, ports, chosen.connections, chosen.seconds)
        versions = {name: importlib.metadata.version(name) for name in ("mitmproxy", "duckdb", "protego")}
        print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, {versions}\n")
        print(_table(contenders))
    finally:
        for contender in contenders:
            contender.process.terminate()
        for contender in contenders:
            contender.process.wait(60)
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
