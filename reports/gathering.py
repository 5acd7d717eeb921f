"""The first step of compaction: thousands of small files of a kind become tens, each row with a hash of what was read.

Opening a file costs more than reading it, and what is known of an open one stays in memory, so every original is opened
as seldom as can be and only so many at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import batched
from pathlib import Path

import duckdb

from crawl_audit.errors import LogFormatError
from crawl_audit.segment_sql import exact_glob, sql_quote
from reports import evidence_form

FILES_AT_ONCE = 500
ROW_HASH = "row_hash"
"""The column that holds the hash of every possible column of the row, as it was read from the original."""

Connect = Callable[[], duckdb.DuckDBPyConnection]


def gathered(connect: Connect, kind: str, files: Sequence[Path], work: Path) -> Iterator[Path]:
    """Files in ``work`` that hold every row of ``files``, every column a file of ``kind`` may have, and the hash.

    Raises LogFormatError where the columns of an original are not those of the kind, duckdb.Error where it is damaged.
    """
    for number, batch in enumerate(batched(files, FILES_AT_ONCE)):
        target = work / f"gathered-{kind}-{number}.parquet"
        with connect() as connection:  # one of its own: it forgets the files when it closes
            connection.execute("SET parquet_metadata_cache = true")
            there = columns_of(connection, kind, batch)
            selected = ", ".join(f"{value} AS {name}" for name, value in _values(kind, there).items())
            connection.execute(
                f"COPY (SELECT {selected}, {row_hash(kind, there)} AS {ROW_HASH} FROM {read(batch)})"  # noqa: S608
                f" TO {sql_quote(str(target))} (FORMAT parquet, COMPRESSION lz4_raw)"
            )
        yield target


def possible_columns(kind: str) -> tuple[tuple[str, str], ...]:
    """(name, type) of what a file of ``kind`` may have."""
    return (*evidence_form.expected_columns(kind), *evidence_form.optional_columns(kind))


def row_hash(kind: str, there: Sequence[str] | None = None) -> str:
    """SQL: a hash of every possible column; one that is not ``there`` counts as NULL."""
    return f"hash({', '.join(_values(kind, there).values())})"


def _values(kind: str, there: Sequence[str] | None) -> dict[str, str]:
    """SQL of the value of every possible column, by name."""
    return {
        name: name if there is None or name in there else f"NULL::{sql_type}"
        for name, sql_type in possible_columns(kind)
    }


def columns_of(connection: duckdb.DuckDBPyConnection, kind: str, files: Sequence[Path]) -> tuple[str, ...]:
    """The columns the files have together; raises LogFormatError where that are not those of the kind."""
    described = connection.execute(f"DESCRIBE FROM {read(files)}").fetchall()
    found = [(name, sql_type) for name, sql_type, *_ in described]
    fault = evidence_form.column_fault(kind, found)
    if fault is not None:
        raise LogFormatError(f"A file {kind}.parquet in {files[0].parent.parent} {fault}: nothing was compacted.")
    return tuple(column[0] for column in possible_columns(kind) if column in found)


def read(files: Sequence[Path]) -> str:
    """SQL: the rows of Parquet files, whose columns may differ."""
    names = ", ".join(sql_quote(exact_glob(str(file))) for file in files)
    return f"read_parquet([{names}], union_by_name = true, hive_partitioning = false)"
