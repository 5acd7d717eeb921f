"""When the sidecar is ready, and when it is dead: two questions that must not be taken for each other.

Ready: a request that came now could be recorded.  What ends by itself, such as a full disk, makes it not ready.  Dead:
only a new process can record again.  A restart mends no disk, so a disk that is full or hangs does not make it dead.
"""

from __future__ import annotations

import time
from typing import Protocol

# The log's thread goes round ten times a second; one that is silent for so long waits for a disk.
_HEARTBEAT_S = 4.0
# No disk that comes back takes so long, and a thread that waits for something else would wait for ever.
_DEAD_S = 120.0


class Accepts(Protocol):
    """What is asked of the recorder."""

    @property
    def accepting(self) -> bool: ...


class Log(Protocol):
    """What is asked of the writer."""

    @property
    def available(self) -> bool: ...

    @property
    def fault(self) -> str | None: ...

    @property
    def ended(self) -> bool: ...

    @property
    def heartbeat_monotonic(self) -> float: ...


def not_ready(recorder: Accepts, writer: Log) -> str | None:
    """Why no request can be recorded now, in one sentence; None where it can.

    The same under ``fail_open``: requests leave then, but nothing of what the log is for is given.
    """
    if not recorder.accepting:
        return "the sidecar is starting or stopping"
    if not writer.available:
        return f"the log cannot be written: {writer.fault}"
    silent_s = _silent_s(writer)
    if silent_s > _HEARTBEAT_S:
        return f"the log's thread has been at one commit for {silent_s:.0f} s: the disk is slow or hangs"
    return None


def dead(writer: Log) -> str | None:
    """Why only a new process can record again, in one sentence; None while this one can, or may yet."""
    if writer.ended:
        return f"the log's thread has ended: {writer.fault}"
    silent_s = _silent_s(writer)
    if silent_s > _DEAD_S:
        return f"the log's thread has not moved for {silent_s:.0f} s"
    return None


def _silent_s(writer: Log) -> float:
    return time.monotonic() - writer.heartbeat_monotonic
