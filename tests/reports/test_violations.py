"""The list of violations: every number counted again by other means, what each level sees, and what proves a line."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.period import Period, parse_period
from reports.url_key import make_url_key
from tests import logs
from tests.frames import frames
from tests.reports import opting_out
from tests.reports.command import crawl_audit
from tests.reports.oracles import violations as oracle

WHOLE = Period()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("violations") / "audit-log"
    opting_out.opted_out(directory)
    return directory


def answer(root: Path, *more: object) -> Any:
    return crawl_audit("report", "violations", root, "--format", "json", *more).json


def check(shown: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name == "violations":
            assert [
                {key: row[key] for key in row_expected} for row, row_expected in zip(shown[name], value, strict=True)
            ] == value
        else:
            assert shown[name] == value, name


def test_every_number_equals_an_independent_count(root: Path) -> None:
    expected = oracle.expected(frames(root), WHOLE)
    assert expected["violation_count"] > 30
    assert len(expected["by_basis"]) >= 3
    check(answer(root), expected)


def test_every_number_equals_an_independent_count_in_a_period_and_under_a_limit(root: Path) -> None:
    expected = oracle.expected(frames(root), parse_period("2026-11-18", "2026-11-18"), 5)
    assert expected["not_listed"] > 0
    check(answer(root, "--from", "2026-11-18", "--to", "2026-11-18", "--limit", 5), expected)


def test_the_log_of_the_other_tests_is_counted_the_same(mixed: logs.LogBuilder) -> None:
    check(answer(mixed.root), oracle.expected(frames(mixed.root), WHOLE))


def test_a_site_limits_every_number(root: Path) -> None:
    shown = answer(root, "--site", "example.com")
    expected = oracle.expected({**frames(root), "decision": frames(root)["decision"].filter(site="example.com")}, WHOLE)
    check(shown, expected)
    assert shown["query"] == "example.com"
    one_host = answer(root, "--site", "www.example.com")
    assert 0 < one_host["violation_count"] < shown["violation_count"]


def test_none_is_none_observed_in_covered_traffic_and_never_compliance(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "audit-log")
    made.add(logs.run())
    made.add(logs.decision("example.com"))
    made.publish()
    for level in ("public", "regulator", "internal"):
        ran = crawl_audit("report", "violations", made.root, "--level", level)
        assert ran.code == 0
        assert "None observed in covered traffic: of 1" in ran.out
        assert "complian" not in ran.out.lower()


def test_where_nothing_was_forwarded_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "audit-log")
    made.add(logs.run())
    made.publish()
    assert "nothing to compare with" in crawl_audit("report", "violations", made.root).out


def test_violations_leave_the_exit_code_alone(root: Path) -> None:
    assert crawl_audit("report", "violations", root).code == 0


def test_the_public_sees_powers_of_ten_and_no_site_day_or_url(root: Path) -> None:
    shown = answer(root, "--level", "public")
    assert shown["violation_count"] in ("10-99", "100-999")
    assert {"by_site", "by_day", "violations"} & set(shown) == set()
    assert {"by_site", "by_day", "violations"} <= {one["field"] for one in shown["withheld"]}
    for form in ("text", "md", "html"):
        out = crawl_audit("report", "violations", root, "--level", "public", "--format", form).out
        assert "closed.example" not in out


def test_regulators_see_urls_as_keyed_hashes_only(root: Path, tmp_path: Path) -> None:
    key = tmp_path / "url.key"
    make_url_key(str(key))
    without = answer(root, "--level", "regulator")
    assert "url" not in without["violations"][0]
    assert "detail" not in without["violations"][0]
    shown = answer(root, "--level", "regulator", "--url-key", key)
    assert {row["url"][:12] for row in shown["violations"]} == {"hmac-sha256:"}
    assert "://" not in crawl_audit("report", "violations", root, "--level", "regulator", "--format", "md").out


def test_what_is_listed_can_be_proved_by_explain(root: Path) -> None:
    row = next(one for one in answer(root)["violations"] if one["basis"] == "rule")
    ran = crawl_audit("explain", root, row["exchange_id"])
    assert row["rule"] in ran.out


def test_csv_has_one_line_for_each_violation_listed(root: Path) -> None:
    shown = answer(root)
    made = list(csv.DictReader(io.StringIO(crawl_audit("report", "violations", root, "--format", "csv").out)))
    assert [one["exchange_id"] for one in made] == [one["exchange_id"] for one in shown["violations"]]


def test_what_an_attacker_wrote_is_harmless_in_every_form(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "audit-log")
    made.add(logs.run())
    hostile = "/<script>alert(1)</script>\u202e=cmd|"
    made.add(replace(logs.decision("evil.example", body=opting_out.CLOSED), target=hostile, rule="Disallow: <b>/"))
    made.publish()
    for form in ("text", "md", "html", "csv"):
        out = crawl_audit("report", "violations", made.root, "--format", form).out
        assert "\u202e" not in out
        if form in ("md", "html"):
            assert "<script>alert" not in out
            assert "<b>/" not in out
