"""Of a message that comes again and again the first few are written, then how many there were.

Without descriptors, for example, asyncio complains of every connection it cannot take, hundreds of times a second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

_EVERY_S = 10.0
_WRITTEN_MAX = 10
_KINDS_MAX = 1000


@dataclass(slots=True)
class _Seen:
    since: float
    count: int = 0


class Repetition(logging.Filter):
    """Lets through ten messages of one kind in ten seconds; the next one after those says how many were left out.

    Of one kind are messages of one logger with the same template, whatever is put into it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, str], _Seen] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a record; its text may get the number of those left out."""
        now, kind = self._clock(), (record.name, str(record.msg))
        seen = self._seen.get(kind)
        if seen is None or now - seen.since >= _EVERY_S:
            if len(self._seen) >= _KINDS_MAX:
                self._seen.clear()
            self._seen[kind] = _Seen(now, 1)
            if seen is not None and seen.count > _WRITTEN_MAX:
                left_out = seen.count - _WRITTEN_MAX
                record.msg = f"{record.getMessage()} ({left_out} more of these were left out since the last one)"
                record.args = ()
            return True
        seen.count += 1
        return seen.count <= _WRITTEN_MAX
