"""What the log can speak for: every run of every sidecar, what lies between, and what made a log less than complete."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from reports import render
from reports.facts import facts, table
from reports.fields import Field, Form, RecordType, Show
from reports.log import Row
from reports.period import Period
from reports.report import Kind, Question
from reports.words import Words

# A restart takes a few seconds; less between two runs of a sidecar is no gap in anybody's sense.
_RESTART = timedelta(seconds=5)
_DRAWN = 400
"""Runs and gaps that a time line can show."""
_MACHINES = "start and stop of each sidecar; given to regulators"
_TROUBLE = "operational trouble; given to regulators"
_ENDS = ("stopped in order", "closed by recovery", "no end on record")


def _exact(name: str, meaning: str, label: str = "") -> Field:
    return Field(name=name, form=Form.INSTANT, meaning=meaning, label=label, regulator=Show.AS_IS)


def _list(name: str, meaning: str, label: str, note: str, fields: tuple[Field, ...], key: str = "") -> Field:
    return Field(
        name=name,
        form=Form.RECORDS,
        key=key,
        meaning=meaning,
        label=label,
        fields=fields,
        public=Show.WITHHELD,
        reason="security",
        note=note,
    )


_NODE = Field(name="node", form=Form.TEXT, meaning="name of the sidecar, as configured", label="Sidecar")
_LOG = Field(name="log", form=Form.TEXT, meaning="id of the log")
_RUN = (
    _NODE,
    _LOG,
    _exact("started_at", "start", "Started"),
    _exact("ended_at", "stop, or the last seal where none is recorded", "Ended"),
    Field(name="end", form=Form.TEXT, meaning="how it ended", words=_ENDS),
    Field(name="mode", form=Form.TEXT, meaning="`audit` or `enforce`"),
    Field(name="settings_sha256", form=Form.TEXT, meaning="SHA-256 of the settings in force", label="Settings"),
    Field(name="seals", form=Form.COUNT, meaning="seals in its log"),
    Field(name="dropped_records", form=Form.COUNT, meaning="records that could not be written", label="Not written"),
    Field(name="previous_log", form=Form.TEXT, meaning="log that it says was before it; null: none", none=True),
    Field(name="previous_here", form=Form.FLAG, meaning="whether that one is in the directory", label="It is here"),
)
_GAP = (
    _NODE,
    _exact("from", "end of the run before"),
    _exact("to", "start of the run after"),
    Field(name="seconds", form=Form.COUNT, meaning="its length"),
    Field(name="end", form=Form.TEXT, meaning="how the run before it ended", label="Run before", words=_ENDS),
)
_CHANGE = (
    _NODE,
    _exact("changed_at", "start of the first run with it", "From"),
    Field(name="what", form=Form.TEXT, meaning="what changed", words=("mode", "settings")),
    Field(name="before", form=Form.TEXT, meaning="mode, or SHA-256 of the settings, before"),
    Field(name="after", form=Form.TEXT, meaning="the same after"),
)
_SILENCE = (
    _LOG,
    _exact("from", "seal or start before"),
    _exact("to", "seal or stop after"),
    Field(name="minutes", form=Form.COUNT, meaning="its length in whole minutes"),
)
_INCIDENT = (
    Field(name="day", form=Form.TEXT, meaning="day (UTC)"),
    Field(name="incident", form=Form.TEXT, meaning="fixed word"),
    Field(name="count", form=Form.COUNT, meaning="how often"),
)
_UNRECORDED = (
    _LOG,
    Field(name="seq", form=Form.COUNT, meaning="place of the record of it", label="Record"),
    _exact("recorded_at", "when the log could be written again", "Ended"),
    Field(name="cause", form=Form.TEXT, meaning="why nothing could be recorded"),
    _exact("first_at", "first request that left unrecorded"),
    _exact("last_at", "last request that left unrecorded"),
    Field(name="requests", form=Form.COUNT, meaning="how many left"),
    Field(name="kept", form=Form.COUNT, meaning="of these, entered late"),
)
_ANCHOR = (
    _LOG,
    Field(name="method", form=Form.TEXT, meaning="`rfc3161`, `witness` or `push`"),
    Field(name="authority", form=Form.TEXT, meaning="who saw it, as configured", label="Seen by"),
    Field(name="receipts", form=Form.COUNT, meaning="receipts on record"),
    Field(name="seals_seen", form=Form.COUNT, meaning="seals under the greatest head seen"),
    Field(name="seals", form=Form.COUNT, meaning="seals in the log"),
    _exact("last_seen_at", "the last time stated", "Last"),
)
RECORD = RecordType(
    name="coverage",
    version="1.0",
    meaning="what the log can speak for, and what made it less than complete",
    fields=(
        Field(name="sidecars", form=Form.COUNT, meaning="sidecars that ran in the period", public=Show.AS_IS),
        Field(name="starts", form=Form.COUNT, meaning="starts of sidecars"),
        Field(name="orderly_stops", form=Form.COUNT, meaning="of these, stopped in order"),
        Field(name="seconds_between", form=Form.COUNT, meaning="seconds between runs of the same sidecar, in all"),
        Field(
            name="minutes_without_seal",
            form=Form.COUNT,
            meaning="minutes in stretches of more than two in which a running sidecar sealed nothing; idle, it seals"
            " every minute",
        ),
        Field(name="modes", form=Form.TEXTS, meaning="modes in force in the period: `audit`, `enforce`"),
        _list("runs", "every start of every sidecar", "Runs", _MACHINES, _RUN, "log"),
        _list("between", "times between runs of the same sidecar", "Between runs", _MACHINES, _GAP),
        _list("changes", "changes of mode and settings from run to run", "Changes", _MACHINES, _CHANGE),
        _list("silences", "stretches without a seal", "Without a seal", _MACHINES, _SILENCE),
        _list("incidents_by_day", "what made the log less than complete", "Incidents", _TROUBLE, _INCIDENT),
        _list(
            "unrecorded",
            "stretches in which requests left before their record was durable (fail_open)",
            "Left before it was recorded",
            _TROUBLE,
            _UNRECORDED,
        ),
        _list(
            "anchors",
            "who outside has seen heads of the logs, as the logs say; whether it holds is for `crawl-audit verify`",
            "Seen from outside",
            _MACHINES,
            _ANCHOR,
        ),
    ),
)


def make(question: Question) -> dict[str, Any]:
    """The record at the internal level."""
    log, limits = question.log, question.period.parameters
    runs = [_run(row) for row in log.rows("coverage_sidecars", **limits)]
    between = _between(runs, question.period)
    silences = [
        {"log": row["log"], "from": row["begins_at"], "to": row["ends_at"], "minutes": row["minutes"]}
        for row in log.rows("coverage_silences", **limits)
    ]
    return {
        "sidecars": len({run["node"] for run in runs}),
        "starts": len(runs),
        "orderly_stops": sum(run["end"] == _ENDS[0] for run in runs),
        "seconds_between": sum(gap["seconds"] for gap in between),
        "minutes_without_seal": sum(one["minutes"] for one in silences),
        "modes": sorted({run["mode"] for run in runs}),
        "runs": runs,
        "between": between,
        "changes": _changes(runs),
        "silences": silences,
        "incidents_by_day": log.rows("coverage_incidents", **limits),
        "unrecorded": log.rows("coverage_unrecorded", **limits),
        "anchors": log.rows("coverage_anchors", **limits),
    }


def _run(row: Row) -> dict[str, Any]:
    stopped = row["stopped_at"]
    unstopped = _ENDS[1] if row["last_reason"] == "recovered" else _ENDS[2]
    return {
        **{name: row[name] for name in ("node", "log", "started_at", "mode", "settings_sha256", "seals")},
        "ended_at": max(row["started_at"], stopped or row["last_seal_at"] or row["started_at"]),
        "end": unstopped if stopped is None else _ENDS[0],
        **{name: row[name] for name in ("dropped_records", "previous_log", "previous_here")},
    }


def _of_nodes(runs: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The runs of each sidecar, in order."""
    return [list(same) for _, same in itertools.groupby(runs, key=lambda run: run["node"])]


