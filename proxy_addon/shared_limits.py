"""What each crawler has used of its own limits, in memory that all its workers share: limits are the sidecar's.

A worker writes how many exchanges it has open itself, so that what a dead one had open ends with its successor's start.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from proxy_addon import shared_marks
from proxy_addon.limits import Level
from proxy_addon.shared_memory import SharedMemory

WORKERS_MAX = 64
_LEVEL = struct.Struct("dd")  # left, at
_COUNTS = struct.Struct(f"{WORKERS_MAX}q")
_COUNT = struct.Struct("q")
_BUCKETS = ("requests", "tunnels")
_CRAWLER_OCTETS = len(_BUCKETS) * _LEVEL.size + _COUNTS.size


def octets(crawlers: int) -> int:
    """How much memory the marks and the limits of so many crawlers take."""
    return shared_marks.OCTETS + crawlers * _CRAWLER_OCTETS


class SharedLimits:
    """The part of the memory that lies behind the marks, for one worker."""

    def __init__(self, memory: SharedMemory, crawlers: Sequence[str], worker: int) -> None:
        """``crawlers``: their ids, the same in all workers; ``worker``: its number, from 1."""
        self._memory = memory
        self._starts = {
            name: shared_marks.OCTETS + index * _CRAWLER_OCTETS for index, name in enumerate(sorted(crawlers))
        }
        self._worker = worker
        for name in crawlers:
            self.note(name, 0)

    def cell(self, crawler: str, bucket: str) -> SharedCell:
        """The level of a bucket, ``requests`` or ``tunnels``, of a crawler."""
        return SharedCell(self._memory, self._starts[crawler] + _BUCKETS.index(bucket) * _LEVEL.size)

    def admit(self, crawler: str, own: int, most: int) -> bool:
        """Whether a crawler that has ``own`` exchanges open here may have one more; it is counted then."""
        start = self._counts(crawler)
        with self._memory.holding(start, _COUNTS.size):
            everywhere = self._memory.read(_COUNTS, start)
            if own + sum(everywhere) - everywhere[self._worker - 1] >= most:
                return False
            self._write(crawler, own + 1)
        return True

    def note(self, crawler: str, own: int) -> None:
        """A crawler has so many exchanges open in this worker."""
        with self._memory.holding(self._counts(crawler), _COUNTS.size):
            self._write(crawler, own)

    def _counts(self, crawler: str) -> int:
        return self._starts[crawler] + len(_BUCKETS) * _LEVEL.size

    def _write(self, crawler: str, own: int) -> None:
        self._memory.write(_COUNT, self._counts(crawler) + (self._worker - 1) * _COUNT.size, own)


class SharedCell:
    """As :class:`proxy_addon.limits.OwnCell`, for several processes."""

    def __init__(self, memory: SharedMemory, offset: int) -> None:
        self._memory = memory
        self._offset = offset

    @contextmanager
    def holding(self) -> Iterator[Level]:
        """The level, which no other process reads or changes meanwhile."""
        with self._memory.holding(self._offset, _LEVEL.size):
            left, at = self._memory.read(_LEVEL, self._offset)
            level = Level(left, at) if at else Level()
            yield level
            self._memory.write(_LEVEL, self._offset, level.left, level.at or 0.0)
