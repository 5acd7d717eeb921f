"""The durable sequence itself: what is committed, what failed, what is in doubt, and the seals between.

Synchronous and without a thread of its own; the writer's thread is the only caller.  Every batch ends known: durable
with its sequence numbers, refused, or not written; a batch in doubt (a failed fsync) ends known at the next reopening.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import schema
from crawl_audit.errors import LogFormatError, RecordError
from crawl_audit.records import Instant, Record
from crawl_audit.text import first_line
from proxy_addon.chain import Chain
from proxy_addon.live import InDoubtError, LiveFile, RefusedError, RolledBackError
from proxy_addon.log_directory import LogDirectory

Encoded = tuple[str, dict[str, Any]]
"""An entry as text and as object."""


def encode(record: Record) -> Encoded:
    """The entry of a record under a fresh salt; raises RecordError for a value the log cannot hold."""
    salt = os.urandom(schema.SALT_BYTES) if schema.has_salt(record.KIND) else None
    entry = schema.to_object(record, salt)
    return schema.canonical(entry), entry


@dataclass(slots=True, eq=False)
class Item:
    """What is committed together: entries made from the sequence number the first of them gets."""

    make: Callable[[int], Sequence[Encoded]]
    keep: bool = False  # nobody waits for it and it must not be lost: tried again after a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of items: durable from a ``seq`` on (count), refused for good, or open: not written."""

    durable: list[tuple[Item, int, int]] = field(default_factory=list)
    refused: list[tuple[Item, RecordError]] = field(default_factory=list)
    open: list[Item] = field(default_factory=list)

    def extend(self, other: Result) -> None:
        """Take over another result."""
        self.durable.extend(other.durable)
        self.refused.extend(other.refused)
        self.open.extend(other.open)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    item: Item
    first: int
    entries: Sequence[Encoded]


