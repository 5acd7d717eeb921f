"""What a verification found: each finding with its check, its place and a sentence, and the result they add up to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

LISTED_MAX = 20
"""Findings of one check in one log that are listed one by one; the rest is counted, so that a flood stays readable."""


class Severity(StrEnum):
    """What a finding means for the result."""

    ERROR = "error"  # the evidence contradicts itself, or what the auditor holds: failed
    WARNING = "warning"  # something cannot be known from what there is: incomplete
    INFO = "info"  # worth knowing; no effect


class Result(StrEnum):
    """What a verification comes to."""

    OK = "ok"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found: ``check`` is its id (docs/evidence.md), ``where`` a log id and, after a space, the place."""

    check: str
    severity: Severity
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Some findings: those listed one by one, and how many there are of each (check, severity, log)."""

    listed: tuple[Finding, ...] = ()
    counts: Counter[tuple[str, Severity, str]] = field(default_factory=Counter)


class Findings:
    """All findings of one verification; of the same check in the same log only the first are listed."""

    def __init__(self) -> None:
        self._listed: list[Finding] = []
        self._counts: Counter[tuple[str, Severity, str]] = Counter()

    def add(self, check: str, severity: Severity, where: str, message: str) -> None:
        """Take note of a finding; ``where`` begins with the log's id (or a file's name), then a space and the place."""
        key = (check, severity, where.partition(" ")[0])
        if self._counts[key] < LISTED_MAX:
            self._listed.append(Finding(check=check, severity=severity, where=where, message=message))
        self._counts[key] += 1

    def mark(self) -> Noted:
        """What is noted so far, for :meth:`since`."""
        return Noted(tuple(self._listed), Counter(self._counts))

    def since(self, before: Noted) -> Noted:
        """What was noted since, for :meth:`extend` in another process."""
        return Noted(tuple(self._listed[len(before.listed) :]), self._counts - before.counts)

    def extend(self, noted: Noted) -> None:
        """Take note of what was found elsewhere."""
        self._listed.extend(noted.listed)
        self._counts.update(noted.counts)

    def has_error(self, check: str, log: str) -> bool:
        """Whether ``check`` found an error in ``log``."""
        return self._counts[check, Severity.ERROR, log] > 0

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each check."""
        made: Counter[str] = Counter()
        for (check, _, _), number in self._counts.items():
            made[check] += number
        return dict(made)

    @property
    def result(self) -> Result:
        """Failed where anything is an error, incomplete where anything is a warning, else ok."""
        severities = {severity for _, severity, _ in self._counts}
        if Severity.ERROR in severities:
            return Result.FAILED
        return Result.INCOMPLETE if Severity.WARNING in severities else Result.OK

    def listed(self) -> list[Finding]:
        """The findings one by one, errors first; then one for each (check, log) that says how many more there are."""
        made = list(self._listed)
        for (check, severity, log), number in self._counts.items():
            if number > LISTED_MAX:
                more = f"{number - LISTED_MAX} more findings of this check here are not listed."
                made.append(Finding(check=check, severity=severity, where=log, message=more))
        order = list(Severity)
        return sorted(made, key=lambda finding: order.index(finding.severity))


@dataclass(frozen=True, slots=True, kw_only=True)
class NotChecked:
    """Something that was not looked at, how many of it, and why: it must not be taken for held."""

    what: str
    count: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The anchor level that the records ``first_seq`` to ``last_seq`` of a log reached, and by what.

    A0: the log's own signature only; A2: a trusted timestamp (RFC 3161); A3: a pin of the auditor's, or a witness.
    """

    level: str
    first_seq: int
    last_seq: int
    by: str


@dataclass(slots=True)
class Tally:
    """What was counted in one log while it was checked."""

    log: str
    first_seq: int | None = None
    last_seq: int | None = None
    records: int = 0
    seals: int = 0
    decisions: int = 0
    completions: int = 0
    replayed: int = 0
    closed: bool = False
    key: str | None = None
    levels: list[Reached] = field(default_factory=list)
    not_checked: list[NotChecked] = field(default_factory=list)

    def skip(self, what: str, count: int, why: str) -> None:
        """Take note of something that is not checked, for example ``skip("decisions not replayed", 3, "…")``."""
        self.not_checked.append(NotChecked(what=what, count=count, why=why))

    def reached(self, level: str, first_seq: int, last_seq: int, by: str) -> None:
        """Take note of an anchor level that records reached."""
        self.levels.append(Reached(level=level, first_seq=first_seq, last_seq=last_seq, by=by))
