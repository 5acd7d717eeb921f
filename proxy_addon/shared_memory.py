"""Memory that the workers of one sidecar share, with a lock for each part of it that a process's death sets free.

It has no name and is on no disk: workers are handed its descriptor, and it is gone with the last of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Iterator

# A lock is held for microseconds.  Nobody waits longer for a process that was stopped in the middle of them.
_PATIENCE_S = 0.05
_PAUSE_S = 0.0002


def create(octets: int) -> int:
    """Descriptor of so much new memory, all zero; it takes room only where it is written to.  Raises OSError."""
    descriptor = os.memfd_create("crawl-audit-workers", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, octets)
    return descriptor


class SharedMemory:
    """The memory as one process has it; for one thread of it."""

    def __init__(self, descriptor: int) -> None:
        """Raises OSError.  The descriptor stays open: closing any of this memory would drop this process's locks."""
        self._descriptor = descriptor
        self._view = mmap.mmap(descriptor, 0)

    @contextlib.contextmanager
    def holding(self, offset: int, octets: int) -> Iterator[None]:
        """Keep other processes from a part while it is read and changed."""
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, octets, offset)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    break
            time.sleep(_PAUSE_S)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, octets, offset)

    def octets(self, offset: int, length: int) -> bytes:
        """What is there."""
        return self._view[offset : offset + length]

    def put(self, offset: int, octets: bytes) -> None:
        """Write octets."""
        self._view[offset : offset + len(octets)] = octets

    def read(self, layout: struct.Struct, offset: int) -> tuple[float, ...]:
        """Numbers that are there."""
        return layout.unpack_from(self._view, offset)

    def write(self, layout: struct.Struct, offset: int, *values: float) -> None:
        """Write numbers."""
        layout.pack_into(self._view, offset, *values)
