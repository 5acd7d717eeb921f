"""The fleet's job: one round looks at every source, records what it found of every sidecar, signs it and has it dated.

A round always writes its records, unchanged or not: that they were seen at this time is the statement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from crawl_audit.fleet_records import FleetHead, FleetNode, FleetState
from crawl_audit.records import Instant, Record
from crawl_audit.seal import Signer
from reports import fleet_history, fleet_receipts, fleet_seen, fleet_source, fleet_states
from reports.fleet_log import FleetLog, name_in, open_fleet
from reports.fleet_seen import Seen
from reports.fleet_source import Source
from reports.fleet_states import Fleet
from reports.period import UsageError
from reports.timestamps import TrustedAuthorities

SILENT_AFTER = 15.0
"""Intervals of idle seals without a new head after which a log counts as silent: 15 minutes by default."""
WELL = (FleetState.OPEN, FleetState.CLOSED)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a round left: its records, its head, and sentences about what could not be done."""

    log: str
    index: int
    at: Instant
    heads: tuple[FleetHead, ...]
    checkpoint: str
    timestamps: tuple[str, ...]
    faults: tuple[str, ...]

    def answer(self) -> dict[str, Any]:
        """The round as JSON."""
        states = Counter(head.state.value for head in self.heads)
        named = [_named(head) for head in self.heads if head.state not in WELL]
        return {
            "fleet_log": self.log,
            "round": self.index,
            "records": len(self.heads),
            "states": dict(sorted(states.items())),
            "named": named,
            "timestamps": list(self.timestamps),
            "faults": list(self.faults),
            "checkpoint": self.checkpoint,
        }


def _named(head: FleetHead) -> dict[str, Any]:
    whole = asdict(head)
    return {
        "node": head.node,
        "log": head.subject_log,
        "state": head.state.value,
        **{name: whole[name] for name in ("size", "root", "detail")},
    }


def collect(
    path: str,
    sources: Sequence[str],
    signer: Signer,
    *,
    tsa: Sequence[str] = (),
    authorities: TrustedAuthorities | None = None,
    silent_after: float = SILENT_AFTER,
    publish: str | None = None,
    progress: Progress | None = None,
) -> Round:
    """Make a round over ``sources`` and add it to the fleet log in ``path``; raises CrawlAuditError."""
    if tsa and authorities is None:
        raise UsageError("Tokens are verified before they are kept: name the authority's certificates with --tsa-ca.")
    for url in tsa:
        fleet_receipts.authority_of(url)
    if publish is not None and publish.rstrip("/") in [source.rstrip("/") for source in sources]:
        raise UsageError(
            f"The fleet log needs a place of its own: ship it to {publish.rstrip('/')}/fleet, not among other logs."
        )
    if not begun(path):
        raise ConfigurationError(f"Nobody is enrolled in {path}: enrol sidecars with `crawl-audit fleet enrol`.")
    with open_fleet(path, signer) as fleet_log:
        fleet, receipts = fleet_history.read(path)
        seen = fleet_seen.load(fleet_log.root)
        cache = fleet_log.root / "tmp" / "sources"
        found, faults = _look(sources, seen, cache, progress)
        at = fleet_log.next_instant()
        heads = fleet_states.judge(fleet, [one.logs for one in found], at, silent_after)
        if seen and any(head.state in fleet_states.BROKEN for head in heads):  # nobody is accused from memory
            found, faults = _look(sources, {}, cache, progress)
            heads = fleet_states.judge(fleet, [one.logs for one in found], at, silent_after)
        anchors: list[Record] = []
        if authorities is not None:
            anchors += fleet_receipts.unrecorded(fleet_log.root, fleet_log.log, receipts, authorities, at)
        note = fleet_log.append([*anchors, *heads], at)
        fleet_seen.store(fleet_log.root, _remembered(found, heads))
        stamped: tuple[str, ...] = ()
        if tsa and authorities is not None:
            asked = fleet_receipts.show(fleet_log.root, fleet_log.log, note, tsa, authorities)
            stamped, faults = asked.kept, [*faults, *asked.faults]
        if publish is not None:
            faults += _published(fleet_log, publish)
        return Round(
            log=fleet_log.log,
            index=fleet.rounds,
            at=at,
            heads=tuple(heads),
            checkpoint=note,
            timestamps=stamped,
            faults=tuple(faults),
        )


