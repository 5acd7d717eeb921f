"""One tree of a cache brought up to date: what is missing is fetched, checked and put in place, what is gone goes.

Every file is held to the digest its ``shipped`` object (or the description of its compacted day) names before a rename
puts it in place, so what is in place needs no second look and an interrupted run goes on where it ended.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from crawl_audit.compacted_day import CompactedDay, CompactedFile
from crawl_audit.errors import LogFormatError
from crawl_audit.remote_layout import ShippedSegment, checkpoint_key, parse_shipped
from reports import output
from reports.empty_kinds import write_empty_kinds
from reports.footers import COMPACTED
from reports.object_store import Listed, ObjectStore, concurrently
from reports.remote_cache import ORIGINALS, Cache
from reports.remote_listing import Fleet, Markers, Place

_CHECKPOINT_BYTES_MAX = 2**20
_WEIGHT = 2**20
_ATTEMPTS = 2


class Fetching:
    """One tree while it is brought up to date."""

    def __init__(self, cache: Cache, store: ObjectStore, markers: Markers, name: str) -> None:
        self.cache, self.store, self.markers, self.name = cache, store, markers, name
        self.tree = cache.tree(name)
        self._work = cache.work()
        self._numbers = iter(range(2**62))
        self._advance: Callable[[int], None] = lambda _: None

    def run(self, fleet: Fleet) -> None:
        """Fetch what is not there, and take away what is there no more."""
        (self.tree / "checkpoints").mkdir(mode=0o700, parents=True, exist_ok=True)
        write_empty_kinds(self.tree)
        self._drop(fleet)
        jobs = list(self._jobs(fleet))
        total, done, counting = sum(weight for weight, _ in jobs), 0, threading.Lock()
        with output.progress(f"Fetching {self.store.address}") as show:

            def advance(weight: int) -> None:
                nonlocal done
                with counting:
                    done += weight
                    show(done, total)

            self._advance = advance
            concurrently(job for _, job in jobs)
        shutil.rmtree(self._work, ignore_errors=True)

    def _jobs(self, fleet: Fleet) -> Iterator[tuple[int, Callable[[], None]]]:
        for day in fleet.days:
            numbers: dict[str, int] = {}
            for file in sorted(day.files, key=lambda file: file.name):
                numbers[file.kind] = number = numbers.get(file.kind, 0) + 1
                place = self.tree / "segments" / COMPACTED / f"{day.day}-{number}" / f"{file.kind}.parquet"
                if not place.exists():
                    weight = 1 + file.size // _WEIGHT
                    yield weight, partial(self._compacted, day, file, place)
        held = {log.name: set(os.listdir(log)) for log in (self.tree / "segments").iterdir() if log.is_dir()}
        for (log, first, last), listed in fleet.segments.items():
            if f"{first:012d}-{last:012d}" not in held.get(log, ()) or not self.markers.has(listed):
                yield 1, partial(self._segment, (log, first, last), listed)
        for listed in fleet.checkpoints:
            if not self._has_checkpoint(listed):
                yield 1, partial(self._checkpoint, listed)

    def _drop(self, fleet: Fleet) -> None:
        """Take away the segments and checkpoints that are not in the store any more."""
        for log in (self.tree / "segments").iterdir():
            if log.name in ("schema", COMPACTED):
                continue
            for segment in log.iterdir():
                first, _, last = segment.name.partition("-")
                if (log.name, int(first), int(last)) not in fleet.segments:
                    segment.rename(self._scratch())
            if not any(log.iterdir()):
                log.rmdir()
        named = {listed.key for listed in fleet.checkpoints}
        for path in (self.tree / "checkpoints").rglob("*"):
            if path.is_file() and path.relative_to(self.tree).as_posix() not in named:
                path.unlink()

    def _scratch(self) -> Path:
        return self._work / str(next(self._numbers))

    def _segment(self, place: Place, listed: Listed) -> None:
        marker = parse_shipped(self.markers.read(listed))
        if (marker.log, marker.first, marker.last) != place:
            raise LogFormatError(f"The object {listed.key} in {self.store.address} tells of another segment.")
        final = self.tree / "segments" / marker.log / f"{marker.first:012d}-{marker.last:012d}"
        if not (final.is_dir() and _holds(final, marker)):
            work = self._scratch()
            work.mkdir()
            original = self.cache.tree(ORIGINALS) / final.relative_to(self.tree)
            is_here = self.name != ORIGINALS and original.is_dir() and _holds(original, marker)
            for file in marker.files:
                if is_here:
                    os.link(original / file.name, work / file.name)
                elif not self._download(marker.file_key(file), work / file.name, file.size, file.sha256):
                    raise LogFormatError(
                        f"The object {marker.file_key(file)} in {self.store.address} is not what its `shipped` record"
                        " says: restore it, or ship it again from the sidecar's log."
                    )
            for tree in self.cache.trees():  # what was made by an older `shipped` object goes everywhere
                older = tree / final.relative_to(self.tree)
                if older.is_dir() and not (is_here and older == original):
                    older.rename(self._scratch())
            final.parent.mkdir(exist_ok=True)
            work.rename(final)
        self._advance(1)

    def _compacted(self, day: CompactedDay, file: CompactedFile, place: Path) -> None:
        work = self._scratch()
        for other in self.cache.root.glob(f"compacted-*/{place.relative_to(self.tree)}"):
            if other.stat().st_size == file.size and _digest(other) == file.sha256:
                os.link(other, work)
                break
        else:
            if not self._download(day.file_key(file), work, file.size, file.sha256):
                raise LogFormatError(
                    f"The object {day.file_key(file)} in {self.store.address} is not what {day.key} says: compact the"
                    f" day anew (`crawl-audit fleet compact --day {day.day}`), or read with `crawl-audit --originals`."
                )
        place.parent.mkdir(parents=True, exist_ok=True)
        work.rename(place)
        self._advance(1 + file.size // _WEIGHT)

    def _download(self, key: str, path: Path, size: int, sha256: str) -> bool:
        """Fetch a file; whether it is as it was described, the second time it is fetched."""
        for _ in range(_ATTEMPTS):
            digest, octets = hashlib.sha256(), 0
            with path.open("wb") as stream:
                for chunk in self.store.chunks(key, size):
                    octets += len(chunk)
                    digest.update(chunk)
                    stream.write(chunk)
            if octets == size and digest.hexdigest() == sha256:
                return True
        return False

    def _has_checkpoint(self, listed: Listed) -> bool:
        """Whether the tree has this head or receipt as it is now: by a link, for other trees may have been quicker."""
        place = self.tree / listed.key
        return self.markers.has(listed) and place.is_file() and place.samefile(self.markers.path(listed))

    def _checkpoint(self, listed: Listed) -> None:
        self.markers.read(listed, _CHECKPOINT_BYTES_MAX)
        place = self.tree / checkpoint_key(listed.key.removeprefix("checkpoints/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        work = self._scratch()
        os.link(self.markers.path(listed), work)
        work.rename(place)
        self._advance(1)


def _holds(directory: Path, marker: ShippedSegment) -> bool:
    """Whether a segment on disk has the very files its marker names."""
    if sorted(os.listdir(directory)) != [file.name for file in marker.files]:
        return False
    return all(_digest(directory / file.name) == file.sha256 for file in marker.files)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
