"""A fleet's day shipped by the program that sidecars run, each log from a log directory of its own, trouble included.

The logs of a made day lie in one directory; here every one gets its own (hard links), and the shipper of the sidecar
ships it until nothing is left.  Every tenth one does so past a proxy that makes every kind of trouble the tests know.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from crawl_audit.object_address import parse
from crawl_audit.remote_layout import SCHEMA, segment_directory, shipped_key
from proxy_addon.log_directory import LogDirectory
from proxy_addon.ship_options import ShipOptions
from proxy_addon.shipper import ship_once
from reports.object_store import endpoint
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
    failures: dict[str, int] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)


def ship(root: Path, address: str, *, processes: int) -> Iterator[str]:
    """Ship every log of ``root`` and say how that went; raises SystemExit where something is not as it should be."""
    began = time.perf_counter()
    places = list(_directories(root))
    with ExitStack() as stack:
        troubled = Store(url="", bucket=parse(address).bucket, environment={}, direct=endpoint())
        proxy = stack.enter_context(faulty_proxy(troubled))
        jobs = []
        for number, place in enumerate(places):
            faulty = number % FAULTY_EVERY == FAULTY_EVERY - 1
            if faulty:
                _trouble(troubled, place)
            jobs.append(Job(place, address, proxy if faulty else endpoint()))
        if any(job.endpoint == proxy for job in jobs):
            _store_another(troubled, next(job for job in jobs if job.endpoint == proxy).directory)
        asked = len(troubled.faults)
        pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(processes))
        done: list[Shipped] = []
        for one in pool.imap_unordered(ship_log, jobs):
            done.append(one)
            if len(done) % 30 == 0:
                yield f"  {len(done)} of {len(jobs)} sidecars have shipped after {time.perf_counter() - began:.0f} s"
        yield from _told(done, time.perf_counter() - began)
        yield from _repaired(troubled, address, [job for job in jobs if _log(job.directory) in _in_conflict(done)])
        left = [fault for fault in troubled.faults if fault.times]
        if left:
            raise SystemExit(f"{len(left)} of {asked} faults never happened: {left[0]}")
        yield f"{asked} faults happened, each of them"
        yield from _compared(troubled, parse(address).prefix, places)
    shutil.rmtree(root.parent / f"{root.name}-sidecars")


def _directories(root: Path) -> Iterator[Path]:
    """A log directory for every log, as its sidecar has it."""
    for log in sorted((root / "segments").glob("node*")):
        place = root.parent / f"{root.name}-sidecars" / log.name
        shutil.copytree(log, place / "segments" / log.name, copy_function=os.link)
        shutil.copytree(root / SCHEMA, place / SCHEMA, copy_function=os.link)
        (place / "checkpoints").mkdir()
        head = f"{log.name}.checkpoint"
        os.link(root / "checkpoints" / head, place / "checkpoints" / head)
        yield place


def _log(place: Path) -> str:
    return place.name


def _segments(place: Path) -> list[str]:
    return sorted(segment.name for segment in (place / "segments" / _log(place)).iterdir())


def _trouble(store: Store, place: Path) -> None:
    segments = _segments(place)
    for number, (kind, method) in enumerate(_TROUBLE):
        segment = segments[1 + number % (len(segments) - 1)]
        store.fault(kind, method=method, path=f"segments/{_log(place)}/{segment}/decision", seconds=_SLOW_S)


def _store_another(store: Store, place: Path) -> None:
    """What a store must not do, once in the whole fleet: keep other octets than it was given."""
    store.fault("wrong_stored", method="PUT", path=f"segments/{_log(place)}/{_segments(place)[0]}/seal")


def ship_log(job: Job) -> Shipped:
    """Ship one log until nothing is left but what is in conflict; raises SystemExit where that never comes."""
    os.environ["AWS_ENDPOINT_URL"] = job.endpoint
    done = Shipped(_log(job.directory))
    options = ShipOptions(url=job.address)
    while True:
        status = ship_once(LogDirectory(job.directory), options)
        done.attempts += 1
        done.segments += status.shipped_segments
        done.octets += status.shipped_bytes
        for reason, count in status.failures.items():
            done.failures[reason] = done.failures.get(reason, 0) + count
        done.conflicts = status.conflicts
        if not status.fault and status.unshipped_segments == len(status.conflicts):
            return done
        if done.attempts == _ATTEMPTS_MAX:
            raise SystemExit(f"{done.log} is not shipped after {_ATTEMPTS_MAX} attempts: {status.fault}")


def _told(done: list[Shipped], took_s: float) -> Iterator[str]:
    segments, octets = sum(one.segments for one in done), sum(one.octets for one in done)
    failures: dict[str, int] = {}
    for one in done:
        for reason, count in one.failures.items():
            failures[reason] = failures.get(reason, 0) + count
    yield f"{segments:,} segments, {octets / 2**20:.0f} MiB shipped in {took_s:.0f} s, {segments / took_s:.0f} a second"
    yield f"rounds that failed and were begun anew: {sum(one.attempts - 1 for one in done)}; reasons: {failures}"


def _in_conflict(done: list[Shipped]) -> set[str]:
    return {one.log for one in done if one.conflicts}


def _repaired(store: Store, address: str, jobs: list[Job]) -> Iterator[str]:
    """Take away the object the store keeps wrongly, as its owner does once told, and ship what is left."""
    for job in jobs:
        first, _, last = _segments(job.directory)[0].partition("-")
        key = f"{segment_directory(_log(job.directory), int(first), int(last))}/seal.parquet"
        if shipped_key(_log(job.directory), int(first), int(last)) in store.keys(parse(address).key("shipped/")):
            raise SystemExit(f"{key} was stored with other octets and counts as shipped")
        store.delete(parse(address).key(key))
        again = ship_log(replace(job, endpoint=endpoint()))
        if again.conflicts or again.segments != 1:
            raise SystemExit(f"{again.log} is still in conflict: {again.conflicts}")
        yield f"{key} was stored with other octets: named, not counted as shipped; shipped once it was deleted"


def _compared(store: Store, prefix: str, places: list[Path]) -> Iterator[str]:
    """Whether exactly what lies in the log directories lies in the store: nothing less, nothing twice."""
    wanted = {str(path.relative_to(place)) for place in places for path in _files(place)}
    segments = [(_log(place), *segment.split("-")) for place in places for segment in _segments(place)]
    wanted |= {shipped_key(log, int(first), int(last)) for log, first, last in segments}
    found = {key.removeprefix(prefix).lstrip("/") for key in store.keys(prefix)}
    if found != wanted:
        missing, beyond = sorted(wanted - found), sorted(found - wanted)
        raise SystemExit(f"{len(missing)} objects are missing {missing[:2]}, {len(beyond)} are too many {beyond[:2]}")
    yield f"{len(found):,} objects are there, all that should be and no other"


def _files(place: Path) -> Iterator[Path]:
    for part in ("segments", "checkpoints"):
        yield from (path for path in (place / part).rglob("*") if path.is_file())
