"""What a fleet log says so far, read back as any log is: who is enrolled, and the last that is known of each log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.fleet_records import FleetHead, FleetState
from reports.fleet_states import Fleet, Known
from reports.log import Log, open_log

NOTHING = Fleet(enrolled={}, retired=(), known={}, rounds=0)
"""A fleet log that was not begun."""
_HEAD = [column.name for column in schema.columns("fleet_head")]


def fleet_of(log: Log) -> Fleet:
    """The fleet as the log has it."""
    nodes = log.rows("fleet_nodes")
    return Fleet(
        enrolled={row["node"]: row["log_key"] or None for row in nodes if row["event"] == "enrolled"},
        retired=frozenset(row["node"] for row in nodes if row["event"] != "enrolled"),
        known={row["subject_log"]: _known(row) for row in log.rows("fleet_known")},
        rounds=log.one("fleet_rounds")["rounds"],
    )


def read(root: str) -> tuple[Fleet, frozenset[str]]:
    """The fleet of the log in ``root``, and the digests of the receipts that are on record."""
    with open_log(root) as log:
        return fleet_of(log), frozenset(log.one("fleet_rounds")["receipts"])


def _known(row: dict[str, Any]) -> Known:
    return Known(last=head_of(row), size=row["best_size"], root=row["best_root"], checked_size=row["best_checked"])


def head_of(row: Mapping[str, Any]) -> FleetHead:
    """What a row says of a head; raises LogFormatError where it states no state that there is."""
    try:
        return FleetHead(**{**{name: row[name] for name in _HEAD}, "state": FleetState(row["state"])})
    except ValueError as error:
        raise LogFormatError(f"The fleet log says of {row['subject_log']} what is no state: {error}.") from error
