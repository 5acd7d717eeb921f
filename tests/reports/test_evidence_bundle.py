"""A bundle from a stranger: everything a database can hold besides our tables is refused."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from reports.evidence import open_evidence
from tests import logs
from tests.reports.tampering import checks, verified


@pytest.fixture
def bundle(sound: logs.LogBuilder, tmp_path: Path) -> Path:
    """The sound log as one DuckDB file."""
    path = tmp_path / "bundle.duckdb"
    with duckdb.connect(str(path)) as connection:
        for kind in ("run", "snapshot", "robots_body", "decision", "completion", "seal"):
            glob = f"{sound.root}/segments/node1*/*/{kind}.parquet"
            connection.execute(f"CREATE TABLE {kind} AS FROM read_parquet('{glob}', hive_partitioning = false)")
        connection.execute("CREATE TABLE checkpoint_file (name VARCHAR, content BLOB)")
        note = [f"{sound.log}.checkpoint", sound.note().encode()]
        connection.execute("INSERT INTO checkpoint_file VALUES (?, ?)", note)
    return path


def with_statements(bundle: Path, *statements: str) -> Path:
    with duckdb.connect(str(bundle)) as connection:
        for statement in statements:
            connection.execute(statement)
    return bundle


def test_a_sound_bundle_verifies_like_the_log(bundle: Path, sound: logs.LogBuilder) -> None:
    answer = verified(bundle, notes=[sound.note()], trust=[sound.signer.verifier])
    assert (answer["result"], answer["findings"], answer["records"]) == ("ok", [], 75)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE MACRO sha256(x) AS 'ab'",
        "CREATE MACRO read_parquet(x) AS TABLE SELECT 1",
        "CREATE VIEW tunnel AS SELECT 1",
        "CREATE SCHEMA other",
        "CREATE TYPE mood AS ENUM ('a')",
        "CREATE SEQUENCE s",
        "CREATE INDEX i ON run (seq)",
        "CREATE TABLE extra (a INTEGER)",
        "CREATE TABLE gap (a INTEGER PRIMARY KEY)",
        "CREATE TABLE log2 AS FROM run",
        "ALTER TABLE run ALTER COLUMN reason SET DEFAULT 'x'",
    ],
)
def test_what_a_bundle_must_not_hold_is_refused(bundle: Path, statement: str) -> None:
    assert "F1" in checks(verified(with_statements(bundle, statement)))


def test_a_generated_column_is_refused(bundle: Path) -> None:
    with duckdb.connect(str(bundle)) as connection:
        ((sql,),) = connection.execute("SELECT sql FROM duckdb_tables() WHERE table_name = 'completion'").fetchall()
    generated = sql.replace("barrier VARCHAR", "barrier VARCHAR GENERATED ALWAYS AS (error)")
    assert generated != sql
    answer = verified(with_statements(bundle, "DROP TABLE completion", generated))
    assert {"F1", "R3"} <= checks(answer)


def test_a_view_in_the_place_of_a_table_is_refused(bundle: Path) -> None:
    swapped = ("ALTER TABLE decision RENAME TO signal", "CREATE VIEW decision AS FROM signal")
    answer = verified(with_statements(bundle, *swapped))
    assert {"F1", "F2", "R3"} <= checks(answer)
    assert answer["logs"][0]["decisions"] == 0


def test_wrong_columns_are_refused(bundle: Path) -> None:
    assert "F2" in checks(verified(with_statements(bundle, "ALTER TABLE completion ADD COLUMN more INTEGER")))


def test_a_changed_row_is_found(bundle: Path) -> None:
    change = "UPDATE decision SET target = '/elsewhere' WHERE seq = (SELECT max(seq) FROM decision)"
    assert "R4" in checks(verified(with_statements(bundle, change)))


def test_rows_of_no_log_are_found(bundle: Path) -> None:
    assert "F3" in checks(verified(with_statements(bundle, "UPDATE completion SET log = 'x y' WHERE seq = 9")))


def test_a_checkpoint_there_twice_is_refused(bundle: Path) -> None:
    answer = verified(with_statements(bundle, "INSERT INTO checkpoint_file FROM checkpoint_file"))
    assert "F4" in checks(answer)
    assert "H1" in checks(answer, "warning")


@pytest.mark.parametrize("rows", ['SELECT \'{"a":1,"a":1}\'', "SELECT NULL", "SELECT '{}' FROM range(2)"])
def test_a_manifest_must_be_one_and_say_one_thing(bundle: Path, rows: str) -> None:
    with_statements(bundle, "CREATE TABLE manifest (body VARCHAR)", f"INSERT INTO manifest {rows}")
    with open_evidence(str(bundle)) as evidence:
        assert (evidence.manifest, evidence.findings.counts) == (None, {"F3": 1})
