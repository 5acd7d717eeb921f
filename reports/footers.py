"""What the footers of a log's files say: how many records of which log they hold, from which to which.

A footer is a few kilobytes, so how far a log of ten million records reaches is known without reading one of them.
DuckDB believes footers anyway wherever it leaves out what cannot match; that they are true is what `verify` checks.
Files of compacted days hold many logs, so a table of extents lies beside them; footers must bear it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import duckdb

from crawl_audit import schema, views
from crawl_audit.segment_sql import exact_glob, sql_quote

NAME = "files.extent"
"""The table of (kind, log, records, first_seq, last_seq, first_at, last_at): one or several rows per kind and log."""
COMPACTED = "_compacted"
"""Directory under ``segments/`` of the files of compacted days, in a copy of what lies remote: no log is called so."""
_COLUMNS = ("log", "seq", "recorded_at", "v")

# One row per row group.
_BOUNDS = """
CREATE OR REPLACE TABLE files.bounds AS
SELECT file_name, row_group_id, any_value(row_group_num_rows) AS records,
       {bounds},
       count(*) FILTER (WHERE stats_null_count = 0 AND min_is_exact AND max_is_exact) = {count} AS is_complete
FROM parquet_metadata([{globs}])
WHERE path_in_schema IN ({names}) AND row_group_num_rows > 0
GROUP BY file_name, row_group_id
"""
_FROM_FOOTERS = """
SELECT parse_filename(file_name, true) AS kind, log_min AS log, records,
       CAST(seq_min AS BIGINT) AS first_seq, CAST(seq_max AS BIGINT) AS last_seq,
       CAST(recorded_at_min AS TIMESTAMP) AS first_at, CAST(recorded_at_max AS TIMESTAMP) AS last_at
FROM files.bounds
"""
_FROM_ROWS = """
SELECT {kind} AS kind, log, count(*) AS records, min(seq) AS first_seq, max(seq) AS last_seq,
       min(recorded_at) AS first_at, max(recorded_at) AS last_at
FROM {relation} GROUP BY log
"""
_FROM_EXTENTS = "SELECT kind, log, records, first_seq, last_seq, first_at, last_at FROM files.stated"
# What compacted days state of their files, and whether footers say the same of each kind in all.
_STATED = """
CREATE OR REPLACE TABLE files.stated AS
SELECT kind, log, records, first_seq, last_seq, first_at, last_at
FROM read_parquet([{files}], union_by_name = true, hive_partitioning = false)
"""
_BORNE_OUT = """
WITH stated AS (
    SELECT kind, CAST(sum(records) AS BIGINT) AS records, min(first_seq) AS first_seq, max(last_seq) AS last_seq,
           min(first_at) AS first_at, max(last_at) AS last_at, min(log) AS first_log, max(log) AS last_log
    FROM files.stated GROUP BY kind
), found AS (
    SELECT parse_filename(file_name, true) AS kind, CAST(sum(records) AS BIGINT) AS records,
           min(TRY_CAST(seq_min AS BIGINT)) AS first_seq, max(TRY_CAST(seq_max AS BIGINT)) AS last_seq,
           min(TRY_CAST(recorded_at_min AS TIMESTAMP)) AS first_at,
           max(TRY_CAST(recorded_at_max AS TIMESTAMP)) AS last_at,
           min(log_min) AS first_log, max(log_max) AS last_log
    FROM files.bounds WHERE {compacted} GROUP BY kind
)
SELECT NOT EXISTS (FROM (FROM stated EXCEPT FROM found)) AND NOT EXISTS (FROM (FROM found EXCEPT FROM stated))
       AND (SELECT coalesce(bool_and(is_complete), true) FROM files.bounds WHERE {compacted})
