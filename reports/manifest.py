"""A data set's manifest, brought by who asks and not trusted: which of its values can be held against a log.

A manifest is Parquet, JSON lines, or text with one value a line; its values are SHA-256 digests or URLs. It may have
tens of millions of rows, so DuckDB reads it, row by row, beside the segments; nothing of it is held in memory whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.segment_sql import exact_glob, sql_quote
from reports.log import Log, Row, sentence, sql_text
from reports.period import UsageError

LINE_BYTES_MAX = 8_000_000
"""The longest line read: JSON lines of data sets often carry the document itself."""
_START_BYTES = 65_536
_DELIMITER = "\x1f\x1e\x1f\x1e"
"""Four octets that no line of a manifest holds; a line that holds them has no value."""
_DIGEST = re.compile(r"(?:sha-?256[:=-])?(?:[0-9a-f]{64}|[A-Za-z0-9+/_-]{43}=?)", re.IGNORECASE)


class By(StrEnum):
    """What is compared: digests of bodies as received, or addresses."""

    SHA256 = "sha256"
    URL = "url"


class Kind(StrEnum):
    """How a manifest is written."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest that was looked at: how it is written, and which of its columns holds what is compared."""

    path: Path
    kind: Kind
    by: By
    column: str | None
    sha256: str
    size_bytes: int
    changed_ns: int
    blob: bool = False
    """The column holds octets, not text."""

    @property
    def values(self) -> str:
        """SELECT of (original, value): the row's text, and the first 128 bits of its digest; NULL where it has none.

        That of an address is SHA-256 of it as the log writes addresses.
        """
        digest = _SHA256 if self.by is By.SHA256 else f"sha256({_URL})"
        value = f"TRY_CAST('0x' || left({digest}, 32) AS UHUGEINT)"
        return f"SELECT original, {value} AS value FROM ({_original(self)})"  # noqa: S608 - quoted there


def read(path: str, by: By | None, column: str | None) -> Manifest:
    """The manifest in the file ``path``; raises ConfigurationError, one sentence, where it is none."""
    file = Path(path).resolve()
    if not file.is_file():
        raise ConfigurationError(f"There is no manifest file {path}: name a Parquet, JSON-lines or text file.")
    if "\\" in str(file) or any(ord(character) < 0x20 for character in str(file)):
        raise ConfigurationError(f"The manifest's path {path!r} has a backslash or control character: rename it.")
    try:
        with file.open("rb") as stream:
            start = stream.read(_START_BYTES)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            status = os.fstat(stream.fileno())
    except OSError as error:
        raise ConfigurationError(f"The manifest {path} cannot be read: {error.strerror}.") from error
    if start.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        raise ConfigurationError(f"The manifest {path} is compressed: decompress it first.")
    if not start.strip():
        raise ConfigurationError(f"The manifest {path} is empty: there is nothing to compare.")
    kind, found = Kind.PARQUET, {}
    if not start.startswith(b"PAR1"):
        kind = Kind.JSONL if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else Kind.TEXT
        found = _keys(file, path) if kind is Kind.JSONL else {}
    else:
        found = _columns(file, path)
    if kind is Kind.TEXT:
        if column is not None:
            raise UsageError(f"{path} is text with one value a line and has no column {column!r}: leave out --column.")
        chosen, by = None, by or _told_by(start, path)
    else:
        chosen, by = _chosen(found, by, column, path)
    blob = chosen is not None and found[chosen] == "BLOB"
    return Manifest(
        path=file,
        kind=kind,
        by=by,
        column=chosen,
        sha256=digest,
        size_bytes=status.st_size,
        changed_ns=status.st_mtime_ns,
        blob=blob,
    )


