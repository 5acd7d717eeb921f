"""An auditor's own SQL: what runs, and every way out of the log that must stay shut."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reports import query
from tests import logs
from tests.reports.command import crawl_audit, refused


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with one segment and a live file; each attack leaves it as it was, or fails."""
    root = tmp_path_factory.mktemp("target")
    made = logs.LogBuilder(root)
    made.add(logs.decision("example.com"))
    made.publish()
    (root / "live").mkdir()
    (root / "live" / "secret.duckdb").write_text("not for reading")
    return root


def snapshot_of(root: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(root)): (p.stat().st_size, p.stat().st_mtime_ns) for p in root.rglob("*")}


def test_a_select_over_the_views_is_answered_in_every_form(mixed: logs.LogBuilder) -> None:
    sql = "SELECT host, count(*) AS n FROM decision GROUP BY host ORDER BY host"
    hosts = sorted(logs.HOSTS)
    assert [row["host"] for row in crawl_audit("query", mixed.root, sql, "--format", "json").json] == hosts
    assert crawl_audit("query", mixed.root, sql, "--format", "csv").out.splitlines()[0] == "host,n"
    assert crawl_audit("query", mixed.root, sql, "--format", "md").out.startswith("| host | n |")
    assert "(6 rows)" in crawl_audit("query", mixed.root, sql).out


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES",
        "DESCRIBE decision",
        "SUMMARIZE SELECT status FROM completion",
        "FROM violation LIMIT 1",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a, range(3)",
        "PIVOT decision ON action IN ('forwarded', 'denied') USING count(*)",
        "SELECT unnest(group_tokens), rank() OVER (ORDER BY seq) FROM decision",
        "SELECT json_extract(settings, '$.crawlers') FROM run",
        "SELECT regexp_extract(url, 'copy|insert|attach') FROM decision",
        "SELECT date_trunc('day', recorded_at), verdict, count(*) FROM decision GROUP BY ALL",
    ],
)
def test_what_auditors_write_runs(mixed: logs.LogBuilder, sql: str) -> None:
    ran = crawl_audit("query", mixed.root, sql)
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{inside}'",
        "COPY decision TO '{victim}' (FORMAT parquet, USE_TMP_FILE false)",
        "WITH t AS (COPY (SELECT 1) TO '{inside}') SELECT 1",
        "WITH t AS MATERIALIZED (COPY (SELECT 1) TO '{victim}' (USE_TMP_FILE false)) SELECT * FROM t",
        "SELECT * FROM query('WITH t AS (COPY (SELECT 1) TO ''{inside}'') SELECT 1')",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{inside}'",
        "EXPORT DATABASE '{inside}'",
        "ATTACH '{inside}'",
        "ATTACH ':memory:' AS other",
        "CREATE TABLE t AS SELECT 1",
        "CREATE MACRO sha256(x) AS 'deadbeef'",
        "CREATE OR REPLACE VIEW violation AS SELECT 1",
        "DROP VIEW violation",
        "SET memory_limit = '64GB'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA enable_logging",
        "CALL enable_logging()",
        "SELECT * FROM enable_logging('QueryLog', storage := 'file', storage_path := '{inside}')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT * FROM checkpoint()",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_text('{root}/live/secret.duckdb')",
        "SELECT * FROM read_text('{root}/segments/../live/secret.duckdb')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM glob('{root}/segments/*')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM 'https://192.0.2.1/x.parquet'",
        "SELECT getenv('HOME')",
        "INSERT INTO decision SELECT * FROM decision",
        "DELETE FROM decision",
        "SELECT 1; COPY (SELECT 1) TO '{inside}'",
        "BEGIN",
        "",
        "-- nothing",
        ";",
    ],
)
def test_nothing_but_a_select_on_the_log_runs(target: Path, sql: str) -> None:
    before, root = snapshot_of(target), target
    (victim,) = target.glob("segments/*/*-*/decision.parquet")
    inside = target / "segments" / "new"
    said = refused("query", root, sql.format(inside=inside, victim=victim, root=root), code=2)
    assert "Traceback" not in said
    assert snapshot_of(root) == before


def test_a_table_name_never_means_a_variable_of_the_program(mixed: logs.LogBuilder) -> None:
    assert "cannot be run" in refused("query", mixed.root, "SELECT * FROM arguments", code=2)


def test_bad_sql_is_explained_in_one_sentence(mixed: logs.LogBuilder) -> None:
    assert "syntax error" in refused("query", mixed.root, "SELEC 1", code=2)
    assert "no_such" in refused("query", mixed.root, "SELECT no_such FROM decision", code=2)


def test_a_query_that_takes_too_long_is_stopped(mixed: logs.LogBuilder) -> None:
    endless = "SELECT count(*) FROM range(1000000000000) AS t(a) WHERE a % 7 = 3"
    assert "time limit" in refused("query", mixed.root, endless, "--seconds", "1", code=2)


def test_rows_over_the_limit_are_left_out_and_that_is_said(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("query", mixed.root, "SELECT * FROM range(11)", "--limit", "10", "--format", "json")
    assert (ran.code, len(ran.json)) == (0, 10)
    assert "more than 10 rows" in ran.err
    exact = crawl_audit("query", mixed.root, "SELECT * FROM range(10)", "--limit", "10")
    assert exact.err == ""


def test_values_of_every_type_are_shown(mixed: logs.LogBuilder) -> None:
    sql = (
        "SELECT NULL AS n, true AS b, 1.5::DECIMAL(4,2) AS d, DATE '2026-11-01' AS day, [1, 2] AS l, {'a': 'x'} AS s,"
        " 'ab'::BLOB AS o, TIMESTAMP '2026-11-01 00:00:00' AS t, INTERVAL 1 DAY AS i, MAP {'k': 1} AS m,"
        " TIMESTAMPTZ '2026-11-01 00:00:00+00' AS z"
    )
    for form in ("table", "csv", "md"):
        assert "2026-11-01T00:00:00Z" in crawl_audit("query", mixed.root, sql, "--format", form).out
    row = crawl_audit("query", mixed.root, sql, "--format", "json").json[0]
    assert (row["n"], row["b"], row["o"], row["t"], row["z"]) == (
        None,
        True,
        "6162",
        "2026-11-01T00:00:00Z",
        "2026-11-01T00:00:00Z",
    )


def test_the_limits_have_defaults() -> None:
    assert (query.SECONDS_MAX, query.ROWS_MAX) == (60, 10_000)


def test_an_attached_shadow_of_the_views_is_never_opened(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.decision("example.com"))
    made.publish()
    (root / "audit.duckdb").write_bytes(os.urandom(4096))  # whatever stands here, readers make their own views
    rows = json.loads(crawl_audit("query", root, "SELECT count(*) AS n FROM decision", "--format", "json").out)
    assert rows == [{"n": 1}]
