"""What an answer can rest on: which logs covered the period, where there are gaps, what cannot be read yet."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

from reports.log import Log, Row
from reports.period import Period, iso, now

Span = tuple[datetime, datetime]


def coverage(log: Log, period: Period) -> dict[str, Any]:
    """Coverage of ``period`` as reports carry it.

    ``covered`` is ``all``, ``part`` or ``none`` of the period.  A log covers the time from its start to its stop, or
    to its last record where it never said that it stopped.
    """
    pruned = log.rows("pruned")
    logs = [_one_log(row, pruned) for row in log.rows("logs") if not row["custodian"]]
    spans = _clipped(_merged([span for row in logs for span in row["spans"]]), period)
    gaps = _gaps(spans, period)
    inside = [row for row in logs if _clipped([(row["start"], row["end"])], period)]
    return {
        "proxied_only": True,
        "covered": "none" if not spans else "part" if gaps else "all",
        "periods": [{"from": iso(start), "to": iso(end)} for start, end in spans],
        "gaps": [{"from": iso(start), "to": iso(end)} for start, end in gaps],
        "logs": [_shown(row) for row in inside],
        "missing_records": sum(row["missing"] for row in inside),
        "pruned_records": sum(row["pruned"] for row in inside),
        "dropped_records": sum(row["dropped"] for row in inside),
        "incidents": {row["incident"]: row["count"] for row in log.rows("incidents", **period.parameters)},
        "tunnels": {f"{r['protocol']} {r['outcome']}": r["count"] for r in log.rows("tunnels", **period.parameters)},
        "fail_open": _fail_open(log.one("gaps", **period.parameters)),
        "live_files": len(log.files.live),
        "quarantined_files": len(log.files.quarantine),
    }


def nothing(reason: str) -> dict[str, Any]:
    """Coverage by a log in which nothing can be read, for ``reason``."""
    return {
        "proxied_only": True,
        "covered": "none",
        **{name: [] for name in ("periods", "gaps", "logs")},
        **dict.fromkeys(("missing_records", "pruned_records", "dropped_records", "live_files", "quarantined_files"), 0),
        **{name: {} for name in ("incidents", "tunnels")},
        "fail_open": None,
        "reason": reason,
    }


def _fail_open(row: Row) -> dict[str, Any] | None:
    """What left before its record was durable; None where nothing did."""
    if not row["gap_records"]:
        return None
    times = {"from": iso(row["first_at"]), "to": iso(row["last_at"])}
    return {**{name: row[name] for name in ("requests", "kept", "gap_records")}, **times}


def unrecorded(log: Log, period: Period) -> str | None:
    """:func:`notice` for a period of a log, without the rest of its coverage."""
    return notice({"fail_open": _fail_open(log.one("gaps", **period.parameters))})


def notice(answer: dict[str, Any]) -> str | None:
    """What every answer must begin with where requests left unrecorded in its period; ``answer`` is a coverage."""
    found = answer["fail_open"]
    if found is None:
        return None
    when = "" if "from" not in found else f", from {found['from']} to {found['to']}"
    return (
        f"{found['requests']} requests left before their record was durable (fail_open{when}); of these {found['kept']}"
        " were kept and the others are not in the log."
    )


def _one_log(row: Row, pruned: list[Row]) -> Row:
    start = row["started_at"] or row["first_at"]
    end = max(start, row["stopped_at"] or row["last_at"])
    gone = [one for one in pruned if one["log"] == row["log"]]
    records = sum(one["records"] for one in gone)
    missing = max(0, row["last_seq"] + 1 - row["records"] - records)
    spans = _without((start, end), [(one["started_at"] or start, one["ended_at"] or end) for one in gone])
    return {**row, "start": start, "end": end, "spans": spans, "pruned": records, "missing": missing}


def _without(span: Span, holes: list[Span]) -> list[Span]:
    """``span`` without the times of which the records were pruned: they tell of nothing any more."""
    made, start = [], span[0]
    for low, high in sorted(holes):
        if low > start:
            made.append((start, low))
        start = max(start, high)
    return [*made, (start, span[1])] if start < span[1] or not holes else made


def _shown(row: Row) -> dict[str, Any]:
    return {
        "log": row["log"],
        "node": row["node"],
        "modes": row["modes"],
        "started_at": iso(row["started_at"]),
        "stopped_at": iso(row["stopped_at"]),
        "last_record_at": iso(row["last_at"]),
        "first_seq": row["first_seq"],
        "last_seq": row["last_seq"],
        "records": row["records"],
        "missing_records": row["missing"],
        "pruned_records": row["pruned"],
        "dropped_records": row["dropped"],
    }


def _merged(spans: list[Span]) -> list[Span]:
    """Overlapping spans as one: a log directory may hold logs of several sidecars running at once."""
    made: list[Span] = []
    for start, end in sorted(spans):
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        else:
            made.append((start, end))
    return made


def _clipped(spans: list[Span], period: Period) -> list[Span]:
    """The parts of ``spans`` inside ``period``; a span is closed, the period half-open."""
    made = []
    for start, end in spans:
        if (period.end is not None and start >= period.end) or (period.start is not None and end < period.start):
            continue
        made.append((max(start, period.start or start), min(end, period.end or end)))
    return made


def _gaps(spans: list[Span], period: Period) -> list[Span]:
    """Time inside ``period`` (or between spans, where it has no limit) that no log covers; never the future."""
    until = min(period.end, now()) if period.end is not None else None
    edges = [*([period.start] if period.start else []), *([until] if until else [])]
    if not spans:
        return [(edges[0], edges[1])] if len(edges) == 2 and edges[0] < edges[1] else []
    made = [(a[1], b[0]) for a, b in itertools.pairwise(spans)]
    if period.start is not None and period.start < spans[0][0]:
        made.insert(0, (period.start, spans[0][0]))
    if until is not None and spans[-1][1] < until:
        made.append((spans[-1][1], until))
    return made


def summary(answer: dict[str, Any]) -> list[str]:
    """Coverage in a few plain sentences."""
    periods, gaps = answer["periods"], answer["gaps"]
    said = notice(answer)
    lines = [] if said is None else [said]
    if not periods:
        lines += [answer.get("reason", "No log in this directory covers the period asked for.")]
    else:
        count = len(answer["logs"])
        lines += [f"Covered: {periods[0]['from']} to {periods[-1]['to']}, {count} log{'s' if count != 1 else ''}."]
    if gaps:
        listed = "; ".join(f"{gap['from']} to {gap['to']}" for gap in gaps[:3])
        more = f"; and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        lines.append(f"Not covered: {listed}{more}.")
    for key, sentence in (
        ("missing_records", "{} records are missing from the segments: ask for them, or take the log for incomplete."),
        ("pruned_records", "{} records were pruned; nothing can be told of the time they were of."),
        ("dropped_records", "{} records could not be written; their requests did not leave."),
        ("live_files", "{} live file(s) hold records not yet readable (`crawl-audit-proxy seal` publishes them)."),
        ("quarantined_files", "{} file(s) lie in quarantine and were not read."),
    ):
        if answer[key]:
            lines.append(sentence.format(answer[key]))
    for key, title in (("incidents", "Incidents"), ("tunnels", "Connections that were not plain requests")):
        if answer[key]:
            lines.append(f"{title}: " + ", ".join(f"{name} {count}" for name, count in answer[key].items()) + ".")
    return lines
