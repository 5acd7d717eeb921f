"""What of a log directory is still to be shipped, what may go here, and when to try again: values in, values out.

A segment is shipped when its records are, whatever segments they were shipped in: what was merged of shipped segments
is not shipped again.  What overlaps shipped records without being covered by them is never shipped, because readers
would find records twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crawl_audit.shipped_ranges import Coverage, Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Of one log: which segments to ship, oldest first, and which cannot be, because shipped records are in them."""

    ship: tuple[Range, ...]
    overlapping: tuple[Range, ...]


def plan(local: Iterable[Range], shipped: Coverage) -> Plan:
    """What to ship of a log's segments."""
    missing = [one for one in sorted(local) if not shipped.covers(*one)]
    return Plan(
        ship=tuple(one for one in missing if not shipped.touches(*one)),
        overlapping=tuple(one for one in missing if shipped.touches(*one)),
    )


def removable(local: Iterable[Range], verified_at: Mapping[Range, float], *, now: float, keep_s: float) -> list[Range]:
    """Which segments may go here: from the oldest on, without a gap, those whose remote copies are old enough.

    ``verified_at`` says when each remote segment was found to be what was shipped.  A decision whose completion is
    still here does no harm; a completion gone before its decision would make that look unfinished, hence the order.
    The newest segment of a log stays: it says where the log ends.
    """
    old = Coverage(one for one, at in verified_at.items() if at <= now - keep_s)
    found: list[Range] = []
    for one in sorted(local)[:-1]:
        if not old.covers(*one):
            break
        found.append(one)
    return found


def pause_s(failures: int, *, first_s: float, longest_s: float, chance: float) -> float:
    """How long to wait after so many failures in a row; ``chance`` (0 to 1) takes away up to half of it.

    Exponential back-off with jitter, so that a fleet does not come back in step to a store that was away.
    """
    whole = min(longest_s, first_s * 2.0 ** min(failures - 1, 30))
    return whole * (1 - chance / 2)


@dataclass(slots=True, kw_only=True)
class ShipStatus:
    """What the process that ships says of itself, as often as it changes."""

    unshipped_segments: int = 0
    unshipped_bytes: int = 0
    oldest_unshipped_at: float | None = None
    shipped_segments: int = 0
    shipped_bytes: int = 0
    removed_segments: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    fault: str | None = None
    last_success_at: float | None = None
    waiting: bool = False
    done: bool = False

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ShipStatus:
        """What was written as JSON; raises TypeError for anything else."""
        return cls(**value)

    @property
    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        return [*([self.fault] if self.fault else []), *self.conflicts, *self.problems]
