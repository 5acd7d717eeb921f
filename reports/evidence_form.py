"""The form checks F1, F2, F4 and F5 on evidence from strangers: names, kinds of file, columns, sizes; no value is read.

A log directory may hold what was put there to mislead: links out of it, directories that turn into columns, Parquet
files of other types, footers that promise more than the file can hold.  Only what passes here is read by anything else.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from reports.findings import Findings, Severity

WITHHELD = "withheld"
"""File or table of the rows of which only the leaf is given."""
NOTE_BYTES_MAX = 64 * 1024
RECEIPT_BYTES_MAX = 1024 * 1024
SMALL_BYTES_MAX = 256 * 1024 * 1024  # all notes and receipts together, which are held in memory
MANIFEST_BYTES_MAX = 16 * 1024 * 1024
# DuckDB and every writer we know put at most 10 times its default of 122,880 rows into a row group.
ROW_GROUP_ROWS_MAX = 1_500_000
ROW_GROUP_BYTES_MAX = 4 * 1024**3
# No record is compressed to less than an eighth of an octet: each kind has a time or a digest of its own.
ROWS_PER_BYTE_MAX = 8
# zstd makes records about ten times smaller; a bomb, thousands of times.
EXPANSION_MAX = 500
EXPANSION_FREE_BYTES = 64 * 1024 * 1024

LOG_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
SEGMENT_NAME = re.compile(r"([0-9]{12})-([0-9]{12})")
_ANCHOR_NAME = re.compile(r"[0-9]{12}\.(checkpoint|[A-Za-z0-9._-]{1,100}\.(tsr|cosigned|push\.json))")
_TOP = frozenset(
    "segments checkpoints live quarantine tmp emergency audit.duckdb segments.lock manifest.json README.md".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFiles:
    """One segment as found: its log, the ``seq`` it says it covers, where it lies, and its files by kind."""

    log: str
    first: int
    last: int
    source: str
    files: dict[str, str]


def expected_columns(kind: str) -> tuple[tuple[str, str], ...]:
    """(name, type) of a table or file of ``kind``, without those of withheld values."""
    return schema.WITHHELD_ROW if kind == WITHHELD else schema.stored_columns(kind)


def optional_columns(kind: str) -> tuple[tuple[str, str], ...]:
    """(name, type) of what a table or file of ``kind`` may have besides."""
    return () if kind == WITHHELD else schema.withheld_columns(kind)


def column_fault(kind: str, found: Sequence[tuple[str, str]]) -> str | None:
    """What is wrong with the columns of a table or file of ``kind``, or None."""
    names = [name for name, _ in found]
    if len(set(names)) != len(names):
        return f"has the column {max(names, key=names.count)} twice"
    expected, optional = dict(expected_columns(kind)), dict(optional_columns(kind))
    if missing := sorted(set(expected) - set(names)):
        return f"has no column {missing[0]}"
    for name, sql_type in found:
        wanted = expected.get(name, optional.get(name))
        if wanted is None:
            return f"has a column {name} that no {kind} has"
        if wanted != sql_type:
            return f"has the column {name} as {sql_type} in place of {wanted}"
    if optional.keys() & set(names) and not optional.keys() <= set(names):
        return "has some columns of withheld values but not all"
    return None


def strict_json(text: str, what: str) -> dict[str, Any]:
    """The object in ``text``; raises LogFormatError where it is none, or says the same thing twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise LogFormatError(f"{what} has a key twice, so it says two things at once.")
        return dict(pairs)

    def refuse(constant: str) -> Any:
        raise LogFormatError(f"{what} holds {constant}, which is not JSON.")

    try:
        made = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise LogFormatError(f"{what} is not JSON: {error}.") from error
    if not isinstance(made, dict):
        raise LogFormatError(f"{what} is not a JSON object.")
    return made


def walk(root: Path, findings: Findings) -> list[SegmentFiles]:
    """The segments of the log directory ``root`` whose names and files are proper; findings for everything else."""
    for entry in _entries(root, findings, root):
        if entry.name not in _TOP:
            findings.add("F1", Severity.INFO, entry.name, "This is no part of a log; it was not looked at.")
    segments: list[SegmentFiles] = []
    for log in _entries(root / "segments", findings, root):
        if not log.is_dir(follow_symlinks=False):
            _unexpected(findings, root, log.path)
        elif log.name == "schema":
            _check_schema(Path(log.path), findings, root)
        elif not LOG_NAME.fullmatch(log.name):
            _unexpected(findings, root, log.path)
        else:
            segments.extend(_segments_of(Path(log.path), findings, root))
    return sorted(segments, key=lambda segment: (segment.log, segment.first, segment.last))


def _segments_of(log: Path, findings: Findings, root: Path) -> Iterator[SegmentFiles]:
    for entry in _entries(log, findings, root):
        match = SEGMENT_NAME.fullmatch(entry.name)
        if not match or not entry.is_dir(follow_symlinks=False) or int(match[1]) > int(match[2]):
            _unexpected(findings, root, entry.path)
            continue
        files = {}
        for file in _entries(Path(entry.path), findings, root):
            kind = file.name.removesuffix(".parquet")
            proper = file.name.endswith(".parquet") and (kind in schema.KINDS or kind == WITHHELD)
            if not proper or not file.is_file(follow_symlinks=False):
                _unexpected(findings, root, file.path)
                continue
            files[kind] = file.path
        yield SegmentFiles(log=log.name, first=int(match[1]), last=int(match[2]), source=entry.path, files=files)


