"""The log says of itself when nothing was accepted, once each way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crawl_audit.records import Instant
from proxy_addon.journal import encode
from proxy_addon.suspension import UNAVAILABLE, Refusals, Suspension, refused_incident

SUSPENSION = Suspension(reason=UNAVAILABLE, sentence="The disk\nis gone.", since=Instant(5_000_000))


@pytest.mark.parametrize(
    "recorded,over,expected",
    [
        (False, False, ["log_suspended"]),
        (False, True, ["log_suspended", "log_resumed"]),
        (True, True, ["log_resumed"]),
        (True, False, []),
    ],
)
def test_what_the_log_already_says_is_not_repeated(recorded: bool, over: bool, expected: list[str]) -> None:
    found = replace(SUSPENSION, recorded=recorded).incidents(Instant(8_000_000), over=over)
    assert [record.incident for record in found] == expected


def test_the_incidents_say_when_how_long_and_why_in_a_form_the_log_can_hold() -> None:
    began, ended = SUSPENSION.incidents(Instant(8_000_000), over=True)
    assert (began.recorded_at, ended.recorded_at) == (5_000_000, 8_000_000)
    assert ended.detail == "No request could be recorded for 3 s, no request refused: The disk\\x0ais gone."
    assert encode(began) and encode(ended)


def test_a_clock_set_back_makes_no_negative_duration() -> None:
    assert "for 0 s" in SUSPENSION.incidents(Instant(1), over=True)[-1].detail


def test_the_end_of_a_suspension_says_what_was_refused_and_from_when_to_when() -> None:
    refusals = Refusals()
    for at, reason in ((5_500_000, "audit_disk_reserve"), (6_000_000, UNAVAILABLE), (7_000_000, UNAVAILABLE)):
        refusals.add(reason, Instant(at))
    ended = SUSPENSION.incidents(Instant(8_000_000), over=True, refused=refusals.take())[-1]
    assert "3 s, 3 requests refused from 1970-01-01T00:00:05.500Z to 1970-01-01T00:00:07.000Z" in ended.detail
    assert "(audit_disk_reserve 1, audit_log_unavailable 2): The disk" in ended.detail


def test_refusals_taken_are_gone_unless_they_are_given_back() -> None:
    refusals = Refusals()
    assert refused_incident(refusals.take(), Instant(1)) is None
    refusals.add("draining", Instant(1_000_000))
    taken = refusals.take()
    refusals.add("draining", Instant(3_000_000))
    refusals.give_back(taken)
    told = refused_incident(refusals.take(), Instant(4_000_000))
    assert told is not None and told.incident == "requests_refused"
    assert told.detail == (
        "2 requests refused from 1970-01-01T00:00:01.000Z to 1970-01-01T00:00:03.000Z (draining 2): none of them left."
    )
    assert refused_incident(refusals.take(), Instant(5)) is None