def steady(manifest: Manifest) -> None:
    """Raise ConfigurationError where the file is not the one any more whose digest was taken."""
    now = manifest.path.stat() if manifest.path.exists() else None
    if now is None or (now.st_size, now.st_mtime_ns) != (manifest.size_bytes, manifest.changed_ns):
        raise ConfigurationError(f"The manifest {manifest.path} changed while it was read: try again with a copy.")


def _told_by(start: bytes, path: str) -> By:
    """What the first lines of a text are."""
    for line in start.decode("utf-8", "replace").lstrip("\ufeff").splitlines():
        value = line.strip()
        if value:
            return By.URL if "://" in value[:20] else By.SHA256 if _DIGEST.fullmatch(value) else _unknown(value, path)
    return By.SHA256


def _unknown(value: str, path: str) -> By:
    raise ConfigurationError(
        f"The manifest {path} begins with {value[:80]!r}, which is neither a SHA-256 digest nor a URL: say with --by"
        " which it holds, or give a file that holds one of them a line."
    )


def _chosen(found: dict[str, str], by: By | None, column: str | None, path: str) -> tuple[str, By]:
    names = ", ".join(sorted(found)[:20]) or "none"
    if column is None:
        wanted = [by.value] if by is not None else [By.SHA256.value, By.URL.value]
        column = next((name for name in wanted if name in found), None)
        if column is None:
            raise ConfigurationError(
                f"The manifest {path} has no column {' or '.join(wanted)} (it has: {names}): name it with --column."
            )
        by = by or By(column)
    elif column not in found:
        raise ConfigurationError(f"The manifest {path} has no column {column!r} (it has: {names}).")
    if found[column] not in ("VARCHAR", "BLOB"):
        raise ConfigurationError(
            f"The column {column!r} of the manifest {path} holds {found[column][:60]}, and not text: name another."
        )
    return column, by or (By.URL if column == By.URL.value else By.SHA256)


def _keys(file: Path, path: str) -> dict[str, str]:
    """The keys of the first object; a value there does not bind the others, so each counts as text."""
    with file.open("rb") as stream:
        line = stream.readline(LINE_BYTES_MAX).strip()
        while line in (b"", b"\xef\xbb\xbf"):
            line = stream.readline(LINE_BYTES_MAX).strip()
    try:
        first = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"The first line of the manifest {path} is no JSON object of its own: write one object a line."
        ) from error
    return dict.fromkeys(first if isinstance(first, dict) else (), "VARCHAR")


def _columns(file: Path, path: str) -> dict[str, str]:
    """Column → type of a Parquet file, read in a database of its own."""
    connection = duckdb.connect(":memory:", config={"autoload_known_extensions": False, "memory_limit": "500MB"})
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {_parquet(file)}").fetchall()  # noqa: S608 - quoted there
        return {str(row[0]): str(row[1]) for row in rows}
    except duckdb.Error as error:
        raise _unreadable(path, error) from error
    finally:
        connection.close()


def _parquet(file: Path) -> str:
    return f"read_parquet({sql_quote(exact_glob(str(file)))}, hive_partitioning = false)"


def _original(manifest: Manifest) -> str:
    file = sql_quote(exact_glob(str(manifest.path)))
    if manifest.kind is Kind.PARQUET:
        name = '"' + str(manifest.column).replace('"', '""') + '"'
        text = f"CASE WHEN octet_length({name}) = 32 THEN hex({name}) END" if manifest.blob else name
        if manifest.blob and manifest.by is By.URL:
            text = f"TRY(decode({name}))"
        return f"SELECT {text} AS original FROM {_parquet(manifest.path)}"  # noqa: S608 - quoted there
    lines = (
        f"read_csv({file}, columns = {{'line': 'VARCHAR', 'more': 'VARCHAR'}}, delim = {sql_quote(_DELIMITER)},"
        " header = false, auto_detect = false, quote = '', escape = '', comment = '', nullstr = '\x01',"
        f" new_line = '\\n', null_padding = true, strict_mode = false, max_line_size = {LINE_BYTES_MAX})"
    )
    whole = "CASE WHEN more IS NULL THEN line END"
    if manifest.kind is Kind.TEXT:
        return f"SELECT {whole} AS original FROM {lines} WHERE trim(line) <> ''"  # noqa: S608 - the same
    pointer = "/" + str(manifest.column).replace("~", "~0").replace("/", "~1")
    value = f"CASE WHEN json_valid({whole}) THEN json_extract_string(line, {sql_quote(pointer)}) END"
    return f"SELECT {value} AS original FROM {lines} WHERE trim(line) <> ''"  # noqa: S608 - the same


