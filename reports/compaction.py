"""Many small segments of a day become one sorted file for each kind, read back before anybody may rely on it.

Decisions lie by site, what ends them by the place of its decision, bodies by their digest: so that a question about one
site reads few parts of few files.  What was written is read back and held against the originals over every column of
every row, which leaves are a function of.  Memory is bounded; what does not fit is sorted on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import duckdb

from crawl_audit import schema
from crawl_audit.compacted_day import EXTENT
from crawl_audit.errors import LogFormatError
from crawl_audit.remote_layout import KINDS
from crawl_audit.segment_sql import exact_glob, sql_quote
from reports import evidence_form
from reports.gathering import ROW_HASH, columns_of, gathered, read, row_hash

MEMORY_LIMIT = "1GB"
ROWS_OF_A_FILE = 25_000_000
"""So many records of one kind make a file of some gigabytes; more become several, each with a range of its own."""
_SAMPLE_ROWS = 100_000
_BODIES_OF_A_GROUP = 2_048
_FILES_AT_ONCE = 1_000
# What a file is sorted by, the first of it being what several files are divided by.
_ORDER = {
    "decision": ("site", "recorded_at", "log", "seq"),
    "completion": ("decision_seq", "log", "seq"),
    "snapshot": ("seq", "log"),
    "robots_body": ("robots_sha256", "log", "seq"),
}
_OTHERWISE = ("seq", "log")

Advance = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file that was written and read back."""

    kind: str
    number: int
    path: Path
    rows: int


def compact(segments: Sequence[Path], work: Path, advance: Advance = lambda _: None) -> list[Made]:
    """The files that the directories ``segments`` become, in the empty directory ``work``; that of extents is the last.

    Raises LogFormatError where the originals cannot be read, or a file does not read back as they are.
    """
    made: list[Made] = []
    (work / "spill").mkdir(parents=True)
    with _connected(work) as connection:
        try:
            for kind in KINDS:
                files = [path for segment in segments if (path := segment / f"{kind}.parquet").exists()]
                if files:
                    advance(kind)
                    made += _kind(connection, kind, files, work)
            made.append(_extents(connection, made, work))
        except duckdb.Error as error:
            message = " ".join(str(error).split("\n\n")[0].split())
            raise LogFormatError(f"The day cannot be compacted ({message}): it stays as it is.") from error
    return made


