"""What a round of the fleet's job remembers of a log, so that the next one reads only the seals that came since.

It is no evidence and lies beside the fleet log: the roots of the perfect subtrees over the seals read so far.  With
the newer seals they give the root that the next head must have, so a memory that is wrong cannot make a forked log
pass; where a log does not fit its memory, it is read anew from its first seal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crawl_audit.records import Instant
from crawl_audit.seal import Frontier

_NAME = "heads.json"
_BYTES_MAX = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One log up to its seal ``size`` - 1, whose ``seq`` is ``through``."""

    node: str
    log_key: str | None
    previous_logs: tuple[str, ...]
    is_custodian: bool
    idle_s: float
    size: int
    through: int
    peaks: tuple[str, ...]
    last_at: int | None
    closing: str | None


@dataclass(slots=True, kw_only=True)
class Seal:
    """One seal that was read: its place, its leaf, its time, and its reason where that closes the log."""

    seq: int
    leaf: bytes
    recorded_at: Instant
    closing: str | None


@dataclass(slots=True)
class Seals:
    """The seals of one log: those that are remembered by their peaks, then those that were read."""

    seen: Seen | None = None
    read: list[Seal] = field(default_factory=list)

    @property
    def base(self) -> int:
        """How many are remembered."""
        return 0 if self.seen is None else self.seen.size

    @property
    def size(self) -> int:
        """How many there are."""
        return self.base + len(self.read)

    @property
    def last_at(self) -> Instant | None:
        """Time of the last."""
        if self.read:
            return self.read[-1].recorded_at
        return None if self.seen is None or self.seen.last_at is None else Instant(self.seen.last_at)

    @property
    def closing(self) -> str | None:
        """Reason of the last where it closes the log."""
        return self.read[-1].closing if self.read else None if self.seen is None else self.seen.closing

    def frontier(self, size: int) -> Frontier:
        """The tree of the first ``size`` of them, which are not fewer than are remembered."""
        assert self.base <= size <= self.size, "what was forgotten cannot be asked for"
        made = Frontier() if self.seen is None else Frontier.of(self.base, [bytes.fromhex(p) for p in self.seen.peaks])
        for seal in self.read[: size - self.base]:
            made.append(seal.leaf)
        return made

    def root(self, size: int) -> bytes:
        """The root over the first ``size``; of fewer than are remembered, a root that nothing has."""
        return self.frontier(size).root() if size >= self.base else b""


def load(root: Path) -> dict[str, Seen]:
    """What the last round remembered; nothing where there is none, or none that can be used."""
    try:
        with (root / "tmp" / _NAME).open("rb") as file:
            stored = json.loads(file.read(_BYTES_MAX))
        return {log: _seen(one) for log, one in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _seen(stored: dict[str, Any]) -> Seen:
    made = Seen(**{**stored, **{name: tuple(stored[name]) for name in ("peaks", "previous_logs")}})
    Frontier.of(made.size, [bytes.fromhex(peak) for peak in made.peaks])
    return made


def store(root: Path, seen: Mapping[str, Seen]) -> None:
    """Remember this for the next round."""
    made = root / "tmp" / f"{_NAME}.new"
    made.write_text(json.dumps({log: asdict(one) for log, one in seen.items()}), encoding="utf-8")
    made.replace(root / "tmp" / _NAME)
