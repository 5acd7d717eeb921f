"""A log whose queries run on Apache Spark: what :class:`reports.log.Log` is, for logs that one machine cannot hold.

The views are those of crawl_audit/views.py and the queries those of ``reports/sql``, both translated; the segments are
read where they are by whatever cluster the environment configures, or by this machine alone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as make

from crawl_audit import schema, views
from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.object_address import is_object_address
from reports import spark_objects
from reports.log import Files, Log, Row, look, open_log
from reports.spark_sql import parameters_in, steps, stored, translate

_TYPES = {"TIMESTAMP": "TIMESTAMP_NTZ", "VARCHAR": "STRING", "BLOB": "BINARY", "VARCHAR[]": "ARRAY<STRING>"}
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # what does not fit is an error, never another number
    "spark.sql.parquet.mergeSchema": "false",  # the schema is ours
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
}
_S3A = "org.apache.hadoop.fs.s3a.S3AFileSystem"
_EXTENT = "kind:string,log:string,records:bigint,first_seq:bigint,last_seq:bigint,first_at:string,last_at:string"


class _Answer:
    """The rows of one query, asked for as those of a DuckDB connection are."""

    def __init__(self, frame: DataFrame) -> None:
        self.description = [(name,) for name in frame.columns]
        self._frame = frame
        self._rows: Iterator[Any] | None = None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Every row."""
        return [tuple(map(_plain, row)) for row in self._frame.collect()]

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        """The next rows, so many at most: no more than one part of the answer is in memory at once."""
        if self._rows is None:
            self._rows = self._frame.toLocalIterator()
        return [tuple(map(_plain, row)) for _, row in zip(range(count), self._rows, strict=False)]


class Connection:
    """A Spark session that is asked in DuckDB's SQL."""

    def __init__(self, session: SparkSession) -> None:
        self.session = session
        self._computed: list[str] = []

    def execute(self, sql: str, parameters: dict[str, Any] | None = None) -> _Answer:
        """The answer to a query or statement of ours, with ``$name`` parameters."""
        given = parameters or {}
        arguments = {name: _argument(given[name]) for name in parameters_in(sql)}
        computed, query = steps(sql)
        self._let_go()
        for name, part in computed:
            # With its rows the plan is forgotten too, or it would be optimised again with every relation that uses it.
            self.session.sql(part, arguments).localCheckpoint().createOrReplaceTempView(name)
            self._computed.append(name)
        return _Answer(self.session.sql(query, arguments))

    def _let_go(self) -> None:
        """Forget what the question before had computed once."""
        while self._computed:
            self.session.catalog.dropTempView(self._computed.pop())


class SparkLog(Log):
    """One log, open for reading by Spark; :func:`open_spark_log` makes it."""

    def __init__(
        self,
        files: Files,
        session: SparkSession,
        of_kind: Callable[[str], list[str]],
        extent: Callable[[SparkSession], list[Row]],
    ) -> None:
        self.files = files
        self.step = ""
        self._kept = {}
        self._asked = Connection(session)
        self._of_kind = of_kind
        self._extent = extent
        self._look()

    @property
    def session(self) -> SparkSession:
        """The session that the views are in."""
        return self._asked.session

    def steadily[T](self, action: Callable[[Any], T], *, own_sql: bool = True) -> T:  # noqa: ARG002 - that of Log
        """The result of an action on the connection, done again once where segments were replaced while it ran.

        Spark reads the files that were there when the views were made, and fails where one of them is gone.
        """
        try:
            return action(self._asked)
        except (PySparkException, Py4JError):
            self._look()
        with _told():
            return action(self._asked)

    def percent(self) -> float | None:
        """Spark shows its own progress, in its own interface."""
        return None

    def close(self) -> None:
        """Forget the views; the session belongs to whoever started it."""
        for kind in schema.KINDS:
            self._asked.session.catalog.dropTempView(stored(kind))

    def _look(self) -> None:
        """Make the views over the files that are there now."""
        session = self._asked.session
        with _told():
            for kind in schema.KINDS:
                places = self._of_kind(kind)
                columns = _ddl(kind)
                found = (
                    session.read.schema(columns).parquet(*places) if places else session.createDataFrame([], columns)
                )
                found.withColumn("file", make.input_file_name()).createOrReplaceTempView(stored(kind))
            for statement in views.create_views("/segments"):
                name, _, select = statement.removeprefix("CREATE OR REPLACE VIEW ").partition(" AS ")
                session.sql(translate(select)).createOrReplaceTempView(name)
            self._show_extent(session)

    def _show_extent(self, session: SparkSession) -> None:
        """Make `files.extent`; raises LogFormatError where two names of logs have one hash, by which queries join."""
        listed = "inline(from_json(CAST(:rows AS STRING), :type))"
        given = {"rows": json.dumps(self._extent(session)), "type": f"array<struct<{_EXTENT}>>"}
        at = {name: make.to_timestamp_ntz(name) for name in ("first_at", "last_at")}
        session.sql(f"SELECT {listed}", given).withColumns(at).createOrReplaceTempView("files_extent")
        alike = "SELECT count(DISTINCT log) - count(DISTINCT xxhash64(log)) AS alike FROM files_extent"
        if session.sql(alike).collect()[0]["alike"]:
            raise LogFormatError(
                f"Two logs in {self.files.name} cannot be told apart by a hash of their names: rename one."
            )


