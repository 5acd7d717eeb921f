"""The days of a fleet that are over become compacted copies beside the originals, each put in place by its last object.

A day is made of the segments whose earliest record is of that day (UTC), each of them whole.  Nobody reads a copy
before the object that describes it is there, so a job that ends anywhere leaves nothing half, and goes on where it was.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from crawl_audit.compacted_day import EXTENT, CompactedDay, CompactedFile, Covered
from crawl_audit.errors import LogFormatError
from crawl_audit.remote_layout import compacted_key
from reports import compaction, output, remote_listing
from reports.period import UsageError, now
from reports.remote import Mirrored, Need, mirrored
from reports.remote_listing import Place

_ATTEMPTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DayMade:
    """A day that was compacted: how many segments and records are in the copy, and how many octets it has."""

    day: str
    segments: int
    records: int
    octets: int


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a job did, and what it left as it is."""

    made: list[DayMade] = field(default_factory=list)
    already: tuple[str, ...] = ()
    """Days that were compacted before."""
    late: dict[str, int] = field(default_factory=dict)
    """Segments of such days that came afterwards: they are read as originals until their day is compacted anew."""
    not_over: int = 0
    """Segments of days that are not over."""
    stale: tuple[str, ...] = ()
    """Copies that do not stand for the originals any more."""


def run(address: str, day: date | None = None) -> Outcome:
    """Compact every day that is over and has no copy that stands for its originals; or ``day`` alone, and anew.

    Raises UsageError for a day that is not over, ConfigurationError and LogFormatError in one sentence.
    """
    today = _today()
    if day is not None and day.isoformat() >= today:
        raise UsageError(f"{day} is not over (UTC): it can be compacted from tomorrow on.")
    found = mirrored(address, Need.COMPACTION)
    try:
        by_day, outcome = _sorted_out(found, today)
        if day is not None and day.isoformat() in found.state.days:
            found.cache.release()
            found = mirrored(address, Need.COMPACTION, without=(day.isoformat(),))
            by_day, outcome = _sorted_out(found, today)
        wanted = [one for one in sorted(by_day) if one < today and one not in found.state.days]
        for one in wanted if day is None else [one for one in wanted if one == day.isoformat()]:
            with _working(found) as work:
                outcome.made.append(_made(found, one, by_day[one], work))
        outcome.stale = tuple(one for one in outcome.stale if one not in {made.day for made in outcome.made})
    finally:
        found.cache.release()
    return outcome


def _today() -> str:
    return now().date().isoformat()


def _sorted_out(found: Mirrored, today: str) -> tuple[dict[str, list[Place]], Outcome]:
    """The segments that no copy stands for, by day; and what is said about them."""
    assert found.fleet is not None, "a job looks at what is there now"
    directories = {_directory(found, place): place for place in found.fleet.segments}
    by_day: dict[str, list[Place]] = {}
    for directory, day in compaction.days_of(sorted(directories)).items():
        by_day.setdefault(day, []).append(directories[directory])
    return by_day, Outcome(
        already=found.state.days,
        late={day: len(by_day[day]) for day in found.state.days if day in by_day},
        not_over=sum(len(places) for day, places in by_day.items() if day >= today),
        stale=found.fleet.stale,
    )


def _directory(found: Mirrored, place: Place) -> Path:
    return found.root / "segments" / place[0] / f"{place[1]:012d}-{place[2]:012d}"


@contextmanager
def _working(found: Mirrored) -> Iterator[Path]:
    """An empty directory for one day, and no other job of this machine on the same address."""
    work = found.cache.root / "compacting-work"
    with found.cache.locked("compacting.lock"):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _made(found: Mirrored, day: str, places: list[Place], work: Path) -> DayMade:
    """Compact one day and publish it."""
    directories = [_directory(found, place) for place in sorted(places)]
    with output.steps(f"Compacting {day}") as advance:
        written = compaction.compact(directories, work, advance)
        advance("upload")
        made = CompactedDay(
            day=day,
            segments=tuple(sorted(_covered(found, place) for place in places)),
            files=tuple(_uploaded(found, day, written)),
        )
        _publish(found, made)
    records = sum(file.rows for file in made.files if file.kind != EXTENT)
    return DayMade(day=day, segments=len(places), records=records, octets=sum(file.size for file in made.files))


def _covered(found: Mirrored, place: Place) -> Covered:
    assert found.fleet is not None, "a job looks at what is there now"
    listed = found.fleet.segments[place]
    digest = hashlib.sha256(found.markers.read(listed)).hexdigest()
    return Covered(log=place[0], first=place[1], last=place[2], sha256=digest, etag=listed.etag)


def _uploaded(found: Mirrored, day: str, written: Iterable[compaction.Made]) -> Iterator[CompactedFile]:
    """The files, put under names that nothing has: what somebody reads meanwhile is never written over."""
    taken = {listed.key for listed in found.store.listed(f"compacted/{day}")}
    token = next(n for n in iter(lambda: secrets.randbelow(9_000) + 1_000, 0) if not any(f"-{n}" in k for k in taken))
    for one in written:
        with one.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        name, size = f"{one.kind}-{token}{one.number:02d}.parquet", one.path.stat().st_size
        key = compacted_key(day, name)
        if not any(_arrived(found, key, one.path, digest) for _ in range(_ATTEMPTS)):
            raise LogFormatError(f"The object {key} does not arrive whole in {found.store.address}: run this again.")
        yield CompactedFile(name=name, kind=one.kind, rows=one.rows, size=size, sha256=digest)


def _arrived(found: Mirrored, key: str, path: Path, sha256: str) -> bool:
    """Put a file, and whether it reads back as it is."""
    found.store.put(key, path)
    digest = hashlib.sha256()
    for chunk in found.store.chunks(key, path.stat().st_size):
        digest.update(chunk)
    return digest.hexdigest() == sha256


def _publish(found: Mirrored, made: CompactedDay) -> None:
    """Put the object that makes the copy be there, and take away what earlier copies and ended jobs left."""
    there = {listed.key for listed in found.store.listed(f"compacted/{made.day}")}
    ours = {made.file_key(file) for file in made.files}
    is_new = all(remote_listing.day_of(one) != made.day for one in remote_listing.compacted(found.store))
    if not found.store.put(made.key, made.to_json(), unless_there=is_new):
        found.store.delete(ours)
        raise LogFormatError(f"Another job has compacted {made.day} in {found.store.address} meanwhile: nothing to do.")
    if left := there - ours:
        found.store.delete(left)