class Journal:
    """One log as it grows: live file after live file, seal after seal."""

    def __init__(self, directory: LogDirectory, chain: Chain, live: LiveFile, spill: Path) -> None:
        self._directory = directory
        self.chain = chain
        self.live: LiveFile | None = live
        self._path = live.path
        self._spill = spill
        self.next_seq = self._live_first = chain.next_seq  # of the next entry; the chain follows in settle()
        self._unsettled: list[dict[str, Any]] = []
        self._doubt: list[_Placed] = []
        self.fault: str | None = None
        self.lost = False  # durable records are gone: nothing more is written
        self.records_in_live = 0  # seals not counted
        self.decisions_in_live = 0
        self.sealed = False  # the last entry is a seal

    @property
    def doubtful(self) -> list[Item]:
        """Items of which is not known whether they are durable."""
        return [placed.item for placed in self._doubt]

    @property
    def empty(self) -> bool:
        """Whether the live file holds nothing."""
        return self.next_seq == self._live_first

    def commit(self, items: Sequence[Item]) -> Result:
        """Write items in order, as one transaction where nothing goes wrong.

        ``fault`` tells afterwards whether the log can still be written; ``live`` is None while a batch is in doubt.
        Call :meth:`settle` when those who wait have been told.
        """
        self.settle()
        return self._place(items)

    def settle(self) -> None:
        """Hash what was committed; kept off the path of those who wait."""
        for entry in self._unsettled:
            seal = entry["k"] == "seal"
            self.records_in_live += not seal
            self.decisions_in_live += entry["k"] == "decision"
            self.sealed = seal
            self.chain.add(entry)
        self._unsettled = []

    def move(self) -> None:
        """Let DuckDB take what is durable in the front alone; where it must be opened again for that, do so.

        ``live`` is None afterwards, and ``fault`` says why, where that failed.
        """
        if self.live is None:
            return
        try:
            self.live.move()
        except RolledBackError:
            return  # durable all the same; once the front is full, the next commit says so
        except InDoubtError as error:
            self.fault = str(error)
            self.live.close()
            self.live = None
            self.reopen()

    def reopen(self) -> Result:
        """Open the file again after doubt, see what is there, and write only what is missing."""
        assert self.live is None, "only a file in doubt is reopened"
        doubt, result = self._doubt, Result()
        try:
            live = LiveFile.open(self._path, self._spill)
        except (duckdb.Error, LogFormatError, OSError) as error:
            self.fault = f"the live file cannot be reopened: {first_line(error)}"
            return result
        try:
            live.flush()
            extent = live.extent()
        except (duckdb.Error, OSError) as error:
            live.close()
            self.fault = f"the live file cannot be flushed: {first_line(error)}"
            return result
        there = self._live_first if extent.last is None else extent.last + 1
        count = sum(len(placed.entries) for placed in doubt)
        gap_free = extent.rows == there - self._live_first
        if not gap_free or there not in (self.next_seq, self.next_seq + count):
            live.close()
            self.lost = True
            self.fault = (
                f"the live file ends with record {there - 1} although {self.next_seq - 1} was durable; nothing more is"
                " written to it, restart to begin a new log"
            )
            return result
        self.live, self._doubt, self.fault = live, [], None
        if there == self.next_seq:
            result.open.extend(placed.item for placed in doubt)
        else:
            self._durable(doubt, result)
        return result

    def seal(self, reason: str, *, now: Instant, monotonic_ms: int, settings_sha256: str, dropped: int) -> Result:
        """Seal everything since the last seal; the seal is the only item of the result."""
        self.settle()
        self.chain.dropped = dropped
        record = self.chain.seal(reason, now=now, monotonic_ms=monotonic_ms, settings_sha256=settings_sha256)
        result = self.commit([Item(make=lambda _: [encode(record)])])
        self.settle()
        return result

    def swap(self, live: LiveFile) -> tuple[LiveFile, int]:
        """Go on in another live file; gives the old one and the last sequence number it holds."""
        self.settle()
        assert self.sealed, "only a sealed live file is rotated"
        assert self.live is not None, "a file in doubt is not rotated"
        old, self.live, self._path = self.live, live, live.path
        self._live_first = self.next_seq
        self.records_in_live = self.decisions_in_live = 0
        return old, self.next_seq - 1

    def _place(self, items: Sequence[Item]) -> Result:
        result = Result()
        placed: list[_Placed] = []
        seq = self.next_seq
        for item in items:
            try:
                entries = item.make(seq)
            except RecordError as error:
                result.refused.append((item, error))
                continue
            placed.append(_Placed(item=item, first=seq, entries=entries))
            seq += len(entries)
        if placed:
            result.extend(self._write(placed))
        return result

    def _write(self, placed: list[_Placed], *, again: bool = True) -> Result:
        result = Result()
        if self.live is None:  # an earlier part of the same batch is in doubt
            result.open.extend(part.item for part in placed)
            return result
        bodies = [body for part in placed for body, _ in part.entries]
        try:
            if bodies:
                self.live.insert(placed[0].first, bodies)
        except RefusedError as error:
            return self._halves(placed, error)
        except RolledBackError as error:
            if again:
                return self._write(placed, again=False)
            self.fault = str(error)
            result.open.extend(part.item for part in placed)
        except InDoubtError as error:
            self.live.close()
            self.live, self._doubt = None, placed
            result.extend(self.reopen())
            if result.open and again:  # certainly not there: once more
                return self._write(placed, again=False)
            if result.open:
                self.fault = str(error)
        else:
            self.fault = None
            self._durable(placed, result)
        return result

    def _halves(self, placed: list[_Placed], error: Exception) -> Result:
        """One refused value must not take the others with it; those behind it move up."""
        if len(placed) == 1:
            return Result(refused=[(placed[0].item, RecordError(f"DuckDB does not take this record: {error}"))])
        middle = len(placed) // 2
        result = self._place([part.item for part in placed[:middle]])
        result.extend(self._place([part.item for part in placed[middle:]]))
        return result

    def _durable(self, placed: list[_Placed], result: Result) -> None:
        for part in placed:
            result.durable.append((part.item, part.first, len(part.entries)))
            self.next_seq += len(part.entries)
            self._unsettled.extend(entry for _, entry in part.entries)
