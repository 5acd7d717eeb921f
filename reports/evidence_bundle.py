"""A bundle (one DuckDB file from a stranger) held to its form through the catalog: tables of ours and nothing else.

Tables: one per kind, ``withheld`` (leaves alone), ``manifest(body VARCHAR)``, and ``checkpoint_file(name VARCHAR,
content BLOB)``, the files under ``checkpoints/`` by their path in it.  Whatever else a database can hold (views,
macros, generated columns, defaults, types, sequences, indexes, triggers, schemas) is refused: it could answer in the
place of what was sealed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from crawl_audit import schema
from reports.evidence_form import (
    LOG_NAME,
    MANIFEST_BYTES_MAX,
    RECEIPT_BYTES_MAX,
    SMALL_BYTES_MAX,
    WITHHELD,
    SegmentFiles,
    column_fault,
    expected_columns,
)
from reports.findings import Findings, Severity

FILES = "checkpoint_file"
MANIFEST = "manifest"
_PLAIN = {FILES: [("name", "VARCHAR"), ("content", "BLOB")], MANIFEST: [("body", "VARCHAR")]}
_FILES_MAX = 200_000

# What a bundle must not hold: what it is called -> names of all there are, by the catalog of the system database.
_FORBIDDEN = {
    "view": "SELECT view_name FROM system.main.duckdb_views() WHERE database_name = 'bundle' AND NOT internal",
    "macro": "SELECT function_name FROM system.main.duckdb_functions() WHERE database_name = 'bundle' AND NOT internal",
    "schema": "SELECT schema_name FROM system.main.duckdb_schemas() WHERE database_name = 'bundle' AND NOT internal",
    "type": "SELECT type_name FROM system.main.duckdb_types() WHERE database_name = 'bundle' AND NOT internal",
    "sequence": "SELECT sequence_name FROM system.main.duckdb_sequences() WHERE database_name = 'bundle'",
    "index": "SELECT index_name FROM system.main.duckdb_indexes() WHERE database_name = 'bundle'",
    "constraint": "SELECT constraint_name FROM system.main.duckdb_constraints() WHERE database_name = 'bundle'",
    "trigger": "SELECT trigger_name FROM system.main.duckdb_triggers() WHERE database_name = 'bundle'",
    "collation": "SELECT table_name FROM system.main.duckdb_tables() WHERE database_name = 'bundle'"
    " AND sql ILIKE '% COLLATE %'",
    "generated column or default": "SELECT table_name || '.' || column_name FROM system.main.duckdb_columns()"
    " WHERE database_name = 'bundle' AND column_default IS NOT NULL AND NOT internal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The tables of a bundle that passed; ``with_withheld``: those that have columns of withheld values."""

    tables: frozenset[str]
    with_withheld: frozenset[str]


def check_form(connection: duckdb.DuckDBPyConnection, name: str, findings: Findings) -> Held:
    """Which tables may be read.  Anything that is not a plain table of ours is a finding F1, wrong columns F2."""
    suspect = set()
    for what, query in _FORBIDDEN.items():
        for (found,) in connection.execute(query).fetchall():
            suspect.add(str(found).partition(".")[0])
            findings.add("F1", Severity.ERROR, f"{name} {found}", f"A bundle must not hold a {what}; it was not used.")
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, column, sql_type in connection.execute(
        "SELECT c.table_name, c.column_name, c.data_type FROM system.main.duckdb_columns() AS c"
        " JOIN system.main.duckdb_tables() AS t ON t.database_name = c.database_name AND t.schema_name = c.schema_name"
        " AND t.table_name = c.table_name WHERE c.database_name = 'bundle' AND c.schema_name = 'main'"
        " ORDER BY c.table_name, c.column_index"
    ).fetchall():
        columns.setdefault(table, []).append((column, sql_type))
    tables, withheld = set(), set()
    for table, found_columns in columns.items():
        if fault := _table_fault(table, found_columns):
            check = "F1" if table not in (*schema.KINDS, WITHHELD, *_PLAIN) else "F2"
            findings.add(check, Severity.ERROR, f"{name} {table}", f"This table {fault}; nothing in it was checked.")
        elif table not in suspect:
            tables.add(table)
            if table in schema.KINDS and len(found_columns) > len(expected_columns(table)):
                withheld.add(table)
    return Held(tables=frozenset(tables), with_withheld=frozenset(withheld))


