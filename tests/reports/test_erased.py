"""Going back from the latest record: which rows each redaction stands for, however they interleave."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.records import Custody, Instant
from reports import erased, pruned, redact
from reports.erased import Lost, resolve


def leaf(seq: int) -> str:
    return hashlib.sha256(str(seq).encode()).hexdigest()


def lost(seqs: list[int]) -> Lost:
    return Lost(sorted(seqs), [leaf(seq) for seq in sorted(seqs)])


def record(erasure: redact.Erasure) -> Custody:
    given = {name: getattr(erasure, name) for name in ("first_seq", "last_seq", "rows", "leaves_sha256")}
    said = {"hold": None, "scope": None, "reason": "r", "custodian": "c", "subject_log": erasure.log}
    return Custody(recorded_at=Instant(0), event="redacted", fields=(erasure.field,), **given, **said)


def redactions(steps: list[set[int]]) -> tuple[list[Custody], Lost]:
    """The records that redacting these rows one step after the other makes, and what is gone in the end."""
    made: list[Custody] = []
    gone: set[int] = set()
    for step in steps:
        new = step - gone
        erasures = redact.erasures(("n", "target"), lost(sorted(new)), lost(sorted(gone)))
        made += [record(erasure) for erasure in erasures]
        gone |= new
    return made, lost(sorted(gone))


steps = st.lists(st.sets(st.integers(0, 40), max_size=15), max_size=6)


@given(steps)
def test_every_redaction_is_recognised_whatever_came_before_and_after(taken: list[set[int]]) -> None:
    made, gone = redactions(taken)
    answers, unclaimed = resolve(gone, made)
    assert unclaimed == []
    assert [answer.record for answer in answers] == made
    assert all(answer.holds for answer in answers)


@given(steps, st.integers(0, 40))
def test_one_more_value_gone_is_noticed(taken: list[set[int]], extra: int) -> None:
    made, gone = redactions(taken)
    if extra in gone.seqs:
        return
    answers, unclaimed = resolve(lost([*gone.seqs, extra]), made)
    assert unclaimed or not all(answer.holds for answer in answers)


@given(steps.filter(any), st.data())
def test_a_record_left_out_is_noticed(taken: list[set[int]], data: st.DataObject) -> None:
    made, gone = redactions(taken)
    missing = data.draw(st.integers(0, len(made) - 1))
    answers, unclaimed = resolve(gone, made[:missing] + made[missing + 1 :])
    assert unclaimed or not all(answer.holds for answer in answers)


def test_a_range_without_ends_is_empty() -> None:
    made, _ = redactions([{3, 4}])
    endless = Custody(**{**{n: getattr(made[0], n) for n in Custody.__slots__}, "first_seq": None})
    assert pruned.bounds(endless) == (0, -1)
    assert not pruned.is_within(endless, 0, 100)
    assert pruned.extent(made[0]) == 2
    assert erased.records_of(made, "n", "client") == []
