"""Checks R1 to R4 and F3: every record that a seal covers is there once, and hashes to the root it was sealed under.

Worked off in windows of a bounded span of ``seq``: a leaf and a code for each record of one, whatever the size of
the log.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from reports import leaves
from reports.evidence import DamagedError, Evidence
from reports.evidence_form import SegmentFiles
from reports.findings import LISTED_MAX, Findings, Severity, Tally
from reports.verify_seals import COLUMNS, SealRow, SealTree

WINDOW_SPAN = 1_000_000
"""Records looked at together: 75 MB of leaves and codes."""
_SEAL_ROWS_MAX = 4_000_000
_SUSPECTS_AT_ONCE = 1_000
_MISSING = re.compile(rb"\0+")
_PRESENT = re.compile(rb"[^\0]+")

Progress = Callable[[int], None]
Range = tuple[int, int]


@dataclass(slots=True, kw_only=True)
class _Window:
    """Some segments and the ``seq`` from ``low`` to ``high`` in them; ``part`` of them where they hold more."""

    segments: list[SegmentFiles]
    low: int
    high: int
    part: bool = False
    codes: bytearray = field(default_factory=bytearray)
    leaves: list[bytes] = field(default_factory=list)

    def clear(self) -> None:
        self.codes = bytearray(self.high - self.low + 1)
        self.leaves = [b""] * (self.high - self.low + 1)


def check(evidence: Evidence, log: str, findings: Findings, tally: Tally, progress: Progress | None = None) -> SealTree:
    """Check the records of one log against its seals; the tree of them, with what was counted under each."""
    tree = read_tree(evidence, log)
    segments = evidence.segments(log)
    tally.first_seq = min((segment.first for segment in segments), default=None)
    tally.last_seq = max((segment.last for segment in segments), default=None)
    pruned = pruned_ranges(evidence, log)
    for low, high in _between(segments, log, findings):
        _missing(log, (low, high), pruned, findings, tally)
    checker = _Checker(evidence, log, findings, tally, tree, pruned)
    for window in _windows(segments, tree):
        checker.check(window)
        if progress is not None:
            progress(len(window.codes))
    return tree


def read_tree(evidence: Evidence, log: str) -> SealTree:
    """The seals of a log that can be read, in order."""
    relation = evidence.relation("seal", log)
    try:
        chunks = leaves.fast_leaves(evidence, "seal", relation, log)
        hashes = {seq: leaf for chunk in chunks for seq, _, leaf in chunk}
        rows = list(evidence.rows("seal", log, COLUMNS, order="seq"))
    except DamagedError:
        return SealTree(log, [])  # the window that the file is in says so
    made: list[SealRow] = []
    for row in rows:
        if None in row or (made and made[-1].seq == row[0]) or row[0] not in hashes:
            continue
        made.append(SealRow(leaf=hashes[row[0]], **dict(zip(COLUMNS, row, strict=True))))
    return SealTree(log, made)


def pruned_ranges(evidence: Evidence, log: str) -> list[Range]:
    """Ranges of ``seq`` of which a custody record says that records were pruned (checked by verify_custody.py)."""
    where = "event = 'pruned' AND first_seq IS NOT NULL AND last_seq IS NOT NULL AND subject_log IS NOT NULL"
    try:
        rows = list(evidence.rows("custody", None, ("subject_log", "first_seq", "last_seq"), where))
    except DamagedError:
        return []
    return [(first, last) for subject, first, last in rows if subject == log]


def _between(segments: list[SegmentFiles], log: str, findings: Findings) -> Iterator[Range]:
    """Ranges of ``seq`` before and between the segments; a log begins at 0 and has no holes."""
    expected = 0
    for segment in segments:
        if segment.first < expected:
            message = "This segment overlaps the one before it: the same records are there twice."
            findings.add("R1", Severity.ERROR, f"{log} {segment.first:012d}-{segment.last:012d}", message)
        elif segment.first > expected:
            yield expected, segment.first - 1
        expected = max(expected, segment.last + 1)


def _missing(log: str, gone: Range, pruned: list[Range], findings: Findings, tally: Tally) -> bool:
    """Records that are not there: R3, unless a custody record says that they were pruned; whether it does."""
    low, high = gone
    covered = low
    for first, last in sorted(pruned):
        if first <= covered <= last:
            covered = last + 1
    if covered > high:
        tally.skip("pruned records", high - low + 1, "they are gone, as a custody record says; their seals remain")
        return True
    count = f"{high - low + 1:,} records are" if high > low else "This record is"
    where = f"{log} seq {low}" + (f" to {high}" if high > low else "")
    findings.add("R3", Severity.ERROR, where, f"{count} missing, and no custody record says why.")
    return False


def _windows(segments: list[SegmentFiles], tree: SealTree) -> Iterator[_Window]:
    """The log in windows: whole neighbouring segments where they are small, parts cut at seals where one is large."""
    chosen: list[SegmentFiles] = []
    for segment in segments:
        large = segment.last - segment.first >= WINDOW_SPAN
        follows = chosen and segment.first <= chosen[-1].last + 1
        if chosen and (large or not follows or segment.last - chosen[0].first >= WINDOW_SPAN):
            yield _whole(chosen)
            chosen = []
        if large:
            yield from _parts(segment, tree)
        else:
            chosen.append(segment)
    if chosen:
        yield _whole(chosen)


def _whole(segments: list[SegmentFiles]) -> _Window:
    return _Window(segments=list(segments), low=segments[0].first, high=max(segment.last for segment in segments))


def _parts(segment: SegmentFiles, tree: SealTree) -> Iterator[_Window]:
    """A large segment cut behind seals; where there is none for long, wherever the span ends."""
    ends = [seal.seq for seal in tree.seals if segment.first <= seal.seq < segment.last] + [segment.last]
    low = segment.first
    while low <= segment.last:
        index = bisect_left(ends, low + WINDOW_SPAN)
        high = ends[index - 1] if index and ends[index - 1] >= low else ends[min(index, len(ends) - 1)]
        high = min(high, low + _SEAL_ROWS_MAX)
        yield _Window(segments=[segment], low=low, high=high, part=True)
        low = high + 1


class _Checker:
    """The checks of one log, window by window."""

    def __init__(
        self, evidence: Evidence, log: str, findings: Findings, tally: Tally, tree: SealTree, pruned: list[Range]
    ) -> None:
        self._evidence = evidence
        self._log = log
        self._findings = findings
        self._tally = tally
        self._tree = tree
        self._pruned = pruned
        self._slow: set[tuple[str, str]] = set()  # (segment, kind) that only the sure way reads

    def check(self, window: _Window) -> None:
        """Fill the window with leaves, then hold them to the seals in it."""
        while (damaged := self._fill(window)) is not None:
            self._look_closer(window, damaged)
        self._count(window)
        sealed = bytearray(window.codes)
        seals = self._tree.seals
        first = bisect_left(seals, window.low, key=lambda seal: seal.seq)
        for index in range(first, len(seals)):
            if seals[index].seq > window.high:
                break
            self._check_seal(window, index, sealed)
        self._check_unsealed(window, sealed)
        for match in _MISSING.finditer(window.codes):
            gone = (window.low + match.start(), window.low + match.end() - 1)
            _missing(self._log, gone, self._pruned, self._findings, self._tally)

    def _fill(self, window: _Window) -> str | None:
        """The kind whose files cannot be read the fast way, or None when all leaves are in their place."""
        window.clear()
        twice: list[int] = []
        outside: list[int] = []
        suspects: dict[str, list[int]] = {}
        low, size, codes, made, bad = window.low, len(window.codes), window.codes, window.leaves, leaves.BAD
        for kind in self._evidence.kinds(self._log):
            try:
                for chunk in self._leaves(window, kind):
                    for seq, code, leaf in chunk:
                        index = seq - low
                        if code == bad:
                            suspects.setdefault(kind, []).append(seq)
                        if not 0 <= index < size:
                            outside.append(seq)
                        elif codes[index]:
                            twice.append(seq)
                        else:
                            codes[index] = code
                            made[index] = leaf
            except DamagedError:
                return kind
        for kind, seqs in suspects.items():
            self._judge(window, kind, seqs)
        for seq in twice:
            self._findings.add("R1", Severity.ERROR, f"{self._log} seq {seq}", "There are two records of this number.")
        for seq in sorted(outside):
            if seq >= 0:
                message = "This record lies in a segment that does not cover its number; no seal vouches for it there."
                self._findings.add("R2", Severity.ERROR, f"{self._log} seq {seq}", message)
        return None

    def _leaves(self, window: _Window, kind: str) -> Iterator[list[leaves.Leaf]]:
        slow = [s for s in window.segments if (s.source, kind) in self._slow and kind in s.files]
        fast = [s for s in window.segments if (s.source, kind) not in self._slow and kind in s.files]
        if fast:
            yield from leaves.fast_leaves(self._evidence, kind, self._relation(window, kind, fast), self._log)
        for segment in slow:
            relation = self._relation(window, kind, [segment])
            yield [item for item, _ in leaves.sure_leaves(self._evidence, kind, relation, self._log)]

    def _relation(self, window: _Window, kind: str, segments: list[SegmentFiles]) -> str:
        relation = self._evidence.relation(kind, self._log, segments=segments)
        if not window.part:
            return relation
        last = window.high == segments[0].last
        behind = f" OR seq > {window.high} OR seq < {segments[0].first} OR seq IS NULL" if last else ""
        return f"(SELECT * FROM {relation} WHERE seq BETWEEN {window.low} AND {window.high}{behind})"  # noqa: S608

    def _look_closer(self, window: _Window, kind: str) -> None:
        """Find the files of ``kind`` that the fast way failed on: read them the sure way, or not at all."""
        for segment in [s for s in window.segments if kind in s.files]:
            if (segment.source, kind) not in self._slow:
                relation = self._relation(window, kind, [segment])
                if _drains(leaves.fast_leaves(self._evidence, kind, relation, self._log)) is None:
                    continue
                self._slow.add((segment.source, kind))
            why = _drains(leaves.sure_leaves(self._evidence, kind, self._relation(window, kind, [segment]), self._log))
            if why is not None:
                check = "F4" if "Out of Memory" in why else "F5"
                self._evidence.exclude(segment, kind, f"cannot be read ({why})", check)

    def _judge(self, window: _Window, kind: str, seqs: list[int]) -> None:
        """Let the sure way decide on rows that looked wrong."""
        relation = self._relation(window, kind, [s for s in window.segments if kind in s.files])
        if len(seqs) <= _SUSPECTS_AT_ONCE:
            listed = ", ".join(str(seq) for seq in seqs)
            relation = f"(SELECT * FROM {relation} WHERE coalesce(seq, -1) IN ({listed}))"  # noqa: S608 - numbers
        for (seq, code, leaf), fault in leaves.sure_leaves(self._evidence, kind, relation, self._log):
            index = seq - window.low
            if fault is not None:
                check, message = fault
                self._findings.add(check, Severity.ERROR, f"{self._log} seq {seq}", f"In this {kind}, {message}.")
            elif 0 <= index < len(window.codes):
                window.codes[index] = code
                window.leaves[index] = leaf

    def _count(self, window: _Window) -> None:
        codes, tally = window.codes, self._tally
        tally.records += len(codes) - codes.count(0)
        tally.decisions += codes.count(leaves.DENIED) + codes.count(leaves.FORWARDED)
        tally.completions += codes.count(leaves.COMPLETION)
        alone = codes.count(leaves.LEAF_ONLY)
        if alone:
            tally.skip(
                "withheld records", alone, "only their leaves are given: they are sealed, their content is not known"
            )

    def _check_seal(self, window: _Window, index: int, sealed: bytearray) -> None:
        seal = self._tree.seals[index]
        where = f"{self._log} seal {index}"
        low, high = seal.first_seq - window.low, seal.end - window.low
        sealed[seal.seq - window.low] = 0
        if not 0 <= low <= high <= len(window.codes):
            message = (
                f"It covers {seal.first_seq} to {seal.end - 1}, which do not lie with it; its root was not computed."
            )
            self._findings.add("R4", Severity.ERROR, where, message)
            return
        sealed[low:high] = bytes(high - low)
        codes = window.codes
        if codes.find(0, low, high) >= 0:
            if self._pruned and codes.count(0, low, high) < high - low:
                # Of a pruned range nothing is left, or all leaves: anything else would be a place to hide a change.
                message = (
                    f"Of the records {seal.first_seq} to {seal.end - 1} some are gone without their leaves, so those"
                    " left cannot be checked."
                )
                self._findings.add("R3", Severity.ERROR, where, message)
            return  # what is missing is a finding of its own
        if leaves.root_of(b"".join(window.leaves[low:high])).hex() != seal.root:
            message = f"The records {seal.first_seq} to {seal.end - 1} do not have the root it states: one was changed."
            self._findings.add("R4", Severity.ERROR, where, message)
        if codes.find(leaves.LEAF_ONLY, low, high) < 0:
            forwarded = codes.count(leaves.FORWARDED, low, high)
            decisions = forwarded + codes.count(leaves.DENIED, low, high)
            seal.counted = (decisions, forwarded, codes.count(leaves.COMPLETION, low, high))

    def _check_unsealed(self, window: _Window, sealed: bytearray) -> None:
        for number, match in enumerate(_PRESENT.finditer(sealed)):
            if number >= LISTED_MAX:
                break
            low, high = window.low + match.start(), window.low + match.end() - 1
            where = f"{self._log} seq {low}" + (f" to {high}" if high > low else "")
            message = f"{high - low + 1:,} record(s) that no seal covers: they can be changed without a trace."
            self._findings.add("R2", Severity.ERROR, where, message)


def _drains(rows: Iterator[object]) -> str | None:
    """Read everything and keep nothing; why it failed, or None."""
    try:
        for _ in rows:
            pass
    except DamagedError as error:
        return str(error)
    return None
