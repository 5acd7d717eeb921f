"""The free disk space where the log lies, against the reserve that is kept so that a suspension can be recorded."""

from __future__ import annotations

import os
from pathlib import Path

# Whatever the reserve: a file that grows by less may still be written, and its commit then fails.
_LEAST_BYTES = 2**20
# Free space must be this much above the reserve before writing resumes, else it flaps.
_RESUME_FACTOR = 1.1


class FreeSpace:
    """What there is, as last looked at."""

    def __init__(self, path: Path, reserve_bytes: int) -> None:
        self.seen: int | None = None  # octets; None before the first look
        self._path = path
        self._reserve_bytes = max(reserve_bytes, _LEAST_BYTES)
        self._read_only = False

    def look(self) -> int:
        """How many octets are free now; a file system that does not say counts as full."""
        try:
            status = os.statvfs(self._path)
        except OSError:
            return 0
        self.seen = status.f_bavail * status.f_frsize
        self._read_only = bool(status.f_flag & os.ST_RDONLY)
        return self.seen

    def lack(self) -> str | None:
        """What to do where less is free than the reserve; None where there is enough."""
        free = self.look()
        if self._read_only:
            return (
                f"The file system of {self._path} is mounted read-only: mount it writable, recording resumes by itself."
            )
        if free >= self._reserve_bytes:
            return None
        return (
            f"Only {free // 2**20} MiB are free in {self._path}, less than the reserve of"
            f" {self._reserve_bytes // 2**20} MiB: free some space, recording resumes by itself."
        )

    def resumes(self) -> bool:
        """Whether there is enough to begin again."""
        return self.look() >= self._reserve_bytes * _RESUME_FACTOR and not self._read_only
