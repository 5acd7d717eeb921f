"""What a fleet's day costs from end to end: made, shipped to an S3 endpoint, compacted, asked and verified.

    python -m benchmarks.fleet generate DIR --sidecars 300 --segments-per-sidecar 96 --exchanges 10_000_000
    python -m benchmarks.fleet ship DIR s3://bucket/fleet
    python -m benchmarks.fleet compact s3://bucket/fleet
    python -m benchmarks.fleet inquiry s3://bucket/fleet        # cold, then warm; --site, --runs
    python -m benchmarks.fleet verify s3://bucket/fleet
    python -m benchmarks.fleet serve                            # an S3 server on loopback, until Ctrl-C

Each step but the first two runs in a process of its own, as an auditor runs it, and says seconds and peak memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import fleet_day, fleet_sidecars
from benchmarks.reports import cost


def generate(root: Path, day: fleet_day.FleetDay, processes: int) -> Iterator[str]:
    """Write the logs of all sidecars, several at once."""
    began = time.perf_counter()
    fleet_day.generate(root, day, only=range(min(1, day.sidecars)))  # what all logs share is made by the first
    shares = [range(1 + number, day.sidecars, processes) for number in range(processes)]
    spawning = multiprocessing.get_context("spawn")
    workers = [spawning.Process(target=_generated, args=(root, day, share)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("A process that makes logs has failed.")
    files = [path.stat().st_size for path in root.rglob("*.parquet")]
    took = time.perf_counter() - began
    segments = sum(1 for _ in (root / "segments").glob("node*/*"))
    yield f"{day.exchanges:,} exchanges in {segments:,} segments, {len(files):,} files, {sum(files) / 2**20:.0f} MiB"
    yield f"made in {took:.0f} s"


def _generated(root: Path, day: fleet_day.FleetDay, share: range) -> None:
    fleet_day.generate(root, day, only=share)


def measured(name: str, *arguments: str, runs: int = 1) -> Iterator[str]:
    """What `crawl-audit` with these arguments costs, each time anew."""
    for number in range(runs):
        one = cost(*arguments)
        if one.code not in (0, 3):
            raise SystemExit(f"{name}: crawl-audit {' '.join(arguments)} ended with {one.code}")
        which = f"{name} {number + 1}" if runs > 1 else name
        yield f"{which}: {one.wall_s:.2f} s, {one.cpu_s:.2f} s of CPU, {one.peak_mib:.0f} MiB at most"


def serve() -> None:
    """An S3 server on loopback with a bucket, and what to put into the environment to use it."""
    from tests import object_stores

    with object_stores.s3_server() as store:
        for name, value in store.environment.items():
            sys.stdout.write(f"export {name}={value}\n")
        sys.stdout.write(f"# the bucket is s3://{store.bucket}\n")
        sys.stdout.flush()
        subprocess.run(["sleep", "infinity"], check=False)


def _lines(given: argparse.Namespace) -> Iterator[str]:
    if given.command == "generate":
        day = fleet_day.FleetDay(
            sidecars=given.sidecars, segments=given.segments_per_sidecar, exchanges=given.exchanges
        )
        yield from generate(Path(given.place), day, given.processes)
    elif given.command == "ship":
        yield from fleet_sidecars.ship(Path(given.place), given.address, processes=given.processes)
    elif given.command == "compact":
        yield from measured("compact", "fleet", "compact", given.place)
    elif given.command == "inquiry":
        for site in given.site or [fleet_day.site_name(3), fleet_day.site_name(5_000)]:
            yield from measured(f"inquiry {site}", "inquiry", given.place, site, "--format", "json", runs=given.runs)
    else:
        yield from measured("verify", "verify", given.place, "--format", "json")


def main() -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("generate", "ship", "compact", "inquiry", "verify", "serve"))
    parser.add_argument("place", nargs="?", help="directory, or address")
    parser.add_argument("address", nargs="?", help="where to ship to")
    parser.add_argument("--sidecars", type=int, default=300)
    parser.add_argument("--segments-per-sidecar", type=int, default=96)
    parser.add_argument("--exchanges", type=lambda text: int(text.replace("_", "")), default=10_000_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--site", action="append")
    parser.add_argument("--runs", type=int, default=4)
    given = parser.parse_args()
    if given.command == "serve":
        serve()
        return
    if given.place is None or (given.command == "ship" and given.address is None):
        parser.error("name the directory or address")
    for line in _lines(given):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
