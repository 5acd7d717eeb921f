"""Legal holds: which records nobody may erase or prune, placed and released in custodian logs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from crawl_audit.records import Custody, Instant
from crawl_audit.text import storable
from reports import selecting
from reports.custody import Entry, Published, history, next_instant, publish
from reports.matching import EVERYTHING, Subject, parse_subject
from reports.period import Period, UsageError, iso
from reports.rewriting import Bench

_SCOPE = re.compile(r"(?P<subject>\S+)(?: from (?P<start>\S+)Z)?(?: to (?P<end>\S+)Z)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold in force: what it covers (``subject`` None: everything), why, and by whom it was placed."""

    id: str
    scope: str
    subject: Subject | None
    period: Period
    reason: str
    custodian: str
    placed_at: Instant


def scope_text(subject: str, period: Period) -> tuple[str, Subject | None]:
    """A scope as it is recorded, and its subject; raises UsageError for what is neither domain, URL nor `all`."""
    parsed = None if subject == EVERYTHING else parse_subject(subject)
    text = EVERYTHING if parsed is None else parsed.normalised
    start = f" from {iso(period.start)}" if period.start else ""
    end = f" to {iso(period.end)}" if period.end else ""
    return text + start + end, parsed


def in_force(entries: Sequence[Entry]) -> list[Hold]:
    """The holds that were placed and not released, in the order they were placed."""
    released = {entry.record.hold for entry in entries if entry.record.event == "hold_released"}
    placed = [entry.record for entry in entries if entry.record.event == "hold_placed"]
    return [_hold(record) for record in placed if record.hold not in released]


def _hold(record: Custody) -> Hold:
    # A scope that cannot be read (withheld, or by a later version) is taken for everything: a hold errs to keep.
    match = _SCOPE.fullmatch(record.scope or "")
    subject, period = None, Period()
    if match is not None:
        try:
            subject = None if match["subject"] == EVERYTHING else parse_subject(match["subject"])
            period = Period(start=_moment(match["start"]), end=_moment(match["end"]))
        except (UsageError, ValueError):
            subject, period = None, Period()
    return Hold(
        id=record.hold or "",
        scope=record.scope or EVERYTHING,
        subject=subject,
        period=period,
        reason=record.reason,
        custodian=record.custodian,
        placed_at=record.recorded_at,
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def place(bench: Bench, scope: str, period: Period, reason: str, by: str) -> tuple[str, Published]:
    """Put a hold on record; its id."""
    text, _ = scope_text(scope, period)
    name = f"hold-{os.urandom(4).hex()}"
    return name, publish(bench, [_record(bench, "hold_placed", name, text, reason, by)])


def release(bench: Bench, name: str, reason: str, by: str) -> Published:
    """Put the end of a hold on record; raises UsageError where no such hold is in force."""
    held = {hold.id: hold for hold in in_force(history(bench))}
    if name not in held:
        known = ", ".join(sorted(held)) or "none"
        raise UsageError(f"No hold {name} is in force (in force: {known}); `crawl-audit hold list` shows them.")
    return publish(bench, [_record(bench, "hold_released", name, held[name].scope, reason, by)])


def _record(bench: Bench, event: str, name: str, scope: str, reason: str, by: str) -> Custody:
    return Custody(
        recorded_at=next_instant(bench),
        event=event,
        hold=name,
        subject_log=None,
        first_seq=None,
        last_seq=None,
        rows=0,
        fields=(),
        leaves_sha256=None,
        scope=scope,
        reason=storable(reason, 2000),
        custodian=storable(by, 200),
    )


def gather(bench: Bench) -> list[Hold]:
    """Fill ``held(log, seq, hold)`` with every record under a hold, and give the holds in force."""
    found = in_force(history(bench))
    bench.connection.execute("CREATE OR REPLACE TEMP TABLE held (log VARCHAR, seq BIGINT, hold VARCHAR)")
    for hold in found:
        selecting.choose(bench, hold.subject, hold.period, unknown=True)
        bench.connection.execute("INSERT INTO held SELECT log, seq, ? FROM chosen", [hold.id])
    return found
