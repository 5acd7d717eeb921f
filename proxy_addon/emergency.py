"""The emergency file of `fail_open`: what left unrecorded is kept here until the log can be written again.

NDJSON, written and fdatasynced by a thread of its own, because the disk that holds it may be the one that is sick:
nobody waits for it longer than they choose to.  Its room is set aside when it is made, so that a full disk does not
take it away; what is not yet used of it are NUL octets.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crawl_audit.records import Instant
from proxy_addon.log_directory import fsync_path

logger = logging.getLogger("crawl_audit.emergency")

FORMAT = "crawl-audit emergency v1"
SUFFIX = ".ndjson"
PATTERN = "emergency/*" + SUFFIX
"""The emergency files in a log directory."""
# How long after a failed write the next is tried where nothing new comes.
_RETRY_S = 1.0
_ZEROED_BYTES = 2**20
# Longer than any entry; the unused room is one line without an end.
_LINE_BYTES_MAX = 2**20
# How long a stop waits for the thread: on a disk that hangs it may never end.
_STOP_S = 2.0


def emergency_file(root: Path, log: str) -> Path:
    """Where the emergency file of a log lies in the log directory ``root``."""
    return root / "emergency" / (log + SUFFIX)


def line_of(number: int, body: str) -> str:
    """One line of the file: an entry, under the number of the request it belongs to."""
    return f'{{"number":{number},"entry":{body}}}\n'


def header_of(log: str) -> str:
    """The first line: what this is, and of which log."""
    return json.dumps({"format": FORMAT, "log": log}) + "\n"


def uncounted_line(requests: int) -> str:
    """A line that says how many requests left of which not even an entry is kept."""
    return json.dumps({"not_kept": requests}) + "\n"


@dataclass(slots=True, eq=False)
class _Order:
    text: str | None  # None: everything up to here has been entered into the log
    done: Callable[[], object] | None


class EmergencyFile:
    """One emergency file from :meth:`open` to :meth:`close`; `put` and `clear` come from one thread, in order."""

    def __init__(self, path: Path, log: str, bytes_max: int) -> None:
        self.path = path
        self.bytes_max = bytes_max
        self.fault: str | None = None
        self.size = 0  # octets handed over since the last clear, header included
        self._header = header_of(log)
        self._descriptor: int | None = None
        self._written = 0
        self._digest = hashlib.sha256()
        self._pending: list[_Order] = []
        self._orders: list[_Order] = []
        self._condition = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="emergency-file", daemon=True)

    def open(self) -> None:
        """Make the file and set its room aside; a disk that does not allow it is told, and tried again later."""
        self._try(self._make)
        self._thread.start()

    def put(self, text: str, done: Callable[[], object] | None = None) -> bool:
        """Hand over a line; ``done`` is called in the file's thread when it is on disk.  False: there is no room."""
        if not self.size:
            self._order(_Order(self._header, None))
        if self.size + len(text.encode("utf-8")) > self.bytes_max:
            return False
        self._order(_Order(text, done))
        return True

    def put_always(self, text: str) -> None:
        """Hand over a short line that must not be turned away."""
        self._order(_Order(text, None))

    def clear(self) -> None:
        """Everything handed over so far is in the log, durably."""
        self.size = 0
        self._order(_Order(None, None))

    def sha256(self) -> str | None:
        """SHA-256 of what is on disk, hex; None where nothing is."""
        return self._digest.hexdigest() if self._written else None

    def close(self, *, empty: bool) -> None:
        """End; ``empty``: nothing is left in the file that the log has not, so it goes."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join(_STOP_S)
        if empty and not self._thread.is_alive():
            self._try(self._remove)

    def _order(self, order: _Order) -> None:
        with self._condition:
            self.size += len((order.text or "").encode("utf-8"))
            self._orders.append(order)
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                if not self._orders and not self._stopping:
                    self._condition.wait(_RETRY_S if self._pending else None)
                self._pending += self._orders
                self._orders = []
                stopping = self._stopping
            if self._pending:
                self._try(self._write)
            if stopping:
                break
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _try(self, action: Callable[[], None]) -> None:
        """Do something with the disk; its failure is told once, on the process's own log, and kept in ``fault``."""
        try:
            action()
        except OSError as error:
            fault = f"The emergency file {self.path} cannot be written: {error.strerror or error}."
            if self.fault is None:
                logger.error("%s What leaves is kept in memory only.", fault)
            self.fault = fault
        else:
            if self.fault is not None:
                logger.warning("The emergency file %s can be written again.", self.path)
            self.fault = None

    def _make(self) -> None:
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fsync_path(self.path.parent)
        fsync_path(self.path.parent.parent)
        os.posix_fallocate(self._descriptor, 0, self.bytes_max)
        os.fsync(self._descriptor)

    def _write(self) -> None:
        if self._descriptor is None:
            self._make()
        assert self._descriptor is not None, "made above"
        clears = [index for index, order in enumerate(self._pending) if order.text is None]
        if clears:
            self._start_anew(self._descriptor)
            del self._pending[: clears[-1] + 1]
        octets = "".join(order.text or "" for order in self._pending).encode("utf-8")
        done = 0
        while done < len(octets):  # again from the same place after a failure: no half line stays
            done += os.pwrite(self._descriptor, octets[done:], self._written + done)
        os.fdatasync(self._descriptor)
        self._written += len(octets)
        self._digest.update(octets)
        finished, self._pending = self._pending, []
        for order in finished:
            if order.done is not None:
                order.done()

    def _start_anew(self, descriptor: int) -> None:
        """NUL octets over what was written, from the beginning: the room stays ours, and a crash leaves no half."""
        for start in range(0, self._written, _ZEROED_BYTES):
            os.pwrite(descriptor, bytes(min(_ZEROED_BYTES, self._written - start)), start)
        os.fdatasync(descriptor)
        self._written, self._digest = 0, hashlib.sha256()

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)
        fsync_path(self.path.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What an emergency file of a dead process says."""

    log: str
    decisions: tuple[tuple[str, Instant], ...]
    """(exchange_id, recorded_at) of the decisions whose requests left."""
    not_kept: int
    """Requests of which nothing is kept, at least."""
    sha256: str
    """Of the file up to its unused room."""


def read(path: Path) -> Left | None:
    """What a file holds; None where no request left while it was in use.  What cannot be read of it is left out."""
    log, not_kept, digest = "", 0, hashlib.sha256()
    decisions: list[tuple[str, Instant]] = []
    for octets in _used_lines(path):
        digest.update(octets)
        line = _object(octets)
        entry = line.get("entry")
        if isinstance(line.get("log"), str):
            log = line["log"]
        if isinstance(line.get("not_kept"), int):
            not_kept = max(not_kept, line["not_kept"])
        if isinstance(entry, dict) and entry.get("k") == "decision":
            name, at = entry.get("exchange_id"), entry.get("recorded_at")
            if isinstance(name, str) and isinstance(at, int):
                decisions.append((name, Instant(at)))
    if not decisions and not not_kept:
        return None
    return Left(log=log, decisions=tuple(decisions), not_kept=not_kept, sha256=digest.hexdigest())


def _used_lines(path: Path) -> Iterator[bytes]:
    """The lines before the unused room, one at a time: the room may be larger than memory."""
    with path.open("rb") as file:
        while octets := file.readline(_LINE_BYTES_MAX):
            used, unused, _ = octets.partition(b"\x00")
            if used:
                yield used
            if unused:
                return


def _object(octets: bytes) -> dict[str, Any]:
    try:
        found = json.loads(octets)
    except ValueError:
        logger.warning("A line of an emergency file cannot be read.")
        return {}
    return found if isinstance(found, dict) else {}
