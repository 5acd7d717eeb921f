"""robots.txt over time: every version computed again by other means, its drawing, what each level sees, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import SnapshotSource
from reports.kinds.robots_history import KIND
from reports.kinds.robots_history_record import DIFF_LINES_MAX
from reports.period import Period, iso, parse_period
from reports.render import Chart
from reports.words import ENGLISH
from tests import logs
from tests.frames import frames
from tests.reports import opting_out
from tests.reports.command import crawl_audit
from tests.reports.oracles import robots_history as oracle

WHOLE = Period()
DAY = ("2026-11-19", "2026-11-19")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("robots_history") / "audit-log"
    opting_out.opted_out(directory, last_good_copy_s=0)
    return directory


@pytest.fixture(scope="module")
def whole(root: Path) -> Any:
    return answer(root)


def answer(root: Path, *more: object) -> Any:
    return crawl_audit("report", "robots-history", root, "--format", "json", *more).json


def check(shown: Any, expected: dict[str, list[dict[str, Any]]]) -> None:
    assert {one["authority"] for one in shown["authorities"]} == set(expected)
    for one in shown["authorities"]:
        wanted = expected[one["authority"]]
        assert one["version_count"] == len(one["versions"]) == len(wanted)
        for version, row in zip(one["versions"], wanted, strict=True):
            for name in ("from", "to", "last_fetched_at", "in_force_until"):
                assert version[name] == iso(row[name]), (name, one["authority"], version["from"])
            for name in ("fetches", "in_force", "allowed", "disallowed", "violations", "lines_added", "lines_removed"):
                assert version[name] == row[name], (name, one["authority"], version["from"])
            first = row["first"]
            assert (version["status"], version["outcome"]) == (first["status"], first["outcome"])
            assert (version["sha256"], version["bytes"]) == (first["robots_sha256"], first["body_bytes"])
            assert version["redirects"] == len(first["redirects"])
            assert [each["verdict"] for each in version["root"]] == row["root"]
            assert sorted(version["signals"]) == row["signals"]
            if row["lines_added"] is not None:
                # Sorted: where lines repeat, the same difference can be told in two orders.
                assert sorted(line for line in version["diff"] if not line.startswith("@@")) == sorted(row["diff"])


def test_every_version_equals_an_independent_computation(root: Path, whole: Any) -> None:
    expected = oracle.expected(frames(root), WHOLE, ("AlphaBot",), every=False)
    every = [version for versions in expected.values() for version in versions]
    assert len(every) > 50
    assert {version["in_force"] for version in every} == {True, False}
    assert any(version["fetches"] > 1 for version in every)
    check(whole, expected)


def test_every_version_of_a_period_equals_an_independent_computation(root: Path) -> None:
    expected = oracle.expected(frames(root), parse_period(*DAY), ("AlphaBot",), every=False)
    check(answer(root, "--from", DAY[0], "--to", DAY[1]), expected)


def test_a_site_shows_all_its_authorities_whether_changed_or_not(root: Path, mixed: logs.LogBuilder) -> None:
    expected = oracle.expected(frames(root), WHOLE, ("AlphaBot",), every=True)
    ours = {name: versions for name, versions in expected.items() if name.endswith("example.com")}
    assert len(ours) == 2
    check(answer(root, "--site", "example.com"), ours)
    unchanged = answer(mixed.root, "--site", "example.com")
    assert [one["version_count"] for one in unchanged["authorities"]] == [1, 1]
    assert answer(mixed.root)["authorities"] == []


def test_the_summary_counts_what_is_not_listed(root: Path, whole: Any) -> None:
    snapshots = frames(root)["snapshot"]
    assert whole["fetches"] == snapshots.height
    assert whole["authorities_fetched"] == snapshots["host"].n_unique()
    limited = answer(root, "--limit", 1)
    assert limited["authorities_not_listed"] == whole["authorities_changed"] - 1
    assert [len(one["versions"]) for one in limited["authorities"]] == [1]


def test_the_time_line_shows_what_was_in_force(whole: Any) -> None:
    charts = [block for section in KIND.body(whole, ENGLISH) for block in section.blocks if isinstance(block, Chart)]
    (chart,) = charts
    ruling = [v for one in whole["authorities"] for v in one["versions"] if v["in_force"]]
    assert len(chart.table.rows) == len(ruling)
    assert all(start <= end for _, _, start, end in chart.table.rows)
    assert {state for _, state, _, _ in chart.table.rows} <= {state for state, _ in chart.tones}


def test_between_two_fetches_the_state_is_said_not_to_be_known(root: Path) -> None:
    assert "Between two fetches the state of the site is not known" in crawl_audit("report", "robots-history", root).out


def test_an_unknown_site_has_no_history(root: Path) -> None:
    ran = crawl_audit("report", "robots-history", root, "--site", "unknown.example")
    assert ran.code == 0
    assert "No robots.txt of it was fetched in covered traffic" in ran.out


def test_the_public_sees_how_many_and_not_which(root: Path) -> None:
    for form in ("json", "md", "html", "csv"):
        ran = crawl_audit("report", "robots-history", root, "--level", "public", "--format", form)
        assert "closed.example" not in ran.out + ran.err
    shown = answer(root, "--level", "public")
    assert shown["authorities_fetched"] == "1-9"
    assert "authorities" in {one["field"] for one in shown["withheld"]}


def test_regulators_see_the_changes_line_by_line(root: Path) -> None:
    out = crawl_audit("report", "robots-history", root, "--level", "regulator").out
    assert "-Disallow: /none" in out
    assert "+Disallow: /" in out


def test_an_unusual_file_is_escaped_and_its_diff_bounded(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "audit-log")
    made.add(logs.run())
    bodies = [b"", b"\xff<script>alert(1)</script>\n" + "".join(f"#\u202e{n}\n" for n in range(500)).encode()]
    for number, body in enumerate(bodies):
        made.add(logs.robots_body(body))
        made.add(logs.snapshot("evil.example", body, logs.after(number)))
    made.publish()
    shown = answer(made.root)
    assert len(shown["authorities"][0]["versions"][1]["diff"]) == DIFF_LINES_MAX
    assert shown["authorities"][0]["versions"][1]["lines_added"] == 501
    for form in ("text", "md", "html", "csv"):
        out = crawl_audit("report", "robots-history", made.root, "--format", form).out
        assert "\u202e" not in out
        assert form in ("text", "csv", "md") or "<script>alert" not in out


def test_a_file_that_is_no_longer_in_the_log_is_said_not_to_be_known(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "audit-log")
    made.add(logs.run())
    made.add(logs.snapshot("example.com", opting_out.CLOSED))
    made.publish()
    ran = crawl_audit("report", "robots-history", made.root, "--site", "example.com")
    assert "the file is no longer in the log" in ran.out


def test_a_copy_taken_over_from_another_sidecar_names_who_fetched_it_and_when(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "audit-log")
    made.add(logs.run())
    made.add(logs.robots_body(opting_out.CLOSED))
    shared = {"source": SnapshotSource.SHARED, "fetched_at": logs.after(-60), "origin_log": "other-log"}
    made.add(logs.snapshot("example.com", opting_out.CLOSED, **shared))
    made.publish()
    ran = crawl_audit("report", "robots-history", made.root, "--site", "example.com")
    assert "fetched by other-log at 2026-11-18T11:05:40" in " ".join(ran.out.split())
    (version,) = answer(made.root, "--site", "example.com")["authorities"][0]["versions"]
    assert (version["source"], version["origin_log"], version["in_force"]) == ("shared", "other-log", True)