def _table_fault(table: str, columns: list[tuple[str, str]]) -> str | None:
    if table in _PLAIN:
        return None if columns == _PLAIN[table] else "has other columns than such a table has"
    if table not in schema.KINDS and table != WITHHELD:
        return "is none that a bundle has"
    return column_fault(table, columns)


def segments(
    connection: duckdb.DuckDBPyConnection, held: Held, path: str, findings: Findings
) -> dict[str, list[SegmentFiles]]:
    """One segment per log: from the first to the last ``seq`` that any table has."""
    extents: dict[str, tuple[int, int, dict[str, str]]] = {}
    for kind in (*schema.KINDS, WITHHELD):
        if kind not in held.tables:
            continue
        try:
            rows = connection.execute(
                f"SELECT log, min(seq), max(seq) FROM bundle.main.{kind} GROUP BY log ORDER BY log"  # noqa: S608 - a kind
            ).fetchall()
        except duckdb.Error:
            message = "This table cannot be read; nothing in it was checked."
            findings.add("F5", Severity.ERROR, f"bundle {kind}", message)
            continue
        for log, first, last in rows:
            if log is None or first is None or first < 0 or not LOG_NAME.fullmatch(log):
                message = "This table has rows that belong to no log; they were not checked."
                findings.add("F3", Severity.ERROR, f"bundle {kind}", message)
                continue
            low, high, files = extents.get(log, (first, last, {}))
            extents[log] = (min(low, first), max(high, last), {**files, kind: f"{path} {kind}"})
    return {
        log: [SegmentFiles(log=log, first=first, last=last, source=path, files=files)]
        for log, (first, last, files) in extents.items()
    }


def small_files(connection: duckdb.DuckDBPyConnection, held: Held, findings: Findings) -> Iterator[tuple[str, bytes]]:
    """(path under ``checkpoints/``, octets) of every note and receipt in the bundle."""
    if FILES not in held.tables:
        return
    try:
        ((octets,),) = connection.execute(
            f"SELECT coalesce(sum(octet_length(content)), 0) FROM bundle.main.{FILES}"  # noqa: S608 - ours
        ).fetchall()
        if octets > SMALL_BYTES_MAX:
            findings.add(
                "F4", Severity.ERROR, f"bundle {FILES}", "It is too large to be read; no checkpoint was checked."
            )
            return
        rows = connection.execute(
            f"SELECT name, CASE WHEN octet_length(content) <= {RECEIPT_BYTES_MAX} THEN content END"  # noqa: S608 - ours
            f" FROM bundle.main.{FILES} ORDER BY name LIMIT {_FILES_MAX}"
        ).fetchall()
    except duckdb.Error:
        findings.add("F5", Severity.ERROR, f"bundle {FILES}", "This table cannot be read; no checkpoint was checked.")
        return
    times = Counter(name for name, _ in rows)
    for name, content in rows:
        if name is None or content is None or times[name] > 1:
            message = f"The file {name} is there twice, empty, or larger than any that belongs here; it was not read."
            findings.add("F4", Severity.ERROR, f"bundle {FILES}", message)
        else:
            yield name, bytes(content)


def manifest(connection: duckdb.DuckDBPyConnection, held: Held, findings: Findings) -> bytes | None:
    """The text of the manifest, or None."""
    if MANIFEST not in held.tables:
        return None
    try:
        rows = connection.execute(
            f"SELECT body FROM bundle.main.{MANIFEST} WHERE strlen(body) <= {MANIFEST_BYTES_MAX} LIMIT 2"  # noqa: S608
        ).fetchall()
    except duckdb.Error:
        rows = []
    if len(rows) != 1:
        findings.add("F3", Severity.ERROR, "manifest", "A bundle has one manifest; this one has none that can be read.")
        return None
    return str(rows[0][0]).encode()
