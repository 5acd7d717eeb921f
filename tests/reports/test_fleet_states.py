"""What a round says of each log: every state by what was found and what was known, at times that are given."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from crawl_audit.fleet_records import FleetHead, FleetState
from crawl_audit.records import Instant
from crawl_audit.seal import Checkpoint, merkle_root, origin
from reports.fleet_seen import Seal, Seals
from reports.fleet_source import Found
from reports.fleet_states import Fleet, Known, judge
from tests.logs import SECOND, START
from tests.reports.fleets import log_name

LOG = log_name("a", 0)
LEAVES = [hashlib.sha256(bytes([number])).digest() for number in range(8)]
NOW = Instant(START + 1_000 * SECOND)


def found(size: int = 4, *, here: int | None = None, last_s: float = 10, **changes: object) -> Found:
    """A log with ``here`` seals and a head over ``size`` of them, the last ``last_s`` before now."""
    head = Checkpoint(origin=origin(LOG), size=size, root=merkle_root(LEAVES[:size]))
    seals = sealed(LEAVES[: size if here is None else here], last_s, changes.pop("closing", None))
    made = Found(log=LOG, node="a", log_key="k", head=head, signature="— a b", seals=seals)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def sealed(leaves: list[bytes], last_s: float = 10, closing: object = None) -> Seals:
    at, reason = Instant(int(NOW - last_s * SECOND)), None if closing is None else str(closing)
    return Seals(None, [Seal(seq=2 * n, leaf=leaf, recorded_at=at, closing=reason) for n, leaf in enumerate(leaves)])


def fleet(**changes: object) -> Fleet:
    made = Fleet(enrolled={"a": None}, retired=(), known={}, rounds=3)
    return replace(made, **changes)  # type: ignore[arg-type]


def after(one: Found) -> Fleet:
    """The fleet once ``one`` was collected in a round."""
    (row,) = judge(fleet(), [{one.log: one}], NOW, 15)
    return fleet(known={one.log: Known(last=row, size=row.size, root=row.root, checked_size=row.checked_size)})


def state(given: Fleet, *several: Found, at: Instant = NOW) -> FleetHead:
    (row,) = judge(given, [{one.log: one} for one in several], at, 15)
    return row


def test_a_log_that_grows_is_open_and_its_head_is_what_is_recorded() -> None:
    row = state(after(found(4)), found(6))
    assert (row.state, row.size, row.root) == (FleetState.OPEN, 6, merkle_root(LEAVES[:6]).hex())
    assert (row.round_index, row.checked_size, row.detail) == (3, 6, None)


@pytest.mark.parametrize("last_s,expected", [(900, FleetState.OPEN), (901, FleetState.SILENT)])
def test_a_log_is_silent_after_so_many_of_its_own_intervals(last_s: float, expected: FleetState) -> None:
    assert state(fleet(), found(last_s=last_s)).state is expected
    assert state(fleet(), found(last_s=last_s, idle_s=61)).state is FleetState.OPEN


def test_a_clock_that_is_ahead_does_not_keep_a_silent_log_open() -> None:
    ahead = found(4, last_s=-1_000_000)
    assert state(after(ahead), ahead, at=Instant(NOW + 901 * SECOND)).state is FleetState.SILENT


@pytest.mark.parametrize("reason", ["shutdown", "recovered"])
def test_a_log_whose_last_seal_closes_it_is_closed_however_old(reason: str) -> None:
    row = state(fleet(), found(closing=reason, last_s=900_000))
    assert (row.state, row.closing) == (FleetState.CLOSED, reason)


def test_a_head_ahead_of_the_published_seals_is_open_and_says_how_much_was_checked() -> None:
    row = state(after(found(4)), found(7, here=4))
    assert (row.state, row.size, row.checked_size) == (FleetState.OPEN, 7, 4)


def test_a_head_once_ahead_is_held_against_the_seals_when_they_come() -> None:
    given = after(found(7, here=4))
    leaves = [*LEAVES[:6], bytes(32), LEAVES[7]]
    other = found(8, seals=sealed(leaves), head=Checkpoint(origin=origin(LOG), size=8, root=merkle_root(leaves)))
    assert state(given, found(8)).state is FleetState.OPEN
    row = state(given, other)
    assert (row.state, row.detail) == (
        FleetState.FORKED,
        "its first 7 seals are not those of the head collected before",
    )


def test_another_head_of_the_same_size_is_a_fork_even_without_its_seals() -> None:
    head = Checkpoint(origin=origin(LOG), size=4, root=bytes(32))
    assert state(after(found(4)), found(4, here=0, head=head)).state is FleetState.FORKED


def test_a_head_that_is_not_of_its_seals_is_a_fork_from_the_first_round_on() -> None:
    head = Checkpoint(origin=origin(LOG), size=4, root=bytes(32))
    assert state(fleet(), found(4, head=head)).state is FleetState.FORKED


def test_another_key_in_the_run_record_is_a_fork() -> None:
    assert state(after(found()), found(log_key="other")).state is FleetState.FORKED


@pytest.mark.parametrize("now", [found(3), found(4, here=2)], ids=["a smaller head", "fewer seals under the same head"])
def test_fewer_seals_than_before_are_a_volume_rolled_back(now: Found) -> None:
    assert state(after(found(4)), now).state is FleetState.ROLLED_BACK


def test_two_sources_with_different_seals_are_a_fork_and_with_fewer_of_the_same_are_not() -> None:
    other = found(4, seals=sealed([bytes(32), *LEAVES[1:4]]))
    assert state(fleet(), found(4), found(2)).state is FleetState.OPEN
    assert state(fleet(), found(6), other).state is FleetState.FORKED


def test_a_log_that_is_nowhere_is_gone_and_keeps_the_head_collected_of_it() -> None:
    row = state(after(found(4)))
    assert (row.state, row.size, row.root) == (FleetState.GONE, 4, merkle_root(LEAVES[:4]).hex())
    assert row.detail == "it is in none of the sources any more; it was open before"


def test_a_head_that_cannot_be_used_is_invalid_with_the_sentence_why() -> None:
    row = state(fleet(), found(fault="its head cannot be used: \x1b[2J", head=None))
    assert (row.state, row.detail) == (FleetState.INVALID, "its head cannot be used: \\x1b[2J")


def test_a_log_of_nobody_enrolled_is_not_enrolled_and_a_custodians_needs_no_enrolment() -> None:
    nobody = fleet(enrolled={})
    assert state(nobody, found()).state is FleetState.NOT_ENROLLED
    assert state(nobody, found(is_custodian=True, closing="shutdown")).state is FleetState.CLOSED


def test_a_new_log_of_a_retired_sidecar_is_not_enrolled_and_an_old_one_stays_what_it_is() -> None:
    known = after(found(4)).known
    assert state(fleet(enrolled={}, retired=("a",), known=known), found(5)).state is FleetState.OPEN
    assert state(fleet(enrolled={}, retired=("a",)), found(5)).state is FleetState.NOT_ENROLLED


def test_an_enrolled_sidecar_without_any_log_was_never_seen() -> None:
    row = state(fleet())
    assert (row.node, row.subject_log, row.state) == ("a", None, FleetState.NEVER_SEEN)


def test_an_unchanged_old_log_beside_a_newer_one_has_no_record_in_a_round() -> None:
    old, new = found(4, closing="shutdown"), found(4, log=log_name("a", 1))
    rows = judge(after(old), [{old.log: old, new.log: new}], NOW, 15)
    assert [row.subject_log for row in rows] == [new.log]
