"""What a report of coverage must show of a log, computed from its records without a line of the reports' SQL."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from polars import DataFrame, col

from reports.period import Period


def expected(frames: dict[str, DataFrame], period: Period) -> dict[str, Any]:
    """Numbers, and the lists as sets of what tells their rows apart."""
    runs = _runs(frames, period)
    between = _between(runs, period)
    silences = _silences(frames, period)
    incidents = _inside(frames["incident"], period).with_columns(col("recorded_at").dt.date().cast(str).alias("day"))
    by_day = incidents.group_by("day", "incident").len().sort("day", "incident")
    changes = {
        (run["node"], run["started_at"], name, before[name], run[name])
        for before, run in _pairs(runs)
        for name in ("mode", "settings_sha256")
        if before[name] != run[name]
    }
    return {
        "sidecars": len({run["node"] for run in runs}),
        "starts": len(runs),
        "orderly_stops": sum(run["stopped"] for run in runs),
        "seconds_between": sum(int((end - start).total_seconds()) for _, start, end in between),
        "minutes_without_seal": sum((end - start) // timedelta(minutes=1) for _, start, end in silences),
        "modes": sorted({run["mode"] for run in runs}),
        "runs": {(run["log"], run["started_at"], run["ended_at"], run["seals"]) for run in runs},
        "between": set(between),
        "changes": changes,
        "silences": set(silences),
        "incidents_by_day": by_day.rows(),
        "anchors": {
            (log, method, authority, receipts) for log, method, authority, receipts in _anchors(frames, period).rows()
        },
    }


def _inside(frame: DataFrame, period: Period) -> DataFrame:
    if period.start is not None:
        frame = frame.filter(col("recorded_at") >= period.start)
    return frame if period.end is None else frame.filter(col("recorded_at") < period.end)


def _runs(frames: dict[str, DataFrame], period: Period) -> list[dict[str, Any]]:
    made = []
    for run in frames["run"].filter(col("event") == "start").sort("node", "recorded_at", "log").iter_rows(named=True):
        mine = col("log") == run["log"]
        stops = frames["run"].filter(mine & (col("event") == "stop"))["recorded_at"].to_list()
        seals = frames["seal"].filter(mine)["recorded_at"].to_list()
        ended = max([run["recorded_at"], *(stops or seals)])
        if (period.start is None or ended >= period.start) and (period.end is None or run["recorded_at"] < period.end):
            more = {"started_at": run["recorded_at"], "ended_at": ended, "stopped": bool(stops), "seals": len(seals)}
            made.append({**run, **more})
    return made


def _pairs(runs: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each run of a sidecar with the one before it."""
    return [(a, b) for a, b in itertools.pairwise(runs) if a["node"] == b["node"]]


def _between(runs: list[dict[str, Any]], period: Period) -> list[tuple[Any, Any, Any]]:
    made = []
    for node in {run["node"] for run in runs}:
        mine = [run for run in runs if run["node"] == node]
        for number, run in enumerate(mine[1:], start=1):
            start, end = max(one["ended_at"] for one in mine[:number]), run["started_at"]
            start = start if period.start is None else max(start, period.start)
            end = end if period.end is None else min(end, period.end)
            if end - start > timedelta(seconds=5):
                made.append((node, start, end))
    return made


def _silences(frames: dict[str, DataFrame], period: Period) -> list[tuple[Any, Any, Any]]:
    made = []
    events = frames["run"].filter(col("event").is_in(["start", "stop"]))
    for log in sorted(set(frames["seal"]["log"]) | set(events["log"])):
        times = [
            *frames["seal"].filter(col("log") == log)["recorded_at"],
            *events.filter(col("log") == log)["recorded_at"],
        ]
        times.sort()
        for start, end in itertools.pairwise(times):
            if end - start <= timedelta(minutes=2):
                continue
            low = start if period.start is None else max(start, period.start)
            high = end if period.end is None else min(end, period.end)
            if high - low > timedelta(minutes=2):
                made.append((log, low, high))
    return made


def _anchors(frames: dict[str, DataFrame], period: Period) -> DataFrame:
    inside = [
        log
        for (log,), seals in frames["seal"].group_by(["log"])
        if (period.start is None or seals["recorded_at"].max() >= period.start)
        and (period.end is None or seals["recorded_at"].min() < period.end)
    ]
    found = frames["anchor"].filter(col("log").is_in(inside)).group_by("log", "method", "authority").len()
    return found.sort("log", "method", "authority")