def _between(runs: list[dict[str, Any]], period: Period) -> list[dict[str, Any]]:
    """Time inside the period in which a sidecar that ran before and after it did not."""
    made = []
    for mine in _of_nodes(runs):
        last = mine[0]
        for run in mine[1:]:
            start = max(last["ended_at"], period.start or last["ended_at"])
            end = min(run["started_at"], period.end or run["started_at"])
            if end - start > _RESTART:
                seconds = int((end - start).total_seconds())
                gap = {"node": run["node"], "from": start, "to": end, "seconds": seconds, "end": last["end"]}
                made.append(gap)
            last = max(last, run, key=lambda one: one["ended_at"])
    return made


def _changes(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where a run of a sidecar has another mode or other settings than the one before."""
    return [
        {"node": run["node"], "changed_at": run["started_at"], "what": what, "before": last[name], "after": run[name]}
        for mine in _of_nodes(runs)
        for last, run in itertools.pairwise(mine)
        for what, name in (("mode", "mode"), ("settings", "settings_sha256"))
        if last[name] != run[name]
    ]


def body(shown: dict[str, Any], words: Words) -> list[render.Section]:
    """The numbers, the runs on a time line, then each list that has anything in it."""
    charts = (*_time_line(shown, words), *_incidents(shown, words))
    made = [render.Section(title="", blocks=(facts(shown, RECORD.fields, words), *charts))]
    for field in RECORD.fields:
        if field.form is Form.RECORDS and shown.get(field.name):
            blocks = (table(shown[field.name], field.fields, words),)
            made.append(render.Section(title=words(field.shown_name), blocks=blocks))
    return made


def _time_line(shown: dict[str, Any], words: Words) -> tuple[render.Chart, ...]:
    if not shown.get("runs") or len(shown["runs"]) + len(shown["between"]) > _DRAWN:
        return ()
    running, stopped, late = words("running"), words("not running"), words("left before it was recorded")
    node_of = {run["log"]: run["node"] for run in shown["runs"]}
    spans = [(run["node"], running, run["started_at"], run["ended_at"]) for run in shown["runs"]]
    spans += [(gap["node"], stopped, gap["from"], gap["to"]) for gap in shown["between"]]
    spans += [
        (node_of[one["log"]], late, one["first_at"], one["last_at"])
        for one in shown["unrecorded"]
        if one["log"] in node_of
    ]
    says = words(
        "Starts of sidecars: {starts}; times in which one did not run in between: {gaps}.",
        starts=shown["starts"],
        gaps=len(shown["between"]),
    )
    return (
        render.Chart(
            kind=render.ChartKind.SPANS,
            title=words("Runs of each sidecar"),
            says=says,
            table=render.Table((words("Sidecar"), words("State"), words("From"), words("To")), tuple(spans)),
            tones=((running, "good"), (stopped, "bad"), (late, "warn")),
        ),
    )


def _incidents(shown: dict[str, Any], words: Words) -> tuple[render.Chart, ...]:
    found = shown.get("incidents_by_day")
    if not found:
        return ()
    says = words("Incidents: {count}, on {days} days.", count=sum(one["count"] for one in found), days=_days(found))
    return (
        render.Chart(
            kind=render.ChartKind.DAYS,
            title=words("Incidents by day"),
            says=says,
            table=render.Table(
                (words("Day"), words("Incident"), words("Count")),
                tuple((one["day"], one["incident"], one["count"]) for one in found),
            ),
        ),
    )


def _days(found: list[dict[str, Any]]) -> int:
    return len({one["day"] for one in found})


def rows(shown: dict[str, Any]) -> render.Table:
    """The runs as CSV rows."""
    return render.table_of(shown.get("runs", []), [field.name for field in _RUN])


KIND = Kind(
    name="coverage",
    title="Coverage of the log",
    record=RECORD,
    counted="runs",
    disclaimers=("D-COVER", "D-DECL", "D-NOTCERT"),
    make=make,
    body=body,
    table=rows,
    help="""When each sidecar ran and when not, what changed, and what made the log less than complete.

    \b
    Example:
      crawl-audit report coverage ./audit-log --from 2026-11-01 --to 2026-11-30 --format html -o coverage.html
    """,
)
