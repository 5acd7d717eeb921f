"""What is in a log directory: logs, runs, records, segments, and what cannot be read yet."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import crawl_audit
from reports import coverage, render
from reports.log import Files, Log
from reports.period import Period, iso, now
from reports.unshipped import unshipped

_ROWS = (
    "log",
    "node",
    "modes",
    "started_at",
    "stopped_at",
    "stop_reason",
    "records",
    "first_seq",
    "last_seq",
    "last_at",
    "seals",
    "last_seal_at",
    "dropped",
)


def status(files: Files, log: Log | None) -> dict[str, Any]:
    """The state of the log directory ``files``; ``log`` is None where nothing is sealed yet."""
    found = [] if log is None else log.rows("logs")
    logs = [row for row in found if not row["custodian"]]
    kinds = [] if log is None else log.rows("kinds")
    return {
        "notice": None if log is None else coverage.unrecorded(log, Period()),
        "log_directory": files.name,
        "generated_at": iso(now()),
        "tool": {"name": "crawl-audit", "version": crawl_audit.__version__},
        "logs": [{name: _plain(row[name]) for name in _ROWS} for row in logs],
        "custodian_logs": [_custodian(row) for row in found if row["custodian"]],
        "records": {row["kind"]: row["records"] for row in kinds},
        "period": {
            "from": iso(min((row["first_at"] for row in logs), default=None)),
            "to": iso(max((row["last_at"] for row in logs), default=None)),
        },
        **_trouble(log),
        "disk": _disk(files),
        "last_seal_at": iso(max((row["last_seal_at"] for row in logs if row["last_seal_at"]), default=None)),
        "segments": {"count": len(files.segments), "bytes": files.segment_bytes},
        "copied_from": _copied(files),
        "shipping": _shipping(files),
        "live": _live(files, logs),
        "quarantine": [path.name for path in files.quarantine],
        "checkpoints": [_checkpoint(path) for path in files.checkpoints],
    }


def _copied(files: Files) -> dict[str, Any] | None:
    """Where the log lies that this is a copy of, and what of it is read in which form; None where it lies here."""
    if files.mirror is None:
        return None
    days, torn = files.mirror.days, files.mirror.torn
    return {"address": files.mirror.address, "compacted_days": list(days), "torn_uploads": list(torn)}


def _shipping(files: Files) -> dict[str, Any] | None:
    """What waits to be shipped to an object store; None where nothing is, and of a copy of what was."""
    found = None if files.mirror is not None else unshipped(files.root)
    if found is not None and found["waiting_since"] is not None:
        found["waiting_since"] = iso(datetime.fromtimestamp(found["waiting_since"], UTC))
    return found


def _trouble(log: Log | None) -> dict[str, list[dict[str, Any]]]:
    """Incidents, gaps (requests that left unrecorded) and anchors: how many of each word, and the last."""
    found: dict[str, list[dict[str, Any]]] = {"incidents": [], "gaps": [], "anchors": []}
    for row in [] if log is None else log.rows("status_trouble"):
        found[f"{row['what']}s"].append({"word": row["word"], "times": row["times"], "last_at": iso(row["last_at"])})
    return found


def _disk(files: Files) -> dict[str, int]:
    """Room where the log lies."""
    usage = shutil.disk_usage(files.root)
    return {"free_bytes": usage.free, "total_bytes": usage.total}


def _custodian(row: dict[str, Any]) -> dict[str, Any]:
    """A log that only says what was done to others: when, and how much it says."""
    return {"log": row["log"], "written_at": iso(row["first_at"]), "custody_records": row["records"] - 1 - row["seals"]}


def _plain(value: Any) -> Any:
    return iso(value) if hasattr(value, "isoformat") else value


def _live(files: Files, logs: list[dict[str, Any]]) -> dict[str, Any]:
    """Live files by name; ``unread_seconds`` bounds how much time their records can span."""
    seconds = None
    if files.live:
        last = max((row["last_at"] for row in logs), default=None)
        born = min(_changed_at(path) for path in files.live)
        seconds = int((now() - last).total_seconds()) if last is not None else int(time.time() - born)
        seconds = max(0, seconds)
    return {"files": [path.name for path in files.live], "unread_seconds": seconds}


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # the writer rotated between our looking and our asking
        return time.time()


def _checkpoint(path: Path) -> dict[str, Any]:
    """Origin, size and root of a C2SP checkpoint as it stands there; checking it is `verify`'s work."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        return {"file": path.name, "origin": lines[0], "size": int(lines[1]), "root": lines[2]}
    except (OSError, IndexError, ValueError):
        return {"file": path.name, "origin": None, "size": None, "root": None}


