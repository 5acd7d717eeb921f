"""Decisions that rest on the wrong robots.txt, are not decided so again, or did not end, are found by their check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit import records, robots
from crawl_audit.records import Action, Basis, Mode, RobotsOutcome, SnapshotSource, Verdict
from reports import verify_decisions, verify_replay, verify_snapshots
from reports.evidence import open_evidence
from reports.findings import Findings, Severity, Tally
from tests import logs
from tests.reports.test_exemptions import DEAL, settings

HOST = "example.com"
OPEN, SHUT = b"User-agent: *\nAllow: /\n", b"User-agent: *\nDisallow: /\n"
KEPT = {"robots": {"last_good_copy_s": 7200}}


def found_in(root: Path, tally: Tally | None = None, *, replay: bool = True) -> list[tuple[str, str]]:
    """(check, severity) of every finding in the one log under ``root``."""
    with open_evidence(str(root)) as evidence:
        (log,) = evidence.logs
        findings = Findings()
        verify_decisions.check(evidence, log, findings, tally or Tally(log), replay=replay)
        return [(one.check, one.severity.value) for one in findings.listed()]


class Case:
    """A signed log of one site under construction."""

    def __init__(self, root: Path, said: str | None = None) -> None:
        self.made = logs.LogBuilder(root, signing=True)
        changes = {} if said is None else {"settings": said}
        self.made.start(**changes)

    def shot(self, at_s: float, body: bytes | None = OPEN, **changes: Any) -> int:
        """A snapshot, with its octets where the log has not got them; its seq."""
        kept = [r.body for r in self.made.records if isinstance(r, records.RobotsBody)]
        if body is not None and body not in kept:
            self.made.add(logs.robots_body(body, logs.after(at_s)))
        changes = {"valid_until": logs.after(at_s + 60), **changes}
        return self.made.add(logs.snapshot(HOST, body, logs.after(at_s), **changes))

    def unreachable(self, at_s: float) -> int:
        """A snapshot of a fetch that reached nothing."""
        return self.shot(at_s, None, outcome=RobotsOutcome.UNREACHABLE, status=None, error="connect")

    def decide(self, at_s: float, snapshot: int | None, body: bytes | None = OPEN, **changes: Any) -> int:
        """A decision and, where it was forwarded, its end; the seq of the decision."""
        made = logs.decision(HOST, "/a", logs.after(at_s), body=body, snapshot_seq=snapshot)
        made = replace(made, **changes)
        seq = self.made.add(made)
        if made.action is Action.FORWARDED:
            self.made.add(logs.completion(seq, logs.after(at_s + 0.1)))
        return seq

    def found(self) -> list[tuple[str, str]]:
        """What is found once the log is closed."""
        self.made.close()
        return found_in(self.made.root)


@pytest.fixture
def case(root: Path) -> Case:
    return Case(root)


def test_logs_in_order_have_no_findings(root: Path, mixed: logs.LogBuilder) -> None:
    logs.sound(root, count=60)
    tally = Tally("x")
    assert found_in(root, tally) == []
    assert (tally.replayed, tally.not_checked) == (60, [])
    assert found_in(mixed.root) == [("C1", "warning")], "not closed, and some exchanges are open"


def test_what_was_not_replayed_is_counted_as_not_checked(root: Path) -> None:
    logs.sound(root, count=12)
    tally = Tally("x")
    assert found_in(root, tally, replay=False) == []
    assert tally.replayed == 0
    assert [(one.what, one.count) for one in tally.not_checked] == [("decisions not decided again", 12)]


# --- B: what it rests on ---------------------------------------------------------------------------------------


def test_an_old_permissive_copy_in_place_of_the_latest_is_found(case: Case) -> None:
    old = case.shot(0, OPEN, valid_until=logs.after(3600))
    case.shot(100, SHUT, valid_until=logs.after(3600))
    case.decide(130, old)
    assert case.found() == [("B4", "error")]


def test_a_decision_begun_before_the_latest_copy_was_durable_is_none(case: Case) -> None:
    old = case.shot(0)
    case.shot(59, SHUT)
    case.decide(61, old)
    assert case.found() == []


def test_a_date_before_the_latest_copy_does_not_help_where_a_seal_says_otherwise(case: Case) -> None:
    old = case.shot(0, OPEN, valid_until=logs.after(3600))
    case.shot(100, SHUT, valid_until=logs.after(3600))
    case.made.seal(logs.after(130))
    case.decide(101, old)
    assert case.found() == [("B4", "error")]


def test_late_records_are_judged_by_their_dates(case: Case) -> None:
    old = case.shot(0, OPEN, valid_until=logs.after(3600))
    case.shot(100, SHUT, valid_until=logs.after(3600))
    case.made.seal(logs.after(130))
    first = len(case.made.records) + 1
    case.made.add(gap(99, 102, first_seq=first, last_seq=first + 1))
    case.decide(101, old)
    assert case.found() == []


def test_what_a_crawler_fetched_does_not_replace_a_valid_answer(case: Case) -> None:
    own = case.shot(0, OPEN, valid_until=logs.after(3600))
    case.shot(100, SHUT, valid_until=logs.after(3600), source=SnapshotSource.OBSERVED)
    case.decide(130, own)
    assert case.found() == []


@pytest.mark.parametrize(
    "until_s,at_s,found",
    [(130, 125, []), (130, 138, []), (130, 140, [("B5", "error")]), (2 * 86_400, 50, [("B5", "error")])],
)
def test_a_copy_past_its_term_is_found(case: Case, until_s: float, at_s: float, found: list[Any]) -> None:
    case.decide(at_s, case.shot(0, valid_until=logs.after(until_s)))
    assert case.found() == found


def test_a_decision_dated_before_its_snapshot_is_told(case: Case) -> None:
    case.decide(10, case.shot(20))
    assert case.found() == [("B5", "warning")]


@pytest.mark.parametrize(
    "said,at_s,found",
    [
        (settings(**KEPT), 130, []),
        (settings(), 130, [("B4", "error"), ("B5", "error")]),
        (settings(**KEPT), 200, [("B5", "error")]),  # robots.txt was to be asked for again
    ],
)
def test_the_last_good_copy_stands_in_only_where_the_settings_say_so(
    root: Path, said: str, at_s: float, found: list[Any]
) -> None:
    case = Case(root, said)
    good = case.shot(0)
    case.unreachable(100)
    case.decide(at_s, good)
    assert case.found() == found


@pytest.mark.parametrize(
    "changes,found",
    [
        ({"snapshot_seq": None}, ["B2", "D3"]),
        ({"snapshot_seq": 999}, ["B2", "D3"]),
        ({"host": "other.example"}, ["B2"]),
        ({"port": 8080}, ["B2"]),
        ({"robots_sha256": "0" * 64}, ["B2", "D3"]),
    ],
)
def test_a_decision_must_name_a_snapshot_of_its_own_scope(
    case: Case, changes: dict[str, Any], found: list[str]
) -> None:
    snapshot = case.shot(0)
    case.decide(5, changes.pop("snapshot_seq", snapshot), **changes)
    assert sorted(check for check, _ in case.found()) == found


def test_a_snapshot_after_the_decision_is_no_ground(case: Case) -> None:
    case.decide(5, len(case.made.records) + 3)
    case.shot(0)
    assert [check for check, _ in case.found()] == ["B2"]


def test_octets_that_are_not_those_of_the_digest_are_found(case: Case) -> None:
    snapshot = case.shot(0, OPEN)
    body = case.made.records[snapshot - 1]
    assert isinstance(body, records.RobotsBody)
    case.made.records[snapshot - 1] = replace(body, body=SHUT)
    case.decide(5, snapshot)
    assert sorted(case.found()) == [("B1", "error"), ("B1", "error"), ("D1", "error")]


def test_missing_octets_are_found(case: Case) -> None:
    case.made.add(logs.snapshot(HOST, OPEN, robots_sha256=None))
    lost = case.made.add(logs.snapshot(HOST, SHUT, logs.after(1)))
    case.decide(5, lost, SHUT)
    assert sorted(case.found()) == [("B3", "error"), ("B3", "error"), ("D3", "warning")]


# --- D: the verdict and the action -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes,found",
    [
        ({"verdict": Verdict.ALLOWED}, "D1"),
        ({"basis": Basis.NO_GROUP}, "D1"),
        ({"rule": "Disallow: /x"}, "D1"),
        ({"rule_line": 1}, "D1"),
        ({"group_tokens": ("AlphaBot",)}, "D1"),
        ({"protego_verdict": Verdict.ALLOWED, "divergent": True}, "D1"),
        ({"product_token": "OtherBot, AlphaBot", "group_tokens": ()}, "D1"),
        ({"mode": Mode.ENFORCE}, "D2"),
    ],
)
def test_a_false_decision_is_found(case: Case, changes: dict[str, Any], found: str) -> None:
    snapshot = case.shot(0, SHUT)
    case.decide(1, snapshot, SHUT)
    case.decide(5, snapshot, SHUT, **changes)
    assert case.found() == [(found, "error")]


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": Verdict.ALLOWED, "basis": Basis.EXEMPTION, "detail": "tdmrep refuses the use for x: y."},
        {"verdict": Verdict.ALLOWED, "basis": Basis.CRAWL_DELAY},
        {"verdict": Verdict.ALLOWED, "basis": Basis.ROBOTS_TXT},
        {"verdict": Verdict.ALLOWED, "basis": Basis.SIGNAL, "detail": "tdmrep refuses the use for x: y."},
        {"verdict": Verdict.ALLOWED, "basis": Basis.UNAVAILABLE},
    ],
)
def test_no_basis_lets_a_disallowed_request_leave_that_nothing_covers(case: Case, changes: dict[str, Any]) -> None:
    case.decide(5, case.shot(0, SHUT), SHUT, mode=Mode.ENFORCE, **changes)
    assert "D1" in {check for check, severity in case.found() if severity == "error"}


def test_declared_exemptions_are_decided_again(root: Path) -> None:
    exempt = {"exemption": "deal-7", "verdict": Verdict.ALLOWED, "basis": Basis.EXEMPTION, "mode": Mode.ENFORCE}
    case = Case(root, settings(DEAL))
    case.decide(5, case.shot(0, SHUT), SHUT, **exempt)
    assert case.found() == []


def test_an_exemption_that_ended_while_deciding_is_no_false_decision(root: Path) -> None:
    case = Case(root, settings({**DEAL, "not_before": None, "until": "2026-11-18T11:07:40Z"}))  # START + 60 s
    exempt: dict[str, Any] = {"exemption": "deal-7", "verdict": Verdict.ALLOWED, "basis": Basis.EXEMPTION}
    snapshot = case.shot(0, SHUT, valid_until=logs.after(3600))
    case.decide(60.5, snapshot, SHUT, **exempt)
    assert case.found() == []


def test_the_mode_of_the_settings_holds(root: Path) -> None:
    case = Case(root, settings(mode="enforce"))
    case.decide(5, case.shot(0))
    assert case.found() == [("D2", "error")]


def test_what_another_version_judged_otherwise_is_told_and_no_error(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(root)
    snapshot = case.shot(0)
    case.decide(5, snapshot, parser="crawl-audit 0.0.1, protego 0.6.1", protego_verdict=None)
    case.decide(6, snapshot, parser="crawl-audit 0.0.1, protego 0.6.1", rule_line=9)
    assert case.found() == [("D3", "warning")]


def test_the_parser_is_the_one_that_the_start_names(root: Path) -> None:
    case = Case(root)
    start = case.made.records[0]
    assert isinstance(start, records.Run)
    case.made.records[0] = replace(start, software=f'{{"parser":"{robots.PARSER}"}}')
    case.decide(5, case.shot(0), parser="crawl-audit 0.0.1, protego 0.6.1")
    assert case.found() == [("D1", "error")]


def test_what_rests_on_the_logs_word_is_counted(root: Path) -> None:
    case = Case(root, settings())
    snapshot = case.shot(0)
    late = {"basis": Basis.CRAWL_DELAY, "verdict": Verdict.DISALLOWED, "action": Action.DENIED}
    case.decide(5, snapshot, **late)
    case.decide(6, None, None, basis=Basis.ERROR, verdict=Verdict.DISALLOWED, action=Action.DENIED)
    case.made.close()
    tally = Tally("x")
    assert found_in(root, tally) == []
    assert [one.count for one in tally.not_checked] == [1, 1]
    assert tally.replayed == 1


def test_more_robots_txt_than_fit_into_memory_are_taken_in_portions(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_replay, "_OCTETS_AT_ONCE", 60)
    monkeypatch.setattr(verify_snapshots, "_BATCH", 5)
    monkeypatch.setattr(verify_decisions, "_WINDOW_RECORDS", 10)
    made = logs.LogBuilder(root, signing=True)
    made.start()
    for number in range(12):
        body = b"User-agent: *\nDisallow: /%d\n" % number
        host = f"h{number}.example.com"
        made.add(logs.robots_body(body))
        snapshot = made.add(logs.snapshot(host, body))
        for target in ("/", f"/{number}"):
            seq = made.add(logs.decision(host, target, logs.after(5), body=body, snapshot_seq=snapshot))
            made.add(logs.completion(seq, logs.after(6)))
        if number % 2:
            made.publish()
    made.close()
    tally = Tally("x")
    assert (found_in(root, tally), tally.replayed) == ([], 24)


# --- C and G: ends and gaps ---------------------------------------------------------------------------------------


def gap(first_s: float, last_s: float, **changes: Any) -> records.Gap:
    """A gap in which one request left, which is kept."""
    made = records.Gap(
        recorded_at=logs.after(200),
        cause="audit_commit_timeout",
        first_at=logs.after(first_s),
        last_at=logs.after(last_s),
        requests=1,
        kept=1,
        first_seq=None,
        last_seq=None,
        file_sha256=None,
        detail="1 request left before its decision was durable.",
    )
    return replace(made, **changes)


def test_a_request_without_end_in_a_closed_log_is_found(case: Case) -> None:
    case.made.add(logs.decision(HOST, "/", logs.after(5), body=OPEN, snapshot_seq=case.shot(0)))
    assert case.found() == [("C1", "error")]


@pytest.mark.parametrize("what", ["nothing", "denied", "twice", "snapshot", "before", "twice in a later segment"])
def test_an_end_of_nothing_or_a_second_one_is_found(case: Case, what: str) -> None:
    snapshot = case.shot(0, SHUT)
    if what == "before":
        case.made.add(logs.completion(len(case.made.records) + 1, logs.after(4)))
        case.made.add(logs.decision(HOST, "/a", logs.after(5), body=SHUT, snapshot_seq=snapshot))
    elif what == "denied":
        seq = case.decide(5, snapshot, SHUT, mode=Mode.ENFORCE, action=Action.DENIED)
        case.made.add(logs.completion(seq, logs.after(6)))
    elif what == "nothing":
        case.made.add(logs.completion(999, logs.after(6)))
    elif what == "snapshot":
        case.made.add(logs.completion(snapshot, logs.after(6)))
    else:
        seq = case.decide(5, snapshot, SHUT)
        if what != "twice":
            case.made.publish()
        case.made.add(logs.completion(seq, logs.after(6)))
    assert case.found() == [("C2", "error")]


def test_an_end_may_lie_in_a_later_segment(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_decisions, "_WINDOW_RECORDS", 1)
    seq = case.made.add(logs.decision(HOST, "/", logs.after(5), body=OPEN, snapshot_seq=case.shot(0)))
    case.made.publish()
    case.made.publish()
    case.made.add(logs.completion(seq, logs.after(6)))
    assert case.found() == []


@pytest.mark.parametrize(
    "changes,found",
    [
        ({}, []),  # it became durable by itself, in its own place
        ({"first_seq": 5}, [("G2", "error")]),
        ({"requests": 0}, [("G2", "error")]),
        ({"first_at": logs.after(300)}, [("G2", "error")]),
        ({"kept": 0}, []),
    ],
)
def test_a_gap_that_contradicts_itself_is_found(case: Case, changes: dict[str, Any], found: list[Any]) -> None:
    case.decide(5, case.shot(0))
    case.made.add(gap(10, 20, **changes))
    assert case.found() == found


@pytest.mark.parametrize(
    "shift,kept,at_s,found",
    [(0, 1, 15, []), (0, 2, 15, ["G2"]), (-3, 1, 15, ["G2"]), (0, 1, 50, ["G2"]), (0, 0, 15, ["G2"])],
)
def test_a_gap_is_held_against_the_records_entered_late(
    case: Case, shift: int, kept: int, at_s: float, found: list[str]
) -> None:
    snapshot = case.shot(0)
    first = len(case.made.records) + 1 + shift
    changes = {"kept": kept, "requests": 2, "first_seq": first, "last_seq": first + 1}
    case.made.add(gap(10, 20, **changes))
    case.decide(at_s, snapshot)
    assert [check for check, _ in case.found()] == found


def test_a_log_in_a_bundle_is_cut_by_seq(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_decisions, "_WINDOW_RECORDS", 7)
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.add(logs.robots_body(OPEN))
    snapshot = made.add(logs.snapshot(HOST, OPEN))
    for number in range(20):
        seq = made.add(logs.decision(HOST, f"/{number}", logs.after(number), body=OPEN, snapshot_seq=snapshot))
        made.add(logs.completion(seq, logs.after(number + 1)))
    made.close()
    with open_evidence(str(root)) as evidence:
        cut = list(verify_decisions.windows(evidence, made.log))
    assert len(cut) > 5, "one segment that is too large for a window is cut like the one of a bundle"
    tally = Tally("x")
    assert (found_in(root, tally), tally.replayed) == ([], 20)


def test_the_severity_of_what_may_be_withheld_is_a_warning(root: Path) -> None:
    case = Case(root)
    case.decide(5, case.shot(0))
    case.made.close()
    for file in (root / "segments" / case.made.log).glob("*/snapshot.parquet"):
        file.unlink()
    assert {severity for _, severity in found_in(root)} == {Severity.WARNING.value}
