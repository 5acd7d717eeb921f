"""What an inquiry and each kind of report cost: wall clock, processor time and peak memory, each in a fresh process.

    python -m benchmarks.reports 10_000_000              # makes a realistic log in a temporary directory
    python -m benchmarks.reports --log ./audit-log       # takes one that is there; --site, --runs

Prints Markdown.  With several runs each figure is that of the run that took the shortest time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from reports.kinds.registry import KINDS
from tests import realistic, realistic_sites

# One of the sites that are asked most, and one like most others.
_SITES = (realistic_sites.site_name(2), realistic_sites.site_name(9_000))


class Cost(NamedTuple):
    """Of one process, started and ended."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    code: int


def cost(*arguments: str) -> Cost:
    """What `crawl-audit` with these arguments costs."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "reports", *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, process.returncode)


def commands(log: str, sites: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The least that is possible, inquiries, and every kind of report."""
    yield ("--version",)
    for site in sites:
        yield ("inquiry", log, site, "--format", "json")
    for kind in KINDS:
        yield ("report", kind.name, log, "--format", "json")


def table(log: str, sites: tuple[str, ...], runs: int) -> Iterator[str]:
    """Lines of Markdown, as they become known."""
    yield "| command | wall s | CPU s | peak MiB |"
    yield "|---|---|---|---|"
    for arguments in commands(log, sites):
        best = min(cost(*arguments) for _ in range(runs))
        name = " ".join(word for word in arguments if word not in (log, "--format", "json"))
        failed = f" (exit code {best.code})" if best.code not in (0, 1, 3) else ""
        yield f"| `{name}`{failed} | {best.wall_s:.1f} | {best.cpu_s:.1f} | {best.peak_mib:.0f} |"


def main() -> None:
    """Make the log where none is given, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exchanges", type=lambda text: int(text.replace("_", "")), nargs="?", default=1_000_000)
    parser.add_argument("--log", type=Path, help="a log that is there")
    parser.add_argument("--site", action="append", help="domain or URL of an inquiry; may be repeated")
    parser.add_argument("--runs", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        log = given.log or Path(directory) / "audit-log"
        if given.log is None:
            began = time.perf_counter()
            realistic.generate(log, given.exchanges)
            size = sum(file.stat().st_size for file in log.rglob("*.parquet")) / 2**20
            took = time.perf_counter() - began
            sys.stdout.write(f"{given.exchanges:,} exchanges, {size:.0f} MiB, made in {took:.0f} s\n\n")
        for line in table(str(log), tuple(given.site or _SITES), given.runs):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
