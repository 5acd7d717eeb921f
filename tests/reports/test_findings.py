"""Findings: what they add up to, and that a flood of them stays readable."""

from __future__ import annotations

import pytest

from reports.findings import LISTED_MAX, Findings, Result, Severity, Tally


@pytest.mark.parametrize(
    "severities,result",
    [
        ([], Result.OK),
        ([Severity.INFO], Result.OK),
        ([Severity.INFO, Severity.WARNING], Result.INCOMPLETE),
        ([Severity.WARNING, Severity.ERROR, Severity.INFO], Result.FAILED),
    ],
)
def test_the_worst_finding_decides_the_result(severities: list[Severity], result: Result) -> None:
    findings = Findings()
    for severity in severities:
        findings.add("X1", severity, "log", "message")
    assert findings.result is result


def test_a_flood_is_listed_in_part_and_counted_whole() -> None:
    findings = Findings()
    for seq in range(LISTED_MAX + 5):
        findings.add("R3", Severity.ERROR, f"one seq {seq}", "gone")
    findings.add("R3", Severity.ERROR, "two seq 1", "gone")
    listed = findings.listed()
    assert len(listed) == LISTED_MAX + 2
    assert [f.message for f in listed if f.where == "one"] == ["5 more findings of this check here are not listed."]
    assert findings.counts == {"R3": LISTED_MAX + 6}


def test_errors_are_listed_first() -> None:
    findings = Findings()
    findings.add("A", Severity.INFO, "log", "i")
    findings.add("B", Severity.WARNING, "log", "w")
    findings.add("C", Severity.ERROR, "log", "e")
    assert [finding.check for finding in findings.listed()] == ["C", "B", "A"]


def test_a_tally_remembers_what_was_not_checked_and_what_was_reached() -> None:
    tally = Tally(log="log")
    tally.skip("rows", 3, "they are gone")
    tally.reached("A3", 0, 9, "pin")
    assert (tally.not_checked[0].count, tally.levels[0].last_seq) == (3, 9)
