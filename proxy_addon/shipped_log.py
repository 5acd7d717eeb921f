"""What is known here of what lies remote: a copy of each ``shipped`` object under ``shipped/`` of the log directory.

These copies are for not asking the store again; where they are lost they are made again from the store.  Beside them
lie the seals and run records of segments that have left this disk, because the next start compares the ones with the
signed head and an enrolment needs the others, and ``active``, which says that what is not shipped is not merged.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from crawl_audit.remote_layout import ShippedSegment, parse_shipped
from crawl_audit.shipped_ranges import Coverage, Range
from proxy_addon.log_directory import LogDirectory, fsync_path, write_whole
from proxy_addon.segments_lock import changing_segments

NAME = "shipped"
_ACTIVE = "active"
_MARKER = re.compile(r"([0-9]{12})-([0-9]{12})\.json")
_KEPT = ("seal", "run")


def kept_files(directory: LogDirectory, log: str, kind: str) -> list[Path]:
    """The files of seals, or of run records, whose segments have left this disk, in order."""
    return sorted((directory.path / NAME / log).glob(f"[0-9]*.{kind}.parquet"))


def shipped_ranges(directory: LogDirectory, log: str) -> list[Range]:
    """The range of every segment of a log that is known to be shipped."""
    return [one for one, _ in _markers(directory.path / NAME / log)]


def _markers(place: Path) -> Iterator[tuple[Range, os.DirEntry[str]]]:
    if not place.is_dir():
        return
    with os.scandir(place) as entries:
        for entry in entries:
            if match := _MARKER.fullmatch(entry.name):
                yield (int(match[1]), int(match[2])), entry


def set_active(directory: LogDirectory, active: bool) -> None:
    """Say whether shipping is configured; raises OSError."""
    place = directory.path / NAME
    if active:
        place.mkdir(exist_ok=True)
        (place / _ACTIVE).touch()
    else:
        (place / _ACTIVE).unlink(missing_ok=True)


def is_active(directory: LogDirectory) -> bool:
    """Whether what is not shipped yet is to be left as it is."""
    return (directory.path / NAME / _ACTIVE).exists()


class ShippedLog:
    """The copies of ``shipped`` objects of one log directory; for the one process that ships."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._place = directory.path / NAME
        self._verified: dict[str, dict[Range, float]] = {}
        self._coverage: dict[str, Coverage] = {}

    def coverage(self, log: str) -> Coverage:
        """Which records of a log are shipped."""
        if log not in self._coverage:
            self._coverage[log] = Coverage(self.verified_at(log))
        return self._coverage[log]

    def verified_at(self, log: str) -> dict[Range, float]:
        """When (epoch seconds) each shipped segment of a log was found remote as it should be."""
        if log not in self._verified:
            self._verified[log] = {one: entry.stat().st_mtime for one, entry in _markers(self._place / log)}
        return self._verified[log]

    def keep(self, shipped: ShippedSegment) -> None:
        """Keep a copy of a ``shipped`` object, durable on return; raises OSError."""
        log, one = shipped.log, (shipped.first, shipped.last)
        coverage, verified = self.coverage(log), self.verified_at(log)
        target = self._place / log / Path(shipped.key).name
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True)
            fsync_path(self._place)
        write_whole(target, shipped.to_json(), self._directory.tmp / f"shipped.{os.getpid()}.json")
        verified[one] = target.stat().st_mtime
        coverage.add(*one)

    def read(self, log: str, one: Range) -> ShippedSegment:
        """The copy for one segment; raises OSError and LogFormatError."""
        return parse_shipped((self._place / log / f"{one[0]:012d}-{one[1]:012d}.json").read_bytes())

    def remove_segment(self, log: str, one: Range) -> None:
        """Take a segment from this disk, its seals and run records excepted; raises OSError."""
        segment = self._directory.segment(log, *one)
        gone = self._directory.tmp / f"removed.{log}.{segment.name}.{os.getpid()}"
        for kind in _KEPT:
            file = segment / f"{kind}.parquet"
            if file.exists():
                target = self._place / log / f"{segment.name}.{kind}.parquet"
                write_whole(target, file.read_bytes(), self._directory.tmp / f"shipped.{os.getpid()}.parquet")
        with changing_segments(self._directory.path):
            segment.rename(gone)
            fsync_path(segment.parent)
        shutil.rmtree(gone)
