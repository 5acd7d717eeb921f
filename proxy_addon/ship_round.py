"""One look at a log directory: what is new there goes to the object store, verified; what may leave this disk leaves.

Every object is put only where none is, read back and compared by SHA-256.  One that is there with other octets is a
conflict: it is told and never overwritten.  The ``shipped`` object of a segment is put last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crawl_audit import remote_layout
from crawl_audit.errors import CrawlAuditError, LogFormatError
from crawl_audit.remote_layout import ShippedFile, ShippedSegment, parse_shipped, parse_shipped_key
from crawl_audit.shipped_ranges import Range
from proxy_addon import ship_removal
from proxy_addon.log_directory import LogDirectory
from proxy_addon.object_store import Digest, ObjectStore, StoreError
from proxy_addon.ship_checkpoints import Checkpoints
from proxy_addon.ship_options import ShipOptions
from proxy_addon.shipped_log import ShippedLog
from proxy_addon.shipping import Plan, ShipStatus, plan

_AT_ONCE = 4
_AT_ONCE_BYTES_MAX = 64 * 2**20
_MARKER_BYTES_MAX = 2**16
_REMOVAL_EVERY_S = 60.0
# A directory that changed so recently may change again without its time of change telling.
_SETTLED_NS = 2_000_000_000


class ConflictError(CrawlAuditError):
    """The store has other octets under a name than this log: a copy was changed, or this log was rolled back."""


class Round:
    """What ships the log directory of one process, again and again; not for several threads."""

    def __init__(
        self,
        directory: LogDirectory,
        store: ObjectStore,
        options: ShipOptions,
        *,
        say: Callable[[ShipStatus], object] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.status = ShipStatus()
        self._directory = directory
        self._store = store
        self._options = options
        self._say = say
        self._now = now
        self._shipped = ShippedLog(directory)
        self._checkpoints = Checkpoints(directory, store)
        self._listed: dict[str, tuple[int, list[Range]]] = {}
        self._plans: dict[str, tuple[list[Range], Plan]] = {}
        self._asked: set[str] = set()
        self._given_up: set[tuple[str, Range]] = set()
        self._forked: set[str] = set()  # logs of which other records than those here are shipped
        self._schema_there = False
        self._as_wanted = True
        self._checkpoints_due = self._removal_due = 0.0

    def run(self, *, everything: bool = False) -> None:
        """Ship what is new; raises StoreError and OSError where that must be tried again.

        With ``everything`` checkpoints go too that are not due yet.
        """
        logs = self._logs()
        self._count(logs)
        if self.status.unshipped_segments:
            self._say(self.status)
        self._ship_schema()
        if everything or self._now() >= self._checkpoints_due:
            self._checkpoints_due = self._now() + self._options.checkpoint_interval_s
            self._checkpoints.ship(self._conflict)
        for log in logs:
            if self._plan(log).ship and log not in self._forked:
                self._ask_what_is_there(log)
            self._ship_log(log)
        if self._now() >= self._removal_due:
            self._removal_due = self._now() + _REMOVAL_EVERY_S
            for log in logs:
                self._remove(log)
        self._count(logs)

    def _logs(self) -> list[str]:
        with os.scandir(self._directory.segments) as entries:
            return sorted(entry.name for entry in entries if entry.name != "schema" and entry.is_dir())

    def _ranges(self, log: str) -> list[Range]:
        """The segments of a log, looked up again when its directory has changed."""
        changed = (self._directory.segments / log).stat().st_mtime_ns
        seen, ranges = self._listed.get(log, (0, []))
        if seen != changed:
            ranges = [(first, last) for first, last, _ in self._directory.segments_of(log)]
            settled = time.time_ns() - changed > _SETTLED_NS
            self._listed[log] = (changed if settled else 0, ranges)
        return ranges

    def _plan(self, log: str) -> Plan:
        """What is to be shipped of a log, worked out again when its segments or what is shipped have changed."""
        ranges = self._ranges(log)
        known = self._plans.get(log)
        if known is None or known[0] is not ranges:
            known = self._plans[log] = ranges, plan(ranges, self._shipped.coverage(log))
        return known[1]

    def _keep(self, shipped: ShippedSegment) -> None:
        self._shipped.keep(shipped)
        self._plans.pop(shipped.log, None)

    def _count(self, logs: Sequence[str]) -> None:
        """How much is waiting, since when; where that is too much, it is told."""
        plans = {log: self._plan(log) for log in logs}
        waiting = [
            self._directory.segment(log, *one) for log in logs for one in plans[log].ship + plans[log].overlapping
        ]
        sizes, oldest = 0, None
        for segment in waiting:
            try:
                sizes += sum(size for _, size, _ in _files(segment).values())
                born = segment.stat().st_mtime
            except OSError:  # replaced meanwhile by one it was merged into
                continue
            oldest = born if oldest is None else min(oldest, born)
        status = self.status
        status.unshipped_segments, status.unshipped_bytes, status.oldest_unshipped_at = len(waiting), sizes, oldest
        status.problems = [one for one in status.problems if not one.startswith("More than")]
        if sizes > self._options.spool_bytes:
            status.problems.append(
                f"More than {self._options.spool_bytes // 2**20} MiB wait to be shipped to {self._store.address};"
                " nothing is deleted, so the disk will fill up."
            )

    def _ship_schema(self) -> None:
        """The empty kinds: the first sidecar of a fleet puts them, and they say the same whoever made them."""
        if self._schema_there:
            return
        for file in sorted((self._directory.path / remote_layout.SCHEMA).glob("*.parquet")):
            key, octets = remote_layout.schema_key(file.stem), file.read_bytes()
            if self._store.put_new(key, octets) and self._store.digest(key) != Digest.of(octets):
                self._conflict(_differs(self._store, key, str(file)))
        self._schema_there = True

    def _ask_what_is_there(self, log: str) -> None:
        """Take over what the store says is shipped of a log and is not known here, once in this process.

        So that nothing is put beside it that overlaps it, should this disk have been rolled back or its notes lost.
        """
        if log in self._asked:
            return
        try:
            self._take_over(log)
        except LogFormatError as error:
            self._forked.add(log)
            self._conflict(
                f"What {self._store.address} has of {log} cannot be read, so no more of it goes there: {error}"
            )
        self._asked.add(log)

    def _take_over(self, log: str) -> None:
        for key in self._store.list(f"shipped/{log}"):
            parsed = parse_shipped_key(key)
            if parsed is None or parsed[0] != log or parsed[1:] in self._shipped.verified_at(log):
                continue
            shipped = parse_shipped(self._store.get(key, _MARKER_BYTES_MAX) or b"")
            if (shipped.log, shipped.first, shipped.last) != parsed:
                raise LogFormatError(f"The object {key} in {self._store.address} speaks of another segment.")
            if self._is_ours(shipped):
                self._keep(shipped)

    def _is_ours(self, shipped: ShippedSegment) -> bool:
        """Whether a segment that lies remote is the one that lies here, where one of its range does."""
        segment = self._directory.segment(shipped.log, shipped.first, shipped.last)
        if not segment.exists() or _segment_of(segment, shipped.log, (shipped.first, shipped.last)) == shipped:
            return True
        self._forked.add(shipped.log)
        self._conflict(_differs(self._store, shipped.key, str(segment)))
        return False

    def _ship_log(self, log: str) -> None:
        """Ship what is missing; nothing more of a log whose name other records than those here are shipped under."""
        found = self._plan(log)
        for first, last in found.overlapping:
            self._forked.add(log)
            self._conflict(
                f"Some of the records {first} to {last} of {log} are shipped in another segment and others are not, so"
                " no more of this log is: this disk was rolled back, or segments were merged past the shipping."
            )
        for one in found.ship:
            if log not in self._forked and (log, one) not in self._given_up:
                self._ship(log, one)

    def _ship(self, log: str, one: Range) -> None:
        segment = self._directory.segment(log, *one)
        try:
            before = _files(segment)
            shipped = self._ship_files(segment, log, one)
            if _files(segment) != before:
                return  # somebody takes something out of it: the next round looks again
            self._put(shipped.key, shipped.to_json(), "its shipped object")
        except FileNotFoundError:
            return  # merged or pruned meanwhile
        except (ConflictError, LogFormatError) as error:
            self._given_up.add((log, one))
            said = str(error) if isinstance(error, ConflictError) else f"{segment} cannot be shipped: {error}"
            self._conflict(said)
            return
        self._look_at(shipped.key)
        self._keep(shipped)
        status = self.status
        status.shipped_segments += 1
        status.shipped_bytes += shipped.octets
        status.unshipped_segments = max(0, status.unshipped_segments - 1)
        status.unshipped_bytes = max(0, status.unshipped_bytes - shipped.octets)
        status.last_success_at, status.fault = self._now(), None
        self._say(status)

    def _ship_files(self, segment: Path, log: str, one: Range) -> ShippedSegment:
        files = sorted(segment.iterdir())

        def ship(file: Path) -> ShippedFile:
            octets = file.read_bytes()
            digest = self._put(
                remote_layout.segment_key(log, *one, file.name.removesuffix(".parquet")), octets, str(file)
            )
            return ShippedFile(name=file.name, size=digest.size, sha256=digest.sha256)

        large = sum(file.stat().st_size for file in files) > _AT_ONCE_BYTES_MAX  # whole files are held in memory
        with ThreadPoolExecutor(1 if large else _AT_ONCE) as threads:
            return ShippedSegment(log=log, first=one[0], last=one[1], files=tuple(threads.map(ship, files)))

    def _put(self, key: str, octets: bytes, what: str) -> Digest:
        """Put an object where none is and read it back; raises ConflictError where another is, or is read back."""
        wanted = Digest.of(octets)
        self._store.put_new(key, octets)
        found = self._store.digest(key, len(octets))
        if found is not None and found != wanted:  # a reading may go wrong as well
            found = self._store.digest(key, len(octets))
        if found is None:
            raise StoreError(f"{self._store.address} lost {key} at once.", "torn")
        if found != wanted:
            raise ConflictError(_differs(self._store, key, what))
        return wanted

    def _look_at(self, key: str) -> None:
        problem = self._store.not_as_wanted(key)
        self._as_wanted = problem is None
        if problem is not None and problem not in self.status.problems:
            self.status.problems.append(problem)

    def _conflict(self, sentence: str) -> None:
        if sentence not in self.status.conflicts:
            self.status.conflicts.append(sentence)
            self.status.failures["conflict"] = self.status.failures.get("conflict", 0) + 1
            self._say(self.status)

    def _remove(self, log: str) -> None:
        if self._as_wanted and self._options.keep_local_s is not None:
            ranges, now = self._ranges(log), self._now()
            gone = ship_removal.remove_old(self._shipped, self._store, log, ranges, now, self._options.keep_local_s)
            self.status.removed_segments += gone


def _differs(store: ObjectStore, key: str, what: str) -> str:
    return (
        f"{key} in {store.address} holds other octets than {what}: one of them was changed, or this log was rolled"
        " back; nothing is overwritten, find out which."
    )


def _segment_of(segment: Path, log: str, one: Range) -> ShippedSegment:
    digests = [(file.name, Digest.of(file.read_bytes())) for file in sorted(segment.iterdir())]
    files = tuple(ShippedFile(name=name, size=digest.size, sha256=digest.sha256) for name, digest in digests)
    return ShippedSegment(log=log, first=one[0], last=one[1], files=files)


def _files(segment: Path) -> dict[str, tuple[int, int, int]]:
    """The files of a segment, and by what a change to one would show: a redaction writes a new one."""
    found = {}
    for file in segment.iterdir():
        status = file.stat()
        found[file.name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
