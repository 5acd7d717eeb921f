"""SQL text that computes leaves from typed rows: what :func:`crawl_audit.schema.leaf` does, for many rows at once.

Pure text, no feature newer than DuckDB 1.4, so that an auditor can run it with any DuckDB client.  The text is that
of an RFC 8785 object because DuckDB's ``to_json`` keeps the order of a struct's fields and escapes like RFC 8785 all
that an entry may hold (it differs for nine control characters, which no entry holds).
"""

from __future__ import annotations

from crawl_audit import schema
from crawl_audit.segment_sql import sql_quote


def leaf_select(kind: str, source: str) -> str:
    """SELECT of (log, seq, leaf as hex) for every row of ``source``.

    ``source`` is a relation with ``stored_columns`` and ``withheld_columns`` of the kind, times as TIMESTAMP.
    """
    return f"SELECT log, seq, sha256('\\x00'::BLOB || encode({leaf_text(kind)})) AS leaf FROM {source}"


def leaf_text(kind: str) -> str:
    """SQL expression of the text that the leaf of a row is the hash of, over the same columns."""
    fields = {"k": sql_quote(kind), "v": "v"}
    for column in schema.columns(kind):
        if column.bound:
            continue
        if column.sensitive:
            fields[column.name + "_c"] = _commitment(column.name)
        else:
            fields[column.name] = f"epoch_us({column.name})" if column.sql_type == "TIMESTAMP" else column.name
    struct = ", ".join(f"{sql_quote(name)}: {fields[name]}" for name in sorted(fields))
    return f"to_json({{{struct}}})::VARCHAR"


def _commitment(name: str) -> str:
    """The salted commitment to a sensitive value, computed where it is given, taken as it is where it is withheld."""
    by_row = f"unhex(sha256(unhex(salt) || encode({sql_quote(name)})))"
    return (
        f"CASE WHEN {name} IS NULL THEN {name}_c"
        f" ELSE sha256(CASE WHEN salt IS NULL THEN unhex({name}_s) ELSE {by_row} END || encode({name})) END"
    )
