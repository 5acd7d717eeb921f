"""The account of opt-outs: every number counted again by other means, what counts as one, what each level sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crawl_audit import records
from crawl_audit.records import Action, Basis, Mode, Verdict
from reports.period import Period, iso, parse_period
from tests import logs
from tests.frames import frames
from tests.reports import opting_out
from tests.reports.command import crawl_audit
from tests.reports.oracles import opt_out as oracle

WHOLE = Period()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("opt_out") / "audit-log"
    opting_out.opted_out(directory)
    return directory


@pytest.fixture(scope="module")
def whole(root: Path) -> Any:
    return answer(root)


def answer(root: Path, *more: object) -> Any:
    return crawl_audit("report", "opt-out", root, "--format", "json", *more).json


def plain(value: Any) -> Any:
    """An expectation as JSON has it."""
    return json.loads(json.dumps(value, default=iso))


def check(shown: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in plain(expected).items():
        if isinstance(value, list):
            assert [{key: row[key] for key in wanted} for row, wanted in zip(shown[name], value, strict=True)] == value
        else:
            assert shown[name] == value, name


def test_every_number_equals_an_independent_count(root: Path, whole: Any) -> None:
    expected = oracle.expected(frames(root), WHOLE)
    assert {row["protocol"] for row in expected["refused_uses"]} == {
        *("content-signal", "content-usage", "meta-robots", "robots.txt", "tdmrep", "x-robots-tag")
    }
    assert all(expected["authorities"][state] for state in ("with_robots", "unavailable", "never_fetched"))
    assert expected["decided_after_validity"] > 0
    assert sum(row["later_2xx"] for row in expected["barriers"]) > 0
    check(whole, expected)


def test_every_number_equals_an_independent_count_in_a_period_and_under_a_limit(root: Path) -> None:
    expected = oracle.expected(frames(root), parse_period("2026-11-19", "2026-11-19"), 3)
    assert expected["opt_outs_not_listed"] > 0
    assert any(row["forwarded_before"] for row in expected["refused_uses"])
    check(answer(root, "--from", "2026-11-19", "--to", "2026-11-19", "--limit", 3), expected)


def test_what_was_seen_before_the_period_counts_as_seen(root: Path, whole: Any) -> None:
    later = answer(root, "--from", "2026-11-19T12:00:00Z")
    first = {(row["site"], row["protocol"], row["use"]): row["first_seen"] for row in whole["opt_outs"]}
    assert {(row["site"], row["protocol"], row["use"]): row["first_seen"] for row in later["opt_outs"]} == first


def test_days_add_up_to_the_whole(whole: Any) -> None:
    assert sum(one["allowed"] + one["denied"] + one["forwarded"] for one in whole["by_day"]) == whole["requests"]
    assert sum(one["forwarded"] for one in whole["by_day"]) == whole["disallowed_forwarded"]


def test_settings_that_differ_between_runs_are_listed_both(whole: Any) -> None:
    policies = {(row["protocol"], row["use"]): row["policy"] for row in whole["refused_uses"]}
    assert policies["content-signal", "training"] == ["denied", "recorded only"]
    assert policies["content-usage", "training"] == ["denied", "recorded only"]
    assert policies["tdmrep", "any"] == ["recorded only"]
    assert policies["robots.txt", "any"] == ["denied", "recorded as violation"]
    assert whole["modes"] == {"audit": 1, "enforce": 1}
    assert whole["last_good_copy_s"] == ["0", "172800"]
    assert whole["treat_429_as_unreachable"] == ["no", "yes"]


def test_exemptions_are_counted_over_all_crawlers(root: Path, whole: Any) -> None:
    decisions = frames(root)["decision"]
    (one,) = whole["exemptions"]
    assert (one["exemption"], one["reason"]) == ("press", "licence")
    assert one["covered"] == decisions.filter(exemption="press").height
    assert one["applied"] == decisions.filter(basis="exemption").height > 0


def _log_with(root: Path, *signals: tuple[str, str, str | None]) -> Any:
    """What is said of one site with these signals in its robots.txt."""
    made = logs.LogBuilder(root)
    made.add(logs.run())
    made.add(logs.robots_body(opting_out.OPEN))
    seq = made.add(logs.snapshot("example.com", opting_out.OPEN))
    for protocol, value, scope in signals:
        found = {"protocol": protocol, "raw": value, "value": value, "scope": scope}
        made.add(records.Signal(recorded_at=logs.START, exchange_id=None, snapshot_seq=seq, **found))
    for number in range(3):
        made.add(
            logs.decision("example.com", f"/{number}", logs.after(1 + number), body=opting_out.OPEN, snapshot_seq=seq)
        )
    made.publish()
    return answer(root)


def test_a_pace_a_licence_and_a_price_are_no_opt_out(tmp_path: Path) -> None:
    signals = (
        ("crawl-delay", "5 s", "*"),
        ("rsl", "https://x.example/l", None),
        ("pay-per-crawl", "price USD 1", None),
    )
    shown = _log_with(tmp_path / "audit-log", *signals)
    assert shown["opt_outs"] == []
    assert [row["protocol"] for row in shown["signals_matrix"]] == ["pay-per-crawl", "rsl"]


def test_search_and_training_are_kept_apart(tmp_path: Path) -> None:
    shown = _log_with(tmp_path / "audit-log", ("content-signal", "search=no, ai-train=yes", "*"))
    assert [(row["use"], row["forwarded_after"]) for row in shown["opt_outs"]] == [("search", 3)]


def test_what_is_said_to_other_crawlers_is_no_opt_out_from_ours(tmp_path: Path) -> None:
    shown = _log_with(tmp_path / "audit-log", ("content-signal", "ai-train=no", "OtherBot, AlphaBotNot"))
    assert shown["opt_outs"] == []
    assert [row["sites_seen"] for row in shown["signals_matrix"]] == [1]


def test_that_unreachable_means_disallowed_is_shown_by_the_requests(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "audit-log")
    made.add(logs.run())
    for number, verdict in enumerate((Verdict.DISALLOWED, Verdict.ALLOWED)):
        judged = {"basis": Basis.UNREACHABLE, "verdict": verdict, "mode": Mode.ENFORCE, "action": Action.DENIED}
        made.add(logs.decision("example.com", "/x", logs.after(number), **judged))
        made.publish()
        assert answer(made.root)["unreachable_treated_as_disallow"] is (number == 0)


def test_the_public_sees_no_site_and_no_exact_number(root: Path) -> None:
    shown = answer(root, "--level", "public")
    assert {"opt_outs", "by_day", "parser_disagreements"} & set(shown) == set()
    assert isinstance(shown["requests"], str)
    assert {row["first_seen"] for row in shown["refused_uses"]} == {"11/2026"}
    for form in ("text", "md", "html", "csv"):
        out = crawl_audit("report", "opt-out", root, "--level", "public", "--format", form).out
        assert "closed.example" not in out


def test_no_form_claims_compliance(root: Path) -> None:
    for level in ("public", "regulator", "internal"):
        out = crawl_audit("report", "opt-out", root, "--level", level).out.lower()
        out = out.replace("optout_compliance", "the name of the record")
        assert "complian" not in out
        assert "lawful" not in out


def test_a_log_without_requests_says_so(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "audit-log")
    made.add(logs.run())
    made.publish()
    out = crawl_audit("report", "opt-out", made.root).out
    assert "nothing to account for" in out
    assert "No usage preference" in out