def _published(fleet_log: FleetLog, address: str) -> list[str]:
    """Ship the fleet log; why it could not be: the round is on record all the same, and the next one ships the rest."""
    from reports import fleet_remote  # brings the client of object stores

    try:
        fleet_remote.publish(fleet_log.root, fleet_log.log, address)
    except CrawlAuditError as error:
        return [f"The fleet log was not shipped: {error}"]
    return []


def _remembered(found: Sequence[Source], heads: Sequence[FleetHead]) -> dict[str, Seen]:
    """What the next round need not read again: logs without a contradiction, by the source that shows most of them."""
    broken = {head.subject_log for head in heads if head.state in fleet_states.BROKEN}
    made: dict[str, Seen] = {}
    for source in found:
        for log, one in source.logs.items():
            known = one.remembered()
            if known is not None and log not in broken and known.size > (made[log].size if log in made else 0):
                made[log] = known
    return made


def _look(
    names: Sequence[str], seen: Mapping[str, Seen], cache: Path, progress: Progress | None
) -> tuple[list[Source], list[str]]:
    """What the sources show, and sentences about what is wrong with them.

    A source that is not there is a sidecar removed; where none is there, it is the storage that is not, and a round
    would say of every sidecar that it is gone: raises ConfigurationError.
    """
    places = fleet_source.places(list(names))
    found = []
    for number, name in enumerate(places):
        found.append(fleet_source.read(name, seen, cache))
        if progress is not None:
            progress(number + 1, len(places))
    if not any(one.is_there for one in found):
        first = found[0].faults[0] if found else "No source is named."
        raise ConfigurationError(f"None of the sources can be read, so no round was made: {first}")
    return found, [fault for one in found for fault in one.faults]


def enrol(
    path: str,
    signer: Signer,
    nodes: Sequence[str],
    *,
    log_key: str | None = None,
    retire: bool = False,
    reason: str | None,
) -> tuple[str, list[str]]:
    """Put on record that sidecars are enrolled, or retired: the signed head, and whom that changed anything for."""
    with open_fleet(path, signer) as fleet_log:
        fleet = fleet_history.NOTHING if fleet_log.tail is None else fleet_history.read(path)[0]
        changed = [node for node in dict.fromkeys(nodes) if _changes(fleet, node, log_key, retire)]
        if retire and (strangers := [node for node in nodes if node not in fleet.enrolled]):
            raise UsageError(f"{strangers[0]!r} is not enrolled, so it cannot be retired.")
        if not changed:
            return _head_of(fleet_log), []
        at = fleet_log.next_instant()
        event = "retired" if retire else "enrolled"
        made = [FleetNode(recorded_at=at, event=event, node=n, log_key=log_key, reason=reason) for n in changed]
        return fleet_log.append(made, at), changed


def _changes(fleet: Fleet, node: str, log_key: str | None, retire: bool) -> bool:
    if retire:
        return node in fleet.enrolled
    return node not in fleet.enrolled or fleet.enrolled[node] != log_key


def _head_of(fleet_log: FleetLog) -> str:
    return (fleet_log.root / "checkpoints" / f"{fleet_log.log}.checkpoint").read_text(encoding="utf-8")


def nodes_in(path: str, sources: Sequence[str]) -> list[str]:
    """The sidecars whose logs the sources show; raises CrawlAuditError where one cannot be read."""
    cache = Path(path) / "tmp" / "sources"
    return sorted({node for name in fleet_source.places(list(sources)) for node in fleet_source.nodes(name, cache)})


def begun(path: str) -> bool:
    """Whether there is a fleet log in ``path``."""
    return name_in(Path(path)) is not None
