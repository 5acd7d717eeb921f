"""Days counted together so that a long period can still be read, and where a time line has its marks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

# More columns than this in the width of a page are no longer told apart.
COLUMNS_MAX = 120
_DAY = timedelta(days=1)


class Step(StrEnum):
    """What one column stands for."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns from the first day to the last, days without requests included."""

    step: Step
    starts: tuple[date, ...]

    def index(self, day: date) -> int:
        """The column ``day`` belongs to."""
        first, this = self.starts[0], floor(day, self.step)
        if self.step in (Step.DAY, Step.WEEK):
            return (this - first).days // (1 if self.step is Step.DAY else 7)
        months = (this.year - first.year) * 12 + this.month - first.month
        return months if self.step is Step.MONTH else this.year - first.year

    def label(self, index: int) -> str:
        """The day a column begins with, its month or its year."""
        text = self.starts[index].isoformat()
        return {Step.MONTH: text[:7], Step.YEAR: text[:4]}.get(self.step, text)


def columns(days: set[date]) -> Columns:
    """Columns for ``days``: a day each, or weeks, months or years where there would be more than 120."""
    for step in Step:
        first, last = floor(min(days), step), floor(max(days), step)
        if step is Step.YEAR or _distance(first, last, step) < COLUMNS_MAX:
            break
    starts = [first]
    while starts[-1] < last:
        starts.append(following(starts[-1], step))
    return Columns(step=step, starts=tuple(starts))


def floor(day: date, step: Step) -> date:
    """The first day of the week (Monday, ISO 8601), month or year of ``day``."""
    if step is Step.WEEK:
        return date.fromordinal(max(1, day.toordinal() - day.weekday()))
    return day if step is Step.DAY else day.replace(day=1, month=1 if step is Step.YEAR else day.month)


def following(start: date, step: Step) -> date:
    """The first day after the column that begins with ``start``."""
    if step in (Step.DAY, Step.WEEK):
        return start + (_DAY if step is Step.DAY else 7 * _DAY)
    if step is Step.YEAR:
        return start.replace(year=start.year + 1)
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def _distance(first: date, last: date, step: Step) -> int:
    days = (last - first).days
    return {Step.DAY: days, Step.WEEK: days // 7, Step.MONTH: days // 28, Step.YEAR: days // 365}[step]


_DAY_MINUTES = 1_440
_MINUTES = (1, 2, 5, 10, 15, 30, 60, 180, 360, 720, _DAY_MINUTES, 2_880, 10_080, 20_160)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200)


def marks(start: datetime, end: datetime, count: int) -> list[tuple[datetime, str]]:
    """At most ``count`` round instants from ``start`` to ``end`` with their labels."""
    minutes = (end - start).total_seconds() / 60
    for step in _MINUTES:
        if minutes / step < count:
            return _by_minutes(start, end, step)
    for months in _MONTHS:
        if minutes / 43_200 / months < count - 1:
            break
    return _by_months(start, end, months)


def _by_minutes(start: datetime, end: datetime, step: int) -> list[tuple[datetime, str]]:
    # Counted from a Monday, so that steps of weeks begin with one.
    origin, length = datetime(1970, 1, 5), timedelta(minutes=step)  # noqa: DTZ001 - naive UTC as everywhere in reports
    at, made = origin - (origin - start) // length * length, []
    while at <= end:
        made.append((at, at.date().isoformat() if step >= _DAY_MINUTES else at.strftime("%m-%d %H:%M")))
        at += length
    return made


def _by_months(start: datetime, end: datetime, months: int) -> list[tuple[datetime, str]]:
    made = []
    for number in range(start.year * 12 // months * months, end.year * 12 + 13, months):
        year, month = divmod(number, 12)
        if 1 <= year <= 9999 and start <= (at := datetime(year, month + 1, 1)) <= end:  # noqa: DTZ001 - as above
            made.append((at, f"{at.year:04}" if months >= 12 else f"{at.year:04}-{at.month:02}"))
    return made