def _connected(work: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(work / "spill"),
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
            "preserve_insertion_order": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _kind(connection: duckdb.DuckDBPyConnection, kind: str, files: Sequence[Path], work: Path) -> Iterator[Made]:
    """Gather the rows, sort them into files, and hold what was written against what was read."""
    parts = list(gathered(partial(_connected, work), kind, files, work))
    source = read(parts)
    expected = _fingerprint(connection, source, ROW_HASH)
    columns = _columns(connection, kind, source)
    order = _ORDER.get(kind, _OTHERWISE)
    paths = []
    for number, within in enumerate(_ranges(connection, source, order[0], expected[0]), start=1):
        path = work / f"{kind}-{number}.parquet"
        group = f", ROW_GROUP_SIZE {_BODIES_OF_A_GROUP}" if kind == "robots_body" else ""
        ((rows,),) = connection.execute(
            f"COPY (SELECT {', '.join(columns)} FROM {source} WHERE {within} ORDER BY {', '.join(order)})"  # noqa: S608
            f" TO {sql_quote(str(path))} (FORMAT parquet, COMPRESSION zstd{group})"
        ).fetchall()
        paths.append(path)
        yield Made(kind=kind, number=number, path=path, rows=rows)
    for part in parts:
        part.unlink()
    there = columns_of(connection, kind, paths)
    if there != columns or _fingerprint(connection, read(paths), row_hash(kind, there)) != expected:
        raise LogFormatError(
            f"The compacted {kind} records do not read back as the originals are: nothing was published."
        )


def _columns(connection: duckdb.DuckDBPyConnection, kind: str, source: str) -> tuple[str, ...]:
    """The columns that an original has: those of withheld values are there only where something is withheld."""
    stored = [name for name, _ in evidence_form.expected_columns(kind)]
    optional = [name for name, _ in evidence_form.optional_columns(kind)]
    counts = ", ".join(f"count({name})" for name in optional)
    withheld = optional and any(connection.execute(f"SELECT {counts} FROM {source}").fetchall()[0])  # noqa: S608
    return (*stored, *(optional if withheld else ()))


def _fingerprint(connection: duckdb.DuckDBPyConnection, source: str, row: str) -> tuple[int, int | None, int | None]:
    """How many rows there are, and two sums over all of their hashes that do not depend on their order."""
    select = f"SELECT count(*), sum({row}::HUGEINT), bit_xor({row}) FROM {source}"  # noqa: S608 - names of the schema
    ((count, total, mixed),) = connection.execute(select).fetchall()
    return int(count), total, mixed


def _ranges(connection: duckdb.DuckDBPyConnection, source: str, key: str, rows: int) -> list[str]:
    """Conditions that divide the rows by their first key into files of about equal size; NULL goes into the last."""
    files = -(-rows // ROWS_OF_A_FILE)
    if files < 2:
        return ["true"]
    shares = ", ".join(f"{number / files}" for number in range(1, files))
    sample = (
        f"SELECT quantile_disc({key}, [{shares}]) FROM (SELECT {key} FROM {source} USING SAMPLE {_SAMPLE_ROWS} ROWS)"  # noqa: S608
    )
    ((found,),) = connection.execute(sample).fetchall()
    edges = sorted(
        {sql_quote(edge) if isinstance(edge, str) else str(edge) for edge in found or () if edge is not None}
    )
    if not edges:
        return ["true"]
    within = [f"{key} < {edges[0]}"]
    within += [f"{key} >= {low} AND {key} < {high}" for low, high in pairwise(edges)]
    return [*within, f"({key} >= {edges[-1]} OR {key} IS NULL)"]


def _extents(connection: duckdb.DuckDBPyConnection, made: Sequence[Made], work: Path) -> Made:
    """One row for each kind and log: how many records, from which place and time to which."""
    selects = [
        f"SELECT {sql_quote(kind)} AS kind, log, count(*) AS records, min(seq) AS first_seq, max(seq) AS last_seq,"  # noqa: S608
        f" min(recorded_at) AS first_at, max(recorded_at) AS last_at"
        f" FROM {read([one.path for one in made if one.kind == kind])} GROUP BY log"
        for kind in sorted({one.kind for one in made} & set(schema.KINDS))
    ]
    path = work / f"{EXTENT}-1.parquet"
    ((rows,),) = connection.execute(
        f"COPY ({' UNION ALL '.join(selects)} ORDER BY kind, log) TO {sql_quote(str(path))}"
        " (FORMAT parquet, COMPRESSION zstd)"
    ).fetchall()
    return Made(kind=EXTENT, number=1, path=path, rows=rows)


def days_of(segments: Sequence[Path]) -> dict[Path, str]:
    """The day (UTC) of the earliest record of each segment, by its footers; without those that have no time at all."""
    files = [(path, segment) for segment in segments for path in segment.glob("*.parquet")]
    of_file = {str(path): segment for path, segment in files}
    earliest: dict[Path, str] = {}
    with duckdb.connect(config={"autoload_known_extensions": False}) as connection:
        for start in range(0, len(files), _FILES_AT_ONCE):
            named = ", ".join(sql_quote(exact_glob(str(path))) for path, _ in files[start : start + _FILES_AT_ONCE])
            try:
                rows = connection.execute(_EARLIEST.format(files=named)).fetchall()
            except duckdb.Error as error:
                raise LogFormatError(f"A segment in the cache cannot be read: {str(error).splitlines()[0]}.") from error
            for file, at in rows:
                segment = of_file[file]
                earliest[segment] = min(at, earliest.get(segment, at))
    return {segment: at[:10] for segment, at in earliest.items()}


_EARLIEST = """
SELECT file_name, strftime(min(CAST(stats_min_value AS TIMESTAMP)), '%Y-%m-%dT%H:%M:%S.%f')
FROM parquet_metadata([{files}]) WHERE path_in_schema = 'recorded_at' AND stats_min_value IS NOT NULL GROUP BY file_name
"""
