"""Writing an export: one DuckDB file, or a directory in the form of a log directory; there whole or not at all.

Both are written beside the place they are meant for, made durable, and renamed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crawl_audit import schema
from crawl_audit.errors import ConfigurationError
from crawl_audit.segment_sql import empty_select, sql_quote
from reports.rewriting import KINDS, Connection, fsync, write_parquet

STORAGE_VERSION = "v1.4.0"
"""DuckDB 1.4, 1.5 and 2.0 open it."""
MANIFEST = "manifest.json"


def is_database(out: Path) -> bool:
    """Whether an export of this name is one DuckDB file."""
    return out.suffix == ".duckdb"


@contextmanager
def work_beside(out: Path) -> Iterator[Path]:
    """A directory beside ``out`` to make it in, on the same file system; raises ConfigurationError in a sentence."""
    if out.exists() or out.is_symlink():
        raise ConfigurationError(f"{out} exists already: name a file or directory that does not exist yet.")
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise ConfigurationError(f"The export cannot be written beside {out}: {error.strerror}.") from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def put_in_place(made: Path, out: Path) -> None:
    """Give a finished export its name."""
    fsync(made)
    os.rename(made, out)
    fsync(out.parent)


def write_database(
    connection: Connection,
    made: Path,
    selects: Sequence[tuple[str, str]],
    checkpoints: Sequence[tuple[str, bytes]],
    manifest: str,
) -> None:
    """A bundle of plain tables: one per kind, ``withheld``, ``checkpoint_file``, ``manifest``."""
    connection.execute(f"ATTACH {sql_quote(str(made))} AS bundle (STORAGE_VERSION {sql_quote(STORAGE_VERSION)})")
    for kind, select in selects:
        connection.execute(f"CREATE TABLE bundle.main.{kind} AS {select}")
    connection.execute("CREATE TABLE bundle.main.checkpoint_file (name VARCHAR, content BLOB)")
    for name, content in checkpoints:
        connection.execute("INSERT INTO bundle.main.checkpoint_file VALUES (?, ?)", [name, content])
    connection.execute("CREATE TABLE bundle.main.manifest (body VARCHAR)")
    connection.execute("INSERT INTO bundle.main.manifest VALUES (?)", [manifest])
    connection.execute("DETACH bundle")
    made.chmod(0o444)


def write_directory(
    connection: Connection,
    made: Path,
    selects: Sequence[tuple[str, str, str, str]],
    checkpoints: Sequence[tuple[str, bytes]],
    manifest: str,
) -> None:
    """A directory like a log's: ``selects`` are (log, range, kind, SELECT); one segment per log."""
    empty = made / "segments" / "schema" / f"v{schema.VERSION}"
    empty.mkdir(parents=True)
    for kind in KINDS:
        write_parquet(connection, empty_select(kind), empty / f"{kind}.parquet")
    for log, extent, kind, select in selects:
        segment = made / "segments" / log / extent
        segment.mkdir(parents=True, exist_ok=True)
        write_parquet(connection, select, segment / f"{kind}.parquet")
    for name, content in checkpoints:
        _write(made / "checkpoints" / name, content)
    _write(made / MANIFEST, manifest.encode())
    for directory in sorted(path for path in made.rglob("*") if path.is_dir()):
        fsync(directory)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o444)
    fsync(path)
