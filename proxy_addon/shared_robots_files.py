"""A store of shared answers in a directory, for the workers of one sidecar: a file for each answer, a lock for a lease.

A file's time of change is set to when it runs out.  A lease is a lock (flock) on a file of its own, so it ends with the
process that holds it.  Files are worked on in one thread of the store's own: a disk that hangs does not stop requests.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proxy_addon.shared_answer import VALUE_BYTES_MAX
from proxy_addon.shared_store import Lease, StoreError

_ANSWER, _LEASE, _NEW = ".answer", ".lease", ".new"
_ENTRIES_MAX = 50_000
"""Answers kept, as many as one process holds scopes (CacheSettings.entries_max)."""
_PRUNE_EVERY = 1_000  # answers written by this process between two looks at all files
_LEFT_OVER_S = 3600.0  # after this, a lock or half-written file is of a process that died
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC


class FileStore:
    """Answers as files of one directory, which is made where it is missing."""

    def __init__(
        self, directory: Path, *, entries_max: int = _ENTRIES_MAX, clock: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._entries_max = entries_max
        self._clock = clock
        self._locks: dict[str, int] = {}  # token of a lease -> descriptor of its locked file
        self._numbers = itertools.count()
        self._written = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shared-robots")
        self._closing = threading.Event()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"The directory {self._directory} of shared robots.txt files"

    async def get(self, key: str) -> bytes | None:
        """As Store.get."""
        return await self._in_thread(lambda: self._get(key))

    async def lease(self, key: str, lifetime_s: float) -> Lease | None:
        """As Store.lease."""
        return await self._in_thread(lambda: self._lease(key, lifetime_s))

    async def put(self, key: str, value: bytes, lifetime_s: float, lease: Lease | None) -> None:
        """As Store.put."""
        await self._in_thread(lambda: self._put(key, value, lifetime_s, lease))

    async def release(self, lease: Lease) -> None:
        """As Store.release."""
        await self._in_thread(lambda: self._unlock(lease))

    async def aclose(self) -> None:
        """Give up every lease."""
        self._closing.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks.clear()

    async def _in_thread[T](self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise StoreError(error.strerror or str(error)) from error
        except RuntimeError as error:  # after aclose
            raise StoreError("it is closed") from error

    def _get(self, key: str) -> bytes | None:
        try:
            descriptor = os.open(self._path(key, _ANSWER), os.O_RDONLY | os.O_NONBLOCK | _OPEN)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_mtime <= self._clock():
                return None
            return file.read(VALUE_BYTES_MAX + 1)

    def _lease(self, key: str, lifetime_s: float) -> Lease | None:
        path = self._path(key, _LEASE)
        descriptor = self._lock(path)
        if descriptor is None and self._has_run_out(path, lifetime_s):
            # Held by a process that stands still.  Should two find that at once, both fetch: no harm.
            path.unlink(missing_ok=True)
            descriptor = self._lock(path)
        if descriptor is None:
            return None
        token = f"{os.getpid()}-{next(self._numbers)}"
        self._locks[token] = descriptor
        return Lease(key=key, token=token, value=self._get(key))

    def _lock(self, path: Path) -> int | None:
        """The descriptor of the file, locked by us and still the one of that name; None: somebody else's."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _OPEN, 0o600)
        except FileNotFoundError:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _OPEN, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                os.utime(descriptor, (self._clock(), self._clock()))
                return descriptor
        except BlockingIOError:
            pass  # somebody else's
        os.close(descriptor)
        return None

    def _has_run_out(self, path: Path, lifetime_s: float) -> bool:
        try:
            return path.stat().st_mtime + lifetime_s < self._clock()
        except FileNotFoundError:
            return False  # given back a moment ago: what stands there by now is somebody's who asks next

    def _put(self, key: str, value: bytes, lifetime_s: float, lease: Lease | None) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._path(f"{key}.{secrets.token_hex(4)}", _NEW)
        ends = self._clock() + lifetime_s
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _OPEN, 0o600), "wb") as file:
                file.write(value)
                file.flush()
                os.utime(file.fileno(), (ends, ends))
            new.rename(self._path(key, _ANSWER))
        except OSError:
            new.unlink(missing_ok=True)
            raise
        finally:
            if lease is not None:
                self._unlock(lease)
        self._written += 1
        if self._written % _PRUNE_EVERY == 1:
            self._prune()

    def _unlock(self, lease: Lease) -> None:
        descriptor = self._locks.pop(lease.token, None)
        if descriptor is None:
            return
        path = self._path(lease.key, _LEASE)
        # Unlinked while it is still locked: whoever opened it before finds that it is no longer the file of that name.
        if _is_at(descriptor, path):
            path.unlink(missing_ok=True)
        os.close(descriptor)

    def _prune(self) -> None:
        """Remove what has run out, what is too much (the next to run out first), and what dead processes left."""
        now, kept = self._clock(), []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                ends = _ends(entry)
                if ends is None:
                    continue
                if entry.name.endswith(_ANSWER):
                    kept.append((ends, entry.path))
                elif entry.name.endswith((_LEASE, _NEW)) and ends < now - _LEFT_OVER_S:
                    Path(entry.path).unlink(missing_ok=True)
        kept.sort()
        for number, (ends, path) in enumerate(kept):
            if self._closing.is_set():
                return
            if ends <= now or number < len(kept) - self._entries_max:
                Path(path).unlink(missing_ok=True)

    def _path(self, key: str, suffix: str) -> Path:
        return self._directory / f"{key}{suffix}"


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _ends(entry: os.DirEntry[str]) -> float | None:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:  # another worker was faster
        return None
