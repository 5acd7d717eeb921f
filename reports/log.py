"""A log directory opened for reading: views over its segments in a locked-down DuckDB of our own.

Evidence may come from somebody hostile.  A DuckDB file that is *opened* can shadow ``sha256()`` or a table with
macros and views of its own, so ``audit.duckdb`` is never opened here: the connection is in memory, the views are
ours, and the only files it may touch are the Parquet files under ``segments/``.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import schema, views
from crawl_audit.compacted_day import EXTENT
from crawl_audit.errors import LogFormatError
from crawl_audit.object_address import is_object_address
from crawl_audit.segment_sql import exact_glob
from reports import footers
from reports.period import UsageError
from reports.remote_session import Mirror, session

MEMORY_LIMIT = "2GB"
"""What one command may hold in memory; nothing is spilled to disk, because a reader leaves no trace."""

KEPT_ROWS_MAX = 1_000
"""Rows of one answer that are kept for when the same is asked again."""

# Segments are merged once a day at most, so the second attempt is the last but for chance.
_ATTEMPTS = 5
_FILE_IN_MESSAGE = re.compile(r"(/[^\"'\n]*?\.parquet)")

Row = dict[str, Any]


class NotALogError(LogFormatError, UsageError):
    """The path given is not a log directory."""


class NothingSealedError(LogFormatError):
    """The log directory holds no segment yet, so there is nothing that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What lies in a log directory, by name and size; nothing is opened."""

    root: Path
    segments: tuple[Path, ...]
    segment_bytes: int
    live: tuple[Path, ...]
    quarantine: tuple[Path, ...]
    checkpoints: tuple[Path, ...]
    mirror: Mirror | None = None
    """What it is a copy of, where it lies in an object store."""

    @property
    def name(self) -> str:
        """The directory, or the address it is a copy of."""
        return str(self.root) if self.mirror is None else self.mirror.address

    @property
    def extents(self) -> tuple[str, ...]:
        """The tables of extents of compacted days; a directory that is no copy has none."""
        compacted = self.root / "segments" / footers.COMPACTED
        return () if self.mirror is None else tuple(str(path) for path in sorted(compacted.glob(f"*/{EXTENT}.parquet")))

    @property
    def segments_root(self) -> str:
        """Absolute path of ``segments/``, as the views name it."""
        return str(self.root / "segments")


def look(path: str, *, evidence: bool = False, torn: bool = False) -> Files:
    """The files of the log directory ``path``, or of the copy of an ``s3://`` address; NotALogError where it is none.

    ``evidence``: of an address, the originals as they are there now; ``torn``: with uploads that are not whole.
    """
    if is_object_address(path) or (not evidence and session.is_compacted(path)):
        mirror = session.mirror(path, evidence=evidence, torn=torn)
        return replace(look(str(mirror.root)), mirror=mirror)
    if "://" in path:
        raise NotALogError(f"{path} is no s3:// address: copy the log to a directory first, then name that directory.")
    root = Path(path).resolve()
    if not root.exists():
        raise NotALogError(
            f"There is no directory {path}: name the directory that `crawl-audit-proxy run --log` writes to."
        )
    if not root.is_dir():
        raise NotALogError(f"{path} is a file: name the log directory that holds it (the one with `segments/` inside).")
    if not (root / "segments").is_dir():
        raise NotALogError(f"{path} is not a log directory, because it has no `segments/` inside.")
    schema_root = root / "segments" / "schema"
    segments = tuple(sorted(p for p in (root / "segments").glob("*/*") if p.is_dir() and schema_root not in p.parents))
    return Files(
        root=root,
        segments=segments,
        segment_bytes=sum(map(_octets, segments)),
        live=_files(root / "live", "*.duckdb"),
        quarantine=_files(root / "quarantine", "*"),
        checkpoints=_files(root / "checkpoints", "*.checkpoint"),
    )


def _octets(segment: Path) -> int:
    """Size of a segment's files; nothing where it was merged into another a moment ago."""
    try:
        return sum(file.stat().st_size for file in segment.iterdir() if file.is_file())
    except FileNotFoundError:
        return 0


def _files(directory: Path, pattern: str) -> tuple[Path, ...]:
    return tuple(sorted(p for p in directory.glob(pattern) if p.is_file())) if directory.is_dir() else ()


