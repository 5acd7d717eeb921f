"""The live file: the one DuckDB file of narrow rows that the writer appends to, durably, batch by batch.

Each live file has an in-memory DuckDB instance of its own, so that a fatal error in one never touches another.
Nothing is moved from the WAL into the file while it lives: a commit is one write and one fdatasync, and rotation
costs the writer milliseconds (measured: detaching 147 MB of WAL takes 1-6 ms, replaying it elsewhere 0.4 s).
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

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self._connection = connection
        self._name_durable = False

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
            undo.pop_all()
        return cls(path, connection)

    @classmethod
    def open(cls, path: Path, spill: Path) -> Self:
        """Open an existing live file, replaying its WAL; raises duckdb.Error where that cannot be done."""
        with ExitStack() as undo:
            connection = undo.enter_context(_connect(spill, max(_wal_bytes(path), 256 * 2**20)))
            connection.execute(f"ATTACH {sql_quote(str(path))} AS live")
            connection.execute("SELECT seq, body FROM live.entry LIMIT 1").fetchall()
            undo.pop_all()
        return cls(path, connection)

    def insert(self, first_seq: int, bodies: Sequence[str]) -> None:
        """Append rows in one transaction; on return they are durable.

        Raises RefusedError, RolledBackError or InDoubtError, which say what is known of the batch.
        """
        try:
            self._connection.execute(
                "INSERT INTO live.entry SELECT unnest(?::BIGINT[]), unnest(?::VARCHAR[])",
                [list(range(first_seq, first_seq + len(bodies))), list(bodies)],
            )
            if not self._name_durable:
                fsync_path(self.path.parent)  # DuckDB makes the WAL, and does not fsync its directory
                self._name_durable = True
        except (duckdb.DataError, duckdb.InvalidInputException, duckdb.NotSupportedError, UnicodeError) as error:
            raise RefusedError(first_line(error)) from error
        except (duckdb.TransactionException, duckdb.OutOfMemoryException) as error:
            raise RolledBackError(first_line(error)) from error
        except (duckdb.Error, OSError, RuntimeError) as error:
            raise InDoubtError(first_line(error)) from error

    def extent(self) -> Extent:
        """What the file holds now."""
        rows, first, last = self._connection.execute("SELECT count(*), min(seq), max(seq) FROM live.entry").fetchall()[
            0
        ]
        return Extent(rows=rows, first=first, last=last)

    def entries(self, *, after: int = -1, kind: str | None = None) -> Iterator[str]:
        """The entry texts in order, a few at a time: those with a higher ``seq``, and of one kind where given."""
        of_kind = " AND json_extract_string(body, '$.k') = $kind" if kind is not None else ""
        found = self._connection.execute(
            f"SELECT body FROM live.entry WHERE seq > $after{of_kind} ORDER BY seq",  # noqa: S608 - no value in it
            {"after": after} | ({"kind": kind} if kind is not None else {}),
        )
        while rows := found.fetchmany(2000):
            yield from (row[0] for row in rows)

    def exchanges(self) -> tuple[dict[int, int], set[int]]:
        """Forwarded decisions (``seq`` to ``recorded_at``), and the ``seq`` of decisions that have a completion."""
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
        self._connection.execute("CHECKPOINT live")
        fsync_path(self.path.parent)
        self._name_durable = False

    def wal_bytes(self) -> int:
        """Size of the WAL, which is nearly all there is of a live file."""
        return _wal_bytes(self.path)

    def close(self) -> None:
        """Let go of the file, leaving WAL and all to whoever converts it."""
        with suppress(duckdb.Error):  # an invalidated instance cannot detach; closing lets go of the file all the same
            self._connection.execute("DETACH live")
        self._connection.close()


def remove(path: Path) -> None:
    """Delete a live file whose rows are published: the WAL first, as a file without its WAL still opens (empty)."""
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    fsync_path(path.parent)


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
