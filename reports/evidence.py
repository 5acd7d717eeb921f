"""Evidence opened for checking: a log directory, an export or a bundle, through one locked-down DuckDB of our own.

The connection is in memory; a bundle is attached read-only and never used as the default catalog, so no macro or view
of its own can stand in for ours.  What fails a form check (evidence_form.py) is a finding and is read by nobody.
Statistics in files are claims of whoever wrote them, so nothing that DuckDB derives from them is switched on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.segment_sql import exact_glob, sql_quote
from crawl_audit.views import glob_literal
from reports import evidence_bundle, evidence_form, extents, steadiness, torn_uploads
from reports.evidence_footers import footers
from reports.evidence_form import WITHHELD, SegmentFiles
from reports.findings import Findings, Severity
from reports.log import NotALogError, sentence
from reports.steadiness import ChangedError, Listed

MEMORY_LIMIT = "600MB"
"""What DuckDB may hold; with the leaves of one window of records beside it, 1 GiB is not exceeded."""
_FETCH_ROWS = 2_000
"""Rows fetched at once: their texts fit into a processor's cache."""
# Everything that skips or rewrites work by minima, maxima, null counts or Bloom filters that a file states of itself.
_BY_STATISTICS = (
    "statistics_propagation,filter_pushdown,join_filter_pushdown,compressed_materialization,row_group_pruner,top_n,"
    "late_materialization,partial_aggregate_pushdown,scalar_fn_pushdown,limit_pushdown,sampling_pushdown"
)
Narrowing = Callable[[list[SegmentFiles]], list[SegmentFiles]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """A small file of the evidence (a receipt, a note) by its name, wherever it lies: on disk or in a bundle."""

    name: str
    content: bytes

    def read_bytes(self) -> bytes:
        """Its octets."""
        return self.content

    def read_text(self) -> str:
        """Its text; raises LogFormatError where it is not UTF-8."""
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise LogFormatError(f"{self.name} is not UTF-8 text.") from error


class DamagedError(LogFormatError):
    """A file or table of the evidence cannot be read."""


class Evidence:
    """Evidence open for checking; :func:`open_evidence` makes it."""

    def __init__(self, root: Path, connection: duckdb.DuckDBPyConnection, findings: Findings) -> None:
        self.root = root
        self.connection = connection
        self.findings = findings
        self.manifest: dict[str, Any] | None = None
        self.is_bundle = False
        self.tables: frozenset[str] = frozenset()
        self.withheld_tables: frozenset[str] = frozenset()
        self.refused: list[tuple[str, str]] = []
        """(log, place) of what was refused or could not be read: nothing in it was checked."""
        self._segments: dict[str, list[SegmentFiles]] = {}
        self._small: dict[str, EvidenceFile] = {}
        self._rows: dict[str, int] = {}
        self._optional: set[str] = set()
        self._live: list[str] = []
        self._quarantined: list[str] = []
        self.listed: Listed | None = None
        """What was listed of a log directory; None of a bundle, which nobody changes."""

    @property
    def logs(self) -> list[str]:
        """Every log with records here, by name: names begin with the node, so a node's logs are in order of time."""
        return sorted(self._segments)

    def segments(self, log: str) -> list[SegmentFiles]:
        """The segments of a log by first ``seq``; a bundle has one per log."""
        return self._segments.get(log, [])

    def kinds(self, log: str) -> list[str]:
        """The kinds (``withheld`` included) of which there is a file or table for ``log``."""
        kinds = {kind for segment in self.segments(log) for kind in segment.files}
        return [kind for kind in (*schema.KINDS, WITHHELD) if kind in kinds]

    def withholds(self, kind: str, log: str) -> bool:
        """Whether any file or table of ``kind`` has columns of withheld values at all."""
        if self.is_bundle:
            return kind in self.withheld_tables
        return any(segment.files.get(kind) in self._optional for segment in self.segments(log))

    def stated_rows(self, segment: SegmentFiles) -> int:
        """Rows that the files of a segment say they have."""
        return sum(self._rows.get(path, 0) for path in segment.files.values())

    def relation(self, kind: str, log: str | None = None, *, segments: Sequence[SegmentFiles] | None = None) -> str:
        """SQL of a relation, in parentheses: exactly the stored columns of ``kind`` and those of withheld values.

        ``log`` narrows it to one log, ``segments`` to some of its segments.  ``withheld`` is a kind here, too.
        """
        chosen = segments if segments is not None else self._chosen(log)
        paths = [segment.files[kind] for segment in chosen if kind in segment.files]
        expected, optional = evidence_form.expected_columns(kind), evidence_form.optional_columns(kind)
        if not paths:
            nulls = ", ".join(f"NULL::{sql_type} AS {name}" for name, sql_type in (*expected, *optional))
            return f"(SELECT {nulls} WHERE false)"
        if self.is_bundle:
            given = kind in self.withheld_tables
            source = f"bundle.main.{kind}"
            narrowed = f" WHERE log = {sql_quote(chosen[0].log)}" if log is not None or segments is not None else ""
        else:
            with_withheld = sum(path in self._optional for path in paths)
            given = with_withheld > 0
            source, narrowed = _read_parquet(paths, alike=with_withheld in (0, len(paths))), ""
        names = [name for name, _ in expected]
        names += [name if given else f"NULL::{sql_type} AS {name}" for name, sql_type in optional]
        return f"(SELECT {', '.join(names)} FROM {source}{narrowed})"  # noqa: S608 - names of ours, the rest is quoted

    def _chosen(self, log: str | None) -> list[SegmentFiles]:
        return [s for name in self.logs for s in self.segments(name)] if log is None else self.segments(log)

    def rows(
        self,
        kind: str,
        log: str | None = None,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        order: str | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of ``kind`` one after the other, times as integer microseconds; ``where`` and ``order`` are our SQL.

        Default columns: the stored ones, then those of withheld values.  Raises DamagedError in one sentence.
        """
        types = dict((*evidence_form.expected_columns(kind), *evidence_form.optional_columns(kind)))
        wanted = ", ".join(
            f"epoch_us({name}) AS {name}" if types[name] == "TIMESTAMP" else name for name in columns or types
        )
        sql = f"SELECT {wanted} FROM {self.relation(kind, log)} AS evidence"  # noqa: S608 - our own names
        yield from self.select(sql + (f" WHERE {where}" if where else "") + (f" ORDER BY {order}" if order else ""))

    def select(self, sql: str, parameters: Sequence[Any] | None = None) -> Iterator[tuple[Any, ...]]:
        """Rows of SQL over relations of ours, streamed; raises DamagedError where the evidence cannot be read."""
        for chunk in self.chunks(sql, parameters):
            yield from chunk

    def chunks(self, sql: str, parameters: Sequence[Any] | None = None) -> Iterator[list[tuple[Any, ...]]]:
        """The same, some thousand rows at once."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, parameters)
            while chunk := cursor.fetchmany(_FETCH_ROWS):
                yield chunk
        except duckdb.Error as error:
            raise DamagedError(sentence(error)) from error
        finally:
            cursor.close()

    def exclude(self, segment: SegmentFiles, kind: str, why: str, check: str = "F5") -> None:
        """A file proved unreadable: a finding, and nobody reads it any more."""
        del segment.files[kind]
        place = _place(segment, kind)
        self.refused.append((segment.log, place))
        self.findings.add(check, Severity.ERROR, f"{segment.log} {place}", f"This {why}; nothing in it was checked.")

    def forget(self, refused: Sequence[tuple[str, str]]) -> None:
        """Leave out files, (log, place) as in ``refused``, that another process refused and noted findings on."""
        for log, place in refused:
            self.refused.append((log, place))
            for segment in self.segments(log):
                for kind in [kind for kind in segment.files if _place(segment, kind) == place]:
                    del segment.files[kind]

    def file(self, name: str) -> EvidenceFile | None:
        """The small file ``name`` under ``checkpoints/``, or None."""
        return self._small.get(name)

    def checkpoint(self, log: str) -> str | None:
        """The latest signed note of a log, or None where there is none (or none that is text)."""
        return self._text(f"{log}.checkpoint")

    def enrolment(self, log: str) -> str | None:
        """The note by which a fleet key enrols the log's key, or None."""
        return self._text(f"{log}.enrolment")

    def anchors(self, log: str) -> list[EvidenceFile]:
        """The files that show that others saw heads of the log's tree: ``<size>.checkpoint``, ``….tsr`` and so on."""
        prefix = f"{log}.anchors/"
        return [
            EvidenceFile(name=name.removeprefix(prefix), content=file.content)
            for name, file in sorted(self._small.items())
            if name.startswith(prefix)
        ]

    def checkpointed(self) -> list[str]:
        """Every log that a file under ``checkpoints/`` names."""
        return sorted({name.partition("/")[0].rpartition(".")[0] for name in self._small})

    def _text(self, name: str) -> str | None:
        file = self._small.get(name)
        if file is None:
            return None
        try:
            return file.read_text()
        except LogFormatError as error:
            self.findings.add("H1", Severity.ERROR, f"{name.rpartition('.')[0]} checkpoints/{name}", str(error))
            return None

    def live_files(self, log: str | None = None) -> list[str]:
        """Names of live files (of one log): records that cannot be read yet."""
        return [name for name in self._live if log is None or name.startswith(f"{log}.")]

    def quarantined_files(self) -> list[str]:
        """Names of files the sidecar could not open and put aside."""
        return list(self._quarantined)

    def load_directory(self, only: Narrowing = list) -> None:
        """Look at a log directory and keep what has the form of one; :func:`open_evidence` does this.

        Checkpoints first, then live files, then segments: what a checkpoint covers is by then in one of these.
        Raises ChangedError where something vanishes while it is looked at.
        """
        try:
            self._load_directory(only)
        except FileNotFoundError as error:
            raise ChangedError(self.root) from error

    def _load_directory(self, only: Narrowing) -> None:
        before = steadiness.before_listing(self.root)
        notes = evidence_form.walk_checkpoints(self.root, self.findings)
        for name, content in extents.small_files(notes, self.findings):
            self._small[name] = EvidenceFile(name=name, content=content)
        self._live = [path.name for path in _listing(self.root / "live") if path.name.endswith(".duckdb")]
        self._quarantined = [path.name for path in _listing(self.root / "quarantine")]
        found = only(evidence_form.walk(self.root, self.findings))
        self.listed = steadiness.listed(self.root, before, ((s.source, list(s.files.values())) for s in found))
        self._check_files([(None, kind, path) for kind, path in evidence_form.schema_files(self.root)])
        self._check_files([(segment, kind, path) for segment in found for kind, path in segment.files.items()])
        for segment in found:
            self._segments.setdefault(segment.log, []).append(segment)
        manifest = self.root / "manifest.json"
        if manifest.is_file() and not manifest.is_symlink():
            with manifest.open("rb") as stream:
                self._load_manifest(stream.read(evidence_form.MANIFEST_BYTES_MAX + 1))
        extents.refuse_wide(self, self._segments, self.findings)

    def _load_manifest(self, content: bytes) -> None:
        if len(content) > evidence_form.MANIFEST_BYTES_MAX:
            self.findings.add("F4", Severity.ERROR, "manifest.json", "The manifest is too large to be one.")
            return
        try:
            self.manifest = evidence_form.strict_json(content.decode("utf-8"), "The manifest")
        except (LogFormatError, UnicodeDecodeError) as error:
            self.findings.add("F3", Severity.ERROR, "manifest.json", f"It cannot be trusted to say anything: {error}")

    def _check_files(self, files: list[tuple[SegmentFiles | None, str, str]]) -> None:
        """Hold files to their form by their footers."""
        for item, footer in zip(files, footers(self.connection, [path for _, _, path in files]), strict=True):
            if footer is None:
                self._refuse(item, "F5", "cannot be read as a Parquet file")
            else:
                self._check_file(item, footer.columns, footer.groups)

    def _check_file(
        self, item: tuple[SegmentFiles | None, str, str], columns: list[tuple[str, str]], groups: list[tuple[int, int]]
    ) -> None:
        _, kind, path = item
        self._rows[path] = sum(rows for rows, _ in groups)
        fault = evidence_form.column_fault(kind, columns)
        if fault is not None:
            self._refuse(item, "F2", fault)
            return
        fault = evidence_form.size_fault(file_bytes=Path(path).stat().st_size, groups=groups)
        if fault is not None:
            self._refuse(item, "F4", fault)
        elif item[0] is None and self._rows[path]:
            self._refuse(item, "F1", "has records, which no seal covers and other readers would count")
        elif len(columns) > len(evidence_form.expected_columns(kind)):
            self._optional.add(path)

    def _refuse(self, item: tuple[SegmentFiles | None, str, str], check: str, why: str) -> None:
        segment, kind, path = item
        if segment is not None:
            self.exclude(segment, kind, why, check)
        else:
            where = f"segments schema/{Path(path).name}"
            self.findings.add(check, Severity.ERROR, where, f"This {why}; it must be there without rows.")

    def load_bundle(self) -> None:
        """The same for the attached bundle."""
        self.is_bundle = True
        held = evidence_bundle.check_form(self.connection, self.root.name, self.findings)
        self.tables, self.withheld_tables = held.tables, held.with_withheld
        self._segments = evidence_bundle.segments(self.connection, held, str(self.root), self.findings)
        extents.refuse_wide(self, self._segments, self.findings)
        for name, content in evidence_bundle.small_files(self.connection, held, self.findings):
            self._small[name] = EvidenceFile(name=name, content=content)
        manifest = evidence_bundle.manifest(self.connection, held, self.findings)
        if manifest is not None:
            self._load_manifest(manifest)


def _place(segment: SegmentFiles, kind: str) -> str:
    """A file, as findings and what was refused name it within its log."""
    return f"{segment.first:012d}-{segment.last:012d}/{kind}"


def _read_parquet(paths: Sequence[str], *, alike: bool) -> str:
    """``alike``: all files have the same columns, by the form check; so not all need be opened to begin with."""
    listed = ", ".join(sql_quote(exact_glob(path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name = {str(not alike).lower()}, hive_partitioning = false)"


def _listing(directory: Path) -> list[Path]:
    if not directory.is_dir() or directory.is_symlink():
        return []
    return sorted(path for path in directory.iterdir() if path.is_file() and not path.is_symlink())


@contextmanager
def open_evidence(
    path: str, findings: Findings | None = None, only: Narrowing = list, threads: int | None = None
) -> Iterator[Evidence]:
    """The evidence at ``path`` (log directory, export directory or bundle); form findings are in ``.findings``.

    ``only`` narrows what is read of a directory, ``threads`` is how many it takes at most.  Raises NotALogError where
    there is nothing of the kind.
    """
    path, torn = torn_uploads.located(path)
    root = Path(path).resolve()
    if not root.exists():
        raise NotALogError(f"There is no {path}: name a log directory, an export, a bundle or a proof.")
    connection = _connect() if threads is None else _connect(threads=threads)
    evidence = Evidence(root, connection, findings if findings is not None else Findings())
    try:
        if root.is_dir():
            if not (root / "segments").is_dir():
                raise NotALogError(f"{path} is not a log directory, because it has no `segments/` inside.")
            prefix = str(root / "segments") + "/"
            _lock(connection, [prefix, glob_literal(str(root / "segments")) + "/"])
            evidence.load_directory(only)
            torn_uploads.name(torn, evidence.refused, evidence.findings)
        else:
            try:
                connection.execute(f"ATTACH {sql_quote(str(root))} AS bundle (READ_ONLY, TYPE duckdb)")
            except duckdb.Error as error:
                raise NotALogError(f"{path} is not a bundle that can be opened: {sentence(error)}") from error
            _lock(connection, [])
            evidence.load_bundle()
        yield evidence
    finally:
        connection.close()


def _connect(**more: int) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        ":memory:",
        config={
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
            "memory_limit": MEMORY_LIMIT,
            "max_temp_directory_size": "0GB",
            "preserve_insertion_order": False,
            **more,
        },
    )


def _lock(connection: duckdb.DuckDBPyConnection, allowed: list[str]) -> None:
    """Nothing outside ``allowed`` can be read from here on, and no setting can be changed."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute("SET disabled_optimizers = $names", {"names": _BY_STATISTICS})
    if allowed:
        connection.execute("SET allowed_directories = $allowed", {"allowed": allowed})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