# 64 hexadecimal digits, or base64 (both alphabets) of 32 octets, with or without `sha256:` before it.
_BARE = "regexp_replace(trim(original), '^sha-?256[:=-]', '', 'i')"
_SHA256 = (
    f"CASE WHEN regexp_full_match({_BARE}, '[0-9a-fA-F]{{64}}') THEN lower({_BARE})"
    f" WHEN regexp_full_match({_BARE}, '[A-Za-z0-9+/_-]{{43}}=?')"
    f" THEN lower(hex(from_base64(translate(rtrim({_BARE}, '='), '-_', '+/') || '='))) END"
)
# As the log writes addresses: scheme and host in lower case, no default port, no fragment, at least `/` as path.
_PARTS = r"'(?i)^(https?)://(?:[^/?#@]*@)?([^/?#]+)([^#]*)'"
_URL = (
    f"CASE WHEN regexp_matches(trim(original), {_PARTS}) THEN"
    f" lower(regexp_extract(trim(original), {_PARTS}, 1)) || '://'"
    f" || regexp_replace(lower(regexp_extract(trim(original), {_PARTS}, 2)),"
    f" CASE WHEN lower(trim(original)) LIKE 'https:%' THEN ':443$' ELSE ':80$' END, '')"
    f" || CASE WHEN starts_with(regexp_extract(trim(original), {_PARTS}, 3), '/') THEN '' ELSE '/' END"
    f" || regexp_extract(trim(original), {_PARTS}, 3) END"
)


def asked(log: Log, manifest: Manifest, query: str, **parameters: object) -> list[Row]:
    """The rows of ``reports/sql/<query>.sql`` over the log and ``manifest``, which the query names so.

    Raises ConfigurationError where the manifest cannot be read, LogFormatError where the log cannot.
    """

    def run(connection: duckdb.DuckDBPyConnection) -> list[Row]:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW manifest AS {manifest.values}")
        result = connection.execute(sql_text(query), parameters)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    with _told_apart(log, manifest):
        return log.steadily(run, own_sql=False)


@contextmanager
def _told_apart(log: Log, manifest: Manifest) -> Iterator[None]:
    """DuckDB's errors as sentences about the manifest, or about the log where they are about its segments."""
    try:
        yield
    except LogFormatError as error:
        if str(manifest.path) in str(error):
            raise ConfigurationError(f"The manifest {manifest.path} is damaged: get it again.") from error
        raise
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise LogFormatError(
            f"The segments in {log.files.segments_root} are not what their schema says ({sentence(error)}):"
            " read them with the version of crawl-audit that wrote them, or restore them from a copy."
        ) from error
    except duckdb.Error as error:
        raise _unreadable(str(manifest.path), error) from error


def _unreadable(path: str, error: duckdb.Error) -> ConfigurationError:
    """What DuckDB says without the line it fell over, which may be anything."""
    said = str(error)
    why = next(
        (
            text
            for sign, text in (
                ("utf-8", "it is not UTF-8"),
                ("unicode", "it is not UTF-8"),
                ("Maximum line size", f"it has a line of more than {LINE_BYTES_MAX} bytes"),
            )
            if sign in said
        ),
        "it is damaged",
    )
    return ConfigurationError(f"The manifest {path} cannot be read: {why}; write it anew, or in another form.")
