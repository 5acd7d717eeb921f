"""``crawl-audit verify``: every check on evidence, offline, with nothing to rely on but what the auditor brought.

What can be read is held against itself (records, seals, decisions), then against the auditor's keys, pins, witnesses
and time-stamping authorities.  What was not looked at is listed, never counted as held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reports import (
    verify_anchors,
    verify_coverage,
    verify_custody,
    verify_heads,
    verify_parts,
    verify_proof,
    verify_seals,
    verify_shared,
)
from reports.brought import Brought
from reports.evidence import Evidence, open_evidence
from reports.findings import Findings, Result, Severity, Tally
from reports.period import iso, now
from reports.steadiness import ChangedError, Listed
from reports.verify_parts import Part, going_on
from reports.verify_seals import SealTree
from reports.verify_text import claims

Progress = Callable[[int, int], None]
"""Told how many records were worked on so far, and how many there are to be."""
_ATTEMPTS = 3
_CUSTODIAN_S = 2.0
"""How long to leave a custodian alone before looking again."""
EXIT_CODES = {Result.OK: 0, Result.FAILED: 1, Result.INCOMPLETE: 3}


@dataclass(slots=True, kw_only=True)
class Verification:
    """One verification under way: what is checked, with what, and what is known so far."""

    evidence: Evidence
    brought: Brought
    findings: Findings
    keys: verify_heads.Keys
    trees: dict[str, SealTree] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)


LogCheck = Callable[[Verification, str, Tally], None]


def _seals(run: Verification, log: str, tally: Tally) -> None:
    verify_seals.check(run.evidence, run.trees[log], run.findings, tally)


def _heads(run: Verification, log: str, tally: Tally) -> None:
    verify_heads.check(run.evidence, run.trees[log], run.keys, run.brought, run.findings, tally)


def _anchors(run: Verification, log: str, tally: Tally) -> None:
    brought = run.brought
    verify_anchors.check(
        run.evidence,
        run.trees[log],
        run.findings,
        tally,
        authorities=brought.authorities,
        witnesses=brought.witnesses,
    )


def _vouched(run: Verification, log: str, tally: Tally) -> None:
    verify_heads.check_vouched(run.trees[log], run.findings, tally)


PER_LOG: tuple[tuple[str, LogCheck], ...] = (
    ("seals", _seals),
    ("heads", _heads),
    ("anchors", _anchors),
    ("vouching", _vouched),
)
"""The checks on each log after those on its records and decisions, in order; each may rely on what was found before."""


def verify(
    path: str,
    *,
    brought: Brought | None = None,
    replay: bool = True,
    progress: Progress | None = None,
    jobs: int | None = None,
) -> dict[str, Any]:
    """The answer of a verification of the log directory, export, bundle or proof at ``path``.

    ``jobs``: how many processes to work in; None: as many as there are cores, where that is worth it.  Raises
    NotALogError where there is none of them, ChangedError where a log is changed each time it is read.
    """
    given = brought if brought is not None else Brought()
    if verify_proof.is_proof(path):
        notes = [pin.note for pin in given.pins]
        return verify_proof.verify(path, pins=notes, trust=given.trust, witnesses=given.witnesses)
    for left in reversed(range(_ATTEMPTS)):
        try:
            with open_evidence(path) as evidence:
                parts = verify_parts.parts(evidence, jobs=jobs, replay=replay, worked=_counting(evidence, progress))
                answer = _verified(evidence, given, parts)
        except ChangedError:
            continue
        if _counts(evidence.listed, Result(answer["result"]), last=not left):
            return answer
    raise ChangedError(path)


def _counts(listed: Listed | None, result: Result, *, last: bool) -> bool:
    """Whether an answer is about the log and not about its being written: nothing that was read is another by now.

    An error must also not be there because a custodian was at work; and where anything at all was written meanwhile,
    it must come again.
    """
    if listed is None:
        return True
    if not listed.is_unchanged():
        return False
    if result is not Result.FAILED:
        return True
    if listed.has_custodian():
        time.sleep(_CUSTODIAN_S)
        return False
    return last or listed.is_at_rest()


def _verified(evidence: Evidence, brought: Brought, parts: Mapping[str, Part]) -> dict[str, Any]:
    run = Verification(
        evidence=evidence,
        brought=brought,
        findings=evidence.findings,
        keys=verify_heads.Keys(evidence, evidence.findings),
    )
    for log in evidence.logs:
        run.tallies[log] = tally = parts[log].tally
        run.trees[log] = parts[log].tree
        for name, check in PER_LOG:
            with going_on(run.findings, name, log, tally):
                check(run, log, tally)
    everything = Tally(log="")
    with going_on(run.findings, "shared robots.txt", "", everything):
        verify_shared.check(evidence, run.findings, run.tallies)
    with going_on(run.findings, "custody", "", everything):
        verify_custody.check(evidence, run.findings, brought.trust)
    verify_heads.check_absent(evidence, run.trees, brought, run.findings)
    return _answer(run, everything, verify_coverage.check(evidence, run.trees, run.tallies, run.findings))


def _counting(evidence: Evidence, progress: Progress | None) -> Callable[[int], None]:
    """What checks tell how many more records they worked on: each is looked at twice, as sealed and as decided."""
    total = 2 * sum(evidence.stated_rows(segment) for log in evidence.logs for segment in evidence.segments(log))
    done = 0

    def worked(rows: int) -> None:
        nonlocal done
        done = min(done + rows, total)
        if progress is not None:
            progress(done, total)

    return worked


def _answer(run: Verification, everything: Tally, coverage: dict[str, Any]) -> dict[str, Any]:
    tallies = list(run.tallies.values())
    if not tallies:
        message = "There is no sealed record here, so nothing could be checked."
        run.findings.add("R2", Severity.WARNING, run.evidence.root.name, message)
    for log, place in run.evidence.refused:
        everything.skip(f"the file {log} {place}", 1, "it was refused or could not be read")
    findings = run.findings
    answer: dict[str, Any] = {
        "result": findings.result.value,
        "checks": findings.counts,
        "findings": [{**asdict(finding), "severity": finding.severity.value} for finding in findings.listed()],
        "records": sum(tally.records for tally in tallies),
        "seals": sum(tally.seals for tally in tallies),
        "logs": [_log(tally) for tally in tallies],
        "coverage": coverage,
        "not_checked": [asdict(skipped) for tally in (*tallies, everything) for skipped in tally.not_checked],
        "brought": {
            "pins": len(run.brought.pins),
            "trusted_keys": len(run.brought.trust),
            "witnesses": len(run.brought.witnesses),
            "tsa_roots": len(run.brought.authorities.roots) if run.brought.authorities is not None else 0,
        },
    }
    return {**answer, "claims": claims(answer), "generated_at": iso(now())}


def _log(tally: Tally) -> dict[str, Any]:
    made = asdict(tally)
    del made["not_checked"]
    return made
