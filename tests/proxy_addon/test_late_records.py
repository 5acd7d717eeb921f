"""A gap record counts what follows it, and the records that follow name each other by the numbers they really get."""

from __future__ import annotations

import dataclasses

from crawl_audit import schema
from crawl_audit.records import Completion, Gap, Instant
from proxy_addon.journal import encode
from proxy_addon.late_records import Kept, Lost, chunk_of
from tests import logs
from tests.writing import decision

NOW = Instant(9_000_000)


def kept(number: int, *, ended: bool) -> Kept:
    made = Kept(decision(number, recorded_at=Instant(number * 1_000_000)), cause="audit_disk_reserve")
    made.completion = logs.completion(-number) if ended else None
    return made


def test_completions_follow_the_decisions_and_name_them_wherever_they_come_to_stand() -> None:
    entered = [kept(1, ended=False), kept(2, ended=True), kept(3, ended=True)]
    chunk = chunk_of(entered, [], Lost(), now=NOW, file_sha256="ab" * 32)
    for base in (0, 1000):
        gap, *following = chunk.records(base)
        assert isinstance(gap, Gap)
        assert (gap.first_seq, gap.last_seq) == (base + 1, base + 5)
        assert (gap.requests, gap.kept, gap.first_at, gap.last_at) == (3, 3, 1_000_000, 3_000_000)
        assert following[:3] == [one.decision for one in entered]
        ends = [record.decision_seq for record in following[3:] if isinstance(record, Completion)]
        assert ends == [base + 2, base + 3]
        assert all(schema.parse_entry(encode(record)[0]) for record in (gap, *following))


def test_what_is_given_to_the_writer_does_not_change_when_an_exchange_ends_meanwhile() -> None:
    entered = [kept(1, ended=False)]
    chunk = chunk_of(entered, [], Lost(), now=NOW, file_sha256=None)
    before = chunk.records(7)
    entered[0].completion = logs.completion(-1)
    assert chunk.records(7) == before


def test_the_lost_are_counted_with_the_first_that_are_kept() -> None:
    lost = Lost(2, "audit_log_unavailable", Instant(5), Instant(8_000_000))
    gap, _ = chunk_of([kept(1, ended=False)], [], lost, now=NOW, file_sha256=None).records(0)
    assert isinstance(gap, Gap)
    assert (gap.requests, gap.kept, gap.first_at, gap.last_at) == (3, 1, 5, 8_000_000)
    assert gap.detail.endswith("those of 1 follow.")


def test_without_anything_kept_the_gap_record_stands_alone() -> None:
    lost = Lost(2, "audit_log_unavailable", Instant(5), Instant(6))
    (gap,) = chunk_of([], [], lost, now=NOW, file_sha256=None).records(4)
    assert isinstance(gap, Gap)
    assert (gap.requests, gap.kept, gap.cause, gap.first_seq) == (2, 0, "audit_log_unavailable", None)
    assert gap.detail.endswith("nothing of them could be kept.")


def test_what_became_durable_by_itself_is_counted_and_not_entered() -> None:
    (gap,) = chunk_of([], [kept(1, ended=True)], Lost(), now=NOW, file_sha256=None).records(4)
    assert isinstance(gap, Gap)
    assert (gap.requests, gap.kept, gap.first_seq) == (1, 1, None)
    assert "by themselves" in gap.detail


def test_counts_of_the_lost_add_up() -> None:
    lost = Lost()
    lost.add(Lost())
    assert lost == Lost()
    lost.add(Lost(1, "audit_backpressure", Instant(3), Instant(3)))
    lost.add(Lost(4, "audit_log_unavailable", Instant(5), Instant(9)))
    assert dataclasses.astuple(lost) == (5, "audit_backpressure", 3, 9)
