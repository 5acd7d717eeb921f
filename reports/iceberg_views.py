"""The views of a log over its Iceberg tables, in the SQL of whichever engine reads them.

The text is that of crawl_audit/views.py, translated: `decision`, `exchange`, `violation` and `site` then mean there
what they mean to `crawl-audit query`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath

import sqlglot
from sqlglot import exp

from crawl_audit import views


class Dialect(StrEnum):
    """Engines that read Iceberg tables, and for which the views have been written out."""

    TRINO = "trino"
    SPARK = "spark"
    SNOWFLAKE = "snowflake"
    BIGQUERY = "bigquery"
    DUCKDB = "duckdb"


def view_statements(dialect: Dialect, namespace: str, views_in: str) -> list[str]:
    """``CREATE OR REPLACE VIEW`` for every view, in the order in which they can be run.

    Tables are those of ``namespace``; the views go into the schema ``views_in``, since both bear the names of kinds.
    """
    made = []
    for statement in views.create_views("/segments"):
        tree = sqlglot.parse_one(statement, read="duckdb")
        for table in list(tree.find_all(exp.Table)):
            if isinstance(table.this, exp.ReadParquet):
                path = table.this.expressions[0].name
                table.replace(exp.table_(PurePosixPath(path).stem, db=namespace, alias=table.alias or None))
            else:
                table.set("db", exp.to_identifier(views_in))
        # `rows` is a column of ours and a reserved word of some; in Snowflake a quoted name is another name.
        quoted = dialect is not Dialect.SNOWFLAKE
        made.append(tree.sql(dialect=dialect.value, pretty=True, comments=False, identify=quoted) + ";")
    return made
