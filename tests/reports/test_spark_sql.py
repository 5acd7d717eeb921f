"""Every query of ``reports/sql`` gives the same rows in Spark as in DuckDB, asked as the commands ask it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reports import fleet_rounds, manifest, matched_leaves
from reports.fleet_log import open_fleet
from reports.key_file import read_key
from reports.log import Log, Row, open_log
from reports.spark_log import SparkLog, open_spark_log
from reports.spark_sql import parameters_in, steps, translate
from tests.reports import asked, fleets
from tests.reports.spark_sessions import spark

pytestmark = pytest.mark.timeout(300)
ASKED = sorted(set(asked.QUERIES) - asked.NO_QUESTION)
NEED_MANIFEST = ("lineage_manifest", "lineage_sites")


class Both(NamedTuple):
    """One log in both engines, and what the commands ask of it."""

    root: Path
    duck: Log
    spark: SparkLog
    asked: asked.Asked
    manifest: manifest.Manifest


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    scratch = tmp_path_factory.mktemp("spark")
    root = scratch / "audit-log"
    asked.log_of_everything(root)
    with asked.heard(pytest.MonkeyPatch()) as questions:
        asked.everything(root, scratch)
    brought = manifest.read(str(scratch / "manifest.txt"), None, None)
    spark()
    with ExitStack() as stack:
        duck = stack.enter_context(open_log(str(root), also=[brought.path]))
        in_spark = stack.enter_context(open_spark_log(str(root)))
        _show_manifest(duck, in_spark, brought)
        duck.steadily(lambda connection: connection.execute(matched_leaves._view(duck)).fetchall())
        in_spark.steadily(lambda connection: connection.execute(matched_leaves._view(in_spark)).fetchall())
        yield Both(root, duck, in_spark, questions, brought)


def _show_manifest(duck: Log, in_spark: SparkLog, brought: manifest.Manifest) -> None:
    """A manifest is read by DuckDB; its values become hexadecimal digits, which Spark has in place of 128 bits."""
    rows = duck.select(f"SELECT original, value FROM ({brought.values}) AS brought")
    for row in rows:
        row["value"] = None if row["value"] is None else f"0x{row['value']:032x}"
    listed = "inline(from_json(CAST(:rows AS STRING), 'array<struct<original:string,value:string>>'))"
    frame = in_spark.session.sql(f"SELECT {listed}", {"rows": json.dumps(rows)})
    frame.createOrReplaceTempView("manifest")


def of_duck(both: Both, query: str, given: dict[str, Any]) -> list[Row]:
    if query in NEED_MANIFEST:
        return manifest.asked(both.duck, both.manifest, query, **given)
    return both.duck.select(asked.QUERIES[query], given)


def alike(query: str, rows: list[Row]) -> list[Any]:
    """The rows as they must agree: in their order, where the query states one."""
    ordered = re.search(r"^\s*ORDER BY [^)]*$", asked.QUERIES[query], re.MULTILINE)
    return rows if ordered else sorted(map(repr, rows))


@pytest.mark.parametrize("query", ASKED)
def test_spark_and_duckdb_give_the_same_rows(both: Both, query: str) -> None:
    """Of all the ways a query is asked: the most limited one that gives rows, if any does."""
    ways = both.asked.get(query, [{}] if not parameters_in(asked.QUERIES[query]) else [])
    assert ways, f"no command asks {query}.sql in tests/reports/asked.py: add one that does"
    answers = [(of_duck(both, query, given), given) for given in ways]
    limits = [sum(value is not None for value in given.values()) for given in ways]
    chosen = max(range(len(ways)), key=lambda n: (bool(answers[n][0]), limits[n], len(answers[n][0])))
    expected, given = answers[chosen]
    found = both.spark.select(asked.QUERIES[query], given)
    assert [list(row) for row in found] == [list(row) for row in expected], "other columns"
    assert alike(query, found) == alike(query, expected)


def test_most_queries_give_rows_of_the_log_they_are_compared_on(both: Both) -> None:
    empty = {query for query in ASKED if not any(of_duck(both, query, given) for given in both.asked.get(query, [{}]))}
    assert {query for query in empty if not query.startswith("fleet_")} == set()  # see the next test


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Log, SparkLog]]:
    """A fleet log: three rounds, a sidecar retired, one gone, and one that the last round leaves out."""
    made = fleets.Fleet.made(tmp_path_factory.mktemp("fleet") / "f")
    made.enrol("n2", "--retire", "--reason", "scaled down")
    fleets.go_on(made.sidecars["n0"], 1)
    shutil.rmtree(made.sources / "n1")
    made.collect()
    heads = fleet_rounds.read(str(made.path)).last
    with open_fleet(str(made.path), read_key(made.directory / "fleet.key")) as opened:
        opened.append([replace(heads[0], round_index=2)], opened.next_instant())
    spark()
    with open_log(str(made.path)) as duck, open_spark_log(str(made.path)) as in_spark:
        yield duck, in_spark


FLEET = sorted(query for query in ASKED if query.startswith("fleet_"))


@pytest.mark.parametrize("query", FLEET)
def test_spark_and_duckdb_give_the_same_rows_of_a_fleet_log(fleet: tuple[Log, SparkLog], query: str) -> None:
    expected, found = (log.select(asked.QUERIES[query], {}) for log in fleet)
    assert expected, "the fleet is made so that every query has something to tell"
    assert [list(row) for row in found] == [list(row) for row in expected], "other columns"
    assert alike(query, found) == alike(query, expected)


def test_a_relation_that_is_to_be_computed_once_is_asked_for_by_itself() -> None:
    asked_for = steps(
        "WITH a AS (SELECT 1 AS x), b AS MATERIALIZED (SELECT x FROM a) SELECT * FROM b JOIN b AS c USING (x)"
    )
    assert [name for name, _ in asked_for.computed] == ["b"]
    assert asked_for.computed[0][1] == "WITH a AS (SELECT 1 AS x) SELECT x FROM a"
    assert "MATERIALIZED" not in asked_for.query
    assert "FROM b" in asked_for.query


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS b",
        "SELECT unnest([1, 2]) AS a, 3 AS b",
    ],
)
def test_what_spark_cannot_say_is_refused_and_not_changed(sql: str) -> None:
    with pytest.raises(NotImplementedError, match="Spark"):
        translate(sql)


def small(both: Both, sql: str, given: dict[str, Any] | None = None) -> None:
    """The same rows in the same order from both."""
    found, expected = both.spark.select(sql, given), both.duck.select(sql, given)
    assert found == expected
    assert [[type(v) for v in row.values()] for row in found] == [[type(v) for v in row.values()] for row in expected]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_quantiles_are_the_same_of_any_number_of_values(both: Both, share: float) -> None:
    numbers = [number for number in range(1, 130) for _ in range(number)]
    values = [(place * 7919) % 1009 for place in range(len(numbers))]
    small(
        both,
        "SELECT n, quantile_disc(v, "
        + str(share)
        + ") AS q, quantile_disc(v, [0.05, 0.95]) FILTER (WHERE v > 500) AS qs"
        " FROM (SELECT unnest($numbers::BIGINT[]) AS n, unnest($vs::BIGINT[]) AS v) AS given GROUP BY n ORDER BY n",
        {"numbers": numbers, "vs": values},
    )


def test_escapes_are_decoded_the_same(both: Both) -> None:
    texts = [
        "/a",
        "",
        "%",
        "%4",
        "%41",
        "%zz",
        "%e2%82%ac",
        "%E2%82",
        "%ff",
        "+",
        "%2B",
        "a%00b",
        "\u2028%7e",
        "%25%32%35",
    ]
    small(
        both,
        "SELECT t, TRY(url_decode(t)) AS decoded, TRY(url_decode(t)) IS NOT DISTINCT FROM TRY(url_decode('A')) AS same"
        " FROM (SELECT unnest($texts::VARCHAR[]) AS t) AS given ORDER BY t",
        {"texts": texts},
    )


def test_regular_expressions_know_one_end_of_a_line(both: Both) -> None:
    small(
        both,
        "SELECT t, regexp_matches(t, $p) AS m, regexp_extract(t, '^[^/ ]*') AS e,"
        " regexp_replace(t, '(^| )/.*$', '') AS r FROM (SELECT unnest($texts::VARCHAR[]) AS t) AS given ORDER BY t",
        {"texts": ["a /b", "/\u2028x", "a\u0085 /b c", "x"], "p": "^a.*$"},
    )


def test_each_row_of_an_asof_join_holds_until_the_next(both: Both) -> None:
    small(
        both,
        "SELECT l.k, l.t, r.t AS since FROM (SELECT unnest($ks::VARCHAR[]) AS k, unnest($ts::BIGINT[]) AS t) AS l"
        " ASOF LEFT JOIN (SELECT unnest($rks::VARCHAR[]) AS k, unnest($rts::BIGINT[]) AS t) AS r"
        " ON r.k = l.k AND l.t >= r.t ORDER BY l.k, l.t",
        {"ks": ["a"] * 6 + ["b"], "ts": [1, 2, 3, 4, 5, 9, 4], "rks": ["a", "a", "c"], "rts": [2, 5, 1]},
    )


def test_the_set_of_everything_has_a_row_where_there_is_nothing(both: Both) -> None:
    small(
        both,
        "SELECT grouping(node) AS g, node, count(*) AS n FROM run WHERE node = $node"
        " GROUP BY GROUPING SETS ((), (node)) ORDER BY g, node",
        {"node": "nobody"},
    )


def test_null_comes_last_and_lists_of_nothing_are_null(both: Both) -> None:
    small(
        both,
        "SELECT v, count(*) AS n, list(v ORDER BY v) FILTER (WHERE v > 1) AS some, any_value(v) AS any FROM"
        " (SELECT unnest($vs::BIGINT[]) AS v) AS given GROUP BY ALL ORDER BY ALL",
        {"vs": [2, None, 1, 2]},
    )
