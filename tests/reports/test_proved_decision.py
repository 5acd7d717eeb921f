"""A decision that was false when it was written is found from its proof, whose paths and signature all hold."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.proof import Proof, faults
from crawl_audit.records import Action, Basis, Mode, Verdict
from reports import proof as making
from reports.evidence import open_evidence
from reports.findings import Findings, Tally
from reports.proved_decision import ProvedDecision
from tests import logs
from tests.reports.test_exemptions import DEAL, settings


def proved(root: Path, said: str | None = None, **changes: Any) -> Proof:
    """The proof of a decision that disallows, with these changes, in a log that is otherwise in order."""
    made = logs.LogBuilder(root, signing=True)
    digest = hashlib.sha256((said or "").encode()).hexdigest()
    made.start(**({} if said is None else {"settings": said, "settings_sha256": digest}))
    made.add(logs.robots_body(logs.ROBOTS))
    until = logs.after(3600)
    snapshot = made.add(logs.snapshot("example.com", logs.ROBOTS, valid_until=until))
    judged = logs.decision("example.com", "/private", logs.after(5), body=logs.ROBOTS, snapshot_seq=snapshot)
    seq = made.add(replace(judged, **changes))
    made.add(logs.completion(seq, logs.after(6)))
    made.close()
    with open_evidence(str(root)) as evidence:
        proof = making.make(evidence, made.log, seq)
    assert list(faults(proof)) == []
    return proof


def checked(proof: Proof) -> tuple[bool, set[str], Tally]:
    """Whether it was made again and is the same, the ids of errors, and the tally."""
    findings, tally = Findings(), Tally(proof.log)
    same = ProvedDecision(proof, findings, tally).check()
    return same, {one.check for one in findings.listed() if one.severity == "error"}, tally


def test_a_true_decision_is_made_again(root: Path) -> None:
    same, found, tally = checked(proved(root))
    assert (same, found, tally.replayed) == (True, set(), 1)


@pytest.mark.parametrize(
    "changes,found",
    [
        ({"verdict": Verdict.ALLOWED, "basis": Basis.NO_RULE}, {"D1"}),
        ({"rule_line": 7}, {"D1"}),
        ({"mode": Mode.ENFORCE}, {"D2"}),
        ({"action": Action.DENIED}, {"C2", "D2"}),
        ({"host": "other.example"}, {"B2"}),
        ({"snapshot_seq": None}, {"B2"}),
        ({"robots_sha256": "0" * 64}, {"B2", "D1"}),
        ({"recorded_at": logs.after(3620)}, {"B5"}),
    ],
)
def test_a_false_one_is_found(root: Path, changes: dict[str, Any], found: set[str]) -> None:
    assert checked(proved(root, **changes))[1] == found


def test_what_other_versions_say_is_no_error_and_no_claim(root: Path) -> None:
    same, found, _ = checked(proved(root, parser="crawl-audit 0.0.1, protego 0.6.1", rule_line=1))
    assert (same, found) == (False, set())


def test_an_exemption_is_held_against_the_settings_in_the_proof(root: Path) -> None:
    exempt: dict[str, Any] = {"exemption": "deal-7", "verdict": Verdict.ALLOWED, "basis": Basis.EXEMPTION}
    assert checked(proved(root, settings(DEAL), **exempt))[:2] == (True, set())
    assert checked(proved(root.parent / "undeclared", settings(), **exempt))[1] == {"D1"}


def test_settings_that_are_not_those_of_their_digest_and_other_modes_are_found(root: Path) -> None:
    proof = proved(root, settings(mode="enforce"))
    assert checked(proof)[1] == {"D2"}
    run = next(one for one in proof.entries if one.entry["k"] == "run")
    for change in ({"settings": "{}"}, {"event": "stop"}):
        others = tuple(one for one in proof.entries if one is not run)
        odd = replace(proof, entries=(*others, replace(run, entry={**run.entry, **change})))
        assert "S4" in checked(odd)[1]