class Log:
    """One log directory, open for reading; :func:`open_log` makes it."""

    def __init__(self, files: Files, connection: duckdb.DuckDBPyConnection) -> None:
        self.files = files
        self.step = ""
        """Name of the query that runs, or that ran last."""
        self._connection = connection
        self._kept: dict[str, list[Row]] = {}

    def rows(self, query: str, **parameters: Any) -> list[Row]:
        """The rows of the query ``reports/sql/<query>.sql`` with ``$name`` parameters, as column → value.

        Few rows are kept: reports that are part of another ask the same, and then say the same.
        """
        asked = repr((query, sorted(parameters.items())))
        found = self._kept.get(asked)
        if found is None:
            self.step = query
            found = self.select(sql_text(query), parameters)
            if len(found) > KEPT_ROWS_MAX:
                return found
            self._kept[asked] = found
        return [dict(row) for row in found]  # whoever changes a row must not change what is kept

    def one(self, query: str, **parameters: Any) -> Row:
        """The single row of a query that always gives one."""
        (row,) = self.rows(query, **parameters)
        return row

    def select(self, sql: str, parameters: dict[str, Any] | None = None) -> list[Row]:
        """The rows of SQL text; raises LogFormatError where a file of the log cannot be read."""

        def run(connection: duckdb.DuckDBPyConnection) -> list[Row]:
            result = connection.execute(sql, parameters or {})
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

        return self.steadily(run)

    def steadily[T](self, action: Callable[[duckdb.DuckDBPyConnection], T], *, own_sql: bool = True) -> T:
        """The result of an action on the connection, done again where segments were replaced while it ran.

        Merging lets the directory of a log's segments change places with another.  DuckDB lists files first and leaves
        out without a word what vanished since, so an answer counts only if every directory is still the one it was.
        An error must come twice: a file may have been replaced, by one with values erased, between two looks at it.
        """
        failed = False
        for _ in range(_ATTEMPTS):
            before = self._directories()
            try:
                with self.guarded(own_sql=own_sql) as connection:
                    found = _interruptibly(connection, action)
            except (LogFormatError, duckdb.Error):
                if failed and self._same(before):
                    raise
                failed = self._same(before)
                continue
            if self._same(before):
                return found
        raise LogFormatError(
            f"The segments in {self.files.segments_root} are being replaced all the time: try again in a minute."
        )

    def _directories(self) -> dict[str, int]:
        return {entry.name: entry.stat().st_ino for entry in Path(self.files.segments_root).iterdir()}

    def _same(self, before: dict[str, int]) -> bool:
        now = self._directories()
        return all(now.get(name) == inode for name, inode in before.items())

    @contextmanager
    def guarded(self, *, own_sql: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection, with DuckDB's errors turned into LogFormatError, one sentence.

        Where the SQL is not ours (``own_sql`` false) only errors about files of the log are; the rest is the SQL's.
        """
        try:
            yield self._connection
        except duckdb.OutOfMemoryException as error:
            raise LogFormatError(
                f"The answer needs more than {MEMORY_LIMIT} of memory: narrow the period with --from and --to."
            ) from error
        except duckdb.Error as error:
            damaged = _damaged(error)
            if damaged is not None:
                raise damaged from error
            if not own_sql:
                raise
            raise LogFormatError(
                f"The segments in {self.files.segments_root} are not what their schema says ({sentence(error)}):"
                " read them with the version of crawl-audit that wrote them, or restore them from a copy."
            ) from error

    def percent(self) -> float | None:
        """How far the query is that another thread runs, 0 to 100; None where there is none or it cannot tell."""
        done: float = self._connection.query_progress()
        return done if done >= 0 else None

    def close(self) -> None:
        """Close the connection; the log was never changed."""
        self._connection.close()


def _interruptibly[T](connection: duckdb.DuckDBPyConnection, action: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    """The result of an action on the connection, which Ctrl-C ends at once.

    A thread that waits for another hears of Ctrl-C; one that is inside DuckDB does when its part of the work is done.
    """
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(action, connection)
        try:
            return running.result()
        except KeyboardInterrupt:
            while not running.done():  # between two statements nothing is there to be interrupted
                connection.interrupt()
                wait([running], timeout=0.05)
            raise


def sentence(error: duckdb.Error) -> str:
    """The first paragraph of DuckDB's message on one line: what follows is a drawing of the place."""
    return " ".join(str(error).split("\n\n")[0].split())


def _damaged(error: duckdb.Error) -> LogFormatError | None:
    """The sentence about a file of the log that cannot be read, or None where the error is about something else."""
    found = _FILE_IN_MESSAGE.search(str(error))
    if found is None or isinstance(error, duckdb.PermissionException):
        return None
    return LogFormatError(f"The file {found.group(1)} is damaged or missing: restore the segment from a copy.")


def sql_text(query: str) -> str:
    """The text of ``reports/sql/<query>.sql``, as an auditor reads it."""
    return (importlib.resources.files("reports") / "sql" / f"{query}.sql").read_text(encoding="utf-8")


@contextmanager
def open_log(path: str, *, seconds: float | None = None, also: Sequence[Path] = ()) -> Iterator[Log]:
    """The log in directory ``path``; ``seconds`` bounds how long any one query may run.

    ``also`` names files (absolute paths) that queries may read besides the segments, a manifest for example.

    Raises LogFormatError (NotALogError, NothingSealedError) in one sentence where it cannot be read.
    """
    files = look(path)
    if not files.segments:
        unread = " There are live records: `crawl-audit-proxy seal` publishes them." if files.live else ""
        raise NothingSealedError(
            f"The log directory {path} holds no sealed segment yet, so nothing can be read.{unread}"
        )
    log = Log(files, _locked_down(files.segments_root, seconds, also))
    try:
        _refuse_incomplete(log)
        found = log.steadily(lambda connection: footers.read(connection, files.segments_root, files.extents))
        _refuse_other_versions(log, found)
        log.steadily(lambda connection: _create_views(connection, files.segments_root))
        if not log.steadily(lambda connection: footers.count(connection, files.segments_root, found)):
            raise LogFormatError(f"Two logs in {files.root} cannot be told apart by a hash of their names: rename one.")
        yield log
    finally:
        log.close()


def _create_views(connection: duckdb.DuckDBPyConnection, segments_root: str) -> None:
    for statement in views.create_views(segments_root):
        connection.execute(statement)


def _locked_down(segments_root: str, seconds: float | None, also: Sequence[Path] = ()) -> duckdb.DuckDBPyConnection:
    """A fresh in-memory DuckDB that can read these and nothing else, and cannot be told otherwise."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,  # a table name must never mean a variable of ours
            "memory_limit": MEMORY_LIMIT,
            "max_temp_directory_size": "0GB",
            "max_execution_time": 0 if seconds is None else int(seconds * 1000),
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = true")  # kept count of for Log.percent,
    connection.execute("SET enable_progress_bar_print = false")  # and never shown by DuckDB itself
    connection.execute("SET parquet_metadata_cache = true")  # every view reads the footers of all its files
    # The order matters: with external access off, allowed_directories can no longer be set.
    # A glob is compared as it is written, so a path with `[` or `*` in it is named in both spellings.
    allowed = {"plain": segments_root + "/", "glob": views.glob_literal(segments_root) + "/"}
    connection.execute("SET allowed_directories = [$plain, $glob]", allowed)
    spelled = [str(file) for file in also] + [exact_glob(str(file)) for file in also]
    connection.execute("SET allowed_paths = $also", {"also": spelled})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _refuse_incomplete(log: Log) -> None:
    """Raise LogFormatError where there is no file of a kind, not even the empty one that every log directory has."""
    for kind in schema.KINDS:
        if not any((log.files.root / "segments").glob(f"*/*/{kind}.parquet")):
            raise LogFormatError(
                f"{log.files.segments_root} has no file {kind}.parquet anywhere, not even under schema/:"
                " the copy of the log is incomplete."
            )


def _refuse_other_versions(log: Log, found: footers.Footers) -> None:
    """Raise LogFormatError where a segment was written by a schema version this one does not know."""
    strange = found.versions if found.complete else _versions_of_rows(log)
    for kind, version in strange:
        raise LogFormatError(
            f"The log in {log.files.root} has {kind} records of schema version {version}, this crawl-audit"
            f" reads version {schema.VERSION}: install the release that goes with the log."
        )


def _versions_of_rows(log: Log) -> Iterator[tuple[str, int]]:
    for kind in schema.KINDS:
        relation = views.parquet(kind, log.files.segments_root)
        strange = f"SELECT DISTINCT v FROM {relation} WHERE v IS DISTINCT FROM $known ORDER BY v"  # noqa: S608 - quoted there
        for row in log.select(strange, {"known": schema.VERSION}):
            yield kind, row["v"]
