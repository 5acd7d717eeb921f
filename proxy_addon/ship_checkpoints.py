"""Signed heads, enrolments and receipts of anchors, shipped when they change, under the names they have here.

A head is overwritten by a newer one of the same log, never by an older one: a head that is larger remote than here
says that this disk was rolled back.  Receipts never change, so one that differs is a conflict as well.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from crawl_audit import remote_layout
from crawl_audit.errors import LogFormatError
from crawl_audit.seal import parse_checkpoint, parse_note
from proxy_addon.log_directory import LogDirectory
from proxy_addon.object_store import Digest, ObjectStore, StoreError
from proxy_addon.shipped_log import NAME

_HEAD = ".checkpoint"
_HEAD_BYTES_MAX = 2**16
_KNOWN = "checkpoints.txt"
# The list of what is known is written anew when it has grown to so many lines beyond what it says.
_LINES_MAX = 20_000

Conflict = Callable[[str], object]
"""Told of what must not be overwritten, in one sentence."""


class Checkpoints:
    """What lies under ``checkpoints/`` of one log directory; for the one process that ships."""

    def __init__(self, directory: LogDirectory, store: ObjectStore) -> None:
        self._directory = directory
        self._store = store
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._known: dict[str, str] | None = None
        self._lines = 0

    def ship(self, conflict: Conflict) -> None:
        """Ship what has changed; raises StoreError and OSError where that must be tried again."""
        for name, path, signature in self._changed():
            octets = path.read_bytes()
            digest = hashlib.sha256(octets).hexdigest()
            if self._read_known().get(name) != digest:
                if not self._put(name, octets, conflict):
                    self._seen[name] = signature
                    continue
                self._keep(name, digest)
            self._seen[name] = signature

    def _changed(self) -> Iterator[tuple[str, Path, tuple[int, int, int]]]:
        root = self._directory.checkpoints
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            status = path.stat()
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
            name = path.relative_to(root).as_posix()
            if self._seen.get(name) != signature:
                yield name, path, signature

    def _put(self, name: str, octets: bytes, conflict: Conflict) -> bool:
        """Whether it is there now, read back; where it must not be, ``conflict`` is told."""
        try:
            key = remote_layout.checkpoint_key(name)
        except LogFormatError as error:
            conflict(f"{error} It is not shipped.")
            return False
        mutable = "/" not in name
        if mutable and name.endswith(_HEAD) and self._is_newer_there(key, octets):
            conflict(
                f"{key} in {self._store.address} is the head of a longer log than the one here: this disk was rolled"
                " back, or its log is written elsewhere too; nothing is overwritten."
            )
            return False
        if mutable:
            self._store.put(key, octets)
        else:
            self._store.put_new(key, octets)
        found, wanted = self._store.digest(key), Digest.of(octets)
        if found == wanted:
            return True
        if mutable or found is None:
            raise StoreError(f"{key} does not read back from {self._store.address} as it was put.", "torn")
        conflict(f"{key} in {self._store.address} holds other octets than the receipt here; nothing is overwritten.")
        return False

    def _is_newer_there(self, key: str, octets: bytes) -> bool:
        there = self._store.get(key, _HEAD_BYTES_MAX)
        if there is None:
            return False
        return _size(there) > _size(octets)

    def _read_known(self) -> dict[str, str]:
        """SHA-256 of what was put last, by name: kept on disk so that a start need not put everything again."""
        if self._known is None:
            self._known = {}
            try:
                lines = self._file.read_text(encoding="ascii").splitlines()
            except FileNotFoundError:
                lines = []
            for line in lines:
                digest, _, name = line.partition(" ")
                self._known[name] = digest
            self._lines = len(lines)
        return self._known

    def _keep(self, name: str, digest: str) -> None:
        known = self._read_known()
        known[name] = digest
        self._file.parent.mkdir(exist_ok=True)
        if self._lines > len(known) + _LINES_MAX:
            beside = self._file.with_name(f"{_KNOWN}.{os.getpid()}")
            beside.write_text("".join(f"{one} {other}\n" for other, one in known.items()), encoding="ascii")
            beside.rename(self._file)
            self._lines = len(known)
            return
        with self._file.open("a", encoding="ascii") as file:
            file.write(f"{digest} {name}\n")
        self._lines += 1

    @property
    def _file(self) -> Path:
        return self._directory.path / NAME / _KNOWN


def _size(note: bytes) -> int:
    """How many seals a head is over; what is no head is over none."""
    try:
        return parse_checkpoint(parse_note(note.decode("utf-8")).text).size
    except (LogFormatError, UnicodeDecodeError):
        return 0
