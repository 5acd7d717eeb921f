"""Whether a log directory stayed what it was while it was read: files are listed once, and looked at again at the end.

A sidecar may publish and merge segments meanwhile, a custodian erase or prune.  DuckDB leaves out without a word what
vanished between its listing and its look at a file, so what was found counts only if everything listed is still there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from crawl_audit.errors import LogFormatError

_CUSTODIAN = "custodian-"

Identity = tuple[int, int, int]


class ChangedError(LogFormatError):
    """The log was changed while it was read; what was found in it means nothing."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"The log {path} changed while it was read: run the command again, or copy the log first.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What was listed of a log directory, by what a change to it would show."""

    root: Path
    logs: dict[str, int | None]
    """Directories of logs by inode: merging lets one change places with another, publishing lets it grow."""
    places: dict[str, Identity | None]
    """Directories of segments, and the files in them: a published file is never written again, only replaced."""
    names: frozenset[str]
    """Logs under ``segments/``."""
    beside: dict[str, Identity | None]
    """Checkpoints and live files, which a running sidecar changes all the time."""

    def is_unchanged(self) -> bool:
        """Whether all that was listed is still there as it was, and no custodian published anything since."""
        if any(found is None or _inode(path) != found for path, found in self.logs.items()):
            return False
        if any(found is None or _identity(path) != found for path, found in self.places.items()):
            return False
        return not any(name.startswith(_CUSTODIAN) for name in _names(self.root / "segments") - self.names)

    def is_at_rest(self) -> bool:
        """Whether nothing at all was written to the log since."""
        return _names(self.root / "segments") == self.names and _beside(self.root) == self.beside

    def has_custodian(self) -> bool:
        """Whether a redaction or prune is under way, so that what is on record as erased may still be there."""
        try:
            descriptor = os.open(self.root / "segments", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks has no custodian at work on it either
            return False
        finally:
            os.close(descriptor)
        return False


def before_listing(root: Path) -> tuple[frozenset[str], dict[str, Identity | None]]:
    """What must be known of a log directory before its segments are listed: its logs, and what lies beside them."""
    return _names(root / "segments"), _beside(root)


def listed(
    root: Path, before: tuple[frozenset[str], dict[str, Identity | None]], segments: Iterable[tuple[str, Iterable[str]]]
) -> Listed:
    """``segments``: the directory of each that was listed, and the files in it."""
    logs: dict[str, int | None] = {}
    places: dict[str, Identity | None] = {}
    for source, files in segments:
        log = str(Path(source).parent)
        if log not in logs:
            logs[log] = _inode(log)
        places[source] = _identity(source)
        places.update((file, _identity(file)) for file in files)
    return Listed(root=root, logs=logs, places=places, names=before[0], beside=before[1])


def _inode(path: str) -> int | None:
    found = _identity(path)
    return None if found is None else found[0]


def _identity(path: str | Path) -> Identity | None:
    """Inode, time of change and size of what is there; None where there is nothing."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _names(directory: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(directory))
    except OSError:
        return frozenset()


def _beside(root: Path) -> dict[str, Identity | None]:
    """Checkpoints by their identity (each is replaced as a whole), live files by their names alone."""
    made = {name: _identity(root / "checkpoints" / name) for name in _names(root / "checkpoints")}
    return made | {f"live/{name}": None for name in _names(root / "live")}