def _extent_here(path: str) -> list[Row]:
    """What the footers of the files of a log on this machine say; raises LogFormatError for what a Log refuses."""
    names = ", ".join(field.partition(":")[0] for field in _EXTENT.split(","))
    with open_log(path) as log:
        rows = log.select(f"SELECT {names} FROM files.extent")  # noqa: S608 - names of ours
    return [{**row, "first_at": row["first_at"].isoformat(), "last_at": row["last_at"].isoformat()} for row in rows]


def _extent_there(session: SparkSession) -> list[Row]:
    """The same counted by Spark; raises LogFormatError for records of a version that is not read."""
    rows = [row.asDict() for row in session.sql(" UNION ALL ".join(map(_counted, schema.KINDS))).collect()]
    for row in rows:
        for version in (row.pop("v_min"), row.pop("v_max")):
            if version != schema.VERSION:
                raise LogFormatError(
                    f"The log has {row['kind']} records of schema version {version}, this crawl-audit reads version"
                    f" {schema.VERSION}: install the release that goes with the log."
                )
    return rows


@contextmanager
def open_spark_log(path: str) -> Iterator[SparkLog]:
    """The log in directory ``path``, read by Spark: by the cluster that is configured, or else by this machine.

    What lies at an ``s3://`` address Spark reads there itself if it can; otherwise its copy on this machine is read.
    Raises LogFormatError where it cannot be read and ConfigurationError where there is no Java, each in one sentence.
    """
    remote = is_object_address(path)
    if not remote:
        _extent_here(path)  # what cannot be read is refused first, in the words of every other command
    session = _session()
    if remote and _reads_objects(session):
        files, uris = spark_objects.where_they_are(path)
        log = SparkLog(files, session, lambda kind: uris[kind], _extent_there)
    else:
        if remote and not str(session.sparkContext.master).startswith("local"):
            raise ConfigurationError(
                f"This Spark has no client for {path}, and its machines do not see a copy on this one: give it"
                " hadoop-aws (spark.jars.packages)."
            )
        files = look(path)
        root = _glob(f"file://{files.segments_root}")
        log = SparkLog(files, session, lambda kind: [f"{root}/*/*/{kind}.parquet"], lambda _: _extent_here(path))
    try:
        yield log
    finally:
        log.close()


def _reads_objects(session: SparkSession) -> bool:
    """Whether Hadoop's client for S3 (hadoop-aws) is there."""
    try:
        session.sparkContext._jvm.java.lang.Class.forName(_S3A)  # type: ignore[union-attr]  # noqa: SLF001 - no other way
    except Py4JError:
        return False
    return True


def _session() -> SparkSession:
    """A session of our own in the Spark that runs already, or that spark-defaults.conf and the environment describe."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise ConfigurationError("Spark needs Java 17 or newer, and there is none: install a Java runtime.")
    with _told():
        builder = SparkSession.builder.appName("crawl-audit").config("spark.log.level", "ERROR")
        running = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
        session = running.newSession()
        for name, value in _SETTINGS.items():
            session.conf.set(name, value)
    return session


@contextmanager
def _told() -> Iterator[None]:
    """Spark's errors as one sentence."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        said = " ".join(_reason(error).strip().partition("\n")[0].split())
        raise LogFormatError(f"Spark cannot answer ({said}): see its own log for why.") from error


def _reason(error: Exception) -> str:
    """What went wrong: what Spark itself says of it, or else what lies at the bottom."""
    if not isinstance(error, Py4JJavaError):
        return str(error)
    said, cause = "", error.java_exception
    while cause is not None and not said.startswith("["):  # so begin the errors that Spark has words for
        said, cause = str(cause.getMessage()), cause.getCause()
    return said


def _counted(kind: str) -> str:
    """SELECT of what there is of a kind in each log: a row for each, as `files.extent` has them."""
    return (
        f"SELECT '{kind}' AS kind, log, count(*) AS records, min(seq) AS first_seq, max(seq) AS last_seq,"  # noqa: S608
        " CAST(min(recorded_at) AS STRING) AS first_at, CAST(max(recorded_at) AS STRING) AS last_at,"
        f" min(v) AS v_min, max(v) AS v_max FROM {stored(kind)} GROUP BY log"
    )


def _ddl(kind: str) -> str:
    """The columns of a kind's files, those of withheld values included, in Spark's types."""
    columns = (*schema.stored_columns(kind), *schema.withheld_columns(kind))
    return ", ".join(f"`{name}` {_TYPES.get(sql_type, sql_type)}" for name, sql_type in columns)


def _glob(place: str) -> str:
    """A path as a glob of Hadoop's that matches nothing but itself."""
    return "".join("\\" + character if character in "*?[]{}\\" else character for character in place)


def _argument(value: Any) -> Any:
    """A parameter as Spark takes it: lists as one text, times without a zone."""
    if isinstance(value, list | tuple):
        return json.dumps(value)
    if isinstance(value, datetime):
        return make.expr(f"TIMESTAMP_NTZ '{value.isoformat(sep=' ')}'")
    return value


def _plain(value: Any) -> Any:
    """A value as DuckDB gives it."""
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
