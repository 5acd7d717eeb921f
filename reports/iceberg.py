"""Registers a log's segments, where they lie, in Apache Iceberg tables: nothing is copied and nothing is rewritten.

One table for each kind of record, with the columns that crawl_audit/schema.py derives and their meanings; what Trino,
Spark, Snowflake or BigQuery then read are the very files that evidence is computed from.  A table holds one set of
files at a time: registering again adds what is new and lets go of what was merged into something else, in one snapshot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitFailedException, NamespaceAlreadyExistsError, NoSuchTableError, RESTError
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.schema import Schema
from pyiceberg.table import Table, TableProperties
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
)
from pyiceberg.utils.concurrent import ExecutorFactory
from sqlalchemy.exc import SQLAlchemyError

from crawl_audit import schema
from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.remote_layout import KINDS

_TYPES: dict[str, IcebergType] = {
    "VARCHAR": StringType(),
    "BIGINT": LongType(),
    "INTEGER": IntegerType(),
    "BOOLEAN": BooleanType(),
    "TIMESTAMP": TimestampType(),  # without a zone, as it is stored: UTC by definition
    "BLOB": BinaryType(),
}
_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MEANINGS = {
    "log": "id of the log: one start of one sidecar",
    "seq": "0-based position in the log, without gaps over all kinds",
    "v": "version of the schema of the record",
    "salt": "salt of the commitments to the row's sensitive values, 16 octets in hex",
    "kind": "kind of a record that is withheld whole",
    "leaf": "leaf of a record that is withheld whole, SHA-256 in hex",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What registering came to for one kind: files and records in its table, and how many files came and went."""

    kind: str
    files: int
    records: int
    added: int
    removed: int


@contextmanager
def open_catalog(uri: str, warehouse: str | None) -> Iterator[Catalog]:
    """The catalog at ``uri`` (``sqlite:///…``, ``postgresql://…``, or a REST catalog's ``https://…``).

    Endpoint and region of an object store come from the environment.  Raises ConfigurationError in one sentence.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    given = {"uri": uri, "warehouse": warehouse, "s3.endpoint": endpoint, "s3.region": region}
    with _told(f"The catalog {_without_password(uri)} cannot be opened"):
        catalog = load_catalog("crawl_audit", **{name: value for name, value in given.items() if value})
    try:
        yield catalog
    finally:
        catalog.close()


def register(catalog: Catalog, namespace: str, files: dict[str, list[str]]) -> list[Registered]:
    """Make the tables of ``namespace`` hold exactly these files (kind → URIs), and say what changed.

    Raises ConfigurationError where the catalog or a file cannot be reached, LogFormatError where a file is not what
    its schema says or where a table does not have the records that its files have.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise ConfigurationError(f"{namespace!r} is no name of a namespace: use letters, digits and underscores.")
    with _told(f"The tables of {namespace} cannot be brought up to date"):
        with suppress(NamespaceAlreadyExistsError):
            catalog.create_namespace(namespace)
        return [_registered(catalog, namespace, kind, files.get(kind, [])) for kind in KINDS]


def columns(kind: str) -> Iterator[tuple[str, str, str]]:
    """(name, DuckDB type, meaning) of every column a file of this kind may have."""
    if kind not in schema.KINDS:
        yield from ((name, sql_type, _MEANINGS[name]) for name, sql_type in schema.WITHHELD_ROW)
        return
    meanings = _MEANINGS | {column.name: column.meaning for column in schema.columns(kind)}
    for name, sql_type in schema.stored_columns(kind):
        yield name, sql_type, meanings[name]
    for name, sql_type in schema.withheld_columns(kind):
        what = "commitment to a withheld" if name.endswith("_c") else "salt of a disclosed"
        yield name, sql_type, f"{what} {name[:-2]}"


def table_schema(kind: str) -> Schema:
    """The schema of a kind's table; nothing is `required`, because DuckDB's Parquet files say so of nothing."""
    made, wanted = [], list(columns(kind))
    for number, (name, sql_type, meaning) in enumerate(wanted, start=1):
        of: IcebergType
        if sql_type.endswith("[]"):
            element = len(wanted) + number
            of = ListType(element_id=element, element_type=_TYPES[sql_type[:-2]], element_required=False)
        else:
            of = _TYPES[sql_type]
        made.append(NestedField(field_id=number, name=name, field_type=of, required=False, doc=meaning))
    return Schema(*made)


def _registered(catalog: Catalog, namespace: str, kind: str, wanted: list[str]) -> Registered:
    table = _table(catalog, (namespace, kind))
    held = {task.file.file_path: task.file for task in table.scan().plan_files()}
    new = sorted(set(wanted) - held.keys())
    gone = sorted(held.keys() - set(wanted))
    if new or gone:
        # Both in one snapshot: a segment and what it was merged into are never there at the same time.
        with table.transaction() as transaction, transaction.update_snapshot().overwrite() as change:
            for path in gone:
                change.delete_data_file(held[path])
            for made in _described(table, new):
                change.append_data_file(made)
    return _checked(table.refresh(), kind, wanted, len(new), len(gone))


def _table(catalog: Catalog, name: tuple[str, str]) -> Table:
    try:
        return catalog.load_table(name)
    except NoSuchTableError:
        table = catalog.create_table(name, table_schema(name[1]))
        # Our files have names of columns and no ids; the ids are those that the catalog has just given.
        mapping = table.schema().name_mapping.model_dump_json()
        with table.transaction() as transaction:
            transaction.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})
        return table.refresh()


def _described(table: Table, paths: Iterable[str]) -> Iterator[Any]:
    """What a table says of each file: its records and the bounds of its columns, read from the file's footer."""
    running = [
        ExecutorFactory.get_or_create().submit(parquet_file_to_data_file, table.io, table.metadata, path)
        for path in paths
    ]
    for one in running:
        yield one.result()


def _checked(table: Table, kind: str, wanted: list[str], added: int, removed: int) -> Registered:
    """What the table holds now, read back; raises LogFormatError where that is not what it is to hold."""
    files = [task.file for task in table.scan().plan_files()]
    records = sum(file.record_count for file in files)
    snapshot = table.current_snapshot()
    said = 0 if snapshot is None or snapshot.summary is None else int(snapshot.summary["total-records"] or 0)
    if sorted(file.file_path for file in files) != sorted(wanted) or records != said:
        raise LogFormatError(
            f"The table {'.'.join(table.name())} does not hold the files it was given: register them again, with nobody"
            " else changing the table."
        )
    return Registered(kind=kind, files=len(files), records=records, added=added, removed=removed)


def _without_password(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", uri)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Errors of the catalog, of the object store and of Parquet files as one sentence."""
    try:
        yield
    except FileNotFoundError as error:
        raise LogFormatError(f"{what}: a file is not there any more ({error}); run the command again.") from error
    except (CommitFailedException, RESTError, SQLAlchemyError, OSError, ValueError) as error:
        said = _without_password(" ".join(str(error).split())[:300])
        raise ConfigurationError(f"{what}: {said}") from error
