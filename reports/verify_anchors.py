"""Checks T3, T4, T5 and the anchor levels: what timestamp authorities and witnesses outside say about a log's heads.

Only what the auditor brought a certificate or key for counts.  A timestamp (A2) fixes when a history existed and not
that it is the only one; a witness (A3) has signed one history only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from crawl_audit import witness
from crawl_audit.errors import LogFormatError
from crawl_audit.seal import origin, parse_checkpoint, parse_note
from crawl_audit.witness import Cosigner
from reports.evidence import Evidence, EvidenceFile
from reports.findings import Findings, Severity, Tally
from reports.timestamps import TrustedAuthorities
from reports.verify_seals import SealTree

TOLERANCE_US = 10_000_000
"""How far a log's clock may be off an authority's before that is a contradiction: NTP keeps it well below."""
_NAME = re.compile(r"(?P<size>[0-9]{12})\.(?:(?P<authority>.+)\.)?(?P<kind>checkpoint|tsr|cosigned|push\.json)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A verified statement from outside: the tree of ``size`` seals existed at ``at_us`` at the latest."""

    level: str
    size: int
    at_us: int
    accuracy_us: int
    by: str
    receipt_sha256: str


def check(
    evidence: Evidence,
    tree: SealTree,
    findings: Findings,
    tally: Tally,
    *,
    authorities: TrustedAuthorities | None,
    witnesses: Sequence[Cosigner],
) -> None:
    """Check every receipt of one log, the times of its records against them, and say which level was reached."""
    files = [(match, file) for file in evidence.anchors(tree.log) if (match := _NAME.fullmatch(file.name))]
    notes = {match["size"]: file for match, file in files if match["kind"] == "checkpoint"}
    is_live = not tally.closed and bool(evidence.live_files(tree.log))
    checker = _Checker(tree, findings, tally, authorities, witnesses, is_live=is_live)
    for match, file in files:
        if match["kind"] == "tsr":
            checker.token(match["authority"], file, notes.get(match["size"]))
        elif match["kind"] == "cosigned":
            checker.cosigned(file)
        elif match["kind"] == "checkpoint":
            checker.note(file)
    checker.say_what_was_not_checked()
    stated = _check_records(evidence, tree, findings, files, checker.seen)
    _check_times(evidence, tree, findings, checker.seen, stated)
    _levels(tree, findings, tally, checker.seen)


