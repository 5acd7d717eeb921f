"""``fleet verify``: from the fleet's head down to the records of every sidecar, and by name who is not as it should be.

The fleet log is verified as any log.  Each head it has of a sidecar's log is then a pin to which that log is held, as
far as the auditor has it; what was found wrong in any round stays found, whatever the log looks like now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crawl_audit.errors import LogFormatError
from crawl_audit.fleet_records import FleetHead, FleetState
from crawl_audit.seal import Verifier, checkpoint_text, origin, parse_checkpoint, parse_note
from reports import fleet_rounds, fleet_source, verify
from reports.brought import Brought, Pin
from reports.findings import Findings, Result, Severity, Tally
from reports.fleet_log import name_in
from reports.fleet_rounds import Rounds
from reports.period import UsageError, iso, now
from reports.steadiness import ChangedError
from reports.verify import Progress

_CHECKS: dict[FleetState, tuple[str, Severity]] = {
    FleetState.FORKED: ("E1", Severity.ERROR),
    FleetState.ROLLED_BACK: ("E2", Severity.ERROR),
    FleetState.GONE: ("E3", Severity.ERROR),
    FleetState.INVALID: ("E4", Severity.ERROR),
    FleetState.SILENT: ("E5", Severity.WARNING),
    FleetState.NOT_ENROLLED: ("E6", Severity.WARNING),
    FleetState.NEVER_SEEN: ("E6", Severity.WARNING),
}
"""The check under which a state is named, and what it means for the result."""
_NOW = {"H4": FleetState.FORKED, "H2": FleetState.FORKED, "H3": FleetState.ROLLED_BACK}
"""What it means for a log that it does not fit a head collected of it."""
_EXPECTED = {"S6", "H5"}
"""Findings on a log that goes on: the fleet's head says up to where it is held to anything."""


@dataclass(slots=True, kw_only=True)
class Sidecar:
    """One log of a sidecar in the answer."""

    node: str
    log: str | None
    state: str
    size: int | None
    root: str | None
    through: str | None
    round_index: int
    verified: bool = False


def verify_fleet(
    path: str, sources: Sequence[str], *, brought: Brought, replay: bool = True, progress: Progress | None = None
) -> dict[str, Any]:
    """The answer of a verification of the fleet log in ``path``, and of the logs in ``sources`` as far as given."""
    root = fleet_source.local(path)
    log = name_in(Path(root))
    if log is None:
        raise UsageError(f"{path} holds no fleet log: name the directory that `crawl-audit fleet collect` writes to.")
    own = _brought_for(brought, lambda pin: pin.head is None or pin.head.origin == origin(log))
    fleet_answer = verify.verify(root, brought=own, replay=False)
    findings = Findings()
    _take(fleet_answer, findings, {log})
    rounds = fleet_rounds.read(root)
    for fault in rounds.faults:
        findings.add("E7", Severity.ERROR, log, fault)
    if not rounds.count:
        findings.add("E8", Severity.WARNING, log, "No round was made yet, so nothing is known of any sidecar.")
    sidecars = {_place(head): _sidecar(head) for head in rounds.last}
    _name(rounds, findings)
    skipped = list(fleet_answer["not_checked"])
    if sources:
        skipped += _sources(sources, rounds, brought, findings, sidecars, replay=replay, progress=progress)
    else:
        why = "no source was named"
        skipped.append({"what": "logs of sidecars", "count": len(rounds.last), "why": why})
        findings.add("E8", Severity.WARNING, log, "The logs of the sidecars were not looked at: name their sources.")
    listed = [{**asdict(one), "severity": one.severity.value} for one in findings.listed()]
    return {
        "result": findings.result.value,
        "checks": findings.counts,
        "findings": listed,
        "fleet": _fleet(fleet_answer, rounds),
        "sidecars": [asdict(one) for _, one in sorted(sidecars.items())],
        "not_checked": skipped,
        "brought": fleet_answer["brought"],
        "generated_at": iso(now()),
    }


def _brought_for(brought: Brought, wanted: Any) -> Brought:
    return replace(brought, pins=tuple(pin for pin in brought.pins if wanted(pin)))


def _take(
    answer: dict[str, Any], findings: Findings, held: set[str], *, calmed: frozenset[str] = frozenset({"S6"})
) -> None:
    """Take over the findings of a verification; those expected of a log that is held to its head only inform."""
    for one in answer["findings"]:
        severity = Severity(one["severity"])
        if one["check"] in calmed and one["where"].partition(" ")[0] in held and severity is Severity.WARNING:
            severity = Severity.INFO
        findings.add(one["check"], severity, one["where"], one["message"])


def _place(head: FleetHead) -> tuple[str, str]:
    return head.node, head.subject_log or ""


def _sidecar(head: FleetHead) -> Sidecar:
    return Sidecar(
        node=head.node,
        log=head.subject_log,
        state=head.state.value,
        size=head.size,
        root=head.root,
        through=None if head.head_at is None else utc(head.head_at),
        round_index=head.round_index,
    )


def _name(rounds: Rounds, findings: Findings) -> None:
    """A finding for whatever is wrong in the last round, and for every contradiction in an earlier one."""
    for head in rounds.last:
        if head.state in _CHECKS:
            check, severity = _CHECKS[head.state]
            findings.add(check, severity, _where(head), _sentence(head))
    shown = {(_place(head), head.state) for head in rounds.last}
    for head in rounds.broken:
        if (_place(head), head.state) not in shown:
            check, severity = _CHECKS[head.state]
            message = f"{_sentence(head)} That was in round {head.round_index}; it looks otherwise now."
            findings.add(check, severity, _where(head), message)