def _check_schema(directory: Path, findings: Findings, root: Path) -> None:
    """``segments/schema/v1`` holds one file without rows per kind; they are checked like any other file."""
    allowed = {f"{kind}.parquet" for kind in (*schema.KINDS, WITHHELD)}
    for version in _entries(directory, findings, root):
        if version.name != f"v{schema.VERSION}" or not version.is_dir(follow_symlinks=False):
            _unexpected(findings, root, version.path)
            continue
        for file in _entries(Path(version.path), findings, root):
            if file.name not in allowed or not file.is_file(follow_symlinks=False):
                _unexpected(findings, root, file.path)


def schema_files(root: Path) -> list[tuple[str, str]]:
    """(kind, path) of the files without rows."""
    directory = root / "segments" / "schema" / f"v{schema.VERSION}"
    found = ((kind, directory / f"{kind}.parquet") for kind in (*schema.KINDS, WITHHELD))
    return [(kind, str(path)) for kind, path in found if path.is_file() and not path.is_symlink()]


def walk_checkpoints(root: Path, findings: Findings) -> dict[str, Path]:
    """The files under ``checkpoints/`` by their path in it; findings for everything that does not belong there."""
    directory = root / "checkpoints"
    made: dict[str, Path] = {}
    if not directory.is_dir() or directory.is_symlink():
        return made
    for entry in _entries(directory, findings, root):
        log, _, suffix = entry.name.rpartition(".")
        if not LOG_NAME.fullmatch(log) or suffix not in ("checkpoint", "anchors", "enrolment"):
            _unexpected(findings, root, entry.path, Severity.WARNING)
        elif suffix != "anchors" and entry.is_file(follow_symlinks=False):
            _keep(made, entry, entry.name, NOTE_BYTES_MAX, findings, root)
        elif suffix == "anchors" and entry.is_dir(follow_symlinks=False):
            for file in _entries(Path(entry.path), findings, root):
                if not _ANCHOR_NAME.fullmatch(file.name) or not file.is_file(follow_symlinks=False):
                    _unexpected(findings, root, file.path, Severity.WARNING)
                else:
                    _keep(made, file, f"{entry.name}/{file.name}", RECEIPT_BYTES_MAX, findings, root)
        else:
            _unexpected(findings, root, entry.path)
    return made


def _keep(
    made: dict[str, Path], entry: os.DirEntry[str], name: str, limit: int, findings: Findings, root: Path
) -> None:
    size = entry.stat(follow_symlinks=False).st_size
    if size > limit:
        findings.add(
            "F4",
            Severity.ERROR,
            _relative(Path(entry.path), root),
            f"This file has {size} octets, more than any that belongs here.",
        )
    else:
        made[name] = Path(entry.path)


def _entries(directory: Path, findings: Findings, root: Path) -> list[os.DirEntry[str]]:
    """What lies in ``directory``, in order, without links and special files: those are findings."""
    try:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        findings.add("F5", Severity.ERROR, _relative(directory, root), f"It cannot be read: {error.strerror}.")
        return []
    kept = []
    for entry in entries:
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            kept.append(entry)
            continue
        what = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a directory"
        message = f"This is {what}; a log has none, and it was not followed."
        findings.add("F1", Severity.ERROR, _relative(Path(entry.path), root), message)
    return kept


def _relative(path: Path, root: Path) -> str:
    """A place as findings name it: the directory at the top, which floods are counted by, and the rest of the path."""
    top, *rest = path.relative_to(root).parts or (path.name,)
    return f"{top} {'/'.join(rest)}" if rest else top


def _unexpected(findings: Findings, root: Path, path: str, severity: Severity = Severity.ERROR) -> None:
    findings.add("F1", severity, _relative(Path(path), root), "No log has this here; it was not read.")


def parquet_columns(rows: Sequence[tuple[str, str | None, int | None]]) -> list[tuple[str, str]]:
    """(name, type) of the top columns from the flattened tree that ``parquet_schema`` gives for one file."""
    made, index = [], 1
    for _ in range(rows[0][2] or 0):
        if index >= len(rows):
            break
        name, sql_type, _ = rows[index]
        made.append((name, sql_type or "?"))
        index = _behind(rows, index)
    return made


def _behind(rows: Sequence[tuple[str, str | None, int | None]], index: int) -> int:
    """The index after the column at ``index`` and everything under it."""
    open_nodes = 1
    while open_nodes and index < len(rows):
        open_nodes += (rows[index][2] or 0) - 1
        index += 1
    return index


def size_fault(*, file_bytes: int, groups: Sequence[tuple[int, int]]) -> str | None:
    """What is too large in a Parquet file by its footer, or None; ``groups``: (rows, octets when read) of each."""
    rows, octets = sum(count for count, _ in groups), sum(size for _, size in groups)
    if rows > ROWS_PER_BYTE_MAX * file_bytes:
        return f"says it has {rows} rows in {file_bytes} octets"
    if any(count > ROW_GROUP_ROWS_MAX or size > ROW_GROUP_BYTES_MAX for count, size in groups):
        return "has a row group larger than any writer makes"
    if octets > EXPANSION_FREE_BYTES + EXPANSION_MAX * file_bytes:
        return f"would grow from {file_bytes} to {octets} octets when read"
    return None
