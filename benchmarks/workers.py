"""Two workers against one, each worker held to the same share of a core, so that whoever asks them has the rest.

On a machine of two cores, two workers that may take all they like would compete with the load generator and the origin
server.  Here every worker is in a cgroup of its own with a quota of processor time (``--share`` of a core), and the
generator's and the origin's own use is printed beside it: while quotas and use together are well below what the machine
has, only the workers' quotas bound the rate.  There are as many connections for each worker in both cases, as fewer of
them share a commit otherwise.  Needs the right to make cgroups (version 1 or 2) and Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks import load, proxy
from benchmarks.load import Scenario

SCENARIOS = (
    Scenario(name="http keep-alive"),
    Scenario(name="https keep-alive", tls=True),
    Scenario(name="https new connection", tls=True, new_connections=True),
)
_cpu_s, _tree = proxy._cpu_s, proxy._tree  # noqa: SLF001 - measured in the same way
_PERIOD_US = 20_000
_ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))


@dataclass(slots=True)
class Measured:
    """What one number of workers gave in one scenario, a value for each round."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    generator_cores: list[float] = field(default_factory=list)
    failures: int = 0


def _root() -> Path:
    for root in _ROOTS:
        if (root / "cpu.cfs_quota_us").exists() or (root / "cgroup.controllers").exists():
            return root
    raise SystemExit("No cgroup of processor time can be made here: run this as root on Linux.")


@contextlib.contextmanager
def group(name: str, share: float | None) -> Iterator[Path]:
    """A cgroup that may use ``share`` of one core, and comes before what else runs; None: as much as it likes."""
    made = _root() / f"crawl-audit-{os.getpid()}-{name}"
    made.mkdir()
    try:
        if (made / "cpu.cfs_quota_us").exists():
            (made / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (made / "cpu.cfs_quota_us").write_text(str(-1 if share is None else int(share * _PERIOD_US)))
            (made / "cpu.shares").write_text("262144")
        else:
            (made / "cpu.max").write_text(f"{'max' if share is None else int(share * _PERIOD_US)} {_PERIOD_US}")
            (made / "cpu.weight").write_text("10000")
        yield made
    finally:
        while (members := (made / "cgroup.procs").read_text().split()) and str(os.getpid()) not in members:
            time.sleep(0.05)
        for member in members:
            (_root() / "cgroup.procs").write_text(member)
        made.rmdir()


def workers_of(pid: int) -> list[int]:
    """The processes that serve: the workers of a supervisor, or the process itself."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(c) for c in children if b"proxy_addon.worker" in Path(f"/proc/{c}/cmdline").read_bytes()] or [pid]


@contextlib.contextmanager
def sidecar(place: Path, ca: Path, count: int, share: float) -> Iterator[proxy.Contender]:
    """A sidecar whose workers are each held to a share of a core; threads and helpers of a worker count to it."""
    place.mkdir()
    started = proxy.sidecar(place, "audit", ca, options=("--workers", str(count)))
    with contextlib.ExitStack() as stack:
        stack.callback(_end, started.process)
        for number, pid in enumerate(workers_of(started.process.pid)):
            made = stack.enter_context(group(f"{count}-{number}", share))
            (made / "cgroup.procs").write_text(str(pid))
            stack.callback(_end, started.process)
        yield started


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait(60)


def _generator_s(origin: int) -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime + _cpu_s(origin)


def _measure(
    one: proxy.Contender,
    workers: int,
    scenario: Scenario,
    ports: tuple[int, int],
    origin: int,
    chosen: argparse.Namespace,
    found: Measured,
) -> None:
    cpu, generator, began = _cpu_s(one.process.pid), _generator_s(origin), time.monotonic()
    port = ports[1] if scenario.tls else ports[0]
    result = asyncio.run(load.run(scenario, one.address, port, chosen.connections * workers, chosen.seconds))
    count = max(1, len(result.latencies_ms))
    found.rates.append(result.requests_per_s)
    found.cpu_ms.append((_cpu_s(one.process.pid) - cpu) * 1000 / count)
    found.generator_cores.append((_generator_s(origin) - generator) / (time.monotonic() - began))
    found.failures += result.failures


def _table(found: dict[tuple[str, int], Measured], counts: list[int], share: float) -> str:
    head = ("scenario", "workers", "cores for them", "requests/s (range)", "× one (range over rounds)")
    head += ("CPU ms/request", "generator and origin, cores", "failed")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for scenario in dict.fromkeys(name for name, _ in found):
        base = found[scenario, counts[0]]
        for count in counts:
            one = found[scenario, count]
            ratios = [rate / first for rate, first in zip(one.rates, base.rates, strict=True)]
            cells = (
                scenario,
                str(count),
                f"{count} × {share:g}",
                f"{statistics.median(one.rates):.0f} ({min(one.rates):.0f}–{max(one.rates):.0f})",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
                f"{statistics.median(one.cpu_ms):.2f}",
                f"{statistics.median(one.generator_cores):.2f}",
                str(one.failures),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.4, help="of one core, for each worker")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="per scenario, number of workers and round")
    parser.add_argument("--connections", type=int, default=16, help="for each worker")
    chosen = parser.parse_args()
    counts = [1, chosen.workers]
    place = Path(tempfile.mkdtemp(prefix="crawl-audit-bench-"))
    found = {(scenario.name, count): Measured() for scenario in SCENARIOS for count in counts}
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        others = stack.enter_context(group("others", None))
        (others / "cgroup.procs").write_text(str(os.getpid()))
        ca, ports = stack.enter_context(proxy.origin(place))
        origin = next(iter(_tree(os.getpid())[1:]))
        running = [stack.enter_context(sidecar(place / str(count), ca, count, chosen.share)) for count in counts]
        for number in range(chosen.rounds):
            for scenario in SCENARIOS:
                for count, one in zip(counts, running, strict=True):
                    print(f"round {number + 1}: {scenario.name}: {count} workers", file=sys.stderr)
                    _measure(one, count, scenario, ports, origin, chosen, found[scenario.name, count])
        print(f"{proxy.machine()}\n")
        print(_table(found, counts, chosen.share))
        for count, one in zip(counts, running, strict=True):
            print(f"- {count} workers: {proxy.rss_mib(one.process.pid):.0f} MiB in all at the end")


if __name__ == "__main__":
    main()
