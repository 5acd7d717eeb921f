"""What a round of the fleet's job says of each log: what was found, held against what was collected before.

Pure: the same sources, history and time give the same records.  Every enrolled sidecar has a record in every round,
for its newest log; another log of it only where something changed, so that old logs cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from crawl_audit.fleet_records import FleetHead, FleetState
from crawl_audit.records import Instant
from crawl_audit.text import storable
from reports.fleet_source import Found
from reports.verify_coverage import node_of

_DETAIL_MAX = 300
BROKEN = (FleetState.FORKED, FleetState.ROLLED_BACK, FleetState.INVALID)
"""States whose head is not one that later ones are held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is on record of a log: its last record, and the largest head that was collected without a fault."""

    last: FleetHead
    size: int | None
    root: str | None
    checked_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What the fleet log says before a round: who is enrolled (with which key, if any), who was, what is known."""

    enrolled: Mapping[str, str | None]
    retired: Collection[str]
    known: Mapping[str, Known]
    rounds: int


def judge(fleet: Fleet, found: Iterable[Mapping[str, Found]], at: Instant, silent_after: float) -> list[FleetHead]:
    """The records of a round; ``found``: the logs of each source, ``silent_after``: in intervals of idle seals."""
    shown: dict[str, list[Found]] = {}
    for logs in found:
        for log, one in logs.items():
            shown.setdefault(log, []).append(one)
    rows = {log: _row(fleet, several, at, silent_after) for log, several in shown.items()}
    for log, known in fleet.known.items():
        if log not in rows:
            rows[log] = _gone(fleet, known, at)
    for several in shown.values():
        for before in several[0].previous_logs:
            if before not in rows:
                rows[before] = _never_collected(fleet, before, several[0].log, at)
    newest = _newest(rows)
    rows = {log: _superseded(row, newest) for log, row in rows.items()}
    chosen = [row for log, row in sorted(rows.items()) if _is_due(fleet, row, newest.get(row.node) == log)]
    return chosen + [_never_seen(fleet, node, at) for node in sorted(fleet.enrolled) if node not in newest]


def _newest(rows: Mapping[str, FleetHead]) -> dict[str, str]:
    """The newest log of each node: names of logs end with the time of their start."""
    made: dict[str, str] = {}
    for log, row in rows.items():
        other = made.get(row.node)
        if other is None or log.rsplit("-", 2)[1:] > other.rsplit("-", 2)[1:]:
            made[row.node] = log
    return made


def _is_due(fleet: Fleet, row: FleetHead, is_newest: bool) -> bool:
    if is_newest and row.node in fleet.enrolled:
        return True
    known = fleet.known.get(row.subject_log or "")
    return known is None or _essence(row) != _essence(known.last)


def _essence(row: FleetHead) -> tuple[object, ...]:
    return (row.state, row.size, row.root, row.closing, row.enrolled)


def _row(fleet: Fleet, several: list[Found], at: Instant, silent_after: float) -> FleetHead:
    first = max(several, key=lambda one: (one.fault is None, one.seals.size, one.head.size if one.head else -1))
    known = fleet.known.get(first.log)
    row = _judged(fleet, first, known, at, silent_after)
    for other in several:
        size = min(other.seals.size, first.seals.size)
        if other is not first and other.seals.root(size) != first.seals.root(size):
            return replace(row, state=FleetState.FORKED, detail="two sources show different seals of it")
    return row


def _judged(fleet: Fleet, found: Found, known: Known | None, at: Instant, silent_after: float) -> FleetHead:
    base = FleetHead(
        recorded_at=at,
        round_index=fleet.rounds,
        node=found.node,
        enrolled=found.node in fleet.enrolled,
        subject_log=found.log,
        state=FleetState.INVALID,
        size=None,
        root=None,
        signature=found.signature,
        log_key=found.log_key,
        checked_size=0 if known is None else known.checked_size,
        head_at=None if known is None else known.last.head_at,
        closing=None,
        detail=None,
    )
    head = found.head
    if head is None or found.fault is not None:
        return replace(base, detail=_said(found.fault or "it has no signed head"))
    base = replace(base, size=head.size, root=head.root.hex())
    contradiction = _contradiction(found, known)
    if contradiction is not None:
        state, why = contradiction
        return replace(base, state=state, detail=_said(why))
    here = found.seals.size
    checked = head.size if head.size <= here else known.size if known and (known.size or 0) <= here else None
    head_at = _head_at(found, known, at)
    closing = found.seals.closing if head.size == here else None
    base = replace(
        base, checked_size=base.checked_size if checked is None else checked, head_at=head_at, closing=closing
    )
    stranger = _stranger(fleet, found, known)
    if stranger is not None:
        return replace(base, state=FleetState.NOT_ENROLLED, detail=_said(stranger))
    if closing is not None:
        return replace(base, state=FleetState.CLOSED)
    limit_s = silent_after * found.idle_s
    if at - head_at > limit_s * 1_000_000:
        why = f"no new head for {(at - head_at) // 1_000_000} s; one is due every {found.idle_s:g} s"
        return replace(base, state=FleetState.SILENT, detail=why)
    return replace(base, state=FleetState.OPEN)


