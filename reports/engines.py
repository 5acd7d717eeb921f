"""Which engine runs the queries of a report: DuckDB in this process, or the Spark that the environment configures."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import StrEnum

from crawl_audit.errors import ConfigurationError
from reports.log import Log, open_log

_OF_SPARK = ("pyspark", "py4j", "sqlglot")


class Engine(StrEnum):
    """What runs the queries; both give the same rows."""

    DUCKDB = "duckdb"
    SPARK = "spark"


def open_in(engine: Engine, path: str) -> AbstractContextManager[Log]:
    """The log at ``path``, to be asked by ``engine``; raises ConfigurationError where Spark is not installed."""
    if engine is Engine.DUCKDB:
        return open_log(path)
    try:
        from reports.spark_log import open_spark_log  # brings Spark, which nobody else needs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_SPARK:
            raise
        raise ConfigurationError("Spark is not installed here: install crawl-audit[spark].") from error
    return open_spark_log(path)
