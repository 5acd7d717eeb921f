"""The writer's thread: takes what has queued, commits it, and between two commits seals, rotates and watches the disk.

While records cannot be made durable nothing is accepted (a suspension); the thread keeps trying, and the log says of
itself from when to when that was.  Everything with an underscore belongs to this thread alone.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from crawl_audit.errors import LogUnavailable
from crawl_audit.records import Instant
from proxy_addon.checkpoints import CheckpointWriter
from proxy_addon.free_space import FreeSpace
from proxy_addon.journal import Item, Journal, Result, encode
from proxy_addon.log_directory import LogDirectory
from proxy_addon.log_limits import Limits
from proxy_addon.operational_log import about
from proxy_addon.publisher import Publisher
from proxy_addon.queued import Queued, Report
from proxy_addon.rotation import Rotation
from proxy_addon.segments import Segment
from proxy_addon.signing import NoteSigner
from proxy_addon.suspension import CLOSED, DISK_RESERVE, UNAVAILABLE, Refusals, Suspension

logger = logging.getLogger("crawl_audit.log")

# Measured: 1.7 ms for 100 rows, 4 ms for 500; more in one commit makes those behind wait without gain.
_BATCH_ITEMS_MAX = 512
# From the front to DuckDB: measured, 1.7 ms for 100 rows and 4 ms for 500, in which others wait.
_MOVE_ROWS = 256
_MOVE_S = 0.1
_TICK_S = 0.1
_RETRY_S = 0.5
_SPACE_CHECK_S = 1.0
_PUBLISH_RETRY_S = 10.0
_DRAIN_S = 10.0


class LogThread:
    """The thread of one log; ``put``, ``rotate`` and ``stop`` are for others, the attributes are for reading."""

    def __init__(
        self,
        directory: LogDirectory,
        journal: Journal,
        signer: NoteSigner,
        *,
        settings_sha256: str,
        limits: Limits,
        clock: Callable[[], Instant],
        report: Callable[[Sequence[Report]], None],
        on_checkpoint: Callable[[str], None],
        on_commit: Callable[[float, int, str | None], None],
    ) -> None:
        self.journal = journal
        self.publisher = Publisher(directory, self._notify, merge_interval_s=limits.merge_interval_s)
        self.checkpoints = CheckpointWriter(directory, journal.chain.log, signer, on_checkpoint)
        self.suspension: Suspension | None = None
        self.ended: str | None = None  # why the thread is no more
        self.turned_away = 0  # counted by the event loop, the next by this thread
        self.dropped = 0
        self.last_commit_at: Instant | None = None
        self.heartbeat_monotonic = time.monotonic()
        self.refusals = Refusals()
        self.space = FreeSpace(directory.path, limits.reserve_bytes)
        self.live_bytes = 0
        self.last_segment: Future[Segment] | None = None  # what the last seal is in
        self._settings_sha256 = settings_sha256
        self._limits = limits
        self._clock = clock
        self._report = report
        self._on_commit = on_commit
        self._condition = threading.Condition()  # guards the next seven
        self._queue: deque[Queued] = deque()
        self._put = 0  # how many items were ever queued
        self._awaited = 0  # how many items of the queue somebody waits for
        self._rotations: list[tuple[int, Future[Segment]]] = []  # with the value of _put when it was asked for
        self._waits = False  # the thread does nothing until it is notified
        self._nudged = False
        self._stopping_at: float | None = None
        self._again: list[Queued] = []
        self._batch: list[Item] = []  # what is being committed
        self._rotation = Rotation(directory, journal, self.publisher, limits)
        self._started = self._last_seal = self._last_record = time.monotonic()
        self._due = {"tick": 0.0, "space": 0.0, "retry": 0.0, "publish": 0.0, "move": 0.0}
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread and for what it handed over to be signed and published."""
        self._thread.join()
        self.checkpoints.close()
        self.publisher.close()

    @property
    def depth(self) -> int:
        """How many items wait for a commit."""
        return len(self._queue) + len(self._again)

    def put(self, item: Queued) -> None:
        """Queue an item, in order."""
        with self._condition:
            self._queue.append(item)
            self._put += 1
            self._awaited += not item.keep
            if self._waits and (self._awaited or len(self._queue) >= _BATCH_ITEMS_MAX):
                self._condition.notify()

    def rotate(self) -> Future[Segment]:
        """Seal and publish everything queued until now; the future fails with LogUnavailable where that cannot be."""
        future: Future[Segment] = Future()
        with self._condition:
            if self.ended is None:
                self._rotations.append((self._put, future))
            else:
                future.set_exception(self._closed())
        self._notify()
        return future

    def stop(self) -> None:
        """Write what is queued, seal, hand over the live file and end."""
        with self._condition:
            self._stopping_at = time.monotonic()
            self._condition.notify()

    def _notify(self) -> None:
        with self._condition:
            self._nudged = True
            self._condition.notify()

    def _run(self) -> None:
        ended = "the writer's thread ended with a programming error"
        try:
            while not self._finished():
                self.heartbeat_monotonic = time.monotonic()
                items = self._batch = self._take()
                if items:
                    began = time.monotonic()
                    result = self.journal.commit(items)
                    self._on_commit(time.monotonic() - began, len(items), self.journal.fault)
                    self._tell(result)
                    self._batch = []
                    self.journal.settle()
                    self._last_record = time.monotonic()
                self._move_if_due()
                if self._is_due("tick", _TICK_S) or self._rotations:
                    self._tick()
            self._finish()
            ended = "the log is closed"
        finally:
            with self._condition:
                self.ended = ended
            closed = self._closed()
            self._report([Report(item, error=closed) for item in self._batch])
            self._refuse_queued(closed)

    def _closed(self) -> LogUnavailable:
        return LogUnavailable(f"Nothing more can be recorded: {self.ended}.", reason=CLOSED)

    def _finished(self) -> bool:
        if self._stopping_at is None:
            return False
        late = time.monotonic() - self._stopping_at > _DRAIN_S
        return late or self.journal.lost or not (self._queue or self._again)

    def _take(self) -> list[Item]:
        """The next batch; nothing while the log cannot be written or where nothing came within a tick.

        Records that nobody waits for ride along with the next one that somebody does, or go with the tick: a commit
        costs nearly the same for one record as for many, and a decision that arrives while a completion is being
        committed would wait for it.  A crash may cost the completions of this short time; recovery says so.
        """
        blocked = self._blocked()
        with self._condition:
            full = len(self._queue) >= _BATCH_ITEMS_MAX
            urgent = self._awaited or self._again or self._nudged or self._rotations or self._stopping_at or full
            if blocked or not urgent:
                self._waits = True
                self._condition.wait(_TICK_S)
                self._waits = False
            self._nudged = False
            if blocked:
                return []
            taken: list[Item] = list(self._again)
            self._again = []
            while self._queue and len(taken) < _BATCH_ITEMS_MAX:
                item = self._queue.popleft()
                self._awaited -= not item.keep
                if item.abandoned:
                    self.dropped += not item.leaves
                else:
                    taken.append(item)
            return taken

    def _move_if_due(self) -> None:
        live = self.journal.live
        if live is None or not live.waiting or (live.waiting < _MOVE_ROWS and not self._is_due("move", _MOVE_S)):
            return
        self.journal.move()
        if self.journal.live is None:
            self._tell(Result())

    def _blocked(self) -> bool:
        return self.journal.live is None or (self.suspension is not None and self.suspension.reason != DISK_RESERVE)

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True

    def _tell(self, result: Result) -> None:
        """Pass on what became of a batch, and suspend where it could not be written."""
        if result.durable:
            self.last_commit_at = self._clock()
        reports = [Report(item, first, count) for item, first, count in result.durable]
        for item, error in result.refused:
            self.dropped += 1
            reports.append(Report(item, error=error))
            logger.error("A record was refused: %s", error, extra=about("record_refused"))
        if self.journal.fault is not None:
            self._suspend(UNAVAILABLE, f"The log cannot be written: {self.journal.fault}")
            reports.extend(Report(i, error=self._unavailable()) for i in self.journal.doubtful if not i.keep)
        for item in result.open:
            if item.keep:
                assert isinstance(item, Queued), "only queued items are kept"
                self._again.append(item)
            else:
                self.dropped += isinstance(item, Queued) and not item.leaves  # and not for a seal
                reports.append(Report(item, error=self._unavailable()))
        if reports:
            self._report(reports)

    def _unavailable(self) -> LogUnavailable:
        if self.suspension is None:
            return LogUnavailable("The record could not be written.", reason=UNAVAILABLE)
        return LogUnavailable(self.suspension.sentence, reason=self.suspension.reason)

    def _suspend(self, reason: str, sentence: str) -> None:
        if self.suspension is None:
            self.suspension = Suspension(reason=reason, sentence=sentence, since=self._clock())
            logger.error("%s", sentence, extra=about("log_suspended"))
        elif self.suspension.reason != reason:
            self.suspension = replace(self.suspension, reason=reason, sentence=sentence)
        if reason != DISK_RESERVE:
            self._refuse_queued(self._unavailable(), keep=True)

    def _refuse_queued(self, error: LogUnavailable, *, keep: bool = False) -> None:
        with self._condition:
            refused = [item for item in (*self._again, *self._queue) if not (keep and item.keep)]
            self._queue = deque(item for item in self._queue if keep and item.keep)
            self._awaited = 0
        if not keep:
            self._again = []
        self.dropped += sum(not item.leaves for item in refused)
        if any(item.keep for item in refused):
            logger.error(
                "%d records were lost: %s", sum(item.keep for item in refused), error, extra=about("record_lost")
            )
        self._answer_rotations(error)
        if refused:
            self._report([Report(item, error=error) for item in refused])

    def _tick(self) -> None:
        if self._is_due("space", _SPACE_CHECK_S):
            self._check_space()
        if self.suspension is not None and self._is_due("retry", _RETRY_S):
            self._try_to_resume()
        if self._blocked():
            self._refuse_queued(self._unavailable(), keep=True)
            return
        self._seal_if_due()
        self._rotate_if_due()
        if self.publisher.fault is not None and self._is_due("publish", _PUBLISH_RETRY_S):
            self.publisher.retry()

    def _check_space(self) -> None:
        if self.journal.live is not None:
            self.live_bytes = self.journal.live.wal_bytes()
        lack = self.space.lack()
        if lack is not None and self.suspension is None:
            self._suspend(DISK_RESERVE, lack)
            self._record_suspension(over=False)

    def _try_to_resume(self) -> None:
        assert self.suspension is not None, "nothing to resume from"
        if self.journal.lost:
            return
        if self.journal.live is None:
            self._tell(self.journal.reopen())
            self.journal.settle()
        if self.journal.live is None or not self.space.resumes():
            return
        self._record_suspension(over=True)

    def _record_suspension(self, *, over: bool) -> None:
        """Write into the log that nothing was accepted; being able to is the proof that it is over."""
        known = self.suspension
        assert known is not None, "nothing to record"
        refused = self.refusals.take() if over else None
        records = known.incidents(self._clock(), over=over, refused=refused)
        result = self.journal.commit([Item(make=lambda _: [encode(record) for record in records])])
        self.journal.settle()
        if result.durable:
            self.suspension = None if over else replace(known, recorded=True)
            if over:
                logger.warning("Recording works again.", extra=about("log_resumed"))
            return
        if refused is not None:
            self.refusals.give_back(refused)
        if self.journal.fault is not None:
            self._suspend(UNAVAILABLE, f"The log cannot be written: {self.journal.fault}")

    def _seal_if_due(self) -> None:
        since = time.monotonic() - self._last_seal
        if self.journal.chain.unsealed and since >= self._limits.seal_interval_s:
            self._seal("interval")
        elif since >= self._limits.idle_seal_interval_s:
            self._seal("idle")

    def _seal(self, reason: str) -> bool:
        """Seal, and have the head signed; False where the seal could not be written: the next tick tries again."""
        result = self.journal.seal(
            reason,
            now=self._clock(),
            monotonic_ms=int((time.monotonic() - self._started) * 1000),
            settings_sha256=self._settings_sha256,
            dropped=self.dropped + self.turned_away,
        )
        if not result.durable:
            self._tell(Result())
            return False
        self._last_seal = time.monotonic()
        self.checkpoints.put(self.journal.chain.head())
        return True

    def _rotate_if_due(self) -> None:
        """Have the next live file opened beside this one; when it is, seal and go over to it."""
        try:
            live = self._rotation.next_live(due=bool(self._rotations) or self._rotation.is_due(self._last_record))
        except LogUnavailable as failure:
            logger.warning("%s", failure)
            self._answer_rotations(failure)
            return
        with self._condition:
            taken = self._put - len(self._queue)
            if live is None or any(put > taken for put, _ in self._rotations):
                return  # what was queued before somebody asked belongs into the segment
        if (self._rotations or not self.journal.sealed) and not self._seal("demand" if self._rotations else "rotation"):
            self._answer_rotations(self._unavailable())
            return
        self._answer_rotations(self._rotation.go_over(live))

    def _answer_rotations(self, answer: LogUnavailable | Future[Segment]) -> None:
        with self._condition:
            rotations, self._rotations = self._rotations, []
        for _, rotation in rotations:
            if isinstance(answer, LogUnavailable):
                rotation.set_exception(answer)
            else:
                answer.add_done_callback(functools.partial(_pass_on, rotation))

    def _finish(self) -> None:
        """The last seal; the live file goes to be published, or stays for recovery where it cannot be sealed."""
        self._rotation.abandon()
        if self.suspension is not None:
            self._try_to_resume()
        live = self.journal.live
        if live is None:
            return
        if not self._seal("shutdown"):
            live.close()
            return
        self.last_segment = self.publisher.publish(live, self.journal.next_seq - 1)
        self._answer_rotations(self.last_segment)


def _pass_on(waiting: Future[Segment], done: Future[Segment]) -> None:
    error = done.exception()
    if error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(done.result())
