"""Who changes what lies under segments/ holds this lock, so that nothing is published into a directory being replaced.

The lock is ``flock`` on ``segments.lock`` in the root of a log directory, the same for every program that changes
segments.  It is held for renames, never while anything is converted or compared; the kernel drops it with its holder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "segments.lock"


@contextmanager
def changing_segments(log_directory: Path) -> Iterator[None]:
    """Hold the right to change what lies under ``segments/``, waiting for whoever has it; raises OSError."""
    descriptor = os.open(log_directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
