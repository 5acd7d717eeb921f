"""An auditor's own SQL over the views: one SELECT, read-only, bounded in time and rows.

Three walls.  The connection reaches no file outside ``segments/`` and its settings are locked (:mod:`reports.log`).
Only a single statement of type SELECT is taken.  And because DuckDB 2.0 lets ``WITH x AS (COPY … TO …) SELECT``
pass as a SELECT, and may write to a directory it is allowed to read, the plan is looked at before it runs: an
operator that writes, or a table function not on the list here, is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import duckdb

from reports import render
from reports.log import Log, sentence
from reports.period import UsageError

SECONDS_MAX = 60
ROWS_MAX = 10_000

# Words in the names of DuckDB's physical operators that do something other than compute an answer.
_WRITES = re.compile(
    r"COPY|INSERT|DELETE|UPDATE|MERGE|CREATE|DROP|ALTER|ATTACH|DETACH|EXPORT|LOAD|INSTALL|VACUUM|CHECKPOINT|CALL"
)
_TABLE_FUNCTIONS = frozenset(
    {
        "READ_PARQUET",
        "PARQUET_SCAN",
        "RANGE",
        "GENERATE_SERIES",
        "UNNEST",
        "REPEAT",
        "JSON_EACH",
        "JSON_TREE",
        "DUCKDB_COLUMNS",
        "DUCKDB_FUNCTIONS",
        "DUCKDB_TABLES",
        "DUCKDB_TYPES",
        "DUCKDB_VIEWS",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Names, rows, and whether there were more rows than the limit."""

    names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool


def run(log: Log, sql: str, rows_max: int = ROWS_MAX) -> Result:
    """The answer to ``sql``; raises UsageError, one sentence, for anything but a SELECT that works."""

    def answer(connection: duckdb.DuckDBPyConnection) -> Result:
        _refuse_all_but_select(connection, sql)
        found = connection.execute(sql)
        names = tuple(column[0] for column in found.description or ())
        rows = found.fetchmany(rows_max + 1)
        return Result(names=names, rows=tuple(rows[:rows_max]), cut=len(rows) > rows_max)

    try:
        return log.steadily(answer, own_sql=False)
    except duckdb.InterruptException as error:
        raise UsageError("The query ran longer than its time limit: narrow it, or raise --seconds.") from error
    except duckdb.PermissionException as error:
        raise UsageError("The query reads something outside the log: only the log's views can be read.") from error
    except duckdb.Error as error:
        raise UsageError(f"The query cannot be run: {sentence(error)}") from error


def _refuse_all_but_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("Only one SELECT at a time is run, because the log is read-only.")
    plan = connection.execute("EXPLAIN (FORMAT json) " + statements[0].query).fetchall()
    for operator, function in _operators(json.loads(plan[0][1])):
        if _WRITES.search(operator):
            raise UsageError("The query would write: only a SELECT without side effects is run.")
        if function is not None and function not in _TABLE_FUNCTIONS:
            raise UsageError(f"The table function {function.lower()} is not offered here: query the log's views.")


def _operators(plan: Any) -> list[tuple[str, str | None]]:
    """(operator, table function) of every node of a plan as EXPLAIN (FORMAT json) writes it."""
    found: list[tuple[str, str | None]] = []
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        else:
            function = node["extra_info"].get("Function")
            found.append((node["name"].strip(), function if function is None else str(function).strip().upper()))
            waiting.extend(node["children"])
    return found


def rendered(result: Result, form: str) -> str:
    """The rows as ``table``, ``json`` (a list of objects), ``csv`` or ``md``."""
    table = render.Table(result.names, result.rows)
    if form == "json":
        return render.json_text([dict(zip(result.names, row, strict=True)) for row in result.rows])
    if form == "csv":
        return render.csv_text(table)
    if form == "md":
        return render.markdown_table(table) + "\n"
    return render.text_table(table) + f"\n({len(result.rows)} row{'' if len(result.rows) == 1 else 's'})\n"
