"""Who may see what: public, regulator or internal, and in what words something is left out or shown less exactly."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from reports.period import iso


class Level(StrEnum):
    """For whose eyes a report is made."""

    PUBLIC = "public"
    REGULATOR = "regulator"
    INTERNAL = "internal"


# Shares of so few would tell the numbers themselves.
SHARES_OF_AT_LEAST = 10
SUPPRESSED = "suppressed"


def banded(number: int) -> int | str:
    """A count as its power of ten, for example ``100-999``; 0 stays 0."""
    if number == 0:
        return 0
    low = 10 ** (len(str(number)) - 1)
    return f"{low}-{low * 10 - 1}"


def moment(at: datetime | None, level: Level) -> str | None:
    """A time: to the microsecond, for regulators the day, in public the month as ``MM/YYYY``."""
    if at is None:
        return None
    if level is Level.PUBLIC:
        return f"{at:%m}/{at.year:04d}"
    return at.date().isoformat() if level is Level.REGULATOR else iso(at)


def shares(counts: dict[str, int]) -> dict[str, str]:
    """The share of each in all, with two digits; suppressed where all are fewer than 10."""
    total = sum(counts.values())
    if total < SHARES_OF_AT_LEAST:
        return dict.fromkeys(counts, SUPPRESSED)
    return {name: f"{number / total:.2f}" for name, number in counts.items()}


def withheld(field: str, reason_code: str, note: str) -> dict[str, str]:
    """One thing left out, and why."""
    return {"field": field, "reason_code": reason_code, "note": note}
