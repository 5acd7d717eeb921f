"""Rows of published segments read back as evidence counts them: by ``seq``, each with its leaf.

Shared by whatever writes segments: nothing is published, merged or deleted before it was read back through here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.segment_sql import exact_glob, sql_quote

WITHHELD = "withheld"
"""Name of the file of records of which a segment keeps the leaf alone; not a kind of record."""
_ROWS_AT_ONCE = 2000
# Of bodies as many as one row group may hold of the largest; what is fetched is in memory twice.
_BODIES_AT_ONCE = 16


def source(files: Sequence[Path]) -> str:
    """The table function that reads these files and no others, columns by name."""
    names = ", ".join(sql_quote(exact_glob(str(file))) for file in files)
    return f"read_parquet([{names}], union_by_name = true, hive_partitioning = false)"


def columns(connection: duckdb.DuckDBPyConnection, kind: str, files: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """(name, DuckDB type) of the columns the files have together, in stored order.

    Those of ``withheld_columns`` are among them where a file has one.  Raises LogFormatError for files of other shape.
    """
    described = connection.execute(f"DESCRIBE FROM {source(files)}").fetchall()
    found = {name: sql_type for name, sql_type, *_ in described}
    known = schema.WITHHELD_ROW if kind == WITHHELD else schema.stored_columns(kind)
    extra = () if kind == WITHHELD else schema.withheld_columns(kind)
    wanted = (*known, *extra) if any(name in found for name, _ in extra) else known
    if dict(wanted) != found:
        raise LogFormatError(f"The file {files[0]} does not have the columns of {kind}.")
    return wanted


def leaves(
    connection: duckdb.DuckDBPyConnection,
    kind: str,
    log: str,
    files: Sequence[Path],
    *,
    within: tuple[int, int] | None = None,
    ordered: bool = False,
) -> Iterator[tuple[int, bytes]]:
    """(seq, leaf) of every row, by ``seq`` where ``ordered``; of rows whose leaf alone is kept, leaf and kind.

    ``within``: only these ``seq``, both ends included.  Raises LogFormatError for a row of another log, and for a
    robots.txt that does not have its digest.
    """
    named = columns(connection, kind, files)
    wanted = ", ".join(f"epoch_us({name}) AS {name}" if type_ == "TIMESTAMP" else name for name, type_ in named)
    query = f"SELECT {wanted} FROM {source(files)}"  # noqa: S608 - quoted there
    if within is not None:
        query += f" WHERE seq BETWEEN {within[0]} AND {within[1]}"
    # Bodies lie in the order of seq already, and are too large to be sorted in memory.
    query += " ORDER BY seq" if ordered and kind != "robots_body" else ""
    names = [name for name, _ in named]
    for values in rows(connection, query, _BODIES_AT_ONCE if kind == "robots_body" else _ROWS_AT_ONCE):
        row = dict(zip(names, values, strict=True))
        if row["log"] != log:
            raise LogFormatError(f"Record {row['seq']} in {files[0].parent} is of another log, {row['log']}.")
        yield row["seq"], _leaf(kind, row, files[0])


def _leaf(kind: str, row: dict[str, Any], file: Path) -> bytes:
    if kind == WITHHELD:
        leaf, withheld_kind = str(row["leaf"]), str(row["kind"])
        return bytes.fromhex(leaf) + withheld_kind.encode()
    if kind == "robots_body" and row["body"] is not None:
        if hashlib.sha256(row["body"]).hexdigest() != row["robots_sha256"]:
            raise LogFormatError(f"The robots.txt of record {row['seq']} in {file} does not have its digest.")
        row["body"] = None  # bound by the digest and no part of the leaf: compressing it again would be for nothing
    return schema.leaf(schema.from_row(kind, row))


def rows(connection: duckdb.DuckDBPyConnection, query: str, at_once: int = _ROWS_AT_ONCE) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, a few at a time; other statements may run meanwhile."""
    cursor = connection.cursor()  # a cursor of its own: statements run while its result is being read
    try:
        cursor.execute(query)
        while found := cursor.fetchmany(at_once):
            yield from found
    finally:
        cursor.close()
