"""The period a question is about: two dates as people write them → a half-open range of UTC instants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class UsageError(Exception):
    """What was typed cannot be understood; the text is one sentence with what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """``start`` ≤ time < ``end``, both naive UTC as DuckDB's TIMESTAMP is; None: no limit on that side."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def parameters(self) -> dict[str, datetime | None]:
        """The period as the parameters ``$start`` and ``$end`` of every query."""
        return {"start": self.start, "end": self.end}


def parse_period(start: str | None, end: str | None) -> Period:
    """The period of ``--from`` and ``--to``; a day given as ``--to`` is included whole.  Raises UsageError."""
    first = None if start is None else _instant(start, "--from", end_of_day=False)
    last = None if end is None else _instant(end, "--to", end_of_day=True)
    if first is not None and last is not None and first >= last:
        raise UsageError("The period is empty: --from must be before --to.")
    return Period(start=first, end=last)


def parse_instant(text: str, option: str) -> datetime:
    """An instant, or the end of a day, as naive UTC; raises UsageError naming ``option``."""
    return _instant(text, option, end_of_day=True)


def _instant(text: str, option: str, *, end_of_day: bool) -> datetime:
    try:
        if _DAY.fullmatch(text):
            midnight = datetime.combine(date.fromisoformat(text), time())
            return midnight + timedelta(days=1) if end_of_day else midnight
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{option} {text!r} is not a time: write a day like 2026-11-21 or an instant like 2026-11-21T09:00:00Z."
        ) from error


def iso(moment: datetime | None) -> str | None:
    """An instant as ISO 8601 UTC with ``Z``; the fraction only where there is one."""
    if moment is None:
        return None
    naive = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return naive.isoformat() + "Z"


def now() -> datetime:
    """The current instant as naive UTC, to the second."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)
