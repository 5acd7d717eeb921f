"""The log says of itself when nothing was accepted, once each way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crawl_audit.records import Instant
from proxy_addon.journal import encode
from proxy_addon.suspension import UNAVAILABLE, Suspension

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
    assert ended.detail == "Nothing was accepted for 3 s: The disk\\x0ais gone."
    assert encode(began) and encode(ended)


def test_a_clock_set_back_makes_no_negative_duration() -> None:
    assert "for 0 s" in SUSPENSION.incidents(Instant(1), over=True)[-1].detail
