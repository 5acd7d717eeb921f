"""What left unrecorded and is entered late: decisions on their way, those lost, and the gap record before the rest.

Values only; fail_open.py says when which of them comes about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from crawl_audit.records import Completion, Decision, Gap, Instant, Record


@dataclass(slots=True, eq=False)
class Kept:
    """A decision on its way: into the log, out of the sidecar, or both."""

    decision: Decision
    cause: str = ""
    tried: bool = False  # the writer was given it, so it may still become durable by itself
    stored: bool = False  # in the emergency file, as far as that can be written, and to be entered late
    number: int = 0  # below zero once its request has left unrecorded
    gone: bool = False  # its request was refused or broken off: it never leaves
    seq: int | None = None  # once it is durable
    completion: Completion | None = None


@dataclass(slots=True)
class Lost:
    """Requests that left and of which nothing is kept."""

    requests: int = 0
    cause: str = ""
    first_at: Instant | None = None
    last_at: Instant | None = None

    def add(self, other: Lost) -> None:
        """Take over a later count."""
        if other.requests:
            self.cause = self.cause or other.cause
            self.requests += other.requests
            self.first_at = other.first_at if self.first_at is None else self.first_at
            self.last_at = other.last_at


@dataclass(slots=True, eq=False)
class Chunk:
    """What is entered with one gap record; frozen while the writer has it."""

    gap: Gap
    entered: list[Kept]
    completions: list[Completion | None]
    late: list[Kept]
    lost: Lost
    first: int | None = None  # ``seq`` of the gap record, once durable

    def records(self, base: int) -> list[Record]:
        """The gap record and what follows it, for a batch whose first record gets ``base``."""
        decisions: list[Record] = [kept.decision for kept in self.entered]
        ends: list[Record] = [
            replace(completion, decision_seq=base + 1 + index)
            for index, completion in enumerate(self.completions)
            if completion is not None
        ]
        following = [*decisions, *ends]
        if not following:
            return [self.gap]
        return [replace(self.gap, first_seq=base + 1, last_seq=base + len(following)), *following]

    def durable(self, base: int) -> None:
        """They are in the log; ``base`` is the ``seq`` of the gap record."""
        self.first = base


def chunk_of(
    entered: Sequence[Kept], late: Sequence[Kept], lost: Lost, *, now: Instant, file_sha256: str | None
) -> Chunk:
    """What is to be entered together: decisions kept, or those that became durable by themselves, and the lost."""
    kept = [*entered, *late]
    times = [one.decision.recorded_at for one in kept]
    times += [at for at in (lost.first_at, lost.last_at) if at is not None]
    requests = len(kept) + lost.requests
    gap = Gap(
        recorded_at=now,
        cause=kept[0].cause if kept else lost.cause,
        first_at=min(times),
        last_at=max(times),
        requests=requests,
        kept=len(kept),
        first_seq=None,
        last_seq=None,
        file_sha256=file_sha256,
        detail=f"{requests} requests left before their decisions were durable, {_rest(entered, late, lost)}.",
    )
    return Chunk(gap, list(entered), [one.completion for one in entered], list(late), lost)


def _rest(entered: Sequence[Kept], late: Sequence[Kept], lost: Lost) -> str:
    if late:
        return "as the setting is fail_open; they became durable by themselves soon after, in their own places"
    if not entered:
        return "as the setting is fail_open; nothing of them could be kept"
    which = f"those of {len(entered)} follow" if lost.requests else "they follow"
    return f"as the setting is fail_open; {which}"
