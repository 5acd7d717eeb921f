"""Which process writes which log, where several write to one directory: a lock beside the live files of each log.

A log's lock is taken before there is any file of it and kept until the process ends, whoever it is that writes the log
or finishes it for a dead process.  The kernel drops a lock with its holder.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from proxy_addon.log_directory import LogDirectory

_SUFFIX = ".lock"
# Whoever only asks whether a log has an owner holds its lock for an instant.
_ATTEMPTS = 5
_PAUSE_S = 0.01


class LogLocks:
    """The locks that this process holds; may be used from several threads, as each log is asked for by one of them."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._held: dict[str, int] = {}

    def take(self, log: str) -> bool:
        """Whether the log is this process's, which it is from now on unless it is another's; raises OSError."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S)
            if log in self._held:
                return True
            descriptor = self._try(log)
            if descriptor is not None:
                self._held[log] = descriptor
                return True
        return False

    def is_held(self, log: str) -> bool:
        """Whether this process has taken the log."""
        return log in self._held

    def is_anothers(self, log: str) -> bool:
        """Whether another process has taken the log and lives; raises OSError."""
        if log in self._held or not self._path(log).exists():
            return False
        descriptor = self._try(log)
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None

    def _path(self, log: str) -> Path:
        return self._directory.live / (log + _SUFFIX)

    def _try(self, log: str) -> int | None:
        descriptor = os.open(self._path(log), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise
        return descriptor
