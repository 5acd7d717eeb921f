"""Checks S1 to S4, S6, T1 and T2: the seals of a log follow one another, and say what the records say.

The seals are also the leaves of the log's tree, whose heads checkpoints, pins and tokens name (:class:`SealTree`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from crawl_audit.records import Instant
from crawl_audit.seal import EMPTY_ROOT, Frontier
from reports.evidence import Evidence
from reports.findings import Findings, Severity, Tally

CLOSING = ("shutdown", "recovered")
"""Reasons of a last seal: after one of these nothing more belongs to the log."""
_CLOCK_TOLERANCE_MS = 1_000
# T2: a seal is due after the idle interval; half as much again is what a busy machine may be late.
_LATE = 1.5
_IDLE_SEAL_S = 60.0


RunRow = tuple[int, str, str | None, str]
"""(seq, event, settings, digest of them) of a run record."""


@dataclass(slots=True, kw_only=True)
class SealRow:
    """One seal as stored, with its leaf, and what was counted in the records it covers (None: cannot be counted)."""

    seq: int
    leaf: bytes
    recorded_at: Instant
    seal_index: int
    first_seq: int
    rows: int
    root: str
    reason: str
    decisions: int
    forwarded: int
    completions: int
    dropped: int
    in_flight: int
    monotonic_ms: int
    settings_sha256: str
    counted: tuple[int, int, int] | None = None

    @property
    def end(self) -> int:
        """The ``seq`` after the last record it covers: its own."""
        return self.first_seq + self.rows


class SealTree:
    """The seals of one log in order of ``seq``, and the roots of the tree over them at every size."""

    def __init__(self, log: str, seals: Sequence[SealRow]) -> None:
        self.log = log
        self.seals = list(seals)
        self._roots: list[bytes] = []

    @property
    def size(self) -> int:
        """How many seals there are."""
        return len(self.seals)

    def root(self, size: int | None = None) -> bytes:
        """The root over the first ``size`` seals (default: all); ``size`` must not be more than there are."""
        wanted = self.size if size is None else size
        if not self._roots:
            self._roots = [EMPTY_ROOT]
            frontier = Frontier()
            for seal in self.seals:
                frontier.append(seal.leaf)
                self._roots.append(frontier.root())
        return self._roots[wanted]

    def range_of(self, first: int, size: int) -> tuple[int, int]:
        """(first, last) ``seq`` of the records under the seals ``first`` to ``size`` - 1, those seals included."""
        chosen = self.seals[first:size]
        return (min(seal.first_seq for seal in chosen), max(seal.seq for seal in chosen))


COLUMNS = tuple(name for name in SealRow.__slots__ if name not in ("leaf", "counted"))
"""The columns of ``seal`` that a SealRow is made of."""


def check(evidence: Evidence, tree: SealTree, findings: Findings, tally: Tally) -> None:
    """Check the seals of one log; ``tally.closed`` says afterwards whether its last one closes it."""
    log, seals = tree.log, tree.seals
    tally.seals = len(seals)
    if not seals:
        findings.add("S6", Severity.WARNING, log, "The log has no seal at all, so nothing in it is sealed.")
        return
    runs = list(evidence.rows("run", log, ("seq", "event", "settings", "settings_sha256"), order="seq"))
    for index, seal in enumerate(seals):
        where = f"{log} seal {index}"
        if seal.seal_index != index:
            message = f"This seal says it is number {seal.seal_index}: one is missing, doubled or in another's place."
            findings.add("S1", Severity.ERROR, where, message)
        expected = seals[index - 1].seq + 1 if index else 0
        if seal.first_seq != expected or seal.seq != seal.end:
            message = (
                f"It covers {seal.first_seq} to {seal.end - 1} and stands at {seal.seq}; it should begin at {expected}."
            )
            findings.add("S2", Severity.ERROR, where, message)
        _check_counters(seals, index, where, findings)
    _check_clock(seals, log, runs, findings)
    _check_settings(seals, log, runs, findings)
    _check_closed(evidence, tree, findings, tally)


def _check_counters(seals: list[SealRow], index: int, where: str, findings: Findings) -> None:
    """S3: what a seal states is what the seal before it stated and what was recorded in between."""
    seal = seals[index]
    stated = (seal.decisions, seal.forwarded, seal.completions)
    before = (
        (seals[index - 1].decisions, seals[index - 1].forwarded, seals[index - 1].completions) if index else (0,) * 3
    )
    dropped_before = seals[index - 1].dropped if index else 0
    names = ("decisions", "forwarded decisions", "completions")
    for name, now, then, counted in zip(names, stated, before, seal.counted or (None,) * 3, strict=True):
        if counted is None and now >= then:
            continue
        if counted is None or now != then + counted:
            message = f"It states {now} {name} so far, but {then} before it and {counted} under it make another number."
            findings.add("S3", Severity.ERROR, where, message)
    if seal.in_flight != seal.forwarded - seal.completions:
        message = f"It states {seal.in_flight} exchanges in flight; forwarded less completed are another number."
        findings.add("S3", Severity.ERROR, where, message)
    if seal.dropped < dropped_before:
        findings.add("S3", Severity.ERROR, where, f"It states {seal.dropped} dropped records, fewer than before it.")


def _check_clock(seals: list[SealRow], log: str, runs: list[RunRow], findings: Findings) -> None:
    """T1: the wall clock keeps step with the monotonic one.  T2: seals come as often as the settings say."""
    idle = idle_interval_s(runs[0][2] if runs else "")
    for index, (before, seal) in enumerate(itertools.pairwise(seals), start=1):
        where = f"{log} seal {index}"
        wall, steady = (seal.recorded_at - before.recorded_at) // 1000, seal.monotonic_ms - before.monotonic_ms
        if seal.reason == "recovered":
            continue  # sealed by the next start of the sidecar, whenever that was; coverage names the gap
        if wall < 0 or steady < 0 or abs(wall - steady) > _CLOCK_TOLERANCE_MS:
            message = f"Since the seal before, the clock went {wall} ms and the monotonic clock {steady} ms."
            findings.add("T1", Severity.WARNING, where, message)
        if max(wall, steady) > _LATE * idle * 1000:
            message = (
                f"No seal for {max(wall, steady) / 1000:.0f} s where one is due every {idle:g} s: time without seals."
            )
            findings.add("T2", Severity.WARNING, where, message)


def idle_interval_s(settings: str | None) -> float:
    """Seconds within which a seal is due without traffic, by recorded settings; the default where they do not say."""
    try:
        said = json.loads(settings or "")["logging"]["idle_seal_interval_s"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return _IDLE_SEAL_S
    known = isinstance(said, int | float) and not isinstance(said, bool) and 0 < said <= 86_400
    return float(said) if known else _IDLE_SEAL_S


def _check_settings(seals: list[SealRow], log: str, runs: list[RunRow], findings: Findings) -> None:
    """S4: a seal states the settings of the run record in force, and that record the digest of its settings."""
    if not runs:
        findings.add("S4", Severity.WARNING, log, "The log has no run record, so its settings and key are not known.")
    for seq, _, settings, digest in runs:
        if isinstance(settings, str) and hashlib.sha256(settings.encode("utf-8")).hexdigest() != digest:
            findings.add("S4", Severity.ERROR, f"{log} {seq}", "The settings on record do not have their digest.")
    position = 0
    for index, seal in enumerate(seals):
        while position < len(runs) and runs[position][0] < seal.seq:
            position += 1
        if position and runs[position - 1][3] != seal.settings_sha256:
            message = "It states other settings than the run record in force."
            findings.add("S4", Severity.ERROR, f"{log} seal {index}", message)


def _check_closed(evidence: Evidence, tree: SealTree, findings: Findings, tally: Tally) -> None:
    log, last = tree.log, tree.seals[-1]
    tally.closed = last.reason in CLOSING
    for index, seal in enumerate(tree.seals[:-1]):
        if seal.reason in CLOSING:
            message = f"It closes the log ({seal.reason}), but more seals follow it."
            findings.add("S1", Severity.ERROR, f"{log} seal {index}", message)
    if not tally.closed:
        live = evidence.live_files(log)
        why = "it is still being written" if live else "it was still being written when copied, or its end was cut off"
        message = f"The log has no closing seal: {why}. What came after seal {tree.size - 1} cannot be known from here."
        findings.add("S6", Severity.WARNING, log, message)
