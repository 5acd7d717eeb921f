"""SQL text that turns entries (canonical JSON) into the typed columns of a segment.

Pure text: the writer runs it over a closed live file, tools and tests over any relation of the same shape.  What a
row means and which type a column has comes from :mod:`crawl_audit.schema` alone.
"""

from __future__ import annotations

import json

from crawl_audit import schema

# JSON has no octets and no time: a timestamp travels as integer microseconds, octets as base64 of zlib.
_JSON_TYPES: dict[str, str | list[str]] = {"TIMESTAMP": "BIGINT", "VARCHAR[]": ["VARCHAR"], "BLOB": "VARCHAR"}
OCTETS = "octets"
"""Column the source of a kind with a BLOB needs besides ``seq`` and ``body``: the inflated octets."""


def sql_quote(text: str) -> str:
    """``text`` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def exact_glob(path: str) -> str:
    """A path as ``read_parquet`` matches nothing but itself: it takes every name for a glob."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)


def typed_select(kind: str, log: str, source: str) -> str:
    """SELECT of exactly ``schema.stored_columns(kind)`` for the entries of ``kind`` in ``source``, in stored order.

    ``source`` is a table name or a subquery in parentheses with ``seq BIGINT, body VARCHAR``, which may hold other
    kinds too.  SQL cannot inflate zlib: for ``robots_body`` the source must also have ``octets BLOB``, the body that
    Python inflated (:func:`crawl_audit.schema.inflate`).  Decisions are ordered by (site, recorded_at, seq), because
    auditors ask for a site; everything else by seq.
    """
    expressions = {"log": f"{sql_quote(log)}::VARCHAR", "seq": "seq", "v": "entry.v"}
    structure: dict[str, str | list[str]] = {"v": "INTEGER"}
    for name, sql_type in schema.stored_columns(kind):
        if name in expressions:
            continue
        structure[name] = _JSON_TYPES.get(sql_type, sql_type)
        expressions[name] = {"TIMESTAMP": f"make_timestamp(entry.{name})", "BLOB": OCTETS}.get(
            sql_type, f"entry.{name}"
        )
    wanted = ", ".join(f"{expressions[name]} AS {name}" for name, _ in schema.stored_columns(kind))
    order = "entry.site, entry.recorded_at, seq" if kind == "decision" else "seq"
    return (
        f"SELECT {wanted} FROM (SELECT *, json_transform(body, {sql_quote(json.dumps(structure))}) AS entry"
        f" FROM {source} WHERE json_extract_string(body, '$.k') = {sql_quote(kind)}) ORDER BY {order}"
    )


def empty_select(kind: str) -> str:
    """SELECT of zero rows with the names and types of ``schema.stored_columns(kind)``, or of `withheld`."""
    named = schema.WITHHELD_ROW if kind == "withheld" else schema.stored_columns(kind)
    wanted = ", ".join(f"NULL::{sql_type} AS {name}" for name, sql_type in named)
    return f"SELECT {wanted} WHERE false"


def entry_select(kind: str, source: str) -> str:
    """SELECT of stored rows as :func:`crawl_audit.schema.from_row` takes them: times as integer microseconds."""
    wanted = ", ".join(
        f"epoch_us({name}) AS {name}" if sql_type == "TIMESTAMP" else name
        for name, sql_type in schema.stored_columns(kind)
    )
    return f"SELECT {wanted} FROM {source}"
