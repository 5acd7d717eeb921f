"""The log directory: where everything lies, who may write, and what an auditor finds there from the first start.

Names only and the few files that exist before any record: live/ is the writer's alone, segments/ and audit.duckdb are
for everyone.  What is made here appears whole or not at all (written beside, fsynced, renamed).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from crawl_audit import schema
from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.records import Instant
from crawl_audit.segment_sql import empty_select, sql_quote
from crawl_audit.text import first_line
from crawl_audit.views import create_views
from proxy_addon.segments_lock import changing_segments

logger = logging.getLogger("crawl_audit.log")

# What auditors open must open with DuckDB 1.4 and newer.
AUDIT_STORAGE_VERSION = "v1.4.0"
# How long what a dying helper process still writes to tmp/ is cleared again.
_CLEARING_S_MAX = 5.0
# A process killed while it starts a helper leaves its lock, for a moment, with what it forked and did not yet exec.
_LOCK_PATIENCE_S = 10.0
_LIVE_NAME = re.compile(r"(?P<log>.+)\.(?P<number>[0-9]{6})\.duckdb")
_SEGMENT_NAME = re.compile(r"([0-9]{12})-([0-9]{12})")
_CUSTODIAN = re.compile(r"custodian-\d{8}T\d{6}Z-[0-9a-f]{8}")
_STARTED = re.compile(r"-(\d{8}T\d{6}Z)-[0-9a-f]{8}$")


def fsync_path(path: Path) -> None:
    """Make a file's content, or a directory's list of names, durable.  Never call it on an open live file.

    Closing any descriptor of a file drops this process's POSIX locks on it, DuckDB's among them.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(target: Path, octets: bytes, beside: Path) -> None:
    """Write a file, whole or not at all and durable on return, by way of ``beside`` on the same file system."""
    try:
        beside.write_bytes(octets)
        fsync_path(beside)
        beside.rename(target)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    fsync_path(target.parent)


