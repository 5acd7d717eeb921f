"""Where the copy of a fleet's logs lies on this machine, and who may change it: one at a time, never under a reader.

A cache belongs to one address at one endpoint.  It holds *trees*, each in the form of a log directory: one of the
originals, and one for each state of the compacted days that is still read by somebody.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from crawl_audit.errors import ConfigurationError

ORIGINALS, COMPACTING = "originals", "compacting"
FRESH_S = 60.0
"""How long what was listed is taken for what is there: segments are published every five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a mirroring came to: the tree to read, the compacted days in it, segments whose upload is not whole."""

    tree: str
    days: tuple[str, ...] = ()
    torn: tuple[str, ...] = ()


class Cache:
    """The copy of what lies below one address."""

    def __init__(self, address: object, endpoint: str) -> None:
        digest = hashlib.sha256(f"{address} {endpoint}".encode()).hexdigest()
        self.root = _home() / digest
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.root / "address").write_text(f"{address}\n", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"The cache {self.root} cannot be written: {error.strerror}; name another directory in"
                " CRAWL_AUDIT_CACHE."
            ) from error
        self._held: dict[str, int] = {}

    def tree(self, name: str) -> Path:
        """The log directory ``name``."""
        return self.root / name

    def trees(self) -> list[Path]:
        """Every log directory there is."""
        return [
            place
            for place in (self.tree(ORIGINALS), self.tree(COMPACTING), *self.root.glob("compacted-*"))
            if place.is_dir()
        ]

    @property
    def markers(self) -> Path:
        """``shipped`` objects and descriptions of compacted days that were read before."""
        return self.root / "markers"

    def work(self) -> Path:
        """An empty directory for what is being fetched; only for who holds the lock."""
        place = self.root / "tmp"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    @contextmanager
    def locked(self, name: str = "lock") -> Iterator[None]:
        """Wait for the sole right to change the cache; under another name, to do something else alone."""
        descriptor = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if sys.stderr.isatty():
                    sys.stderr.write("Waiting for another crawl-audit that is at work on the same logs.\n")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def hold(self, name: str) -> None:
        """Keep a tree from being taken away as long as this process reads it."""
        if name not in self._held:
            descriptor = os.open(self.tree(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._held[name] = descriptor

    def release(self) -> None:
        """Let go of what is held."""
        while self._held:
            os.close(self._held.popitem()[1])

    def drop_others(self, name: str) -> None:
        """Take away trees of earlier compacted days that nobody reads; those still read go another time."""
        for place in self.root.glob("compacted-*"):
            if place.name == name:
                continue
            descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(place, ignore_errors=True)
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)

    def remembered(self, purpose: str) -> State | None:
        """What the last mirroring for ``purpose`` came to, where that was a moment ago."""
        note = self.root / f"{purpose}.json"
        with suppress(OSError, ValueError, TypeError, KeyError):
            if 0 <= time.time() - note.stat().st_mtime < _fresh():
                found = json.loads(note.read_text(encoding="utf-8"))
                state = State(tree=found["tree"], days=tuple(found["days"]), torn=tuple(found["torn"]))
                return state if self.tree(state.tree).is_dir() else None
        return None

    def remember(self, purpose: str, state: State) -> None:
        """Keep what a mirroring came to."""
        made = self.root / f"{purpose}.json.new"
        made.write_text(json.dumps(asdict(state)), encoding="utf-8")
        made.rename(self.root / f"{purpose}.json")


def _home() -> Path:
    if given := os.environ.get("CRAWL_AUDIT_CACHE"):
        return Path(given).resolve()
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given).resolve() / "crawl-audit"
    return Path.home() / ".cache" / "crawl-audit"


def _fresh() -> float:
    given = os.environ.get("CRAWL_AUDIT_CACHE_SECONDS")
    if given is None:
        return FRESH_S
    try:
        return float(given)
    except ValueError as error:
        raise ConfigurationError(f"CRAWL_AUDIT_CACHE_SECONDS is {given!r}: give a number of seconds.") from error
