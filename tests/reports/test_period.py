"""Dates as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reports import period
from reports.period import Period, UsageError, parse_period

naive = datetime.fromisoformat


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, Period()),
        ("2026-11-01", "2026-11-01", Period(start=naive("2026-11-01"), end=naive("2026-11-02"))),
        ("2026-11-01T09:00:00Z", None, Period(start=naive("2026-11-01T09:00:00"))),
        ("2026-11-01T09:00:00+09:00", None, Period(start=naive("2026-11-01"))),
        (None, "2026-11-01T09:00", Period(end=naive("2026-11-01T09:00:00"))),
    ],
)
def test_a_day_as_end_is_included_whole(start: str | None, end: str | None, expected: Period) -> None:
    assert parse_period(start, end) == expected


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("yesterday", None),
        ("2026-13-01", None),
        (None, "2026-02-30"),
        ("", None),
        ("2026-11-02", "2026-11-01"),
        ("0001-01-01T00:00:00+10:00", None),
        (None, "9999-12-31"),
    ],
)
def test_what_is_no_period_is_refused_in_a_sentence(start: str | None, end: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse_period(start, end)
    assert "\n" not in str(caught.value)


def test_times_are_written_in_utc() -> None:
    assert period.iso(naive("2026-11-01T02:03:04.000005")) == "2026-11-01T02:03:04.000005Z"
    assert period.iso(datetime(2026, 11, 1, tzinfo=UTC)) == "2026-11-01T00:00:00Z"
    assert period.iso(None) is None
    assert period.now().microsecond == 0