def new_log_name(node: str, now: Instant) -> str:
    """Name of the log of a process that starts now: ``<node>-<YYYYMMDDTHHMMSSZ>-<8 random hex digits>``."""
    started = datetime.fromtimestamp(now // 1_000_000, UTC)
    return f"{node}-{started:%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"


def started_key(log: str) -> str:
    """What orders logs by the second their process started, whatever the node."""
    match = _STARTED.search(log)
    return match[1] if match else ""


class LogDirectory:
    """One log directory by its absolute path, and the right to write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.live = self.path / "live"
        self.segments = self.path / "segments"
        self.checkpoints = self.path / "checkpoints"
        self.quarantine = self.path / "quarantine"
        self.tmp = self.path / "tmp"
        self.audit_database = self.path / "audit.duckdb"

    def live_file(self, log: str, number: int) -> Path:
        """Path of the ``number``-th live file of a log."""
        return self.live / f"{log}.{number:06d}.duckdb"

    def spill(self, log: str) -> Path:
        """Directory where DuckDB may put what does not fit its memory limit; never evidence."""
        return self.tmp / f"{log}.spill"

    def live_files(self) -> list[tuple[str, int, Path]]:
        """(log, number, path) of every live file, in the order of their start."""
        found = [(match, path) for path in self.live.iterdir() if (match := _LIVE_NAME.fullmatch(path.name))]
        files = [(match["log"], int(match["number"]), path) for match, path in found]
        return sorted(files, key=lambda item: (started_key(item[0]), item[0], item[1]))

    def segment(self, log: str, first: int, last: int) -> Path:
        """Directory of the published segment that holds ``first`` to ``last`` of a log."""
        return self.segments / log / f"{first:012d}-{last:012d}"

    def segments_of(self, log: str) -> list[tuple[int, int, Path]]:
        """(first, last, directory) of every published segment of a log, in order."""
        place = self.segments / log
        found = [(match, path) for path in place.glob("*-*") if (match := _SEGMENT_NAME.fullmatch(path.name))]
        return sorted((int(match[1]), int(match[2]), path) for match, path in found)

    def checkpoint(self, log: str) -> Path:
        """File of a log's latest checkpoint."""
        return self.checkpoints / f"{log}.checkpoint"

    def logs(self) -> list[str]:
        """Every log of a sidecar with a published segment or a checkpoint, in the order of their start.

        Logs of custodians are left out: no sidecar wrote them, and none follows them.
        """
        published = {path.name: path for path in self.segments.iterdir() if path.is_dir() and path.name != "schema"}
        signed = {path.name.removesuffix(".checkpoint"): path for path in self.checkpoints.glob("*.checkpoint")}
        ours = {log: path for log, path in (signed | published).items() if not _CUSTODIAN.fullmatch(log)}
        written = {log: path.stat().st_mtime_ns for log, path in ours.items()}
        # Names tell the second of the start; of two starts in one second the one written to last is the later.
        return sorted(written, key=lambda log: (started_key(log), written[log], log))

    @contextmanager
    def acquire(self) -> Iterator[int]:
        """Hold the exclusive right to write, with everything there that auditors find before any record.

        Gives the descriptor of the lock: a process that inherits it holds the right as well, for as long as it lives.

        Raises ConfigurationError with one sentence where the directory cannot be used or another process writes it.
        """
        if "?" in str(self.path):  # DuckDB takes what follows for a URL's query and puts the WAL elsewhere
            raise ConfigurationError(f"The log directory has a question mark in its path {self.path}: rename it.")
        with _sentences(f"The log directory {self.path} cannot be used"):
            for private in (self.live, self.tmp, self.quarantine):
                private.mkdir(mode=0o700, parents=True, exist_ok=True)
            for public in (self.segments, self.checkpoints):
                public.mkdir(exist_ok=True)
            lock = self._lock()
        try:
            with _sentences(f"The log directory {self.path} cannot be used"):
                self._clear_live()
                self._clear_tmp()
                self._publish_empty_kinds()
                self._publish_audit_database()
            yield lock
        finally:
            os.close(lock)

    def _publish_empty_kinds(self) -> None:
        empty = self.segments / "schema" / f"v{schema.VERSION}"
        empty.mkdir(parents=True, exist_ok=True)
        missing = [kind for kind in (*schema.KINDS, "withheld") if not (empty / f"{kind}.parquet").exists()]
        with duckdb.connect(":memory:") as connection:
            for kind in missing:
                made = self.tmp / f"schema.{kind}.parquet"
                connection.execute(f"COPY ({empty_select(kind)}) TO {sql_quote(str(made))} (FORMAT parquet)")
                made.chmod(0o444)
                fsync_path(made)
                made.rename(empty / made.name.removeprefix("schema."))
        for directory in (empty, empty.parent, self.segments):
            fsync_path(directory)

    def _clear_live(self) -> None:
        """Locks and sockets of workers that are dead, as nobody else holds the directory."""
        for pattern in ("*.lock", "*.socket"):
            for path in self.live.glob(pattern):
                path.unlink(missing_ok=True)

    def _clear_tmp(self) -> None:
        """Half-made things of a dead process; also shows whether the directory can be written at all.

        A helper of the dead process may live on for a moment: the lock sees to it that what it would still publish is
        cleared whole before it can, and what it writes meanwhile is cleared at the next attempt.
        """
        deadline = time.monotonic() + _CLEARING_S_MAX
        with changing_segments(self.path):
            while left := list(self.tmp.iterdir()):
                for path in left:
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path, ignore_errors=time.monotonic() < deadline)
                    else:
                        path.unlink(missing_ok=True)
        probe = self.tmp / "probe"
        probe.write_bytes(b"")
        probe.unlink()

    def _lock(self) -> int:
        path = self.live / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                if _is_alive(holder) or time.monotonic() > deadline:
                    os.close(descriptor)
                    raise ConfigurationError(
                        f"The log directory {self.path} is being written by process {holder}: stop that process, or"
                        " give this one a directory of its own with --log."
                    ) from error
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def _publish_audit_database(self) -> None:
        try:
            statements = create_views(str(self.segments))
        except LogFormatError as error:
            raise ConfigurationError(str(error)) from error
        work = self.tmp / "audit"
        work.mkdir()
        made = work / "audit.duckdb"
        with duckdb.connect(":memory:") as connection:
            connection.execute(
                f"ATTACH {sql_quote(str(made))} AS audit (STORAGE_VERSION {sql_quote(AUDIT_STORAGE_VERSION)})"
            )
            connection.execute("USE audit")
            try:
                for statement in statements:
                    connection.execute(statement)
            except duckdb.InvalidInputException as error:  # a damaged segment, which is no reason not to write others
                if not self.audit_database.exists():
                    raise
                logger.error("The views in %s stay as they are: %s", self.audit_database, first_line(error))
                shutil.rmtree(work)
                return
            connection.execute("USE memory")
            connection.execute("DETACH audit")
        fsync_path(made)
        made.rename(self.audit_database)  # whoever has the old one open keeps it
        work.rmdir()
        fsync_path(self.path)


def _is_alive(holder: str) -> bool:
    """Whether there is a process of this number; what cannot be told counts as alive."""
    try:
        os.kill(int(holder), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        pass
    return True


@contextmanager
def _sentences(doing: str) -> Iterator[None]:
    """Turn trouble with the file system into the one sentence an operator can act on."""
    advice = {
        errno.EROFS: "it lies on a read-only file system: mount it writable or choose another with --log",
        errno.EACCES: "this user may not write there: change its owner or choose another with --log",
        errno.ENOSPC: "the disk is full: free some space",
        errno.ENOTDIR: "it is not a directory: choose another with --log",
        errno.EEXIST: "it is not a directory: choose another with --log",
    }
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{doing}: {advice.get(error.errno or 0, error.strerror)}.") from error
    except duckdb.Error as error:
        raise ConfigurationError(f"{doing}: {first_line(error).rstrip('.')}.") from error