def _contradiction(found: Found, known: Known | None) -> tuple[FleetState, str] | None:
    """What a log's head and seals contradict: what was collected before, or one another."""
    head, here = found.head, found.seals.size
    assert head is not None, "only a log with a head is looked at"
    if known is not None and known.last.log_key and found.log_key and known.last.log_key != found.log_key:
        return FleetState.FORKED, "its run record names another key than before"
    if known is not None and known.size is not None:
        if here >= known.size and found.seals.root(known.size).hex() != known.root:
            return FleetState.FORKED, f"its first {known.size} seals are not those of the head collected before"
        if head.size == known.size and head.root.hex() != known.root:
            return FleetState.FORKED, f"its head of {head.size} seals is another than the one collected before"
        if head.size < known.size:
            return FleetState.ROLLED_BACK, f"its head is of {head.size} seals, one of {known.size} was collected before"
        if here < known.checked_size:
            return FleetState.ROLLED_BACK, f"{here} seals are here, {known.checked_size} were here before"
    if head.size <= here and found.seals.root(head.size) != head.root:
        return FleetState.FORKED, "its signed head is not that of its seals"
    return None


def _head_at(found: Found, known: Known | None, at: Instant) -> Instant:
    """Time of the newest head: that of its seal, and not later than the first round that found it."""
    assert found.head is not None, "only a log with a head is looked at"
    if known is not None and known.size == found.head.size and known.last.head_at is not None:
        return known.last.head_at
    published = found.seals.last_at if found.head.size <= found.seals.size else None
    return at if published is None else min(at, published)


def _stranger(fleet: Fleet, found: Found, known: Known | None) -> str | None:
    """Why a log is nobody's that was enrolled; a custodian's log needs no enrolment, as it covers no crawling."""
    if found.is_custodian:
        return None
    if found.node in fleet.enrolled:
        key = fleet.enrolled[found.node]
        if key is not None and found.log_key is not None and found.log_key != key:
            return "it is signed by another key than the one enrolled for its sidecar"
        return None
    if found.node in fleet.retired:
        return (
            None
            if known is not None and known.last.state is not FleetState.NOT_ENROLLED
            else ("its sidecar was retired before it was found")
        )
    return "nobody enrolled its sidecar"


def _gone(fleet: Fleet, known: Known, at: Instant) -> FleetHead:
    last = known.last
    why = last.detail
    if last.state is not FleetState.GONE:
        why = f"it is in none of the sources any more; it was {last.state.value} before"
    return replace(
        last,
        recorded_at=at,
        round_index=fleet.rounds,
        enrolled=last.node in fleet.enrolled,
        state=FleetState.GONE,
        size=known.size,
        root=known.root,
        signature=last.signature if last.size == known.size else None,
        checked_size=known.checked_size,
        detail=why,
    )


def _never_collected(fleet: Fleet, log: str, by: str, at: Instant) -> FleetHead:
    return replace(
        _never_seen(fleet, node_of(log), at),
        subject_log=log,
        state=FleetState.GONE,
        detail=f"{by} names it as the log before it, and it was never found",
    )


def _never_seen(fleet: Fleet, node: str, at: Instant) -> FleetHead:
    return FleetHead(
        recorded_at=at,
        round_index=fleet.rounds,
        node=node,
        enrolled=node in fleet.enrolled,
        subject_log=None,
        state=FleetState.NEVER_SEEN,
        size=None,
        root=None,
        signature=None,
        log_key=None,
        checked_size=0,
        head_at=None,
        closing=None,
        detail="no log of it was ever found",
    )


def _superseded(row: FleetHead, newest: Mapping[str, str]) -> FleetHead:
    """An open log beside a newer one of the same sidecar was not closed: its process is gone."""
    if row.state is not FleetState.OPEN or newest[row.node] == row.subject_log:
        return row
    return replace(
        row, state=FleetState.SILENT, detail="its sidecar goes on in a newer log, and nobody closed this one"
    )


def _said(text: str) -> str:
    """A sentence as a record may hold it, whatever a stranger put into it."""
    return storable(text, _DETAIL_MAX)
