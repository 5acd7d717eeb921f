"""Which records of a log are shipped: ranges of ``seq`` put together, whatever segments they were shipped in."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

type Range = tuple[int, int]
"""The first and the last ``seq`` of a segment."""


class Coverage:
    """Which records of one log are shipped, as ranges that do not touch each other."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in sorted(ranges):
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Take in the records of a segment."""
        begin = bisect.bisect_left(self._last, first - 1)
        end = bisect.bisect_right(self._first, last + 1)
        if begin < end:
            first, last = min(first, self._first[begin]), max(last, self._last[end - 1])
        self._first[begin:end] = [first]
        self._last[begin:end] = [last]

    def covers(self, first: int, last: int) -> bool:
        """Whether every record from ``first`` to ``last`` is shipped."""
        at = bisect.bisect_right(self._first, first) - 1
        return at >= 0 and self._last[at] >= last

    def touches(self, first: int, last: int) -> bool:
        """Whether any of these records is shipped."""
        at = bisect.bisect_left(self._last, first)
        return at < len(self._first) and self._first[at] <= last

    @property
    def runs(self) -> list[Range]:
        """The ranges, in order."""
        return list(zip(self._first, self._last, strict=True))