def _where(head: FleetHead) -> str:
    return head.subject_log or f"{head.node} sidecar"


def _sentence(head: FleetHead) -> str:
    return f"The sidecar {head.node} is {head.state.value} at {utc(head.recorded_at)}: {head.detail}."


def _sources(
    sources: Sequence[str],
    rounds: Rounds,
    brought: Brought,
    findings: Findings,
    sidecars: dict[tuple[str, str], Sidecar],
    *,
    replay: bool,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """Hold the logs of every source to the heads collected of them; what was not checked."""
    collected = {head.subject_log: head for head in rounds.best}
    names = {head.subject_log: sidecars[_place(head)] for head in rounds.last if head.subject_log is not None}
    seen: set[str] = set()
    skipped: list[dict[str, Any]] = []
    places = fleet_source.places(list(sources))
    for number, place in enumerate(places):
        here = fleet_source.log_names(place)
        if here is None:
            findings.add("E8", Severity.WARNING, place, "This source is not there, or is no log directory.")
            continue
        seen |= here
        pins = tuple(pin for log in sorted(here) if (pin := _pin(log, collected.get(log))) is not None)
        theirs = tuple(pin for pin in brought.pins if pin.head and pin.head.origin.removeprefix("crawl-audit/") in here)
        trust = (*brought.trust, *_keys([collected[log] for log in here if log in collected]))
        try:
            answer = verify.verify(place, brought=replace(brought, pins=(*pins, *theirs), trust=trust), replay=replay)
        except ChangedError as error:  # its sidecar is at work; that is no reason to leave the others unlooked at
            findings.add("E8", Severity.WARNING, place, str(error))
            continue
        _held(answer, {pin.name for pin in pins}, names, findings)
        skipped += answer["not_checked"]
        if progress is not None:
            progress(number + 1, len(places))
    _absent(collected, seen, names, findings)
    for log in sorted(seen - set(names)):
        findings.add("E6", Severity.WARNING, log, "No round ever found this log: nobody enrolled it, or it is newer.")
    return skipped


def _held(answer: dict[str, Any], pinned: set[str], names: dict[str, Sidecar], findings: Findings) -> None:
    """The findings on the logs of one source, and what they mean for the sidecars."""
    sound = {
        log["log"]
        for log in answer["logs"]
        if any(one["level"] == "A3" for one in log["levels"]) and log["log"] in pinned
    }
    for one in answer["findings"]:
        log = one["where"].partition(" ")[0]
        if one["severity"] == Severity.ERROR.value and log in names:
            sound.discard(log)
            if one["check"] in _NOW:
                _worse(names[log], _NOW[one["check"]], findings, one["message"])
    for log in sound & set(names):
        names[log].verified = True
    _take(answer, findings, sound, calmed=frozenset(_EXPECTED))


def _worse(sidecar: Sidecar, state: FleetState, findings: Findings, why: str) -> None:
    """A sidecar's log is not what the fleet log says of it: it is named by the state that this is."""
    if sidecar.state == state.value or sidecar.state == FleetState.FORKED.value:
        return
    sidecar.state = state.value
    check, severity = _CHECKS[state]
    message = f"The log of sidecar {sidecar.node} does not fit the head collected of it, so it is {state.value}: {why}"
    findings.add(check, severity, sidecar.log or sidecar.node, message)


def _absent(
    collected: dict[str | None, FleetHead], seen: set[str], names: dict[str, Sidecar], findings: Findings
) -> None:
    """E3: logs of which heads were collected and that are in none of the sources."""
    for log, sidecar in names.items():
        if log in seen or sidecar.state == FleetState.GONE.value:
            continue
        sidecar.state = FleetState.GONE.value
        size = collected[log].size if log in collected else None
        message = f"The log of sidecar {sidecar.node} is in none of the sources; a head of {size} seals was collected."
        findings.add("E3", Severity.ERROR, log, message)


def note_of(head: FleetHead | None) -> str | None:
    """The signed note that was collected of a log, put together again from its record; None where it was not signed."""
    if head is None or head.subject_log is None or not head.signature or head.size is None or head.root is None:
        return None
    return f"{checkpoint_text(origin(head.subject_log), head.size, bytes.fromhex(head.root))}\n{head.signature}\n"


def _pin(log: str, head: FleetHead | None) -> Pin | None:
    """The head collected of a log as a pin, under the log's name."""
    note = note_of(head)
    if note is None:
        return None
    try:
        return Pin(name=log, note=note, head=parse_checkpoint(parse_note(note).text))
    except LogFormatError as error:
        return Pin(name=log, note=note, head=None, fault=str(error))


def _keys(heads: Sequence[FleetHead]) -> list[Verifier]:
    """The keys that the fleet log vouches for: those of logs that are not a stranger's."""
    made = []
    for head in heads:
        try:
            vouched = head.log_key is not None and head.state is not FleetState.NOT_ENROLLED
            made += [Verifier.parse(head.log_key)] if vouched and head.log_key else []
        except LogFormatError:
            continue  # the log that names such a key fails by itself
    return made


def _fleet(answer: dict[str, Any], rounds: Rounds) -> dict[str, Any]:
    (log,) = [one for one in answer["logs"] if one["log"] == rounds.log] or [asdict(Tally(log=rounds.log))]
    return {
        "log": rounds.log,
        "key": log["key"],
        "size": log["seals"],
        "rounds": rounds.count,
        "last_round_at": None if rounds.at is None else utc(rounds.at),
        "result": Result(answer["result"]).value,
        "levels": log["levels"],
    }


def utc(instant: int) -> str:
    """An instant as people read it, to the second."""
    return f"{datetime.fromtimestamp(instant // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
