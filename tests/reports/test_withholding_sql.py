"""Withholding in SQL and in Python: the same rows, the same leaves, for every record and in any number of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawl_audit import schema, withholding
from crawl_audit.leaf_sql import leaf_select
from reports.rewriting import relation
from reports.withholding_sql import names_of, sensitive, withheld_select
from tests import logs
from tests.strategies import records_of

SALTED = sorted(kind for kind in schema.KINDS if schema.has_salt(kind))


def rows_of(connection: duckdb.DuckDBPyConnection, kind: str, source: str) -> list[dict[str, Any]]:
    """Rows with times as integer microseconds, as ``from_row`` takes them."""
    types = dict((*schema.stored_columns(kind), *schema.withheld_columns(kind)))
    wanted = ", ".join(f"epoch_us({n}) AS {n}" if types[n] == "TIMESTAMP" else n for n in names_of(kind))
    result = connection.execute(f"SELECT {wanted} FROM ({source}) ORDER BY seq")
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@pytest.mark.parametrize("kind", SALTED)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_sql_withholds_as_python_does(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    made = data.draw(st.lists(records_of(kind), min_size=1, max_size=4))
    first, second = (data.draw(st.sets(st.sampled_from(sensitive(kind)))) for _ in range(2))
    logs.write_segment(tmp_path, "n", list(enumerate(made)))
    with duckdb.connect() as connection:
        source = f"({relation(kind, [tmp_path / f'{kind}.parquet'])})"
        once = withheld_select(kind, source, first)
        twice = withheld_select(kind, f"({once})", second, "seq < 2")
        for seq, row in enumerate(rows_of(connection, kind, twice)):
            entry = schema.parse_entry(logs.entry(made[seq]))
            expected = withholding.withhold(entry, first)
            if seq < 2:
                expected = withholding.withhold(expected, second)
            found = schema.from_row(kind, row)
            withholding.check(found)
            given_back = {name: value for name, value in found.items() if value is not None}
            assert given_back == {name: value for name, value in expected.items() if value is not None}
            assert schema.leaf(found) == schema.leaf(entry)
        in_sql = connection.execute(f"SELECT leaf FROM ({leaf_select(kind, f'({twice})')}) ORDER BY seq").fetchall()
        assert in_sql == [(schema.leaf(schema.parse_entry(logs.entry(record))).hex(),) for record in made]
