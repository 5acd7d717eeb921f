"""Which records a custody record says were pruned, and whether that is what is gone.

A record ``pruned`` names a range of one log, how many of its records went, and the digest of their leaves by ``seq``.
What of the range is still given stayed on purpose; so what is missing, or there as a leaf alone, must be as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from crawl_audit import schema
from crawl_audit.records import Custody
from reports.erased import Select, leaves_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left of the range of one record: how many rows are given, and the leaves of those withheld."""

    record: Custody
    given: int
    leaves: tuple[str, ...]

    @property
    def gone(self) -> int:
        """How many records of the range are not given."""
        return extent(self.record) - self.given

    @property
    def is_carried_out(self) -> bool:
        """Whether as many records went as the record says."""
        return self.gone == self.record.rows

    @property
    def holds(self) -> bool | None:
        """Whether the leaves that stayed are those of the records that went; None where they did not all stay."""
        if len(self.leaves) != self.record.rows:
            return None
        return leaves_sha256(self.leaves) == self.record.leaves_sha256


def extent(record: Custody) -> int:
    """How many places the range of a record has."""
    return bounds(record)[1] - bounds(record)[0] + 1


def bounds(record: Custody) -> tuple[int, int]:
    """First and last ``seq`` of a record; an empty range where it names none."""
    return (0, -1) if record.first_seq is None or record.last_seq is None else (record.first_seq, record.last_seq)


def is_within(record: Custody, first: int, last: int) -> bool:
    """Whether the range of a record lies in ``first`` to ``last``."""
    low, high = bounds(record)
    return first <= low <= high <= last


def touches(records: Iterable[Custody], record: Custody) -> bool:
    """Whether something in the range of ``record`` was pruned by one of ``records``."""
    low, high = bounds(record)
    prunes = [bounds(r) for r in records if r.event == "pruned" and r.subject_log == record.subject_log]
    return any(first <= high and low <= last for first, last in prunes)


def remains(select: Select, relation: Callable[[str], str], log: str, record: Custody) -> Remains:
    """What is left of the range of ``record``, by ``relation(kind)`` (``withheld`` included)."""
    low, high = bounds(record)
    inside = f"log = $1 AND seq BETWEEN {low} AND {high}"
    counted = " UNION ALL ".join(f"SELECT seq FROM {relation(kind)} WHERE {inside}" for kind in schema.KINDS)  # noqa: S608
    ((given,),) = select(f"SELECT count(DISTINCT seq) FROM ({counted})", [log])  # noqa: S608
    leaves = select(f"SELECT leaf FROM {relation('withheld')} WHERE {inside} ORDER BY seq", [log])  # noqa: S608
    return Remains(record=record, given=given, leaves=tuple(leaf for (leaf,) in leaves))
