"""An export for somebody's eyes: what they may see as it is, the rest as commitments and leaves, so all of it proves.

Whatever the level and the selection, a leaf of every record of the source is in the export, so every root can be
computed from it; ``levels_digest`` is the digest of these leaves and is the same for every level.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import crawl_audit
from crawl_audit import schema
from crawl_audit.segment_sql import sql_quote
from reports import bundle, export_levels, selecting
from reports.evidence_form import WITHHELD
from reports.export_levels import Reason
from reports.levels import Level
from reports.log import look
from reports.matching import Subject
from reports.period import Period, iso, now
from reports.rewriting import Bench, connect, leaves_of, plainly
from reports.withholding_sql import names_of, withheld_select

FORMAT = "crawl-audit export v1"
ALWAYS = ("run", "seal", "anchor", "gap", "custody")
"""Kinds that every export has whole: without them nothing of the rest could be checked."""
_FETCH_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which part of the logs is wanted; the rest goes as leaves."""

    subject: Subject | None = None
    period: Period = field(default_factory=Period)

    @property
    def is_whole(self) -> bool:
        """Whether everything is wanted."""
        return self.subject is None and self.period == Period()


def export(path: str, out: Path, level: Level, selection: Selection) -> dict[str, Any]:
    """Write the export ``out`` of the log directory ``path``; its manifest."""
    files = look(path, evidence=True)
    with (
        plainly(f"The export of {files.root} cannot be made"),
        bundle.work_beside(out) as work,
        connect(work / "spill") as connection,
    ):
        bench = Bench(files.root, connection, work)
        checkpoints = list(_checkpoints(files.root))
        _divide(bench, level, selection)
        manifest = _manifest(bench, level, selection)
        body = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        made = work / out.name
        if bundle.is_database(out):
            bundle.write_database(connection, made, list(_tables(bench, level)), checkpoints, body)
        else:
            made.mkdir()
            bundle.write_directory(connection, made, list(_segments(bench, level)), checkpoints, body)
        bundle.put_in_place(made, out)
    return manifest


def _checkpoints(root: Path) -> Iterator[tuple[str, bytes]]:
    """The files under checkpoints/ by their path in it; read first, so that no head is newer than the records."""
    directory = root / "checkpoints"
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(directory).as_posix(), path.read_bytes()


def _divide(bench: Bench, level: Level, selection: Selection) -> None:
    """Fill ``leaf(log, seq, kind, leaf, why)``: why a record is withheld whole, or NULL where it is given."""
    run = bench.connection.execute
    if not selection.is_whole:
        selecting.choose(bench, selection.subject, selection.period, unknown=True)
    run("CREATE OR REPLACE TEMP TABLE leaf (log VARCHAR, seq BIGINT, kind VARCHAR, leaf VARCHAR, why VARCHAR)")
    for kind in schema.KINDS:
        hidden = export_levels.rows(kind, level)
        outside = "false" if selection.is_whole or kind in ALWAYS else "c.seq IS NULL"
        run(
            f"INSERT INTO leaf SELECT r.log, r.seq, '{kind}', l.leaf,"  # noqa: S608 - our own names
            f" CASE WHEN {outside} THEN 'outside' WHEN {hidden[0] if hidden else 'false'} THEN 'level' END"
            f" FROM {kind} AS r JOIN ({leaves_of(kind, kind)}) AS l ON l.log = r.log AND l.seq = r.seq"
            + ("" if outside == "false" else " LEFT JOIN chosen AS c ON c.log = r.log AND c.seq = r.seq")
        )
    run(f"INSERT INTO leaf SELECT log, seq, kind, leaf, 'pruned' FROM {WITHHELD}")  # noqa: S608 - our own name


def _select(kind: str, level: Level, narrowed: str) -> str:
    """The rows of ``kind`` that are given, with what the level withholds withheld."""
    which = f"SELECT log, seq FROM leaf WHERE why IS NULL{narrowed}"  # noqa: S608 - our own names
    given = f"(SELECT r.* FROM {kind} AS r SEMI JOIN ({which}) AS l USING (log, seq))"  # noqa: S608
    fields = export_levels.fields(kind, level)
    order = "log, site, recorded_at, seq" if kind == "decision" else "log, seq"
    columns = ", ".join(names_of(kind))
    inner = withheld_select(kind, given, fields) if fields else f"SELECT {columns} FROM {given}"  # noqa: S608
    return f"SELECT * FROM ({inner}) ORDER BY {order}"  # noqa: S608 - our own names


