"""What an answer can rest on: which logs covered the period, where there are gaps, what cannot be read yet."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

from reports.fields import Field, Form, Show, Source
from reports.log import Log, Row
from reports.period import Period, iso, now
from reports.render import Chart, ChartKind, Table
from reports.words import ENGLISH, Words, grouped

Span = tuple[datetime, datetime]
_LOGS_DRAWN = 12
NOTHING_SEALED = "The log holds no sealed segment yet, so nothing can be read."
"""Why nothing can be read, in words that hold no path."""

_MACHINES = "start and stop of each sidecar; given to regulators"
_TROUBLE = "operational trouble; given to regulators"


def _hidden(name: str, form: Form, meaning: str, note: str, fields: tuple[Field, ...] = (), key: str = "") -> Field:
    return Field(
        name=name,
        form=form,
        meaning=meaning,
        public=Show.WITHHELD,
        reason="security",
        note=note,
        fields=fields,
        key=key,
    )


_SPAN = (
    Field(name="from", form=Form.INSTANT, meaning="begin", regulator=Show.AS_IS),
    # Not included: a period that ends with the month ends in it.
    Field(name="to", form=Form.INSTANT, meaning="end", regulator=Show.AS_IS, public=Show.LAST_MONTH),
)
_LOG = (
    Field(name="log", form=Form.TEXT, meaning="id of the log: one start of one sidecar"),
    Field(name="node", form=Form.TEXT, meaning="name of the sidecar, as configured"),
    Field(name="modes", form=Form.TEXTS, meaning="`audit`, `enforce`"),
    Field(name="started_at", form=Form.INSTANT, meaning="start", regulator=Show.AS_IS),
    Field(name="stopped_at", form=Form.INSTANT, meaning="orderly stop; null: none recorded", regulator=Show.AS_IS),
    Field(name="last_record_at", form=Form.INSTANT, meaning="last record", regulator=Show.AS_IS),
    Field(name="first_seq", form=Form.COUNT, meaning="first record there is"),
    Field(name="last_seq", form=Form.COUNT, meaning="last record there is"),
    Field(name="records", form=Form.COUNT, meaning="records there are"),
    Field(name="missing_records", form=Form.COUNT, meaning="records there should be and are not"),
    Field(name="pruned_records", form=Form.COUNT, meaning="records pruned on record"),
    Field(name="dropped_records", form=Form.COUNT, meaning="records that could not be written"),
)
_PROBE = (
    Field(name="at", form=Form.INSTANT, meaning="the last", regulator=Show.AS_IS),
    Field(
        name="result",
        form=Form.TEXT,
        meaning="what it found: a way past the sidecar, none, or that it could not tell",
        words=("open", "closed", "inconclusive"),
    ),
    Field(name="probes", form=Form.COUNT, meaning="how many targets were tried in the period"),
    Field(name="open", form=Form.COUNT, meaning="of these, reached past the sidecar"),
)
FIELD = Field(
    name="coverage",
    form=Form.RECORD,
    nullable=False,
    meaning="what the answer can rest on",
    asked_by="evidence",
    fields=(
        Field(
            name="proxied_only",
            form=Form.FLAG,
            meaning="always true: what went past the sidecar is not in the log",
            nullable=False,
        ),
        Field(
            name="covered",
            form=Form.TEXT,
            meaning="how much of the period the log covers",
            words=("all", "part", "none"),
            nullable=False,
        ),
        Field(name="periods", form=Form.RECORDS, key="from", meaning="times covered by at least one log", fields=_SPAN),
        _hidden("gaps", Form.RECORDS, "times in the period that no log covers", _MACHINES, _SPAN, "from"),
        Field(name="gap_count", form=Form.COUNT, meaning="how many such times", public=Show.AS_IS, nullable=False),
        _hidden("logs", Form.RECORDS, "the logs of the period", _MACHINES, _LOG, "log"),
        Field(name="log_count", form=Form.COUNT, meaning="how many logs", public=Show.AS_IS, nullable=False),
        Field(name="missing_records", form=Form.COUNT, meaning="records that are missing from the segments"),
        Field(name="pruned_records", form=Form.COUNT, meaning="records pruned on record"),
        Field(name="dropped_records", form=Form.COUNT, meaning="records not written; their requests did not leave"),
        _hidden("incidents", Form.TALLY, "what made the log less than complete, by fixed word", _TROUBLE),
        _hidden("tunnels", Form.TALLY, "connections that were not plain requests", _TROUBLE),
        Field(
            name="fail_open",
            form=Form.RECORD,
            meaning="requests that left before their record was durable; null: none",
            fields=(
                Field(name="requests", form=Form.COUNT, meaning="how many left"),
                Field(name="kept", form=Form.COUNT, meaning="how many were entered late"),
                Field(name="gap_records", form=Form.COUNT, meaning="in how many stretches"),
                Field(name="from", form=Form.INSTANT, meaning="the first", regulator=Show.AS_IS),
                Field(name="to", form=Form.INSTANT, meaning="the last", regulator=Show.AS_IS),
            ),
        ),
        _hidden(
            "egress_probe",
            Form.RECORD,
            "attempts to get past the sidecar, as declared by whoever made them; null: none on record",
            _TROUBLE,
            _PROBE,
        ),
        _hidden("live_files", Form.COUNT, "files of a running sidecar, not yet readable", _TROUBLE),
        _hidden("quarantined_files", Form.COUNT, "files that could not be opened", _TROUBLE),
        Field(
            name="reason",
            form=Form.TEXT,
            meaning="why nothing can be read; null: it can",
            source=Source.TOOL,
            words=(NOTHING_SEALED,),
            none=True,
        ),
    ),
)


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
        "gap_count": len(gaps),
        "logs": [_shown(row) for row in inside],
        "log_count": len(inside),
        "missing_records": sum(row["missing"] for row in inside),
        "pruned_records": sum(row["pruned"] for row in inside),
        "dropped_records": sum(row["dropped"] for row in inside),
        "incidents": {row["incident"]: row["count"] for row in log.rows("incidents", **period.parameters)},
        "tunnels": {f"{r['protocol']} {r['outcome']}": r["count"] for r in log.rows("tunnels", **period.parameters)},
        "fail_open": _fail_open(log.one("gaps", **period.parameters)),
        "egress_probe": _egress_probe(log.one("egress_probe", **period.parameters)),
        "live_files": len(log.files.live),
        "quarantined_files": len(log.files.quarantine),
        "reason": None,
    }


def nothing(live_files: int = 0) -> dict[str, Any]:
    """Coverage by a log in which nothing is sealed yet."""
    return {
        "proxied_only": True,
        "covered": "none",
        **{name: [] for name in ("periods", "gaps", "logs")},
        **dict.fromkeys(("gap_count", "log_count"), 0),
        **dict.fromkeys(("missing_records", "pruned_records", "dropped_records", "quarantined_files"), 0),
        "live_files": live_files,
        **{name: {} for name in ("incidents", "tunnels")},
        "fail_open": None,
        "egress_probe": None,
        "reason": NOTHING_SEALED,
    }


def _fail_open(row: Row) -> dict[str, Any] | None:
    """What left before its record was durable; None where nothing did."""
    if not row["gap_records"]:
        return None
    times = {"from": iso(row["first_at"]), "to": iso(row["last_at"])}
    return {**{name: row[name] for name in ("requests", "kept", "gap_records")}, **times}


def _egress_probe(row: Row) -> dict[str, Any] | None:
    """The last bypass probe of the period; None where none is on record."""
    if not row["probes"]:
        return None
    return {"at": iso(row["last_at"]), "result": row["last_result"], "probes": row["probes"], "open": row["open"]}


def unrecorded(log: Log, period: Period) -> str | None:
    """:func:`notice` for a period of a log, without the rest of its coverage."""
    return notice({"fail_open": _fail_open(log.one("gaps", **period.parameters))})


def notice(answer: dict[str, Any], words: Words = ENGLISH) -> str | None:
    """What every answer must begin with where requests left unrecorded in its period; ``answer`` is a coverage."""
    found = answer["fail_open"]
    if found is None:
        return None
    return words(
        "{requests} requests left before their record was durable (fail_open, from {start} to {end}); of these {kept}"
        " were kept and the others are not in the log.",
        requests=found["requests"],
        kept=found["kept"],
        start=found["from"],
        end=found["to"],
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


def summary(answer: dict[str, Any], words: Words = ENGLISH) -> list[str]:
    """Coverage in a few plain sentences, as far as the level of ``answer`` shows it."""
    periods, gaps = answer["periods"], answer.get("gaps", [])
    said = notice(answer, words)
    lines = [] if said is None else [said]
    if not periods:
        lines += [
            words(NOTHING_SEALED)
            if answer["reason"]
            else words("No log in this directory covers the period asked for.")
        ]
    else:
        start, end = periods[0]["from"], periods[-1]["to"]
        lines += [words("Covered: {start} to {end}, logs: {count}.", start=start, end=end, count=answer["log_count"])]
    if gaps:
        listed = "; ".join(words("{start} to {end}", start=gap["from"], end=gap["to"]) for gap in gaps[:3])
        more = "" if len(gaps) <= 3 else words("; and {count} more", count=len(gaps) - 3)
        lines.append(words("Not covered: {spans}{more}.", spans=listed, more=more))
    elif answer["gap_count"]:
        lines.append(words("Gaps in it: {count}.", count=answer["gap_count"]))
    for key, sentence in (
        (
            "missing_records",
            words("Records missing from the segments: {count}; ask for them, or take the log for incomplete."),
        ),
        ("pruned_records", words("Records pruned: {count}; nothing can be told of the time they were of.")),
        ("dropped_records", words("Records that could not be written: {count}; their requests did not leave.")),
        (
            "live_files",
            words("Live files with records not yet readable: {count} (`crawl-audit-proxy seal` publishes them)."),
        ),
        ("quarantined_files", words("Files in quarantine, not read: {count}.")),
    ):
        if answer.get(key):
            lines.append(sentence.format(count=grouped(answer[key])))
    if (probe := answer.get("egress_probe")) is not None:
        lines.append(
            words(
                "Attempts to get past the sidecar, as their makers declare: {count}; a way was open: {open}; the last"
                " at {at}: {result}.",
                count=probe["probes"],
                open=probe["open"],
                at=probe["at"],
                result=words(probe["result"]),
            )
        )
    for key, title in (
        ("incidents", words("Incidents")),
        ("tunnels", words("Connections that were not plain requests")),
    ):
        if answer.get(key):
            lines.append(f"{title}: " + ", ".join(f"{name} {count}" for name, count in answer[key].items()) + ".")
    return lines


def charts(answer: dict[str, Any], words: Words = ENGLISH) -> tuple[Chart, ...]:
    """Times covered and not covered, drawn; nothing where the level shows months only."""
    if "gaps" not in answer or not answer["periods"]:
        return ()
    covered, gap, name = words("covered"), words("gap"), words("all logs")
    rows = [(name, covered, span["from"], span["to"]) for span in answer["periods"]]
    rows += [(name, gap, span["from"], span["to"]) for span in answer["gaps"]]
    rows += [
        (
            one["log"],
            covered,
            one["started_at"] or answer["periods"][0]["from"],
            one["stopped_at"] or one["last_record_at"],
        )
        for one in answer["logs"][:_LOGS_DRAWN]
    ]
    header = (words("Log"), words("State"), words("From"), words("To"))
    return (
        Chart(
            kind=ChartKind.SPANS,
            title=words("Coverage and its gaps"),
            says=words(
                "Times covered by the log: {count}; gaps: {gaps}.",
                count=len(answer["periods"]),
                gaps=answer["gap_count"],
            ),
            table=Table(header, tuple(rows)),
            tones=((covered, "good"), (gap, "bad")),
        ),
    )