def _tallied(rows: list[dict[str, Any]]) -> str:
    return "; ".join(f"{row['times']:,} × {row['word']}, last {row['last_at']}" for row in rows)


def document(answer: dict[str, Any]) -> render.Document:
    """The state for people."""
    facts: list[tuple[str, Any]] = [
        ("Logs", len(answer["logs"])),
        ("Period", f"{answer['period']['from'] or 'nothing'} to {answer['period']['to'] or 'nothing'}"),
        ("Last seal", answer["last_seal_at"] or "none"),
        ("Seen outside", _tallied(answer["anchors"]) or "never, as far as the log says"),
        ("Incidents", _tallied(answer["incidents"]) or "none"),
        ("Left unrecorded", _tallied(answer["gaps"]) or "none"),
        ("Not recorded, refused", sum(row["dropped"] for row in answer["logs"])),
        ("Disk", f"{answer['disk']['free_bytes']:,} of {answer['disk']['total_bytes']:,} bytes free"),
        ("Segments", f"{answer['segments']['count']} ({answer['segments']['bytes']:,} bytes)"),
        ("Records", answer["records"] or "none sealed yet"),
        ("Quarantine", answer["quarantine"] or "empty"),
    ]
    facts += [("Checkpoint", f"{c['file']}: size {c['size']}, root {c['root']}") for c in answer["checkpoints"]]
    if (copied := answer["copied_from"]) is not None:
        facts.append(("Compacted days", f"{len(copied['compacted_days'])}, the rest as shipped"))
        facts.append(("Uploads not whole", copied["torn_uploads"] or "none"))
    if (shipping := answer["shipping"]) is not None:
        waiting = f"; {shipping['waiting']} wait ({shipping['waiting_bytes']:,} bytes)" if shipping["waiting"] else ""
        since = f", the oldest since {shipping['waiting_since']}" if shipping["waiting_since"] else ""
        facts.append(("Shipped", f"{shipping['shipped']} segments{waiting}{since}"))
    blocks: list[render.Block] = [render.Facts(tuple(facts))]
    if answer["live"]["files"]:
        blocks.append(
            render.Paragraph(
                f"Live: up to {answer['live']['unread_seconds']} s of records are not yet readable;"
                " run `crawl-audit-proxy seal` to publish them."
            )
        )
    sections = [render.Section(title="", blocks=tuple(blocks))]
    if answer["logs"]:
        table = render.table_of(answer["logs"], ("log", "modes", "started_at", "stopped_at", "records", "last_at"))
        rows = tuple((*row[:3], row[3] or "not stopped", *row[4:]) for row in table.rows)
        sections.append(render.Section(title="Runs", blocks=(render.Table(table.header, rows),)))
    if answer["custodian_logs"]:
        table = render.table_of(answer["custodian_logs"], ("log", "written_at", "custody_records"))
        sections.append(render.Section(title="Done to these logs afterwards (erased, pruned, held)", blocks=(table,)))
    title = f"Log directory {answer['log_directory']}"
    return render.Document(title=title, sections=tuple(sections), notice=answer["notice"] or "")
