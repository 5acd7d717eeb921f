"""Who may see what: public, regulator or internal, and what is left out at each level, said aloud in `withheld`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from reports import coverage as coverage_of
from reports.period import iso


class Level(StrEnum):
    """For whose eyes a report is made."""

    PUBLIC = "public"
    REGULATOR = "regulator"
    INTERNAL = "internal"


def count(number: int, level: Level) -> int | str:
    """A count: exact, or in public its power of ten, for example ``100-999``."""
    if level is not Level.PUBLIC or number == 0:
        return number
    low = 10 ** (len(str(number)) - 1)
    return f"{low}-{low * 10 - 1}"


def moment(at: datetime | None, level: Level) -> str | None:
    """A time: to the microsecond, for regulators the day, in public the month as ``MM/YYYY``."""
    if at is None:
        return None
    if level is Level.PUBLIC:
        return at.strftime("%m/%Y")
    return at.date().isoformat() if level is Level.REGULATOR else iso(at)


def shares(counts: dict[str, int], level: Level) -> dict[str, int | str]:
    """How a total divides: exact counts, or in public the share of each with two digits."""
    total = sum(counts.values())
    if level is not Level.PUBLIC:
        return dict(counts)
    return {name: f"{number / total:.2f}" for name, number in counts.items()}


def withheld(field: str, reason_code: str, note: str) -> dict[str, str]:
    """One thing left out, and why."""
    return {"field": field, "reason_code": reason_code, "note": note}


def reduced(about: dict[str, Any], level: Level) -> dict[str, Any]:
    """The envelope as ``level`` may see it: in public no log ids, no exact times, numbers as powers of ten."""
    if level is not Level.PUBLIC:
        return about
    covered = about["coverage"]
    unrecorded = covered["fail_open"]
    months = [{end: _month(span[end]) for end in ("from", "to")} for span in covered["periods"]]
    kept = {
        "proxied_only": covered["proxied_only"],
        "covered": covered["covered"],
        "periods": months,
        "gap_count": len(covered["gaps"]),
        "log_count": len(covered["logs"]),
        "missing_records": count(covered["missing_records"], level),
        "dropped_records": count(covered["dropped_records"], level),
        "fail_open": None if unrecorded is None else {n: count(unrecorded[n], level) for n in ("requests", "kept")},
    }
    row_count = count(about["row_count"], level)
    notice = coverage_of.notice(kept)
    return {**about, "notice": notice, "log_range": [], "row_count": row_count, "coverage": kept}


PUBLIC_WITHHELD = (
    withheld("log_range", "security", "names of sidecars; given to regulators"),
    withheld("coverage.logs", "security", "start and stop of each sidecar; given to regulators"),
)
"""What :func:`reduced` leaves out."""


def _month(instant: str) -> str:
    return moment(datetime.fromisoformat(instant.removesuffix("Z")), Level.PUBLIC) or ""