class _Checker:
    """Receipts one by one; ``seen`` is what holds of them."""

    def __init__(
        self,
        tree: SealTree,
        findings: Findings,
        tally: Tally,
        authorities: TrustedAuthorities | None,
        witnesses: Sequence[Cosigner],
        *,
        is_live: bool,
    ) -> None:
        self._is_live = is_live  # seals may be sealed, signed and shown, and not published yet
        self.seen: list[_Seen] = []
        self._tree = tree
        self._findings = findings
        self._tally = tally
        self._authorities = authorities
        self._witnesses = witnesses
        self._tokens = 0
        self._cosigned = 0

    def token(self, authority: str, file: EvidenceFile, note: EvidenceFile | None) -> None:
        """T4, and T5 where there is nothing to check it with."""
        if self._authorities is None:
            self._tokens += 1
            return
        if note is None:
            self._error("T4", file, "The checkpoint this timestamp is for is not here.")
            return
        try:
            stamp = self._authorities.verify(file.content, note.content)
        except LogFormatError as error:
            self._error("T4", file, str(error))
            return
        size = self._size_here(note, "has a timestamp")
        if size is not None:
            self.seen.append(
                _Seen(
                    level="A2",
                    size=size,
                    at_us=stamp.at,
                    accuracy_us=stamp.accuracy_us,
                    by=authority,
                    receipt_sha256=_digest(file),
                )
            )

    def cosigned(self, file: EvidenceFile) -> None:
        """H1 for a cosignature that does not hold; one by a witness nobody named is not looked at."""
        try:
            held = witness.cosignatures(file.read_text(), self._witnesses)
        except LogFormatError as error:
            self._error("H1", file, str(error))
            return
        self._cosigned += not held
        size = self._size_here(file, "was signed by a witness", rewritten="H4") if held else None
        if size is not None:
            self.seen += [
                _Seen(
                    level="A3",
                    size=size,
                    at_us=one.at_s * 1_000_000,
                    accuracy_us=1_000_000,
                    by=one.by.name,
                    receipt_sha256=_digest(file),
                )
                for one in held
            ]

    def note(self, file: EvidenceFile) -> None:
        """A note that was shown is of this log's tree; that its signature holds is checked with the other heads."""
        self._size_here(file, "was shown outside")

    def say_what_was_not_checked(self) -> None:
        """Receipts nobody brought a certificate or key for are counted, not believed."""
        log = self._tree.log
        if self._tokens:
            message = f"{self._tokens} timestamp tokens were not checked: name their authority's CA with --tsa-ca."
            self._findings.add("T5", Severity.INFO, log, message)
            self._tally.skip("timestamp tokens", self._tokens, "no --tsa-ca was given")
        if self._cosigned:
            self._tally.skip("cosigned checkpoints", self._cosigned, "no key of their witness was given (--witness)")

    def _size_here(self, file: EvidenceFile, what: str, rewritten: str = "H2") -> int | None:
        """The size a note states where the tree here has that root at that size; else a finding and None."""
        try:
            head = parse_checkpoint(parse_note(file.read_text()).text)
        except LogFormatError as error:
            self._error("H1", file, str(error))
            return None
        if head.origin != origin(self._tree.log):
            self._error("H1", file, f"It is of another log, {head.origin}.")
        elif head.size > self._tree.size:
            short = f"A head of {head.size} seals {what}, and the log has {self._tree.size}"
            if self._is_live:
                message = f"{short}: the rest is in live files; `crawl-audit-proxy seal` publishes them."
                self._findings.add("H3", Severity.WARNING, f"{self._tree.log} {file.name}", message)
            else:
                self._error("H3", file, f"{short}: its end was cut off.")
        elif head.root != self._tree.root(head.size):
            message = f"The head of {head.size} seals that {what} is not of the seals here: the log was rewritten."
            self._error(rewritten, file, message)
        else:
            return head.size
        return None

    def _error(self, check: str, file: EvidenceFile, message: str) -> None:
        self._findings.add(check, Severity.ERROR, f"{self._tree.log} {file.name}", message)


def _check_records(
    evidence: Evidence,
    tree: SealTree,
    findings: Findings,
    files: Sequence[tuple[re.Match[str], EvidenceFile]],
    seen: Sequence[_Seen],
) -> list[tuple[int, int]]:
    """Hold the log's own anchor records against the receipts: (seq, time the receipt states) of those that hold."""
    receipts = {_digest(file) for _, file in files}
    by_digest = {one.receipt_sha256: one for one in seen}
    columns = ("seq", "method", "authority", "checkpoint_size", "checkpoint_root", "receipt_sha256", "stated_at")
    stated = []
    for seq, method, authority, size, root, digest, at_us in evidence.rows("anchor", tree.log, columns, order="seq"):
        where = f"{tree.log} {seq}"
        held = by_digest.get(digest)
        if digest not in receipts:
            message = f"The receipt of {authority} ({method}) that this record names is not here."
            findings.add("T4", Severity.WARNING, where, message)
        if size > tree.size or tree.root(size).hex() != root:
            message = f"The head of {size} seals that {authority} was shown is not of the seals here."
            findings.add("H2", Severity.ERROR, where, message)
        elif held is not None and (held.size != size or at_us != held.at_us):
            message = f"The receipt of {authority} says {_utc(held.at_us)} for {held.size} seals, and not what is here."
            findings.add("T4", Severity.ERROR, where, message)
        if held is not None:
            stated.append((seq, held.at_us - held.accuracy_us))
    return stated


