"""Checks C3, C4 and G1, and the coverage by the minute: which time the logs speak for, and which they do not.

A minute counts as covered where a log of any node was running in it; by how much it is vouched for is the level of the
seal over it.  What never passed the proxy cannot be seen from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reports.evidence import DamagedError, Evidence
from reports.findings import Findings, Severity, Tally
from reports.period import iso
from reports.verify_seals import SealTree

_MINUTE_US = 60_000_000
_MINUTES_MAX = 20 * 366 * 24 * 60
_GAPS_LISTED = 50
# A restart takes a few seconds; less between two logs of a node is no gap in anybody's sense.
_RESTART_US = 5_000_000
_STATES = ("not covered", "sealed", "timestamped", "pinned or witnessed")
_LEVELS = {"A2": 2, "A3": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The time one log speaks for, in microseconds; ``clean``: it said itself that it stopped."""

    log: str
    node: str
    start: int
    end: int
    clean: bool
    is_open: bool


def node_of(log: str) -> str:
    """The node in a log's name: what comes before its time and its random digits."""
    return log.rsplit("-", 2)[0]


def check(
    evidence: Evidence, trees: Mapping[str, SealTree], tallies: Mapping[str, Tally], findings: Findings
) -> dict[str, Any]:
    """Check what the logs leave out; the coverage as the answer carries it."""
    spans, custodians = [], []
    for log in evidence.logs:
        runs = _runs(evidence, log)
        if any(event in ("custody", "fleet") for _, event, _ in runs):
            custodians.append(log)
            continue
        span = _span(evidence, trees[log], runs)
        if span is not None:
            spans.append(span)
            _check_log(evidence, trees[log], span, runs, findings)
    gaps = _gaps(spans, findings)
    _check_files(evidence, findings)
    unrecorded = _check_unrecorded(evidence, findings)
    return {
        **_minutes(spans, trees, tallies),
        "gaps": gaps[:_GAPS_LISTED],
        "gaps_in_all": len(gaps),
        "gap_seconds": round(sum(gap["seconds"] for gap in gaps), 3),
        "unclean_stops": sum(not span.clean and not span.is_open for span in spans),
        "left_unrecorded": unrecorded,
        "dropped": sum(max((seal.dropped for seal in tree.seals), default=0) for tree in trees.values()),
        "custodian_logs": len(custodians),
        "incidents": _incidents(evidence),
        "live_files": len(evidence.live_files()),
        "quarantined_files": len(evidence.quarantined_files()),
    }


def _runs(evidence: Evidence, log: str) -> list[tuple[int, str, str | None]]:
    try:
        rows = evidence.rows("run", log, ("recorded_at", "event", "previous_log"), order="seq")
        return [row for row in rows if row[0] is not None]
    except DamagedError:
        return []


def _span(evidence: Evidence, tree: SealTree, runs: list[tuple[int, str, str | None]]) -> Span | None:
    """From the start to the last seal; where the log was closed by recovery, to the last thing it recorded itself."""
    if not tree.seals:
        return None
    last = tree.seals[-1]
    start = runs[0][0] if runs else tree.seals[0].recorded_at
    end = int(last.recorded_at)
    if last.reason == "recovered":
        before = tree.seals[-2].recorded_at if tree.size > 1 else start
        decided = f"(SELECT max(recorded_at) AS at FROM {evidence.relation('decision', tree.log)})"  # noqa: S608 - our own
        try:
            ((at,),) = evidence.select(f"SELECT epoch_us(at) FROM {decided} AS decided")  # noqa: S608 - our own
        except DamagedError:
            at = None
        end = max(before, at if at is not None else start)
    node, clean = node_of(tree.log), last.reason == "shutdown"
    is_open = last.reason not in ("shutdown", "recovered")
    return Span(log=tree.log, node=node, start=start, end=max(start, end), clean=clean, is_open=is_open)


def _check_log(
    evidence: Evidence, tree: SealTree, span: Span, runs: list[tuple[int, str, str | None]], findings: Findings
) -> None:
    if not span.clean and not span.is_open:
        message = f"The sidecar stopped without closing this log, at some time after {_iso(span.end)}: unclean gap."
        findings.add("C3", Severity.WARNING, span.log, message)
    dropped = max((seal.dropped for seal in tree.seals), default=0)
    if dropped:
        message = f"{dropped:,} records could not be made durable; their requests did not leave."
        findings.add("C4", Severity.INFO, span.log, message)
    for _, event, previous in runs:
        if event == "start" and previous is not None and previous not in evidence.logs:
            message = f"It says that the log before it was {previous}, which is not here: ask for it."
            findings.add("C3", Severity.WARNING, span.log, message)


