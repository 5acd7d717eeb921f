"""What cannot be opened or is not what it should be is moved out of the way, kept unchanged, and told of."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import duckdb

from crawl_audit.errors import LogFormatError, RecordError
from crawl_audit.records import Incident
from crawl_audit.text import storable
from proxy_addon.clock import now_us
from proxy_addon.front import front_of
from proxy_addon.log_directory import LogDirectory, fsync_path

logger = logging.getLogger("crawl_audit.recovery")

_PASSING = ("conflicting lock", "no space left", "permission denied", "read-only file system", "too many open files")


def is_damage(error: Exception) -> bool:
    """Whether the trouble is with what a file holds, and not with the disk, the memory or another process."""
    if isinstance(error, LogFormatError | RecordError):
        return True
    if not isinstance(error, duckdb.Error) or isinstance(error, duckdb.OutOfMemoryException):
        return False
    return not any(words in str(error).lower() for words in _PASSING)


def condemned(directory: LogDirectory, path: Path, why: str) -> tuple[Path, Incident]:
    """Where a live file is to go, and what the new log has to say of it before it goes there (:func:`put_away`)."""
    place = free_place(directory, path)
    logger.error("The live file %s is moved to %s: %s", path.name, place, why)
    told = f"The live file {path.name} was moved to quarantine/{place.name}: {why.rstrip('.')}."
    return place, incident("quarantined_file", told)


def put_away(path: Path, place: Path) -> None:
    """Move a file, and its WAL and its front where it has them, together and unchanged.  Raises OSError."""
    for source, target in ((path, place), (wal_of(path), wal_of(place)), (front_of(path), front_of(place))):
        if source.exists():
            os.rename(source, target)
    fsync_path(place.parent)
    fsync_path(path.parent)


def free_place(directory: LogDirectory, path: Path) -> Path:
    """A name in quarantine/ that is not taken, nor is that of its WAL or its front."""
    place, number = directory.quarantine / path.name, 0
    while place.exists() or wal_of(place).exists() or front_of(place).exists():
        number += 1
        place = directory.quarantine / f"{path.name}.{number}"
    return place


def wal_of(path: Path) -> Path:
    """The write-ahead log beside a live file."""
    return path.with_name(path.name + ".wal")


def incident(word: str, detail: str) -> Incident:
    """An incident of now that concerns no exchange."""
    now = now_us()
    return Incident(
        recorded_at=now, incident=word, exchange_id=None, crawler=None, client=None, detail=storable(detail, 1000)
    )
