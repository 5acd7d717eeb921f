"""What the footers of Parquet files say of their columns and sizes: many files at once, before a row is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched

import duckdb

from crawl_audit.segment_sql import exact_glob, sql_quote
from reports import evidence_form

FILES_AT_ONCE = 500


@dataclass(slots=True)
class Footer:
    """Of one file: (name, type) of its columns, and (rows, uncompressed octets) of each of its row groups."""

    columns: list[tuple[str, str]] = field(default_factory=list)
    groups: list[tuple[int, int]] = field(default_factory=list)


def footers(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> Iterator[Footer | None]:
    """The footer of each file, in order; None where it cannot be read as a Parquet file."""
    for batch in batched(paths, FILES_AT_ONCE):
        found = _read(connection, batch)
        if found is None:  # by themselves, then: one of them cannot be read
            for path in batch:
                alone = _read(connection, (path,))
                yield alone[path] if alone is not None else None
        else:
            yield from (found[path] for path in batch)


def _read(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> dict[str, Footer] | None:
    listed = "[" + ", ".join(sql_quote(exact_glob(path)) for path in paths) + "]"
    trees: dict[str, list[tuple[str, str | None, int | None]]] = {}
    groups: dict[str, list[tuple[int, int]]] = {}
    try:
        for path, *node in connection.execute(_NODES.format(paths=listed)).fetchall():
            trees.setdefault(path, []).append((node[0], node[1], node[2]))
        for path, rows, octets in connection.execute(_GROUPS.format(paths=listed)).fetchall():
            groups.setdefault(path, []).append((rows, octets))
    except duckdb.Error:
        return None
    return {path: Footer(evidence_form.parquet_columns(trees.get(path, [])), groups.get(path, [])) for path in paths}


_NODES = "SELECT file_name, name, duckdb_type, num_children FROM parquet_schema({paths})"
_GROUPS = """
SELECT file_name, max(row_group_num_rows), sum(total_uncompressed_size)::BIGINT
FROM parquet_metadata({paths}) GROUP BY file_name, row_group_id
"""
