"""Going over from one live file to the next: when it is due, and how without a pause for those who append.

The next file is made and opened by another thread while the current one is still written; going over is then a seal
and an assignment.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future

import duckdb

from crawl_audit.errors import LogUnavailable
from proxy_addon.journal import Journal
from proxy_addon.live import LiveFile, remove
from proxy_addon.log_directory import LogDirectory
from proxy_addon.log_limits import Limits
from proxy_addon.publisher import Publisher
from proxy_addon.segments import Segment

# Between two attempts at making a live file on a disk that refuses.
_OPEN_RETRY_S = 0.5


class Rotation:
    """The live files of one log, one after the other; for the log thread only."""

    def __init__(self, directory: LogDirectory, journal: Journal, publisher: Publisher, limits: Limits) -> None:
        self._directory = directory
        self._journal = journal
        self._publisher = publisher
        self._limits = limits
        self._number = 0
        self._next: Future[LiveFile] | None = None
        self._not_before = 0.0
        self._since = time.monotonic()
        self._decisions_published = False

    def is_due(self, last_record: float) -> bool:
        """Whether the live file should become a segment; ``last_record``: when one last came (``time.monotonic``)."""
        now, limits, live = time.monotonic(), self._limits, self._journal.live
        if live is None or self._journal.empty:
            return False
        if not self._journal.records_in_live:
            return now - self._since >= limits.heartbeat_segment_s
        idle_s = limits.idle_segment_s if self._decisions_published else limits.first_segment_s
        return (
            now - self._since >= limits.segment_age_s
            or now - last_record >= idle_s
            or live.wal_bytes() >= limits.segment_bytes
        )

    def next_live(self, *, due: bool) -> LiveFile | None:
        """The next live file where it is ready; where one is due, sees to it that it gets ready.

        Raises LogUnavailable where it cannot be made; the current one goes on.
        """
        if self._next is None:
            if due and time.monotonic() >= self._not_before:
                log = self._journal.chain.log
                path = self._directory.live_file(log, self._number + 1)
                self._next = self._publisher.prepare(path, self._directory.spill(log), self._limits.segment_bytes)
            return None
        if not self._next.done():
            return None
        try:
            return self._next.result()
        except (duckdb.Error, OSError) as error:
            self._next = None
            self._not_before = time.monotonic() + _OPEN_RETRY_S
            raise LogUnavailable(
                f"The next live file cannot be made: {error}", reason="audit_segment_unpublished"
            ) from error

    def go_over(self, live: LiveFile) -> Future[Segment]:
        """Go on in ``live`` and have what was sealed published."""
        self._decisions_published |= self._journal.decisions_in_live > 0
        old, last_seq = self._journal.swap(live)
        self._next = None
        self._number += 1
        self._since = time.monotonic()
        return self._publisher.publish(old, last_seq)

    def abandon(self) -> None:
        """Take back a next live file that is not needed any more."""
        if self._next is not None:
            with contextlib.suppress(duckdb.Error, OSError):
                live = self._next.result()
                live.close()
                remove(live.path)
            self._next = None
