"""A fleet's day shipped by the program that sidecars run, each log from a log directory of its own, trouble included.

The logs of a made day lie in one directory; here every one gets its own (hard links), and the shipper of the sidecar
ships it until nothing is left.  Every tenth one does so past a proxy that makes every kind of trouble the tests know.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from crawl_audit.object_address import ObjectAddress, parse
from crawl_audit.remote_layout import SCHEMA, segment_key, shipped_key
from proxy_addon.log_directory import LogDirectory
from proxy_addon.ship_options import ShipOptions
from proxy_addon.shipper import ship_once
from reports.object_store import endpoint
from reports.remote_listing import Place
from tests.object_stores import Store, faulty_proxy

FAULTY_EVERY = 10
# What befalls which request of a segment; each once and on a segment of its own.
_TROUBLE = (
    ("refused", "PUT"),
    ("unavailable", "PUT"),
    ("internal", "PUT"),
    ("skewed", "PUT"),
    ("torn_upload", "PUT"),
    ("lost_answer", "PUT"),
    ("duplicate", "PUT"),
    ("slow", "PUT"),
    ("refused", "GET"),
    ("unavailable", "GET"),
    ("torn_answer", "GET"),
    ("wrong_answered", "GET"),
)
_SLOW_S = 0.5
_ATTEMPTS_MAX = 60


@dataclass(frozen=True, slots=True)
class Job:
    """One sidecar: its log directory, where it ships to and by which endpoint."""

    directory: Path
    address: str
    endpoint: str


@dataclass(slots=True)
class Shipped:
    """How one sidecar fared."""

    log: str
    segments: int = 0
    octets: int = 0
    attempts: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    conflicts: list[str] = field(default_factory=list)


def ship(root: Path, address: str, *, processes: int) -> Iterator[str]:
    """Ship every log of ``root`` and say how that went; raises SystemExit where something is not as it should be."""
    began, where = time.perf_counter(), parse(address)
    with ExitStack() as stack:
        sidecars = stack.enter_context(tempfile.TemporaryDirectory(dir=root.parent))  # where hard links are possible
        places = list(_directories(root, Path(sidecars)))
        troubled = Store(url="", bucket=where.bucket, environment={}, direct=endpoint())
        proxy = stack.enter_context(faulty_proxy(troubled))
        faulty = places[FAULTY_EVERY - 1 :: FAULTY_EVERY]
        for place in faulty:
            _trouble(troubled, place)
        for place in faulty[:1]:
            _store_another(troubled, place)
        jobs = [Job(place, address, proxy if place in faulty else endpoint()) for place in places]
        asked = len(troubled.faults)
        pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(processes))
        done: list[Shipped] = []
        for one in pool.imap_unordered(ship_log, jobs):
            done.append(one)
            if len(done) % 30 == 0:
                yield f"  {len(done)} of {len(jobs)} sidecars have shipped after {time.perf_counter() - began:.0f} s"
        yield from _told(done, time.perf_counter() - began)
        in_conflict = {one.log for one in done if one.conflicts}
        yield from _repaired(troubled, where, [job for job in jobs if job.directory.name in in_conflict])
        left = [fault for fault in troubled.faults if fault.times]
        if left:
            raise SystemExit(f"{len(left)} of {asked} faults never happened: {left[0]}")
        yield f"{asked} faults happened, each of them"
        yield from _compared(troubled, where, places)


def _directories(root: Path, sidecars: Path) -> Iterator[Path]:
    """A log directory of its own in ``sidecars`` for every log, under the log's name."""
    for log in sorted((root / "segments").glob("node*")):
        place = sidecars / log.name
        shutil.copytree(log, place / "segments" / log.name, copy_function=os.link)
        shutil.copytree(root / SCHEMA, place / SCHEMA, copy_function=os.link)
        (place / "checkpoints").mkdir()
        head = f"{log.name}.checkpoint"
        os.link(root / "checkpoints" / head, place / "checkpoints" / head)
        yield place


def _segments(place: Path) -> list[Place]:
    """The segments of a sidecar's log in order: the log, its first and its last record."""
    names = sorted(segment.name for segment in (place / "segments" / place.name).iterdir())
    return [(place.name, *map(int, name.split("-"))) for name in names]


def _trouble(store: Store, place: Path) -> None:
    segments = _segments(place)
    for number, (kind, method) in enumerate(_TROUBLE):
        segment = segments[1 + number % (len(segments) - 1)]
        store.fault(kind, method=method, path=segment_key(*segment, "decision"), seconds=_SLOW_S)


def _store_another(store: Store, place: Path) -> None:
    """What a store must not do, once in the whole fleet: keep other octets than it was given."""
    store.fault("wrong_stored", method="PUT", path=segment_key(*_segments(place)[0], "seal"))


def ship_log(job: Job) -> Shipped:
    """Ship one log until nothing is left but what is in conflict; raises SystemExit where that never comes."""
    os.environ["AWS_ENDPOINT_URL"] = job.endpoint
    done = Shipped(job.directory.name)
    options = ShipOptions(url=job.address)
    while True:
        status = ship_once(LogDirectory(job.directory), options)
        done.attempts += 1
        done.segments += status.shipped_segments
        done.octets += status.shipped_bytes
        done.failures.update(status.failures)
        done.conflicts = status.conflicts
        if not status.fault and status.unshipped_segments == len(status.conflicts):
            return done
        if done.attempts == _ATTEMPTS_MAX:
            raise SystemExit(f"{done.log} is not shipped after {_ATTEMPTS_MAX} attempts: {status.fault}")


def _told(done: list[Shipped], took_s: float) -> Iterator[str]:
    segments, octets = sum(one.segments for one in done), sum(one.octets for one in done)
    failures = sum((one.failures for one in done), Counter[str]())
    yield f"{segments:,} segments, {octets / 2**20:.0f} MiB shipped in {took_s:.0f} s, {segments / took_s:.0f} a second"
    yield f"rounds that failed and were begun anew: {sum(one.attempts - 1 for one in done)}; reasons: {dict(failures)}"


def _repaired(store: Store, where: ObjectAddress, jobs: list[Job]) -> Iterator[str]:
    """Take away the object the store keeps wrongly, as its owner does once told, and ship what is left."""
    for job in jobs:
        first = _segments(job.directory)[0]
        key, marker = segment_key(*first, "seal"), where.key(shipped_key(*first))
        if marker in store.keys(marker):
            raise SystemExit(f"{key} was stored with other octets and counts as shipped")
        store.delete(where.key(key))
        again = ship_log(replace(job, endpoint=endpoint()))
        if again.conflicts or again.segments != 1:
            raise SystemExit(f"{again.log} is still in conflict: {again.conflicts}")
        yield f"{key} was stored with other octets: named, not counted as shipped; shipped once it was deleted"


def _compared(store: Store, where: ObjectAddress, places: list[Path]) -> Iterator[str]:
    """Whether exactly what lies in the log directories lies in the store: nothing less, nothing twice."""
    wanted = {str(path.relative_to(place)) for place in places for path in _files(place)}
    wanted |= {shipped_key(*segment) for place in places for segment in _segments(place)}
    found = {where.relative(key) for key in store.keys(where.prefix)}
    if found != wanted:
        missing, beyond = sorted(wanted - found), sorted(found - wanted)
        raise SystemExit(f"{len(missing)} objects are missing {missing[:2]}, {len(beyond)} are too many {beyond[:2]}")
    yield f"{len(found):,} objects are there, all that should be and no other"


def _files(place: Path) -> Iterator[Path]:
    for part in ("segments", "checkpoints"):
        yield from (path for path in (place / part).rglob("*") if path.is_file())