def _gaps(spans: list[Span], findings: Findings) -> list[dict[str, Any]]:
    """Time between the logs of one node, and why as far as the logs say."""
    made = []
    for node in sorted({span.node for span in spans}):
        end: Span | None = None
        for span in sorted((s for s in spans if s.node == node), key=lambda s: (s.start, s.end)):
            if end is not None and span.start - end.end > _RESTART_US:
                why = "stopped in order" if end.clean else "stopped without closing its log"
                seconds = (span.start - end.end) / 1_000_000
                gap = {"node": node, "from": _iso(end.end), "to": _iso(span.start), "seconds": seconds, "why": why}
                made.append(gap)
                message = f"Nothing is on record of {node} from {gap['from']} to {gap['to']} ({why} before)."
                findings.add("C3", Severity.INFO if end.clean else Severity.WARNING, span.log, message)
            end = span if end is None or span.end >= end.end else end
    return made


def _check_files(evidence: Evidence, findings: Findings) -> None:
    for what, names, cure in (
        ("live", evidence.live_files(), "their records cannot be read yet; `crawl-audit-proxy seal` publishes them."),
        (
            "quarantine",
            evidence.quarantined_files(),
            "the sidecar could not open them; their records were not checked.",
        ),
    ):
        if names:
            findings.add("C3", Severity.WARNING, f"{what}/", f"{len(names)} file(s) lie here: {cure}")


def _check_unrecorded(evidence: Evidence, findings: Findings) -> int:
    """G1: requests that left before their record was durable."""
    total = 0
    for log in evidence.logs:
        try:
            rows = list(evidence.rows("gap", log, ("seq", "requests", "kept", "cause"), order="seq"))
        except DamagedError:
            continue
        for seq, requests, kept, cause in rows:
            total += requests or 0
            message = f"{requests:,} requests left before they were recorded ({cause}); {kept:,} were recorded later."
            findings.add("G1", Severity.WARNING, f"{log} seq {seq}", message)
    return total


def _incidents(evidence: Evidence) -> dict[str, int]:
    sql = f"SELECT incident, count(*) FROM {evidence.relation('incident')} AS i GROUP BY 1 ORDER BY 1 LIMIT 100"  # noqa: S608
    try:
        return {word: count for word, count in evidence.select(sql) if word is not None}
    except DamagedError:
        return {}


def _minutes(spans: list[Span], trees: Mapping[str, SealTree], tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """How many minutes from the first start to the last end are covered, by the best that vouches for each."""
    if not spans:
        return {"from": None, "to": None, "minutes": 0, "by_state": dict.fromkeys(_STATES, 0)}
    first, last = min(span.start for span in spans), max(span.end for span in spans)
    origin = first // _MINUTE_US
    count = last // _MINUTE_US - origin + 1
    by_state = dict.fromkeys(_STATES, 0)
    if count <= _MINUTES_MAX:
        minutes = bytearray(count)
        for span in spans:
            begin = span.start
            for seal, level in _levels(trees[span.log], tallies[span.log]):
                _cover(minutes, begin // _MINUTE_US - origin, min(seal, span.end) // _MINUTE_US - origin, level)
                begin = seal
        by_state = {state: minutes.count(number) for number, state in enumerate(_STATES)}
    return {"from": _iso(first), "to": _iso(last), "minutes": count, "by_state": by_state}


def _levels(tree: SealTree, tally: Tally) -> list[tuple[int, int]]:
    """(time of a seal, state of the time up to it) of every seal."""
    reached = {
        level: max((one.last_seq for one in tally.levels if one.level == level), default=-1) for level in _LEVELS
    }
    made: list[tuple[int, int]] = []
    for seal in tree.seals:
        state = max((number for level, number in _LEVELS.items() if seal.seq <= reached[level]), default=1)
        made.append((seal.recorded_at, state))
    return made


def _cover(minutes: bytearray, first: int, last: int, state: int) -> None:
    """Mark minutes; where one is in two states, the weaker is said of it."""
    for minute in range(max(first, 0), min(last, len(minutes) - 1) + 1):
        minutes[minute] = min(minutes[minute], state) or state


def _iso(instant: int) -> str:
    try:
        return str(iso(datetime.fromtimestamp(instant / 1_000_000, UTC)))
    except (OverflowError, OSError, ValueError):
        return f"{instant} µs"
