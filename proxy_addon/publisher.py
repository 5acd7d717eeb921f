"""Beside the writer thread: makes the next live file ready, and has closed ones made into segments, and these merged.

Closed live files are published in the order of each log.  One that cannot be published stays where it is and is tried
again; nothing is deleted before the helper has read it back out of the segment.  What takes long runs in helper
processes that give way to requests.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit.errors import CrawlAuditError, LogUnavailable
from crawl_audit.records import Incident
from crawl_audit.text import first_line
from proxy_addon import own_processes, recovery
from proxy_addon.front import front_of
from proxy_addon.live import LiveFile, remove
from proxy_addon.log_directory import LogDirectory
from proxy_addon.operational_log import about
from proxy_addon.segments import Segment

logger = logging.getLogger("crawl_audit.publisher")

# A conversion of 1,000,000 records takes about two minutes; one that takes this long hangs.
_CONVERSION_S_MAX = 1800.0
# A log without a new segment for this long has rested: what is small in it is merged, however little it is.
_RESTED_S = 86_400.0


Tell = Callable[[Sequence[Incident]], object]
"""Make incidents durable in the log that is being written; raises LogUnavailable."""


class DamagedError(LogUnavailable):
    """A closed live file does not hold what it must."""


@dataclass(slots=True, eq=False)
class _Pending:
    path: Path
    last_seq: int | None
    live: LiveFile | None = None  # still open
    tell: Tell | None = None  # of another process: put away where it is damaged
    future: Future[Segment] = field(default_factory=Future)

    @property
    def log(self) -> str:
        return self.path.name.rsplit(".", 2)[0]


class Publisher:
    """The threads of one log that open live files ahead, close and publish them, and merge segments."""

    def __init__(self, directory: LogDirectory, wake: Callable[[], None], *, merge_interval_s: float = 0) -> None:
        self._directory = directory
        self._wake = wake
        self._opener = ThreadPoolExecutor(1, "live-file-opener")
        self._converter = ThreadPoolExecutor(1, "segment-publisher")
        self._merger = ThreadPoolExecutor(1, "segment-merger")
        self._merge_interval_s = merge_interval_s
        self._merge_due = time.monotonic()
        self._merging: subprocess.Popen[str] | None = None
        self._converting: subprocess.Popen[str] | None = None
        self._closing = self._has_merged = False
        self._hurried = threading.Event()
        self._lock = threading.Lock()  # guards the next
        self._pending: list[_Pending] = []
        self._told: set[str] = set()
        self.fault: str | None = None

    @property
    def unpublished(self) -> int:
        """How many closed live files wait to be published."""
        return len(self._pending)

    def prepare(self, path: Path, spill: Path, wal_bytes_max: int) -> Future[LiveFile]:
        """Create and open the next live file beside the current one."""
        future = self._opener.submit(LiveFile.create, path, spill, wal_bytes_max)
        future.add_done_callback(lambda _: self._wake())
        return future

    def publish(self, live: LiveFile, last_seq: int) -> Future[Segment]:
        """Close a live file that no longer changes and publish it, after all that were handed over before.

        The future fails with LogUnavailable at the first attempt that fails; attempts go on all the same.
        """
        return self._hand_over(_Pending(live.path, last_seq, live)).future

    def adopt(self, leftovers: Sequence[Path], tell: Tell) -> None:
        """Publish finished live files of dead logs; ``tell`` is given what to say of each that turns out damaged."""
        for path in leftovers:
            self._hand_over(_Pending(path, None, tell=tell))

    def retry(self) -> None:
        """Try again what could not be published."""
        if self.fault is not None:
            self._converter.submit(self._work)

    def hurry(self) -> None:
        """Publish nothing more, whatever was handed over: the next start does it."""
        self._hurried.set()
        converting = self._converting
        if converting is not None:
            converting.kill()

    def close(self) -> None:
        """Wait for what was handed over; a merge is broken off."""
        self._opener.shutdown(wait=True)
        self._converter.shutdown(wait=True)
        self._closing = True
        merging = self._merging
        if merging is not None:
            merging.kill()
        self._merger.shutdown(wait=True)
        for left in self._directory.tmp.glob("merge.*") if self._has_merged else ():  # else they are another's
            shutil.rmtree(left, ignore_errors=True)

    def _hand_over(self, item: _Pending) -> _Pending:
        with self._lock:
            self._pending.append(item)
        self._converter.submit(self._work)
        return item

    def _work(self) -> None:
        with self._lock:
            waiting = list(self._pending)
        faults: dict[str, str] = {}
        for item in waiting:
            if item.log not in faults:
                fault = self._publish(item)
                if fault is None:
                    with self._lock:
                        self._pending.remove(item)
                    continue
                faults[item.log] = self.fault = fault  # before anybody is told
                logger.warning("%s", fault, extra=about("segment_failed"))
            if not item.future.done():
                item.future.set_exception(LogUnavailable(faults[item.log], reason="audit_segment_unpublished"))
        self.fault = next(iter(faults.values()), None)
        if not self._pending:
            self._merge_if_due()

    def _publish(self, item: _Pending) -> str | None:
        """Publish one closed live file; the sentence where that failed."""
        try:
            segment = self._segment(item)
        except (CrawlAuditError, duckdb.Error, OSError) as error:
            return f"The live file {item.path.name} could not be published: {first_line(error)}"
        if not item.future.done():
            item.future.set_result(segment)
        return None

    def _segment(self, item: _Pending) -> Segment:
        if item.live is not None:
            item.live.close()
        if front_of(item.path).exists():  # DuckDB could not take all of it when the file was closed
            LiveFile.open(item.path, self._directory.spill(item.log)).close()
        try:
            segment = self._convert(item)
        except DamagedError as error:
            if item.tell is None:
                raise
            recovery.give_up(self._directory, item.path, str(error), item.tell)
            return Segment(log=item.log, first=0, last=-1, rows=0, path="")
        remove(item.path)
        return segment

    def _convert(self, item: _Pending) -> Segment:
        broken_off = LogUnavailable("it was broken off by a second signal", reason="audit_segment_unpublished")
        if self._hurried.is_set():
            raise broken_off
        ends = () if item.last_seq is None else ("--last-seq", str(item.last_seq))
        with _helper("proxy_addon.segments", str(item.path), str(self._directory.path), *ends) as process:
            self._converting = process
            if self._hurried.is_set():
                process.kill()
            assert process.stdout is not None
            said = process.stdout.read().strip()
            code = process.wait()
        self._converting = None
        if self._hurried.is_set() and code < 0:
            raise broken_off
        return _segment_of(said, code)

    def _merge_if_due(self) -> None:
        if self._merge_interval_s and time.monotonic() >= self._merge_due and not self._closing:
            self._merge_due = time.monotonic() + self._merge_interval_s
            self._merger.submit(self._merge)

    def _merge(self) -> None:
        """Merge what is small in every log, one helper process after the other; trouble is told of once."""
        now = time.time()
        for log in self._logs():
            if self._closing:
                return
            try:
                newest = max((path.stat().st_mtime for _, _, path in self._directory.segments_of(log)), default=now)
                said = self._run_merge(log, *(("--least", "2") if now - newest > _RESTED_S else ()))
            except OSError as error:  # a segment that was replaced meanwhile, for example
                said = {"error": str(error)}
            if "error" in said and said["error"] not in self._told and not self._closing:
                self._told.add(said["error"])
                logger.warning(
                    "The segments of %s were not merged: %s", log, said["error"], extra=about("merge_failed")
                )
            elif said.get("after", 0) < said.get("before", 0):
                logger.info(
                    "%s segments of %s were merged into %s.", said["before"], log, said["after"], extra=about("merged")
                )

    def _logs(self) -> list[str]:
        try:
            return self._directory.logs()
        except OSError as error:
            logger.warning("Nothing was merged: %s", error, extra=about("merge_failed"))
            return []

    def _run_merge(self, log: str, *least: str) -> dict[str, Any]:
        self._has_merged = True
        with _helper("proxy_addon.merging", str(self._directory.path), log, *least) as process:
            self._merging = process
            if self._closing:
                process.kill()
            assert process.stdout is not None
            said = process.stdout.read().strip()
        self._merging = None
        return _object(said) or {"error": f"the helper process ended with {process.returncode}"}


def _segment_of(said: str, code: int) -> Segment:
    """What the helper process that made a segment said and ended with."""
    result = _object(said)
    if code == 0 and result is not None and "rows" in result:
        return Segment(**result)
    if result is not None and "error" in result:
        kind = DamagedError if result.get("damaged") else LogUnavailable
        raise kind(result["error"], reason="audit_segment_unpublished")
    reason = said.splitlines()[-1] if said else f"the helper process ended with {code}"
    raise LogUnavailable(reason, reason="audit_segment_unpublished")


@contextmanager
def _helper(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A helper process, killed where it takes longer than anything it does can take."""
    with own_processes.start(module, *arguments) as process:
        watchdog = threading.Timer(_CONVERSION_S_MAX, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()


def _object(said: str) -> dict[str, Any] | None:
    """The last line that is an object: whatever else a library printed, that is the result."""
    lines = [line for line in said.splitlines() if line.startswith("{")]
    try:
        found = json.loads(lines[-1])
    except (ValueError, LookupError):
        return None
    return found if isinstance(found, dict) else None
