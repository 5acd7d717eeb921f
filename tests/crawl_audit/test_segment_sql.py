"""The SQL that makes typed rows of entries loses nothing: leaves before and after are equal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl_audit import schema
from crawl_audit.records import Instant, Record
from crawl_audit.segment_sql import empty_select, entry_select, exact_glob, sql_quote, typed_select

STORABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)
TEXT = STORABLE | st.sampled_from(["null", "'", '"', "\\", "\\u0000", "true", "-1", "", "😀"])
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)


def _value(column: schema.Column) -> st.SearchStrategy[Any]:
    if column.sql_type == "VARCHAR" and column.python_type is not str:
        made: st.SearchStrategy[Any] = st.sampled_from(list(column.python_type))
    else:
        made = {
            "TIMESTAMP": INTEGERS.map(Instant),
            "BIGINT": INTEGERS,
            "BOOLEAN": st.booleans(),
            "VARCHAR": TEXT,
            "BLOB": st.binary(max_size=40),
            "VARCHAR[]": st.lists(TEXT, max_size=3).map(tuple),
        }[column.sql_type]
    return st.none() | made if column.nullable else made


def _records(kind: str) -> st.SearchStrategy[Record]:
    return st.fixed_dictionaries({column.name: _value(column) for column in schema.columns(kind)}).map(
        lambda values: schema.KINDS[kind](**values)
    )


def _source(connection: duckdb.DuckDBPyConnection, entries: list[str]) -> None:
    connection.execute("CREATE OR REPLACE TABLE entry (seq BIGINT, body VARCHAR, octets BLOB)")
    for seq, body in enumerate(entries):
        entry = schema.parse_entry(body)
        octets = schema.inflate(entry["body"]) if entry["k"] == "robots_body" else None
        connection.execute("INSERT INTO entry VALUES (?, ?, ?)", [seq, body, octets])


def _rows(connection: duckdb.DuckDBPyConnection, kind: str, source: str) -> list[dict[str, Any]]:
    cursor = connection.execute(entry_select(kind, source))
    names = [item[0] for item in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@pytest.mark.parametrize("kind", sorted(schema.KINDS))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_typed_row_has_the_leaf_of_its_entry(
    connection: duckdb.DuckDBPyConnection, kind: str, data: st.DataObject
) -> None:
    records = data.draw(st.lists(_records(kind), min_size=1, max_size=3))
    salt = os.urandom(schema.SALT_BYTES) if schema.has_salt(kind) else None
    entries = [schema.to_entry(record, salt) for record in records]
    _source(connection, entries)
    rows = _rows(connection, kind, f"({typed_select(kind, 'a-log', 'entry')})")
    assert len(rows) == len(entries)
    for row in rows:
        assert row["log"] == "a-log"
        assert schema.leaf(schema.from_row(kind, row)) == schema.leaf(schema.parse_entry(entries[row["seq"]]))


@pytest.mark.parametrize("kind", sorted(schema.KINDS))
def test_names_and_types_are_those_of_the_schema(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    _source(connection, [])
    for select in (typed_select(kind, "log", "entry"), empty_select(kind)):
        described = connection.execute(f"DESCRIBE {select}").fetchall()
        assert tuple((row[0], row[1]) for row in described) == schema.stored_columns(kind)
        assert connection.execute(select).fetchall() == []


def test_other_kinds_in_the_source_are_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    tunnel = {"recorded_at": 1, "exchange_id": None, "crawler": None, "client": None, "protocol": "connect"}
    tunnel |= {"host": None, "port": None, "outcome": "opened", "detail": None}
    entries = [
        schema.to_entry(schema.KINDS["robots_body"](recorded_at=1, robots_sha256="", body_bytes=1, body=b"x")),  # type: ignore[call-arg]
        schema.to_entry(schema.KINDS["tunnel"](**tunnel), bytes(16)),  # type: ignore[arg-type]
    ]
    _source(connection, entries)
    assert [row["seq"] for row in _rows(connection, "tunnel", f"({typed_select('tunnel', 'log', 'entry')})")] == [1]


def test_decisions_lie_by_site_and_time(connection: duckdb.DuckDBPyConnection) -> None:
    select = typed_select("decision", "log", "entry")
    assert select.endswith("ORDER BY entry.site, entry.recorded_at, seq")
    assert typed_select("completion", "log", "entry").endswith("ORDER BY seq")


def test_a_log_name_with_a_quote_is_a_value_and_not_sql(connection: duckdb.DuckDBPyConnection) -> None:
    _source(
        connection,
        [schema.to_entry(schema.KINDS["robots_body"](recorded_at=1, robots_sha256="", body_bytes=0, body=b""))],
    )  # type: ignore[call-arg]
    hostile = "x' OR '1'='1"
    assert _rows(connection, "robots_body", f"({typed_select('robots_body', hostile, 'entry')})")[0]["log"] == hostile
    assert sql_quote(hostile) == "'x'' OR ''1''=''1'"


@pytest.mark.parametrize("name", ["a", "a*", "a?b", "a[b]", "a'b", "[]"])
def test_a_file_is_read_by_its_exact_name(connection: duckdb.DuckDBPyConnection, tmp_path: Path, name: str) -> None:
    for other in (name, "aXb", "ab", "aa"):
        text = sql_quote(other)
        connection.execute(f"COPY (SELECT {text} AS name) TO {sql_quote(str(tmp_path / other))} (FORMAT parquet)")
    glob = exact_glob(str(tmp_path / name))
    assert connection.execute("SELECT name FROM read_parquet(?)", [glob]).fetchall() == [(name,)]
