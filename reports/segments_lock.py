"""The lock on what lies under ``segments/``: whoever changes an existing segment holds it, as shortly as possible.

The sidecar takes the same lock (``segments.lock`` at the root of the log directory, ``flock``) when it publishes or
merges segments.  Readers take none: a replaced file keeps its octets for those who have it open.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crawl_audit.errors import ConfigurationError

NAME = "segments.lock"


@contextmanager
def segments_lock(root: Path) -> Iterator[None]:
    """Wait for the exclusive right to change segments of the log directory ``root``, and hold it."""
    try:
        descriptor = os.open(root / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigurationError(
            f"The log directory {root} cannot be changed: {error.strerror}; run this as the user who writes the log."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def sole_custodian(root: Path) -> Iterator[None]:
    """Keep other redactions, prunes and holds of the same log directory out; the sidecar is not concerned.

    Raises ConfigurationError where another one is at work.  The directory itself is locked, so no file is left.
    """
    try:
        descriptor = os.open(root / "segments", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"The segments of {root} cannot be opened: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"Another redaction, prune or hold is at work in {root}: wait until it has ended."
            ) from error
        yield
    finally:
        os.close(descriptor)
