"""``crawl-audit fleet register``: the command that makes a log's segments readable as Apache Iceberg tables."""

# Annotations are values here, not text: typer reads them.

from dataclasses import asdict
from typing import Annotated

import typer

from crawl_audit.errors import ConfigurationError
from reports import output, render
from reports.options import OutOption
from reports.output import Format
from reports.period import UsageError

_OF_ICEBERG = ("pyiceberg", "pyarrow", "sqlalchemy", "sqlglot")
_DIALECTS = ("trino", "spark", "snowflake", "bigquery", "duckdb")


def register(app: typer.Typer) -> None:
    """Add the command to ``crawl-audit fleet``."""
    app.command("register")(register_command)


def register_command(
    log: Annotated[str | None, typer.Argument(metavar="[LOG]", help="log directory or s3://bucket/prefix")] = None,
    catalog: Annotated[
        str | None, typer.Option(metavar="URI", help="sqlite:///…, postgresql://… or a REST catalog's https://…")
    ] = None,
    warehouse: Annotated[
        str | None, typer.Option(metavar="URL", help="where the tables' own files go; never below LOG")
    ] = None,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="namespace of the tables")] = "crawl_audit",
    compacted: Annotated[
        bool, typer.Option("--compacted", help="compacted days in place of the segments they stand for")
    ] = False,
    views: Annotated[
        str | None, typer.Option(metavar="ENGINE", help=f"print the views' SQL instead: {', '.join(_DIALECTS)}")
    ] = None,
    form: Annotated[Format, typer.Option("--format")] = Format.TEXT,
    out: OutOption = None,
) -> None:
    """Register a log's segments, where they lie, in Apache Iceberg tables: one for each kind of record.

    Nothing is copied. Run it again whenever segments have been published, merged or compacted: files that are new are
    added, files that are gone are let go of. Trino, Spark, Snowflake and others then query them; --views prints the
    views that auditors know, for that engine.

    \b
    Example:
      crawl-audit fleet register s3://audit/logs --catalog postgresql://catalog.example/iceberg --warehouse s3://audit/tables
      crawl-audit fleet register --views trino > views.sql
    """
    try:
        if views is not None:
            output.write(_views(views, namespace), out)
            return
        if log is None or catalog is None:
            raise UsageError("Name the log and, with --catalog, where the tables are listed.")
        _refuse_inside(log, warehouse)
        from reports import iceberg, iceberg_files  # with Arrow and the catalog's client, which nothing else needs

        with output.waiting("Listing the segments"):
            files = iceberg_files.files_of(log, compacted=compacted)
        with iceberg.open_catalog(catalog, warehouse) as opened, output.waiting("Registering"):
            done = iceberg.register(opened, namespace, files)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_ICEBERG:
            raise
        raise ConfigurationError("Iceberg's client is not installed here: install crawl-audit[iceberg].") from error
    rows = [asdict(one) for one in done]
    table = render.table_of(rows)
    document = render.Document(
        title=f"Tables of {namespace}", sections=(render.Section(title="Kinds", blocks=(table,)),)
    )
    output.emit({"namespace": namespace, "tables": rows}, document, table, form, out, rows_in="tables")


def _views(engine: str, namespace: str) -> str:
    if engine not in _DIALECTS:
        raise UsageError(f"There are no views for {engine!r}: name one of {', '.join(_DIALECTS)}.")
    from reports.iceberg_views import Dialect, view_statements

    return "\n\n".join(view_statements(Dialect(engine), namespace, f"{namespace}_views")) + "\n"


def _refuse_inside(log: str, warehouse: str | None) -> None:
    """Raise UsageError where the tables' own files would go among the evidence."""
    place = "" if warehouse is None else warehouse.removeprefix("file://").rstrip("/") + "/"
    if place.startswith(log.removeprefix("file://").rstrip("/") + "/"):
        raise UsageError(f"The warehouse {warehouse} lies inside the log: name another place for it.")
