"""The rounds of a fleet log as an auditor asks for them: the last word on each log, the first on each contradiction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crawl_audit.fleet_records import FleetHead
from crawl_audit.records import Instant
from reports.fleet_history import head_of
from reports.fleet_log import name_in
from reports.log import Log, open_log


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """What the rounds of a fleet log come to; ``faults``: sentences about rounds that leave something out.

    ``last``: the last word on each log; ``best``: the largest head of each that was collected without a fault, with the
    ``seq`` of its record in ``best_seq``; ``broken``: the first record of each contradiction.
    """

    log: str
    count: int
    at: Instant | None
    last: tuple[FleetHead, ...]
    best: tuple[FleetHead, ...]
    best_seq: Mapping[str, int]
    broken: tuple[FleetHead, ...]
    faults: tuple[str, ...]


def read(path: str) -> Rounds:
    """The rounds of the fleet log in ``path``; raises LogFormatError where a record is not one of a round."""
    name = name_in(Path(path))
    assert name is not None, "whoever asks has looked"
    with open_log(path) as log:
        extent = log.one("fleet_extent")
        missing = [
            f"Round {row['round_index']} says nothing of {row['node']}, which was enrolled."
            for row in log.rows("fleet_missing")
        ]
        if extent["rounds"] != extent["stated"]:
            missing.append(f"The rounds are numbered up to {extent['stated']}, and there are {extent['rounds']}.")
        return Rounds(
            log=name,
            count=extent["rounds"],
            at=extent["last_at"],
            last=_heads(log, "fleet_last"),
            best=_heads(log, "fleet_best"),
            best_seq={row["subject_log"]: row["seq"] for row in log.rows("fleet_best")},
            broken=_heads(log, "fleet_broken"),
            faults=tuple(missing),
        )


def _heads(log: Log, query: str) -> tuple[FleetHead, ...]:
    return tuple(head_of(row) for row in log.rows(query))