def _leaves_only(narrowed: str) -> str:
    return f"SELECT log, seq, kind, leaf FROM leaf WHERE why IS NOT NULL{narrowed} ORDER BY log, seq"  # noqa: S608


def _tables(bench: Bench, level: Level) -> Iterator[tuple[str, str]]:
    present = {kind for (kind,) in bench.rows("SELECT DISTINCT kind FROM leaf WHERE why IS NULL")}
    for kind in schema.KINDS:
        if kind in present:
            yield kind, _select(kind, level, "")
    yield WITHHELD, _leaves_only("")


def _segments(bench: Bench, level: Level) -> Iterator[tuple[str, str, str, str]]:
    for log, first, last in bench.rows("SELECT log, min(seq), max(seq) FROM leaf GROUP BY log ORDER BY log"):
        extent, narrowed = f"{first:012d}-{last:012d}", f" AND log = {sql_quote(log)}"
        for (kind,) in bench.rows("SELECT DISTINCT kind FROM leaf WHERE log = $1 AND why IS NULL", [log]):
            yield log, extent, kind, _select(kind, level, narrowed)
        if bench.rows("SELECT 1 FROM leaf WHERE log = $1 AND why IS NOT NULL LIMIT 1", [log]):
            yield log, extent, WITHHELD, _leaves_only(narrowed)


def _manifest(bench: Bench, level: Level, selection: Selection) -> dict[str, Any]:
    period = selection.period
    counted = bench.rows("SELECT count(*), count(*) FILTER (WHERE why IS NULL) FROM leaf")[0]
    return {
        "format": FORMAT,
        "level": level.value,
        "made_at": iso(now()),
        "tool": {"name": "crawl-audit", "version": crawl_audit.__version__},
        "source_logs": [log for (log,) in bench.rows("SELECT DISTINCT log FROM leaf ORDER BY log")],
        "selection": {
            "site": None if selection.subject is None else selection.subject.normalised,
            "from": iso(period.start),
            "to": iso(period.end),
        },
        "records": counted[0],
        "records_given": counted[1],
        "withheld": list(_withheld(bench, level)),
        "levels_digest": _levels_digest(bench),
    }


def _withheld(bench: Bench, level: Level) -> Iterator[dict[str, Any]]:
    reasons = {"outside": export_levels.OUTSIDE, "pruned": export_levels.PRUNED}
    for kind, why, rows in bench.rows(
        "SELECT kind, why, count(*) FROM leaf WHERE why IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ):
        by_level = export_levels.rows(kind, level)
        yield _item(kind, None, rows, reasons[why] if by_level is None or why != "level" else by_level[1])
    for kind in schema.KINDS:
        fields = export_levels.fields(kind, level)
        for column in schema.columns(kind):
            if column.sensitive:
                yield from _of_field(bench, kind, column.name, fields.get(column.name))
        if export_levels.is_salt_withheld(kind, level):
            rows = _given(bench, kind, "salt IS NOT NULL")
            if rows:
                yield _item(kind, "salt", rows, export_levels.SALT)


def _of_field(bench: Bench, kind: str, name: str, reason: Reason | None) -> Iterator[dict[str, Any]]:
    rows = _given(bench, kind, f"{name} IS NOT NULL") if reason is not None else 0
    if reason is not None and rows:
        yield _item(kind, name, rows, reason)
    erased = _given(bench, kind, f"{name}_c IS NOT NULL")
    if erased:
        yield _item(kind, name, erased, export_levels.ERASED)


def _given(bench: Bench, kind: str, condition: str) -> int:
    """How many rows of ``kind`` that are given meet a condition in the source."""
    given = f"SELECT count(*) FROM {kind} SEMI JOIN (SELECT * FROM leaf WHERE why IS NULL) AS l USING (log, seq)"  # noqa: S608
    return int(bench.rows(f"{given} WHERE {condition}")[0][0])


def _item(kind: str, name: str | None, rows: int, reason: Reason) -> dict[str, Any]:
    return {"kind": kind, "field": name, "rows": rows, "reason_code": reason.code, "note": reason.note}


def _levels_digest(bench: Bench) -> str:
    """SHA-256 over every leaf by (log, seq)."""
    digest = hashlib.sha256()
    bench.connection.execute("SELECT leaf FROM leaf ORDER BY log, seq")
    while rows := bench.connection.fetchmany(_FETCH_ROWS):
        digest.update(bytes.fromhex("".join(leaf for (leaf,) in rows)))
    return digest.hexdigest()
