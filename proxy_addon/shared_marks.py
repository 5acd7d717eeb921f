"""When each crawler last asked each authority, in memory that all its workers share: the pace is the sidecar's.

A table of sets: the digest of a pace chooses the set, and a set that is full gives up what is oldest in it.  Times are
of the monotonic clock, which is one for all processes of a machine.
"""

from __future__ import annotations

import functools
import hashlib
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from proxy_addon.pacing import Mark, Pace
from proxy_addon.shared_memory import SharedMemory

_KEY_BYTES = 16
_ENTRY = struct.Struct(f"{_KEY_BYTES}sddd")  # digest, left, slot, let_go
_TIMES = struct.Struct("ddd")
_WAYS = 8
_SET_BYTES = _WAYS * _ENTRY.size
# With 100,000 paces, as many as one process remembers, one set of 65,536 in 100,000 has more than eight.
_SETS = 2**16
OCTETS = _SETS * _SET_BYTES
_UNUSED = bytes(_KEY_BYTES)


class SharedMarks:
    """As :class:`proxy_addon.pacing.OwnMarks`, for several processes; the first ``OCTETS`` of the memory are its."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory

    @contextmanager
    def holding(self, pace: Pace) -> Iterator[Mark]:
        """The mark of a pace, which no other process reads or changes meanwhile."""
        start, digest = _place(pace)
        with self._memory.holding(start, _SET_BYTES):
            octets = self._memory.octets(start, _SET_BYTES)
            at = _entry_of(octets, digest)
            mark = Mark() if at is None else Mark(*_TIMES.unpack_from(octets, at + _KEY_BYTES))
            yield mark
            octets = _ENTRY.pack(digest, mark.left, mark.slot, mark.let_go)
            self._memory.put(start + (self._oldest(start) if at is None else at), octets)

    def left(self, pace: Pace) -> float:
        """When the previous request left, if any did; nobody is kept from changing it."""
        start, digest = _place(pace)
        octets = self._memory.octets(start, _SET_BYTES)
        at = _entry_of(octets, digest)
        found: float = -math.inf if at is None else _TIMES.unpack_from(octets, at + _KEY_BYTES)[0]
        return found

    def _oldest(self, start: int) -> int:
        """Where in a set an entry is unused, or the one that nobody has asked for the longest time."""
        ages = [
            -math.inf if key == _UNUSED else max(times)
            for key, *times in _ENTRY.iter_unpack(self._memory.octets(start, _SET_BYTES))
        ]
        return ages.index(min(ages)) * _ENTRY.size


@functools.lru_cache(maxsize=4096)
def _place(pace: Pace) -> tuple[int, bytes]:
    """Where the set of a pace begins, and the digest it is known by."""
    digest = hashlib.blake2b("\0".join(map(str, pace)).encode(), digest_size=_KEY_BYTES).digest()
    return int.from_bytes(digest[:4], "big") % _SETS * _SET_BYTES, digest


def _entry_of(octets: bytes, digest: bytes) -> int | None:
    """Where in a set the entry of a digest begins; None: it has none."""
    at = octets.find(digest)
    while at >= 0 and at % _ENTRY.size:  # octets of other values that look the same
        at = octets.find(digest, at + 1)
    return None if at < 0 else at
