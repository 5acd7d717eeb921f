"""The durable log as the proxy sees it: append, and on return the record is on disk; or LogUnavailable.

The event loop's side of the log thread.  Records are made into entries here, so that a value the log cannot hold
reaches its caller only; nothing here waits for a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import duckdb

from crawl_audit.errors import ConfigurationError, LogUnavailable
from crawl_audit.records import Action, Completion, Decision, Incident, Instant, Outcome, Record
from crawl_audit.text import first_line
from proxy_addon import checkpoints
from proxy_addon.chain import Chain
from proxy_addon.clock import now_us
from proxy_addon.exchanges import unanswered
from proxy_addon.journal import Journal, encode
from proxy_addon.live import LiveFile
from proxy_addon.log_directory import LogDirectory, new_log_name
from proxy_addon.log_limits import Limits
from proxy_addon.log_thread import LogThread
from proxy_addon.operational_log import about
from proxy_addon.queued import Queued, Report
from proxy_addon.segments import Segment
from proxy_addon.signing import NoteSigner, SigningError, in_memory
from proxy_addon.suspension import BACKPRESSURE, CLOSED, COMMIT_TIMEOUT, refused_incident

logger = logging.getLogger("crawl_audit.log")

# How soon the log says how many requests were refused, where it was not suspended.
_TELL_REFUSED_S = 1.0


def _unmeasured(seconds: float, records: int, fault: str | None) -> None:
    """Nobody wants to know how long commits take."""


@dataclass(slots=True, eq=False)
class _Awaited(Queued):
    future: asyncio.Future[list[int]] = field(kw_only=True)
    on_late: Callable[[int], object] | None = None


class Writer:
    """The writer of one log, from :meth:`open` to :meth:`close`; every method is for the event loop's thread."""

    def __init__(
        self,
        directory: LogDirectory,
        journal: Journal,
        signer: NoteSigner,
        *,
        settings_sha256: str,
        limits: Limits,
        clock: Callable[[], Instant],
        on_checkpoint: Callable[[str], object],
        on_commit: Callable[[float, int, str | None], None],
    ) -> None:
        self.log = journal.chain.log
        self.checkpoint_key = signer.verifier.vkey
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._clock = clock
        self._closing = False
        self._telling: asyncio.TimerHandle | None = None
        self._thread = LogThread(
            directory,
            journal,
            signer,
            settings_sha256=settings_sha256,
            limits=limits,
            clock=clock,
            report=lambda reports: self._post(self._deliver, reports),
            on_checkpoint=lambda note: self._post(on_checkpoint, note),
            on_commit=on_commit,
        )

    @classmethod
    async def open(
        cls,
        directory: LogDirectory,
        *,
        node: str,
        settings_sha256: str,
        clock: Callable[[], Instant] = now_us,
        on_checkpoint: Callable[[str], object] = str,
        on_commit: Callable[[float, int, str | None], None] = _unmeasured,
        unsigned: Sequence[Chain] = (),
        signer_for: Callable[[str], NoteSigner] = in_memory,
        claim: Callable[[str], object] = str,
        **limits: Any,
    ) -> Self:
        """Begin a new log in a directory this process has acquired; ``limits`` are fields of :class:`Limits`.

        ``on_checkpoint`` gets every signed head, ``on_commit`` (in the log thread) how long each commit took, of how
        many records, and what is wrong with the log after it.  ``unsigned``: chains of dead logs that recovery
        extended, whose new heads this process's key signs.  ``signer_for`` gives the signer of a log by its name, and
        ``claim`` is told the name before there is any file of it.
        Raises ConfigurationError where the first files cannot be made.
        """
        log, given = new_log_name(node, clock()), Limits(**limits)
        signer, _ = signer_for(log), claim(log)
        try:
            live = await asyncio.to_thread(_first_files, directory, log, signer, unsigned, given)
        except (duckdb.Error, OSError, SigningError) as error:
            raise ConfigurationError(f"No log can be begun in {directory.path}: {first_line(error)}.") from error
        made = cls(
            directory,
            Journal(directory, Chain(log), live, directory.spill(log)),
            signer,
            settings_sha256=settings_sha256,
            limits=given,
            clock=clock,
            on_checkpoint=on_checkpoint,
            on_commit=on_commit,
        )
        made._thread.start()
        return made

    @property
    def available(self) -> bool:
        """Whether a decision can be made durable now."""
        return self.fault is None

    @property
    def fault(self) -> str | None:
        """Why not, in one sentence."""
        if self._thread.ended is not None:
            return f"Nothing more can be recorded: {self._thread.ended}."
        suspension = self._thread.suspension
        return suspension.sentence if suspension else None

    @property
    def live_bytes(self) -> int:
        """Size of the live file's WAL as last seen."""
        return self._thread.live_bytes

    @property
    def unsealed(self) -> int:
        """Entries that no seal covers yet."""
        return self._thread.journal.chain.unsealed

    @property
    def last_checkpoint_at(self) -> Instant | None:
        """When a head was last signed and kept, by the wall clock."""
        return self._thread.checkpoints.kept_at

    @property
    def ended(self) -> bool:
        """Whether the log's thread is no more."""
        return self._thread.ended is not None

    @property
    def next_seq(self) -> int:
        """How many entries of this log are durable."""
        return self._thread.journal.next_seq

    @property
    def queue_depth(self) -> int:
        """How many appends wait for a commit."""
        return self._thread.depth

    @property
    def counters(self) -> dict[str, int]:
        """Decisions, forwarded, completions and dropped, as the next seal will state them."""
        chain = self._thread.journal.chain
        return {
            "decisions": chain.decisions,
            "forwarded": chain.forwarded,
            "completions": chain.completions,
            "dropped": self._thread.dropped + self._thread.turned_away,
        }

    @property
    def warnings(self) -> list[str]:
        """What does not stop recording and yet needs mending: checkpoints or segments that cannot be written."""
        found = (self._thread.checkpoints.fault, self._thread.publisher.fault)
        return [sentence for sentence in found if sentence is not None]

    @property
    def free_bytes(self) -> int | None:
        """Free disk space as last seen; None before the first look."""
        return self._thread.space.seen

    @property
    def last_commit_at(self) -> Instant | None:
        """When an entry last became durable, by the wall clock."""
        return self._thread.last_commit_at

    @property
    def heartbeat_monotonic(self) -> float:
        """When the log thread last went round, in seconds of ``time.monotonic``."""
        return self._thread.heartbeat_monotonic

    async def append(
        self, record: Record, *, on_late: Callable[[int], object] | None = None, leaves: bool = False
    ) -> int:
        """Make a record durable and return its ``seq``.

        Raises RecordError for a value the log cannot hold, LogUnavailable where the record did not become durable
        within ``commit_timeout_s``.  Should it do so later nevertheless, ``on_late`` is told its ``seq``; without
        ``on_late`` a late decision to forward gets the completion `not_sent`, as whoever asked has refused by then.
        ``leaves``: its request leaves all the same, so it is not counted as dropped.
        """
        entry = encode(record)
        late = on_late
        if late is None and isinstance(record, Decision):
            late = functools.partial(self.not_sent, record)
        return (await self._append(lambda _: [entry], late, leaves))[0]

    def not_sent(self, decision: Decision, seq: int) -> None:
        """A decision has become durable whose request was refused meanwhile: where it is to forward, say so."""
        if decision.action is Action.FORWARDED:
            self.submit(self._not_sent(decision, seq))

    async def append_many(
        self,
        records: Sequence[Record] | Callable[[int], Sequence[Record]],
        *,
        on_late: Callable[[int], object] | None = None,
        leaves: bool = False,
    ) -> list[int]:
        """Make records durable together or not at all, with consecutive ``seq``, and return those.

        Given a function, it is called with the first ``seq`` so that records can name each other; it must be pure, as
        it may be called again with another number and is called in the log thread.  ``on_late`` is told the first
        ``seq``, and ``leaves`` is, as for :meth:`append`.
        """
        if callable(records):
            make = records
            return await self._append(lambda base: [encode(record) for record in make(base)], on_late, leaves)
        entries = [encode(record) for record in records]
        return await self._append(lambda _: entries, on_late, leaves)

    def submit(self, record: Record) -> asyncio.Future[list[int]]:
        """Hand over a record that nothing waits for; kept through failures for as long as the process lives.

        Raises RecordError for a value the log cannot hold.  The future may be ignored; it holds LogUnavailable where
        even twice the queue is full or the log is closed.
        """
        entry = encode(record)
        item = _Awaited(make=lambda _: [entry], keep=True, future=self._loop.create_future())
        item.future.add_done_callback(lambda done: done.cancelled() or done.exception())  # may be ignored
        refusal = self._refusal(2 * self._limits.queue_records, keep=True)
        if refusal is not None:
            self._thread.turned_away += 1
            logger.error("A record was lost: %s", refusal, extra=about("record_lost"))
            item.future.set_exception(refusal)
        else:
            self._thread.put(item)
        return item.future

    def adopt(self, leftovers: Sequence[Path]) -> None:
        """Publish the live files of dead logs that recovery finished; what turns out damaged is told in this log."""
        self._thread.publisher.adopt(leftovers, self._tell)

    def refusal(self) -> LogUnavailable | None:
        """Why :meth:`append` would refuse at once; None where it would try."""
        return self._refusal(self._limits.queue_records)

    def refused(self, reason: str) -> None:
        """A request was refused because it could not be recorded: the log will say how many were."""
        self._thread.refusals.add(reason, self._clock())
        if self._telling is None:
            self._telling = self._loop.call_later(_TELL_REFUSED_S, self._tell_refused)

    async def rotate(self, reason: str = "demand") -> Segment:
        """Seal everything appended so far; on return it is published and can be queried.  Raises LogUnavailable."""
        logger.info("The log is sealed and rotated: %s.", reason, extra=about("log_rotated"))
        if self._thread.ended is not None or self._closing:
            raise LogUnavailable("The log is closed.", reason=CLOSED)
        segment = await asyncio.wrap_future(self._thread.rotate())
        with contextlib.suppress(LogUnavailable):  # shown among the warnings, and tried again
            await self.checkpoint()
        return segment

    async def checkpoint(self) -> str:
        """The newest signed head, which covers every seal made before the call.  Raises LogUnavailable."""
        return await asyncio.wrap_future(self._thread.checkpoints.settled())

    async def close(self, reason: str = "signal") -> Segment | None:
        """Write what is queued, seal, publish; the last segment, or None where recovery has to finish it."""
        logger.info("The log is closed: %s.", reason, extra=about("log_closed"))
        self._tell_refused()
        self._closing = True
        self._thread.stop()
        await asyncio.to_thread(self._thread.join)
        last = self._thread.last_segment
        if last is None or last.exception() is not None:
            logger.error("The log %s could not be sealed and published; the next start does it.", self.log)
            return None
        return last.result()

    def _tell(self, incidents: Sequence[Incident]) -> None:
        """Make incidents durable, for another thread than the event loop's.  Raises LogUnavailable."""
        telling = asyncio.run_coroutine_threadsafe(self.append_many(incidents), self._loop)
        try:
            telling.result(self._limits.commit_timeout_s + _TELL_REFUSED_S)
        except TimeoutError as error:  # a loop that stands still; those of the log have a reason
            raise LogUnavailable("The event loop does not answer.", reason=CLOSED) from error

    def hurry(self) -> None:
        """Close without publishing, where that is under way: the next start does it."""
        self._thread.publisher.hurry()

    def _tell_refused(self) -> None:
        """Submit what was refused; during a suspension that is left to the incident which ends it."""
        if self._telling is not None:
            self._telling.cancel()
        self._telling = None
        if self._thread.suspension is None:
            record = refused_incident(self._thread.refusals.take(), self._clock())
            if record is not None:
                self.submit(record)

    async def _append(
        self, make: Callable[[int], Any], on_late: Callable[[int], object] | None, leaves: bool
    ) -> list[int]:
        refusal = self._refusal(self._limits.queue_records)
        if refusal is not None:
            self._thread.turned_away += not leaves
            raise refusal
        item = _Awaited(make=make, future=self._loop.create_future(), on_late=on_late, leaves=leaves)
        timer = self._loop.call_later(self._limits.commit_timeout_s, self._expire, item)
        self._thread.put(item)
        try:
            return await item.future
        finally:
            timer.cancel()
            item.abandoned = True  # where this was cancelled and not yet taken, it is not written

    def _refusal(self, depth_max: int, *, keep: bool = False) -> LogUnavailable | None:
        if self._thread.ended is not None or (self._closing and not keep):
            return LogUnavailable("The log is closed.", reason=CLOSED)
        suspension = self._thread.suspension
        if suspension is not None and not keep:
            return LogUnavailable(suspension.sentence, reason=suspension.reason)
        if self._thread.depth >= depth_max:
            return LogUnavailable(
                f"{self._thread.depth} records wait to be written: send more slowly.", reason=BACKPRESSURE
            )
        return None

    def _expire(self, item: _Awaited) -> None:
        if not item.future.done():
            item.abandoned = True
            item.future.set_exception(
                LogUnavailable(
                    f"The record was not durable within {self._limits.commit_timeout_s} s: the disk is slow or hangs.",
                    reason=COMMIT_TIMEOUT,
                )
            )

    def _post(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call back in the event loop, from the log thread; a loop that is gone has nobody waiting."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _deliver(self, reports: Sequence[Report]) -> None:
        for report in reports:
            item = report.item
            if not isinstance(item, _Awaited):
                continue
            if item.future.done():
                if report.error is None and item.on_late is not None:
                    item.on_late(report.first)
            elif report.error is not None:
                item.future.set_exception(report.error)
            else:
                item.future.set_result(list(range(report.first, report.first + report.count)))

    def _not_sent(self, decision: Decision, seq: int) -> Completion:
        now = self._clock()
        why = "the decision became durable only after the request had been refused"
        open_ms = max(0, (now - decision.recorded_at) // 1000)
        return unanswered(seq, now, Outcome.NOT_SENT, why, duration_ms=open_ms)


def _first_files(
    directory: LogDirectory, log: str, signer: NoteSigner, unsigned: Sequence[Chain], limits: Limits
) -> LiveFile:
    for chain in unsigned:
        checkpoints.store(directory, chain.log, chain.head(), signer)
    return LiveFile.create(directory.live_file(log, 0), directory.spill(log), limits.segment_bytes)
