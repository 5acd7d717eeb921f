"""Instants of records are microseconds of the wall clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from proxy_addon.clock import now_us


def test_an_instant_is_the_wall_clock_in_microseconds_and_a_whole_number() -> None:
    before = datetime.now(UTC)
    instant = now_us()
    after = datetime.now(UTC)
    assert isinstance(instant, int)
    told = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=instant)
    assert before - timedelta(microseconds=1) <= told <= after + timedelta(microseconds=1)