"""
_SUMMARY = """
SELECT parse_filename(file_name, true) AS kind,
       count(*) FILTER (WHERE NOT is_complete OR (log_min <> log_max AND NOT ({stated} AND {compacted}))
                           OR TRY_CAST(seq_min AS BIGINT) IS NULL OR TRY_CAST(seq_max AS BIGINT) IS NULL
                           OR TRY_CAST(recorded_at_min AS TIMESTAMP) IS NULL
                           OR TRY_CAST(recorded_at_max AS TIMESTAMP) IS NULL
                           OR TRY_CAST(v_min AS BIGINT) IS NULL OR TRY_CAST(v_max AS BIGINT) IS NULL) AS incomplete,
       min(TRY_CAST(v_min AS BIGINT)) AS v_min,
       max(TRY_CAST(v_max AS BIGINT)) AS v_max
FROM files.bounds GROUP BY kind ORDER BY kind
"""
_ALIKE = "SELECT count(DISTINCT log) - count(DISTINCT hash(log)) FROM files.extent"


class Footers(NamedTuple):
    """What the footers of all files of a log directory say together."""

    complete: bool
    """Whether they say everything: each file is of one log, and every bound is exact."""
    versions: tuple[tuple[str, int], ...]
    """(kind, schema version) of what is not of the version that is read; all of them only where ``complete``."""
    stated: str = ""
    """SQL that tells the files for which tables of extents stand; empty: none does."""


def read(connection: duckdb.DuckDBPyConnection, segments_root: str, extents: Sequence[str] = ()) -> Footers:
    """What the footers say; raises duckdb.Error where a file has none that can be read.

    ``extents`` names the tables of extents of compacted days.
    """
    connection.execute("CREATE SCHEMA IF NOT EXISTS files")  # beside the views, which are what SHOW TABLES lists
    connection.execute(_bounds(segments_root))
    compacted = f"starts_with(file_name, {sql_quote(f'{segments_root}/{COMPACTED}/')})"
    stated = False
    if extents:
        connection.execute(_STATED.format(files=", ".join(sql_quote(exact_glob(file)) for file in extents)))
        ((stated,),) = connection.execute(_BORNE_OUT.format(compacted=compacted)).fetchall()
    rows = connection.execute(_SUMMARY.format(stated=str(bool(stated)).lower(), compacted=compacted)).fetchall()
    strange = [
        (kind, version)
        for kind, _, *versions in rows
        for version in versions
        if version is not None and version != schema.VERSION
    ]
    complete = not any(incomplete for _, incomplete, *_ in rows)
    return Footers(complete=complete, versions=tuple(strange), stated=compacted if stated else "")


def count(connection: duckdb.DuckDBPyConnection, segments_root: str, footers: Footers) -> bool:
    """Make the table after :func:`read`: from the footers, or from all rows where those do not say everything.

    False where two names of logs have the same hash, by which our queries join.
    """
    select = _FROM_FOOTERS
    if footers.stated:
        select = f"{_FROM_FOOTERS} WHERE NOT {footers.stated} UNION ALL {_FROM_EXTENTS}"
    if not footers.complete:
        select = " UNION ALL ".join(
            _FROM_ROWS.format(kind=sql_quote(kind), relation=views.parquet(kind, segments_root))
            for kind in schema.KINDS
        )
    connection.execute(f"CREATE OR REPLACE TABLE {NAME} AS {select}")
    ((alike,),) = connection.execute(_ALIKE).fetchall()
    return not alike


def _bounds(segments_root: str) -> str:
    place = views.glob_literal(segments_root)
    return _BOUNDS.format(
        globs=", ".join(sql_quote(f"{place}/*/*/{kind}.parquet") for kind in schema.KINDS),
        names=", ".join(map(sql_quote, _COLUMNS)),
        count=len(_COLUMNS),
        bounds=",\n       ".join(
            f"any_value(stats_{end}_value) FILTER (WHERE path_in_schema = {sql_quote(name)}) AS {name}_{end}"
            for name in _COLUMNS
            for end in ("min", "max")
        ),
    )
