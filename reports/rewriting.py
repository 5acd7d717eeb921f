"""A custodian's bench: the segments of a log directory as relations, and the one way to replace a file of them.

A file is written beside, read back, compared leaf by leaf with what it must hold, made durable, set to 0444 and
renamed over the old one under the lock on segments.  Erased octets are gone, because the whole file is new.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import schema
from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.leaf_sql import leaf_select
from crawl_audit.segment_sql import empty_select, exact_glob, sql_quote
from reports.evidence_form import SEGMENT_NAME, WITHHELD
from reports.log import look, sentence
from reports.remote_session import refuse_change
from reports.segments_lock import segments_lock, sole_custodian
from reports.withholding_sql import names_of

Connection = duckdb.DuckDBPyConnection
KINDS = (*schema.KINDS, WITHHELD)
_MEMORY_LIMIT = "2GB"


class SegmentsChanged(LogFormatError):
    """A segment was merged or replaced by somebody else in the middle of our work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A published segment: its log, the range of ``seq`` it covers, its directory."""

    log: str
    first: int
    last: int
    path: Path


class Bench:
    """The segments of one log directory, open for custody; :func:`open_bench` makes it."""

    def __init__(self, root: Path, connection: duckdb.DuckDBPyConnection, work: Path) -> None:
        self.root, self.connection, self.work = root, connection, work
        self.segments: list[Segment] = []
        self._made = 0
        self.refresh()

    def refresh(self) -> None:
        """Look again at which segments there are; every kind becomes a view with all its columns and ``file``."""
        self.segments = _segments(self.root)
        for kind in KINDS:
            files = [segment.path / f"{kind}.parquet" for segment in self.segments]
            source = relation(kind, [file for file in files if file.exists()])
            self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {kind} AS {source}")

    def rows(self, sql: str, parameters: list[Any] | None = None, /) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self.connection.execute(sql, parameters or []).fetchall()

    def new_file(self) -> Path:
        """A name for a file that is being made."""
        self._made += 1
        return self.work / f"{self._made:06d}.parquet"

    def replace(self, file: Path, kind: str, select: str, expected: str) -> None:
        """Put the rows of ``select`` in the place of ``file`` (which may not exist yet), atomically and for good.

        ``expected`` is a relation (log, seq, leaf) the new file must equal.  Raises SegmentsChanged where the file
        is no longer the one that was read.
        """
        before = _identity(file)
        made = self.new_file()
        write_parquet(self.connection, select, made)
        self._compare(made, kind, expected)
        with segments_lock(self.root):
            if _identity(file) != before or not file.parent.is_dir():
                made.unlink()
                raise SegmentsChanged(f"The segment {file.parent} changed meanwhile: run the command again.")
            os.replace(made, file)
            fsync(file.parent)

    def remove(self, file: Path) -> None:
        """Take a file out of a segment; one that is gone already is no error."""
        with segments_lock(self.root):
            file.unlink(missing_ok=True)
            if file.parent.is_dir():
                fsync(file.parent)

    def _compare(self, made: Path, kind: str, expected: str) -> None:
        leaves = leaves_of(kind, f"({relation(kind, [made])})")
        differing = f"""SELECT count(*) FROM ({leaves}) AS made FULL JOIN ({expected}) AS wanted
            ON made.log = wanted.log AND made.seq = wanted.seq
            WHERE made.leaf IS NULL OR wanted.leaf IS NULL OR made.leaf <> wanted.leaf"""  # noqa: S608 - made here
        if self.rows(differing) != [(0,)]:
            raise LogFormatError(
                f"What was written in the place of {kind} records does not read back as it should: nothing was"
                " replaced; check the disk and run the command again."
            )


def leaves_of(kind: str, source: str) -> str:
    """SELECT of (log, seq, leaf) for a relation of ``kind``, withheld rows included."""
    return f"SELECT log, seq, leaf FROM {source}" if kind == WITHHELD else leaf_select(kind, source)  # noqa: S608


def relation(kind: str, files: list[Path]) -> str:
    """SELECT of every row in ``files`` with all columns a file of ``kind`` may have, and the path as ``file``."""
    names = [name for name, _ in schema.WITHHELD_ROW] if kind == WITHHELD else names_of(kind)
    optional = () if kind == WITHHELD else schema.withheld_columns(kind)
    nothing = empty_select(kind).removesuffix(" WHERE false")
    extra = "".join(f", NULL::{sql_type} AS {name}" for name, sql_type in (*optional, ("file", "VARCHAR")))
    source = f"{nothing}{extra} WHERE false"
    if files:
        listed = ", ".join(sql_quote(exact_glob(str(file))) for file in files)
        parquet = f"read_parquet([{listed}], union_by_name = true, filename = 'file', hive_partitioning = false)"
        source += f" UNION ALL BY NAME SELECT * FROM {parquet}"  # noqa: S608 - quoted above
    return f"SELECT {', '.join(names)}, file FROM ({source})"  # noqa: S608 - names of the schema


def of_segment(segment: Segment, kind: str) -> str:
    """The rows of ``kind`` in one segment, as a relation in parentheses."""
    file = segment.path / f"{kind}.parquet"
    return f"({relation(kind, [file] if file.exists() else [])})"


def write_parquet(connection: duckdb.DuckDBPyConnection, select: str, file: Path) -> None:
    """Write the rows of ``select`` to a new file, durable and 0444."""
    connection.execute(f"COPY ({select}) TO {sql_quote(str(file))} (FORMAT parquet, COMPRESSION zstd)")
    file.chmod(0o444)
    fsync(file)  # COPY does not


def fsync(path: Path) -> None:
    """Make a file's content, or a directory's list of names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect(spill: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that may put what does not fit into ``spill``."""
    return duckdb.connect(
        ":memory:",
        config={
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
            "memory_limit": _MEMORY_LIMIT,
            "temp_directory": str(spill),
        },
    )


@contextmanager
def open_bench(path: str) -> Iterator[Bench]:
    """The log directory ``path`` for a custodian's work, of which there is one at a time.

    What a custodian who was killed had signed already is published first.  Errors are one sentence.
    """
    refuse_change(path)
    root = look(path).root
    with sole_custodian(root), plainly(f"The log directory {root} cannot be changed"):
        work = root / "tmp" / f"custody-{os.getpid()}"
        work.parent.mkdir(mode=0o700, exist_ok=True)
        _clear(root)
        work.mkdir(mode=0o700)
        try:
            with connect(work / "spill") as connection:
                yield Bench(root, connection, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def open_to_look(path: str) -> Iterator[Bench]:
    """The log directory ``path`` for a custodian who changes nothing; needs no right to write there."""
    refuse_change(path)
    root = look(path).root
    with (
        plainly(f"The log directory {root} cannot be read"),
        tempfile.TemporaryDirectory() as work,
        connect(Path(work) / "spill") as connection,
    ):
        yield Bench(root, connection, Path(work))


@contextmanager
def plainly(doing: str) -> Iterator[None]:
    """Trouble with files and with DuckDB as one sentence."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{doing}: {error.strerror or error}; run this as the user who writes the log, with space on the disk."
        ) from error
    except duckdb.IOException as error:
        raise SegmentsChanged(
            f"{doing}, because a file is damaged or was changed meanwhile: {sentence(error)}"
        ) from error
    except duckdb.Error as error:
        raise LogFormatError(f"{doing}: {sentence(error)}") from error


def _clear(root: Path) -> None:
    """Finish what a killed custodian had signed but not published; remove what else it left."""
    for left in sorted((root / "tmp").glob("custody-*")):
        for log in sorted(left.glob("custodian-*")):
            if (root / "checkpoints" / f"{log.name}.checkpoint").exists():
                with segments_lock(root):
                    log.rename(root / "segments" / log.name)
                    fsync(root / "segments")
        shutil.rmtree(left)


def _segments(root: Path) -> list[Segment]:
    found = []
    for log in sorted((root / "segments").iterdir()):
        if log.name == "schema" or not log.is_dir():
            continue
        for path in log.iterdir():
            match = SEGMENT_NAME.fullmatch(path.name)
            if match and path.is_dir():
                found.append(Segment(log=log.name, first=int(match[1]), last=int(match[2]), path=path))
    return sorted(found, key=lambda segment: (segment.log, segment.first))


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