def _check_times(
    evidence: Evidence, tree: SealTree, findings: Findings, seen: Sequence[_Seen], stated: Sequence[tuple[int, int]]
) -> None:
    """T3: nothing that a receipt covers is dated after it, and nothing that follows a receipt in the log before it."""
    ceilings: list[tuple[int, int]] = []  # (last seq, latest time), both rising
    for one in sorted(seen, key=lambda one: -one.size):
        limit = one.at_us + one.accuracy_us + TOLERANCE_US
        if one.size and (not ceilings or limit < ceilings[-1][1]):
            ceilings.append((tree.seals[one.size - 1].seq, limit))
    floors: list[tuple[int, int]] = []  # (first seq, earliest time), both rising
    for seq, at_us in stated:
        if not floors or at_us - TOLERANCE_US > floors[-1][1]:
            floors.append((seq, at_us - TOLERANCE_US))
    # Records kept while the log could not be written are entered later under their own time (docs/log-format.md).
    late = list(evidence.rows("gap", tree.log, ("first_seq", "last_seq"), where="first_seq IS NOT NULL"))
    for kind in evidence.kinds(tree.log):
        if kind == "withheld":
            continue
        relation = evidence.relation(kind, tree.log)
        _report(evidence, tree.log, findings, kind, _AFTER.format(relation=relation), ceilings, [], "after", "covers")
        _report(evidence, tree.log, findings, kind, _BEFORE.format(relation=relation), floors, late, "before", "dates")


_RECORDS = "(SELECT seq, epoch_us(recorded_at) AS at FROM {relation} AS evidence)"
_LIMITS = "(SELECT unnest($1::BIGINT[]) AS place, unnest($2::BIGINT[]) AS edge)"
_AFTER = f"""SELECT count(*), min(record.seq) FROM {_RECORDS} AS record ASOF JOIN {_LIMITS} AS limits
ON record.seq <= limits.place WHERE record.at > limits.edge"""  # noqa: S608 - our own names
_BEFORE = f"""SELECT count(*), min(record.seq) FROM {_RECORDS} AS record ASOF JOIN {_LIMITS} AS limits
ON record.seq >= limits.place WHERE record.at < limits.edge AND NOT EXISTS (SELECT 1 FROM
(SELECT unnest($3::BIGINT[]) AS first, unnest($4::BIGINT[]) AS last) AS late
WHERE record.seq BETWEEN first AND last)"""  # noqa: S608


def _report(
    evidence: Evidence,
    log: str,
    findings: Findings,
    kind: str,
    sql: str,
    limits: Sequence[tuple[int, int]],
    late: Sequence[tuple[int, int]],
    side: str,
    verb: str,
) -> None:
    if not limits:
        return
    parameters = [[place for place, _ in limits], [edge for _, edge in limits]]
    if "$3" in sql:
        parameters += [[first for first, _ in late], [last for _, last in late]]
    ((count, first),) = evidence.select(sql, parameters)
    if count:
        message = f"{count} {kind} records from here on are dated {side} the receipt from outside that {verb} them."
        findings.add("T3", Severity.ERROR, f"{log} {first}", message)


def _levels(tree: SealTree, findings: Findings, tally: Tally, seen: Sequence[_Seen]) -> None:
    """For each level the largest tree that reached it: every receipt covers all that went before."""
    sizes = {}
    for level in ("A2", "A3"):
        reached = [one for one in seen if one.level == level and one.size]
        if not reached:
            continue
        last = max(reached, key=lambda one: (one.size, -one.at_us))
        first_seq, last_seq = tree.range_of(0, last.size)
        tally.reached(level, first_seq, last_seq, f"{last.by} at {_utc(last.at_us)}")
        sizes[level] = last.size
    if sizes.get("A2", 0) > sizes.get("A3", 0):
        message = (
            f"Seals {sizes.get('A3', 0)} to {sizes['A2'] - 1} are timestamped: that says when they existed and not that"
            " they are the only history, as two rival logs can both be stamped. A witness or a pin would say it."
        )
        findings.add("H5", Severity.INFO, tree.log, message)


def _digest(file: EvidenceFile) -> str:
    return hashlib.sha256(file.content).hexdigest()


def _utc(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
