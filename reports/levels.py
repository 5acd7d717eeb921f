"""Who may see what: public, regulator or internal, and in what words something is left out or shown less exactly."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from reports.period import iso
from reports.shares import OF_AT_LEAST, SUPPRESSED, share


class Level(StrEnum):
    """For whose eyes a report is made."""

    PUBLIC = "public"
    REGULATOR = "regulator"
    INTERNAL = "internal"


class Band(str):
    """A count as its power of ten, for example ``1000-9999``: records hold it so, people read ``1,000–9,999``."""

    __slots__ = ()

    @property
    def grouped(self) -> str:
        """The same with digits in groups of three."""
        return "–".join(f"{int(end):,}" for end in self.split("-"))


class Month(str):
    """A month as regulators write it, ``11/2026``; in Japanese people read ``2026年11月``."""

    __slots__ = ()

    @property
    def japanese(self) -> str:
        """The same with the year first."""
        return f"{self[3:]}年{int(self[:2])}月"


def banded(number: int) -> int | Band:
    """A count as its power of ten; 0 stays 0."""
    if number == 0:
        return 0
    low = 10 ** (len(str(number)) - 1)
    return Band(f"{low}-{low * 10 - 1}")


def moment(at: datetime | None, level: Level) -> str | None:
    """A time: to the microsecond, for regulators the day, in public the month as ``MM/YYYY``."""
    if at is None:
        return None
    if level is Level.PUBLIC:
        return Month(f"{at:%m}/{at.year:04d}")
    return at.date().isoformat() if level is Level.REGULATOR else iso(at)


def shares(counts: dict[str, int]) -> dict[str, str]:
    """The share of each in all, with two digits; suppressed where all are fewer than 100."""
    total = sum(counts.values())
    if total < OF_AT_LEAST:
        return dict.fromkeys(counts, SUPPRESSED)
    return {name: share(number, total) for name, number in counts.items()}


def withheld(field: str, reason_code: str, note: str) -> dict[str, str]:
    """One thing left out, and why."""
    return {"field": field, "reason_code": reason_code, "note": note}
