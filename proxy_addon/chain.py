"""What the writer keeps between seals: the root of what is not yet sealed, the tree of seals, the counters of a seal.

No disk and no thread: the writer tells it of every entry that became durable, in order, and asks it for the next
seal; recovery feeds it a dead log's entries and goes on from there.
"""

from __future__ import annotations

from typing import Any

from crawl_audit import schema
from crawl_audit.records import Action, Decision, Instant, Seal
from crawl_audit.seal import Checkpoint, Frontier, origin


class Chain:
    """The evidence side of one log as far as it is durable."""

    def __init__(self, log: str, *, next_seq: int = 0, last_seal: dict[str, Any] | None = None) -> None:
        self.log = log
        self.next_seq = next_seq
        self.seal_index = self.decisions = self.forwarded = self.completions = self.dropped = 0
        if last_seal is not None:
            self._continue_from(last_seal)
        self._unsealed = Frontier()  # grows with each entry, so that a seal costs the same after many as after few
        self._tree = Frontier()

    @property
    def unsealed(self) -> int:
        """How many entries no seal covers yet."""
        return self._unsealed.size

    @property
    def in_flight(self) -> int:
        """Forwarded exchanges without completion."""
        return self.forwarded - self.completions

    def add(self, entry: dict[str, Any]) -> None:
        """Take note of the next durable entry, a seal or any other."""
        leaf = schema.leaf(entry)
        self.next_seq += 1
        kind = entry["k"]
        if kind == "seal":
            self._unsealed = Frontier()
            self._tree.append(leaf)
            self._continue_from(entry)
            return
        self._unsealed.append(leaf)
        if kind == "decision":
            self.decisions += 1
            self.forwarded += entry["action"] == Action.FORWARDED
        elif kind == "completion":
            self.completions += 1

    def _continue_from(self, seal: dict[str, Any]) -> None:
        """A seal states the counters as of itself; where records before it cannot be read, it is all there is."""
        self.seal_index = seal["seal_index"] + 1
        self.decisions, self.forwarded = seal["decisions"], seal["forwarded"]
        self.completions, self.dropped = seal["completions"], seal["dropped"]

    def seal(self, reason: str, *, now: Instant, monotonic_ms: int, settings_sha256: str) -> Seal:
        """The seal over everything since the last one, to be appended as the very next entry."""
        return Seal(
            recorded_at=now,
            seal_index=self.seal_index,
            first_seq=self.next_seq - self.unsealed,
            rows=self.unsealed,
            root=self._unsealed.root().hex(),
            reason=reason,
            decisions=self.decisions,
            forwarded=self.forwarded,
            completions=self.completions,
            dropped=self.dropped,
            in_flight=self.in_flight,
            monotonic_ms=monotonic_ms,
            settings_sha256=settings_sha256,
        )

    def head(self) -> Checkpoint:
        """The head of the tree of seals."""
        return Checkpoint(origin=origin(self.log), size=self._tree.size, root=self._tree.root())


def is_forwarded(entry: dict[str, Any]) -> bool:
    """Whether an entry is a decision to forward, after which a completion must follow."""
    return bool(entry["k"] == Decision.KIND and entry["action"] == Action.FORWARDED)
