"""What an inquiry and each kind of report cost: wall clock, processor time and peak memory, each in a fresh process.

    python -m benchmarks.reports 10_000_000              # makes a realistic log in a temporary directory
    python -m benchmarks.reports 1_000_000 10_000_000 --plot growth.svg     # how the cost grows with the log
    python -m benchmarks.reports --log ./audit-log       # takes one that is there; --site, --runs

Prints Markdown.  With several runs each figure is that of the run that took the shortest time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from reports.kinds.registry import KINDS
from tests import realistic_sites

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


def table(log: str, sites: tuple[str, ...], runs: int, measured: dict[str, Cost]) -> Iterator[str]:
    """Lines of Markdown, as they become known; ``measured`` is filled by the names of the commands."""
    yield "| command | wall s | CPU s | peak MiB |"
    yield "|---|---|---|---|"
    for arguments in commands(log, sites):
        best = min(cost(*arguments) for _ in range(runs))
        name = " ".join(word for word in arguments if word not in (log, "--format", "json"))
        measured[name] = best
        failed = f" (exit code {best.code})" if best.code not in (0, 1, 3) else ""
        yield f"| `{name}`{failed} | {best.wall_s:.1f} | {best.cpu_s:.1f} | {best.peak_mib:.0f} |"


def growth(sizes: dict[int, dict[str, Cost]]) -> Iterator[str]:
    """By how much each command grew from one size to the next larger, beside by how much the log did."""
    for (small, before), (large, after) in itertools.pairwise(sorted(sizes.items())):
        yield f"| command | {small:,} s | {large:,} s | × for × {large / small:.0f} exchanges |"
        yield "|---|---|---|---|"
        for name in before:
            ratio = after[name].wall_s / before[name].wall_s
            yield f"| `{name}` | {before[name].wall_s:.1f} | {after[name].wall_s:.1f} | {ratio:.1f} |"


def plot(sizes: dict[int, dict[str, Cost]], to: Path) -> None:
    """A line for each command: seconds by exchanges, both logarithmic; linear growth is the slope of the grey line."""
    import vl_convert

    rows = [
        {"exchanges": size, "seconds": found.wall_s, "command": name}
        for size, costs in sizes.items()
        for name, found in costs.items()
        if name != "--version"
    ]
    first, last = min(sizes), max(sizes)
    guide = [{"exchanges": size, "seconds": 0.5 * size / first} for size in (first, last)]
    scale = {"type": "log", "nice": False}
    axes = {
        "x": {"field": "exchanges", "type": "quantitative", "scale": scale, "title": "exchanges in the log"}
        | {"axis": {"values": sorted(sizes), "format": ",d", "labelFlush": True}},
        "y": {"field": "seconds", "type": "quantitative", "scale": {"type": "log"}, "title": "seconds"},
    }
    commands = {"field": "command", "type": "nominal", "sort": {"field": "seconds", "op": "max", "order": "descending"}}
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": 520,
        "height": 360,
        "padding": {"left": 5, "top": 10, "right": 30, "bottom": 5},
        "layer": [
            {
                "data": {"values": guide},
                "mark": {"type": "line", "color": "#bbb", "strokeDash": [4, 4]},
                "encoding": axes,
            },
            {
                "data": {"values": rows},
                "mark": {"type": "line", "point": True},
                "encoding": {
                    **axes,
                    "color": {
                        **commands,
                        "scale": {"scheme": "tableau20"},
                        "title": None,
                        "legend": {"labelLimit": 300},
                    },
                },
            },
        ],
    }
    to.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")


def main() -> None:
    """Make the logs where none is given, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exchanges", type=lambda text: int(text.replace("_", "")), nargs="*", default=[1_000_000])
    parser.add_argument("--log", type=Path, help="a log that is there")
    parser.add_argument("--site", action="append", help="domain or URL of an inquiry; may be repeated")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="SVG of how the cost grows, from two sizes on")
    given = parser.parse_args()
    sites, sizes = tuple(given.site or _SITES), dict[int, dict[str, Cost]]()
    if given.log is not None:
        _print(table(str(given.log), sites, given.runs, {}))
        return
    for exchanges in sorted(given.exchanges):
        with tempfile.TemporaryDirectory() as directory:
            log, began = Path(directory) / "audit-log", time.perf_counter()
            # In a process of its own: what this one takes would be counted as the peak of all that it starts.
            subprocess.run([sys.executable, "-m", "tests.realistic", log, str(exchanges)], check=True)
            octets = sum(file.stat().st_size for file in log.rglob("*.parquet"))
            took = time.perf_counter() - began
            size = f"{octets / 2**20:.0f} MiB, {octets / exchanges:.0f} octets each"
            _print([f"\n{exchanges:,} exchanges, {size}, made in {took:.0f} s\n"])
            _print(table(str(log), sites, given.runs, sizes.setdefault(exchanges, {})))
    _print(["", *growth(sizes)])
    if given.plot is not None:
        plot(sizes, given.plot)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
