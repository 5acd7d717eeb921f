"""Leaves computed in SQL are those computed in Python, whatever a record holds and whatever is withheld of it."""

from __future__ import annotations

from typing import Any

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import schema, withholding
from crawl_audit.leaf_sql import leaf_select
from crawl_audit.records import Record
from tests.strategies import records, salts

CONNECTION = duckdb.connect()


def source(kind: str) -> str:
    """One row of a kind as a relation, from parameters of the columns' names."""
    columns = (*schema.stored_columns(kind), *schema.withheld_columns(kind))
    values = [
        f"make_timestamp(${name}::BIGINT) AS {name}" if sql_type == "TIMESTAMP" else f"${name}::{sql_type} AS {name}"
        for name, sql_type in columns
    ]
    return f"(SELECT {', '.join(values)})"


def leaf_in_sql(entry: dict[str, Any]) -> bytes:
    kind = entry["k"]
    columns = (*schema.stored_columns(kind), *schema.withheld_columns(kind))
    row = {name: b"" if sql_type == "BLOB" else entry.get(name) for name, sql_type in columns}
    row |= {"log": "node-20261118T110640Z-00000001", "seq": 7}
    ((log, seq, leaf),) = CONNECTION.execute(leaf_select(kind, source(kind)), row).fetchall()
    assert (log, seq) == (row["log"], 7)
    return bytes.fromhex(leaf)


@given(records, salts, st.sets(st.integers(0, 9)))
def test_sql_and_python_agree_on_every_leaf(record: Record, salt: bytes, numbers: set[int]) -> None:
    salted = schema.has_salt(record.KIND)
    entry = schema.to_object(record, salt if salted else None)
    assert leaf_in_sql(entry) == schema.leaf(entry)
    if salted:
        names = [column.name for column in schema.columns(record.KIND) if column.sensitive]
        withheld = withholding.withhold(entry, {names[number] for number in numbers if number < len(names)})
        assert leaf_in_sql(withheld) == schema.leaf(entry)
