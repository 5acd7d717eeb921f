"""The live file: the one DuckDB file of narrow rows that the writer appends to, durably, batch by batch.

Each live file has an in-memory DuckDB instance of its own, so that a fatal error in one never touches another.
A batch is durable in the front (front.py) when ``insert`` returns; DuckDB gets many batches at once (``move``), and
whoever opens the file after a crash first gives it what the front alone has.  Nothing is moved from DuckDB's WAL into
the file while it lives: rotation costs the writer milliseconds (measured: detaching 147 MB of WAL takes 1-6 ms,
replaying it elsewhere 0.4 s).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import duckdb

from crawl_audit.segment_sql import sql_quote
from crawl_audit.text import first_line
from proxy_addon.front import Front, FrontFullError, Row, frame_of, front_of, missing_rows
from proxy_addon.log_directory import fsync_path

# Rows not yet in the file stay in memory.  Long ones cannot be spilled: at DuckDB's memory limit commits fail, and so
# does moving the WAL into the file.  So the limit is what the file may come to, several times over (measured: 1.0 to
# 2.1 times the WAL), and rotation by size is what bounds memory.
_MEMORY_BASE_MIB = 256
_MEMORY_PER_WAL = 3
_SETTINGS = (
    "SET checkpoint_threshold = '1TB'",  # moving the WAL into the file is left to whoever converts it
    "SET auto_checkpoint_skip_wal_threshold = 1099511627776",  # a large batch goes through the WAL like any other
    "SET checkpoint_on_detach = 'DISABLED'",
)


# For a file, its WAL and its directory, and for the connections that are accepted at the same moment.
_SPARE_DESCRIPTORS = 16


class RefusedError(Exception):
    """DuckDB does not take a value of the batch; nothing was written and the file is usable."""


class RolledBackError(Exception):
    """The batch was rolled back and the file is usable: a full disk, for example."""


class InDoubtError(Exception):
    """The batch may or may not be durable; the file must be closed, reopened and looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What a live file holds: how many rows, and the lowest and highest ``seq`` where there is one."""

    rows: int
    first: int | None
    last: int | None


class LiveFile:
    """A live file opened for writing by this process, which must be the only one."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection, front: Front | None = None) -> None:
        self.path = path
        self._connection = connection
        self._front = front
        self._waiting: list[Row] = []  # durable in the front, and not yet in DuckDB
        self._name_durable = False
        self._closed = False
        self._in_doubt = False  # whether DuckDB has what waits is found out by opening the file again

    @classmethod
    def create(cls, path: Path, spill: Path, wal_bytes_max: int = 256 * 2**20) -> Self:
        """Make an empty live file that, after a crash at any moment, either is not there or can be opened.

        ``wal_bytes_max``: size at which it will be rotated.
        """
        # DuckDB killed during its first writes leaves a file it refuses to open; hence made beside and renamed.
        made = path.with_name(path.name + ".new")
        made.unlink(missing_ok=True)
        with ExitStack() as undo:
            connection = undo.enter_context(_connect(spill, wal_bytes_max))
            connection.execute(f"ATTACH {sql_quote(str(made))} AS live")
            connection.execute("CREATE TABLE live.entry (seq BIGINT, body VARCHAR)")
            connection.execute("CHECKPOINT live")
            connection.execute("DETACH live")
            fsync_path(made)
            made.rename(path)
            fsync_path(path.parent)
            connection.execute(f"ATTACH {sql_quote(str(path))} AS live")
            # After the file: a front without one would be a loss, a file without front is an empty one.
            front = _new_front(path)
            undo.pop_all()
        return cls(path, connection, front)

    @classmethod
    def open(cls, path: Path, spill: Path) -> Self:
        """Open an existing live file, replaying its WAL and what its front has beyond it.

        Raises duckdb.Error or OSError where that cannot be done, LogFormatError where the two do not go together.
        """
        with ExitStack() as undo:
            connection = undo.enter_context(_connect(spill, max(_wal_bytes(path), 256 * 2**20)))
            connection.execute(f"ATTACH {sql_quote(str(path))} AS live")
            live = cls(path, connection)
            live._take_front()
            undo.pop_all()
        return live

    def _take_front(self) -> None:
        """Give DuckDB, durably, what the front of a dead process has and it has not; then there is no front."""
        ((last,),) = self._connection.execute("SELECT max(seq) FROM live.entry").fetchall()
        if rows := missing_rows(front_of(self.path), last):
            self._commit(rows)
        front_of(self.path).unlink(missing_ok=True)

    @property
    def waiting(self) -> int:
        """How many rows are durable in the front alone."""
        return len(self._waiting)

    def insert(self, first_seq: int, bodies: Sequence[str]) -> None:
        """Append rows, all or none; on return they are durable.

        Raises RefusedError, RolledBackError or InDoubtError, which say what is known of the batch.
        """
        try:
            frame = frame_of(first_seq, bodies)
        except UnicodeError as error:
            raise RefusedError(first_line(error)) from error
        rows = list(zip(range(first_seq, first_seq + len(bodies)), bodies, strict=True))
        try:
            if self._front is None:
                self._front = _new_front(self.path)
            if not self._front.has_room(frame):
                self.move()
            if not self._front.has_room(frame):  # more than a whole round
                self._give(rows)
                return
            self._front.append(frame)
        except FrontFullError as error:
            raise RolledBackError(first_line(error)) from error
        except OSError as error:
            raise InDoubtError(first_line(error)) from error
        self._waiting += rows

    def move(self) -> None:
        """Give DuckDB what only the front has, in one transaction.

        Raises RolledBackError where it could not take it now, InDoubtError where the file must be closed and opened;
        the rows are durable either way.
        """
        if self._waiting:
            self._give(self._waiting)
            self._waiting = []
        if self._front is not None:
            self._front.start_over()

    def _give(self, rows: Sequence[Row]) -> None:
        try:
            self._commit(rows)
        except (duckdb.TransactionException, duckdb.OutOfMemoryException) as error:
            raise RolledBackError(first_line(error)) from error
        except (duckdb.Error, OSError, RuntimeError) as error:
            self._in_doubt = True
            raise InDoubtError(first_line(error)) from error

    def _commit(self, rows: Sequence[Row]) -> None:
        self._connection.execute(
            "INSERT INTO live.entry SELECT unnest(?::BIGINT[]), unnest(?::VARCHAR[])",
            [[seq for seq, _ in rows], [body for _, body in rows]],
        )
        if not self._name_durable:
            fsync_path(self.path.parent)  # DuckDB makes the WAL, and does not fsync its directory
            self._name_durable = True

    def extent(self) -> Extent:
        """What the file holds now."""
        self.move()
        found = self._connection.execute("SELECT count(*), min(seq), max(seq) FROM live.entry").fetchall()
        ((rows, first, last),) = found
        return Extent(rows=rows, first=first, last=last)

    def entries(self, *, after: int = -1, kind: str | None = None) -> Iterator[str]:
        """The entry texts in order, a few at a time: those with a higher ``seq``, and of one kind where given."""
        self.move()
        of_kind = " AND json_extract_string(body, '$.k') = $kind" if kind is not None else ""
        found = self._connection.execute(
            f"SELECT body FROM live.entry WHERE seq > $after{of_kind} ORDER BY seq",  # noqa: S608 - no value in it
            {"after": after} | ({"kind": kind} if kind is not None else {}),
        )
        while rows := found.fetchmany(2000):
            yield from (row[0] for row in rows)

    def exchanges(self) -> tuple[dict[int, int], set[int]]:
        """Forwarded decisions (``seq`` to ``recorded_at``), and the ``seq`` of decisions that have a completion."""
        self.move()
        kind = "json_extract_string(body, '$.k')"
        forwarded = self._connection.execute(
            "SELECT seq, json_extract(body, '$.recorded_at')::BIGINT FROM live.entry"  # noqa: S608 - no value in it
            f" WHERE {kind} = 'decision' AND json_extract_string(body, '$.action') = 'forwarded'"
        ).fetchall()
        ended = self._connection.execute(
            f"SELECT json_extract(body, '$.decision_seq')::BIGINT FROM live.entry WHERE {kind} = 'completion'"  # noqa: S608
        ).fetchall()
        return dict(forwarded), {row[0] for row in ended}

    def recorded(self, exchange_ids: Sequence[str]) -> set[str]:
        """Which of some exchanges have a decision here."""
        self.move()
        rows = self._connection.execute(
            "SELECT DISTINCT json_extract_string(body, '$.exchange_id') AS id FROM live.entry"
            " WHERE json_extract_string(body, '$.k') = 'decision' AND id IN (SELECT unnest(?::VARCHAR[]))",
            [list(exchange_ids)],
        ).fetchall()
        return {row[0] for row in rows}

    def flush(self) -> None:
        """Move everything from the WAL into the file, durably.

        Needed after a failed fsync: the kernel may show rows that never reached the disk, and fsync of the same pages
        would then succeed without writing them.
        """
        self.move()
        self._connection.execute("CHECKPOINT live")
        fsync_path(self.path.parent)
        self._name_durable = False

    def wal_bytes(self) -> int:
        """Size of the WAL and of what waits for it, which is nearly all there is of a live file."""
        return _wal_bytes(self.path) + (0 if self._front is None else self._front.octets)

    def close(self) -> None:
        """Let go of the file, leaving WAL and all to whoever converts it, and the front where DuckDB took it not."""
        if self._closed:
            return
        self._closed = True
        moved = False
        if not self._in_doubt:
            with suppress(RolledBackError, InDoubtError):  # whoever opens the file next does it
                self.move()
                moved = True
        with suppress(duckdb.Error):  # an invalidated instance cannot detach; closing lets go of the file all the same
            self._connection.execute("DETACH live")
        self._connection.close()
        if self._front is not None:
            self._front.close()
            if moved:
                front_of(self.path).unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a live file whose rows are published: the WAL first, as a file without its WAL still opens (empty)."""
    front_of(path).unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    fsync_path(path.parent)


def _new_front(path: Path) -> Front:
    front = Front.create(front_of(path))
    fsync_path(path.parent)
    return front


def _wal_bytes(path: Path) -> int:
    try:
        return path.with_name(path.name + ".wal").stat().st_size
    except FileNotFoundError:
        return 0


def _need_descriptors(directory: Path) -> None:
    """Raise OSError while too few file descriptors are left: DuckDB 2.0.0 ends the process where it cannot have one."""
    spare: list[int] = []
    try:
        spare.extend(os.open(directory, os.O_RDONLY) for _ in range(_SPARE_DESCRIPTORS))
    finally:
        for descriptor in spare:
            os.close(descriptor)


def _connect(spill: Path, wal_bytes_max: int) -> duckdb.DuckDBPyConnection:
    spill.mkdir(mode=0o700, parents=True, exist_ok=True)
    _need_descriptors(spill)
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": f"{_MEMORY_BASE_MIB + _MEMORY_PER_WAL * wal_bytes_max // 2**20}MiB",
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    for setting in _SETTINGS:
        connection.execute(setting)
    return connection
