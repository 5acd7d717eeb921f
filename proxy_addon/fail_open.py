"""What `fail_open` lets leave although it cannot be recorded, and how the log gets it late: gap record, then the rest.

Stands between the hooks and the writer and speaks the writer's language.  A decision that cannot be made durable gets
a number below zero in place of its ``seq``; its completion comes back under that number.  There is exactly one
decision for each request in the log in the end: one that became durable by itself after all is not entered again,
which is certain only once something put into the writer's queue after it is durable (the *barrier*).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from crawl_audit.errors import LogUnavailable, RecordError
from crawl_audit.records import Action, Completion, Decision, Incident, Instant, Record
from proxy_addon.emergency import EmergencyFile, emergency_file, line_of, uncounted_line
from proxy_addon.journal import encode
from proxy_addon.late_records import Chunk, Kept, Lost, chunk_of
from proxy_addon.suspension import BACKPRESSURE, CLOSED, COMMIT_TIMEOUT, DISK_RESERVE, UNAVAILABLE
from proxy_addon.writer import Writer

logger = logging.getLogger("crawl_audit.fail_open")

# Not for a sidecar that starts or stops: it has not recorded its settings, or has said that it stopped.
_LEAVES_WHEN = (UNAVAILABLE, DISK_RESERVE, COMMIT_TIMEOUT, BACKPRESSURE, CLOSED)
# The longest a request waits for the emergency file; the disk may be the one that hangs.
_PATIENCE_S = 0.1
# How often it is tried whether the log can be written again.
_RETRY_S = 0.25
# With their completions and the gap record fewer than 1,000 records: a millisecond or two of the log thread.
_CHUNK_DECISIONS = 400
_LOST = -(2**52)
"""The number of every request of which nothing could be kept; its completion is dropped."""


class Writing(Protocol):
    """What is needed of the writer (:class:`proxy_addon.writer.Writer` says what each does)."""

    async def append(
        self, record: Record, *, on_late: Callable[[int], object] | None = None, leaves: bool = False
    ) -> int: ...

    async def append_many(
        self,
        records: Sequence[Record] | Callable[[int], Sequence[Record]],
        *,
        on_late: Callable[[int], object] | None = None,
        leaves: bool = False,
    ) -> list[int]: ...

    def submit(self, record: Record) -> object: ...

    def refusal(self) -> LogUnavailable | None: ...

    def refused(self, reason: str) -> None: ...

    def not_sent(self, decision: Decision, seq: int) -> None: ...


class FailOpenLog:
    """The log as the hooks see it where the operator has chosen `fail_open`; used from the event loop's thread."""

    def __init__(
        self,
        writer: Writing,
        emergency: EmergencyFile,
        *,
        now: Callable[[], Instant],
        on_left: Callable[[], object],
    ) -> None:
        """``on_left`` is called for every request that leaves unrecorded."""
        self._writer = writer
        self._emergency = emergency
        self._now = now
        self._on_left = on_left
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._open: dict[int, Kept] = {}  # by number: whose completion is still to come
        self._left: list[Kept] = []  # forwarded or denied, and not certainly in the log
        self._late: list[Kept] = []  # became durable by itself after its request had left
        self._lost = Lost()
        self._lost_since_clear = 0
        self._chunk: Chunk | None = None  # given to the writer, outcome unknown
        self._stalled = False  # a commit took too long, and none has ended since
        self._slow = False  # the same of the emergency file
        self._unfit = False  # something in the emergency file could not be entered: it must stay
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def pending(self) -> int:
        """Requests that left and are not in the log yet."""
        return sum(kept.number < 0 for kept in self._left) + self._lost.requests

    @property
    def warnings(self) -> list[str]:
        """What needs mending although nothing stops: requests not yet entered, and an emergency file that fails."""
        found = [] if self._emergency.fault is None else [self._emergency.fault]
        if self.pending:
            found.append(f"{self.pending} requests have left that are not in the log yet (fail_open).")
        return found

    async def append(self, record: Record) -> int:
        """As the writer's; a decision that cannot be recorded gets a number below zero, and its request may leave.

        Raises LogUnavailable for any other record, and where the sidecar is starting or stopping.
        """
        if not isinstance(record, Decision) or self._closing:
            return await self._writer.append(record)
        kept, settled = Kept(record), False
        try:
            seq = await self._decided(kept)
            settled = True
        finally:
            if not settled:  # refused or cancelled: whatever becomes of the decision, nothing leaves
                kept.gone = True
                if kept.seq is not None:
                    self._writer.not_sent(record, kept.seq)
        return seq

    def submit(self, record: Record) -> object:
        """As the writer's; the completion of a request that left unrecorded waits for its decision to be entered."""
        if not isinstance(record, Completion) or record.decision_seq >= 0:
            return self._writer.submit(record)
        kept = self._open.get(record.decision_seq)
        if kept is None:
            return None  # its decision is not kept either, and was counted
        kept.completion = record
        if kept.seq is not None:
            self._complete(kept)
        elif kept.stored:
            self._emergency.put(line_of(-kept.number, encode(record)[0]))
        return None

    def refused(self, reason: str) -> None:
        """As the writer's."""
        self._writer.refused(reason)

    async def aclose(self) -> None:
        """Enter what can be entered, once; the rest stays in the emergency file for the next start."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._enter_all()
        except LogUnavailable as error:
            logger.error("%d requests that left are not in the log; the next start says so: %s", self.pending, error)
        await asyncio.to_thread(self._emergency.close, empty=self._is_empty())

    # --- letting leave ----------------------------------------------------------------------------------------

    async def _decided(self, kept: Kept) -> int:
        """``seq`` of a decision that is durable, else the number under which it is kept."""
        refusal = self._refusal()
        if refusal is None:
            kept.tried = True
            try:
                return await self._writer.append(kept.decision, on_late=partial(self._on_late, kept), leaves=True)
            except LogUnavailable as error:
                if error.reason not in _LEAVES_WHEN:
                    raise
                refusal = error
                self._stalled = self._stalled or error.reason == COMMIT_TIMEOUT
        kept.cause = refusal.reason
        if kept.decision.action is Action.DENIED:
            return self._keep_denied(kept)
        return await self._let_leave(kept)

    def _refusal(self) -> LogUnavailable | None:
        """Why not even to try: what is known to fail, or to hang, must not hold up every request anew."""
        if self._stalled:
            return LogUnavailable("The disk is slow or hangs.", reason=COMMIT_TIMEOUT)
        refusal = self._writer.refusal()
        return refusal if refusal is not None and refusal.reason in _LEAVES_WHEN else None

    def _keep_denied(self, kept: Kept) -> int:
        """Nothing leaves, so there is no gap; the decision follows when the log can be written."""
        if kept.tried:
            self._left.append(kept)
            self._enter_soon()
        else:
            self._writer.submit(kept.decision)
        return _LOST

    async def _let_leave(self, kept: Kept) -> int:
        number = next(self._numbers)
        body, _ = encode(kept.decision)  # what no log can hold does not leave unrecorded either
        kept.stored = await self._store(line_of(number, body))
        if kept.seq is not None:
            return kept.seq  # durable meanwhile
        self._on_left()
        if not (kept.stored or kept.tried):
            self._count_lost(kept)
            self._enter_soon()
            return _LOST
        kept.number = -number
        self._open[kept.number] = kept
        self._left.append(kept)
        self._enter_soon()
        return kept.number

    async def _store(self, line: str) -> bool:
        """Put a line into the emergency file and wait a little for it to be on disk; False where there is no room."""
        written: asyncio.Future[None] = self._loop.create_future()

        def done() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone, and nobody waits
                self._loop.call_soon_threadsafe(self._stored, written)

        if not self._emergency.put(line, done):
            return False
        if not self._slow and self._emergency.fault is None:
            await asyncio.wait({written}, timeout=_PATIENCE_S)
            self._slow = not written.done()
        return True

    def _stored(self, written: asyncio.Future[None]) -> None:
        self._slow = False
        if not written.done():
            written.set_result(None)

    def _count_lost(self, kept: Kept) -> None:
        at = kept.decision.recorded_at
        self._lost.add(Lost(1, kept.cause, at, at))
        self._lost_since_clear += 1
        total = self._lost_since_clear
        if total & (total - 1) == 0:  # at 1, 2, 4, 8 …: enough to be told of after a crash, and no flood
            self._emergency.put_always(uncounted_line(total))
            logger.error("%d requests have left of which nothing could be kept.", total)

    # --- entering late ----------------------------------------------------------------------------------------

    def _on_late(self, kept: Kept, seq: int) -> None:
        """The writer says that a decision is durable although it was given up."""
        kept.seq = seq
        if kept.gone:
            self._writer.not_sent(kept.decision, seq)
        elif kept.number < 0:
            self._late.append(kept)
            if kept.completion is not None:
                self._complete(kept)

    def _complete(self, kept: Kept) -> None:
        assert kept.seq is not None and kept.completion is not None, "both are known"
        self._open.pop(kept.number, None)
        self._writer.submit(replace(kept.completion, decision_seq=kept.seq))

    def _is_empty(self) -> bool:
        return not (self._left or self._late or self._lost.requests or self._chunk or self._unfit)

    def _enter_soon(self) -> None:
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._enter(), name="fail-open")

    async def _enter(self) -> None:
        while self._left or self._late or self._lost.requests or self._chunk:
            await asyncio.sleep(_RETRY_S)
            with contextlib.suppress(LogUnavailable):  # the log cannot be written yet: tried again
                await self._enter_all()

    async def _enter_all(self) -> None:
        """Enter everything that is certainly not in the log; raises LogUnavailable where that cannot be done now."""
        known = list(self._left)
        if not (known or self._late or self._lost.requests or self._chunk):
            return
        await self._writer.append_many([], leaves=True)  # the barrier: what was given up before is now decided
        self._settle()
        self._stalled = False
        missing = [kept for kept in known if kept.seq is None]
        for kept in missing:
            if kept.decision.action is Action.DENIED:
                self._writer.submit(kept.decision)
            elif not kept.stored:
                self._count_lost(kept)
                self._open.pop(kept.number, None)
        forwarded = [kept for kept in missing if kept.stored]
        over = {id(kept) for kept in known} - {id(kept) for kept in forwarded}
        self._left = [kept for kept in self._left if id(kept) not in over]
        for _, alike in itertools.groupby(forwarded, key=lambda kept: kept.cause):
            for chunk in itertools.batched(alike, _CHUNK_DECISIONS):
                await self._enter_chunk(list(chunk), [])
        if self._late:
            await self._enter_chunk([], list(self._late))
        if self._lost.requests:
            await self._enter_chunk([], [])
        if self._is_empty():
            self._emergency.clear()
            self._lost_since_clear = 0

    async def _enter_chunk(self, entered: list[Kept], late: list[Kept]) -> None:
        lost = Lost()
        if not late:
            lost, self._lost = self._lost, Lost()
        digest = self._emergency.sha256()
        chunk = self._chunk = chunk_of(entered, late, lost, now=self._now(), file_sha256=digest)
        try:
            seqs = await self._writer.append_many(chunk.records, on_late=chunk.durable, leaves=True)
        except RecordError:
            logger.exception("%d decisions of requests that left cannot be entered; the file stays.", len(entered))
            self._give_up(chunk)
            return
        chunk.first = seqs[0]
        self._settle()

    def _settle(self) -> None:
        """Take note of what became of the chunk that the writer was given."""
        chunk, self._chunk = self._chunk, None
        if chunk is None:
            return
        if chunk.first is None:
            chunk.lost.add(self._lost)
            self._lost = chunk.lost  # to be entered again
            return
        over = {id(kept) for kept in (*chunk.entered, *chunk.late)}
        self._left = [kept for kept in self._left if id(kept) not in over]
        self._late = [kept for kept in self._late if id(kept) not in over]
        for index, kept in enumerate(chunk.entered):
            kept.seq = chunk.first + 1 + index
            if chunk.completions[index] is not None:
                self._open.pop(kept.number, None)
            elif kept.completion is not None:
                self._complete(kept)
        logger.warning("%s", chunk.gap.detail)

    def _give_up(self, chunk: Chunk) -> None:
        self._chunk, self._unfit = None, True
        chunk.lost.add(self._lost)
        self._lost = chunk.lost
        over = {id(kept) for kept in chunk.entered}
        self._left = [kept for kept in self._left if id(kept) not in over]
        for kept in chunk.entered:
            self._open.pop(kept.number, None)
            self._count_lost(kept)


async def begin(
    writer: Writer, root: Path, *, bytes_max: int, now: Callable[[], Instant], on_left: Callable[[], object]
) -> FailOpenLog:
    """The log as the hooks are to see it, with the choice of `fail_open` on record.

    ``root`` is the log directory, ``bytes_max`` the room of the emergency file.  Raises LogUnavailable.
    """
    why = "The setting logging.on_failure is fail_open: requests leave even while they cannot be recorded."
    logger.warning("%s", why)
    await writer.append(
        Incident(
            recorded_at=now(),
            incident="fail_open_configured",
            exchange_id=None,
            crawler=None,
            client=None,
            detail=why,
        )
    )
    emergency = EmergencyFile(emergency_file(root, writer.log), writer.log, bytes_max)
    await asyncio.to_thread(emergency.open)
    return FailOpenLog(writer, emergency, now=now, on_left=on_left)
