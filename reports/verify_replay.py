"""The checks B1, B3 and D1 to D3: the octets are those that were judged, and judging them again gives the same.

Decisions are taken by robots.txt, not by time, so that each is compiled once in a window; of the octets only a bounded
part is in memory.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from crawl_audit import robots
from crawl_audit.decision import action_for
from crawl_audit.records import Action, Basis, Mode, Verdict
from reports.findings import Severity
from reports.replaying import Answer, Made, Replayer, Result
from reports.verify_decisions import Subject, Window
from reports.verify_snapshots import Snapshots

_OCTETS_AT_ONCE = 48 * 1024 * 1024
_BODIES_AT_ONCE = 20_000

_MADE = ", ".join(
    {"recorded_at": "epoch_us(d.recorded_at)", "robots_sha256": "d.robots_sha256"}.get(name, f"d.{name}")
    for name in Made._fields
)
_DECISIONS = """
SELECT {made}, d.seq, s.outcome, s.seq IS NOT NULL
FROM {decisions} AS d LEFT JOIN verify_snapshot AS s ON s.seq = d.snapshot_seq
WHERE {digests}
ORDER BY d.robots_sha256, d.product_token
"""
_BODIES = "SELECT seq, robots_sha256, body_bytes, body FROM {bodies}"
_MADE_COLUMNS = len(Made._fields)


@dataclass(slots=True)
class Bodies:
    """Where the octets of each robots.txt of a log lie: digest → (segment, length of all rows of it)."""

    subject: Subject
    kept: dict[str, tuple[int, int]] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)

    def fetch(self, digests: list[str]) -> dict[str, bytes]:
        """The octets under these digests, which are sorted and all kept."""
        evidence, log = self.subject.evidence, self.subject.log
        all_segments = evidence.segments(log)
        chosen = [all_segments[number] for number in sorted({self.kept[digest][0] for digest in digests})]
        wanted = set(digests)
        rows = evidence.select(
            f"SELECT robots_sha256, body FROM {evidence.relation('robots_body', segments=chosen)}"  # noqa: S608
            " WHERE robots_sha256 BETWEEN $1 AND $2 AND body IS NOT NULL",
            [digests[0], digests[-1]],
        )
        found: dict[str, bytes] = {}
        for digest, body in rows:
            if digest in wanted and digest not in found:
                found[digest] = bytes(body)
        return found

    def portions(self, digests: list[str]) -> Iterator[list[str]]:
        """``digests``, sorted, in portions whose octets fit into memory."""
        portion: list[str] = []
        octets = 0
        for digest in digests:
            size = self.kept.get(digest, (0, 0))[1]
            if portion and (octets + size > _OCTETS_AT_ONCE or len(portion) >= _BODIES_AT_ONCE):
                yield portion
                portion, octets = [], 0
            portion.append(digest)
            octets += size
        if portion:
            yield portion


def read_bodies(subject: Subject, snapshots: Snapshots) -> Bodies:
    """B1 and B3: every kept robots.txt has its digest and length, every successful snapshot its robots.txt."""
    bodies = Bodies(subject)
    for number, segment in enumerate(subject.evidence.segments(subject.log)):
        if "robots_body" not in segment.files:
            continue
        relation = subject.evidence.relation("robots_body", segments=[segment])
        for seq, digest, said_bytes, body in subject.evidence.select(_BODIES.format(bodies=relation)):
            if body is None:
                bodies.withheld.add(digest)
                continue
            octets = bytes(body)
            if hashlib.sha256(octets).hexdigest() != digest:
                subject.error("B1", seq, "The octets of the robots.txt do not have the SHA-256 they are kept under.")
            if len(octets) != said_bytes:
                subject.error("B1", seq, f"The robots.txt has {len(octets)} octets, its record says {said_bytes}.")
            where, size = bodies.kept.get(digest, (number, 0))
            bodies.kept[digest] = (where, size + len(octets))
    for seq, digest in snapshots.successful_without_digest():
        if digest is None:
            subject.error("B3", seq, "The fetch was successful, but the snapshot names no robots.txt.")
        elif digest not in bodies.kept and digest not in bodies.withheld:
            _report_missing(subject, seq)
    return bodies


def _report_missing(subject: Subject, seq: int) -> None:
    if subject.partial:
        why = "The octets of this robots.txt are not here; rows of this log are withheld or pruned."
        subject.add("B3", Severity.WARNING, seq, why)
    else:
        subject.error("B3", seq, "The octets of this robots.txt are not in the log.")


class Replays:
    """Decides the decisions of one log again."""

    def __init__(self, subject: Subject, bodies: Bodies, *, replay: bool) -> None:
        self._subject = subject
        self._bodies = bodies
        self._replay = replay
        self._replayer = Replayer()
        self._declared = subject.declared
        self._not_replayed = 0
        self._impossible: Counter[str] = Counter()
        self._word: Counter[str] = Counter()

    def check(self, window: Window) -> None:
        """D1, D2 and D3 for the decisions of one window."""
        self._check_actions(window)
        decisions = window.relation("decision")
        if not self._replay:
            (row,) = self._subject.evidence.select(f"SELECT count(*) FROM {decisions}")  # noqa: S608 - our own names
            self._not_replayed += int(row[0])
            return
        self._check_parsers(decisions)
        rows = self._subject.evidence.select(
            f"SELECT DISTINCT robots_sha256 FROM {decisions} WHERE robots_sha256 IS NOT NULL"  # noqa: S608
        )
        portions = list(self._bodies.portions(sorted(row[0] for row in rows)))
        if len(portions) != 1:
            self._replay_all(decisions, "d.robots_sha256 IS NULL", {})
        for portion in portions:
            kept = [digest for digest in portion if digest in self._bodies.kept]
            octets = self._bodies.fetch(kept) if kept else {}
            only = f"d.robots_sha256 BETWEEN '{_hex(portion[0])}' AND '{_hex(portion[-1])}'"
            self._replay_all(decisions, "true" if len(portions) == 1 else only, octets)

    def finish(self) -> None:
        """Say what was not decided again, and what of the rest is the log's word."""
        tally = self._subject.tally
        if self._not_replayed:
            tally.skip("decisions not decided again", self._not_replayed, "as asked (--no-replay)")
        for reason, count in sorted(self._impossible.items()):
            tally.skip("decisions that cannot be decided again", count, reason)
        for word, count in sorted(self._word.items()):
            tally.skip(word, count, "it is the log's word; only the rule was decided again")

    def _replay_all(self, decisions: str, digests: str, octets: dict[str, bytes]) -> None:
        answer, get, declared = self._replayer.answer, octets.get, self._declared
        replayed = 0
        same = Result.SAME

        def body_of() -> bytes | None:
            return get(made.robots_sha256 or "")

        for row in self._subject.evidence.select(_DECISIONS.format(made=_MADE, decisions=decisions, digests=digests)):
            made = Made._make(row[:_MADE_COLUMNS])
            found = answer(made, row[-2], body_of, declared)
            if found.result is same:
                replayed += 1
                if found.rests_on is not None:
                    self._word[found.rests_on] += 1
            else:
                replayed += found.result is Result.DIFFERS
                self._note(row[-3], made, found)
        self._subject.tally.replayed += replayed

    def _note(self, seq: int, made: Made, found: Answer) -> None:
        if found.result is Result.NOT_APPLICABLE:
            self._impossible[found.reason] += 1
            return
        if found.result is Result.NOT_POSSIBLE:
            self._impossible[found.reason] += 1
            self._subject.add("D3", Severity.WARNING, seq, f"The decision cannot be made again. {found.reason}")
            return
        said = f"recorded: {_said(made.verdict, made.basis, made.rule)}"
        if found.again is not None:
            said += f"; decided again: {_said(found.again.verdict, found.again.basis, found.again.rule)}"
            if _said(made.verdict, made.basis, made.rule) == _said(*found.again[:3]):
                said = f"they differ in {_differences(made, found)}"
        if made.parser != robots.PARSER:
            versions = f"judged by {made.parser}, now by {robots.PARSER}"
            self._subject.add("D3", Severity.WARNING, seq, f"Another version answers otherwise ({versions}); {said}.")
        else:
            self._subject.error("D1", seq, f"{found.reason.removesuffix('.')}; {said}.")

    def _check_parsers(self, decisions: str) -> None:
        """D1: what judged is what the log's start says judges."""
        if self._subject.parser is None:
            return
        for parser, seq, count in self._subject.evidence.select(
            f"SELECT parser, min(seq), count(*) FROM {decisions} GROUP BY parser"  # noqa: S608 - our own names
        ):
            if parser != self._subject.parser:
                why = (
                    f"{count} decisions say they were judged by {parser}, the log's start says {self._subject.parser}."
                )
                self._subject.error("D1", seq, why)

    def _check_actions(self, window: Window) -> None:
        """D2: what was done follows from verdict, basis and mode, and the mode is that of the settings."""
        decisions = window.relation("decision")
        settings = self._subject.settings or {}
        for verdict, basis, mode, action in self._subject.evidence.select(
            f"SELECT DISTINCT verdict, basis, mode, action FROM {decisions}"  # noqa: S608 - our own names
        ):
            fault = _action_fault(verdict, basis, mode, action, settings.get("mode"))
            if fault is None:
                continue
            for (seq,) in self._subject.evidence.select(
                f"SELECT seq FROM {decisions}"  # noqa: S608 - our own names
                " WHERE verdict = $1 AND basis = $2 AND mode = $3 AND action = $4 ORDER BY seq",
                [verdict, basis, mode, action],
            ):
                self._subject.error("D2", seq, fault)


def _action_fault(verdict: str, basis: str, mode: str, action: str, configured: object) -> str | None:
    try:
        due = action_for(Verdict(verdict), Basis(basis), Mode(mode))
        done = Action(action)
    except ValueError:
        return "The decision has a verdict, basis, mode or action that there is none of."
    if done is not due:
        return f"In mode {mode} what is {verdict} ({basis}) is to be {due}; it was {done}."
    if configured is not None and mode != configured:
        return f"The decision is in mode {mode}, the settings of the log say {configured}."
    return None


def _said(verdict: str, basis: str, rule: str | None) -> str:
    return f"{verdict} ({basis}{'' if rule is None else ', ' + rule})"


def _differences(made: Made, found: Answer) -> str:
    assert found.again is not None, "only asked where there is another answer"
    names = [
        name
        for name, value in found.again._asdict().items()
        if (list(value) if name == "group_tokens" else value) != getattr(made, name)
    ]
    return ", ".join(names)


def _hex(digest: str) -> str:
    return digest.replace("'", "''")
