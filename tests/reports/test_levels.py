"""What each level may see, and that what is left out is named."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from reports import levels
from reports.declarations import CRAWLER_KEYS, OPERATOR_KEYS
from reports.levels import Level
from tests import logs
from tests.reports.command import crawl_audit, refused


@pytest.mark.parametrize(
    ("number", "band"), [(0, 0), (1, "1-9"), (9, "1-9"), (10, "10-99"), (100, "100-999"), (123456, "100000-999999")]
)
def test_a_public_count_is_a_power_of_ten(number: int, band: object) -> None:
    assert levels.count(number, Level.PUBLIC) == band
    assert levels.count(number, Level.REGULATOR) == levels.count(number, Level.INTERNAL) == number


def test_a_time_is_a_month_a_day_or_exact() -> None:
    at = datetime.fromisoformat("2026-11-18T10:30:00.000005")
    assert [levels.moment(at, level) for level in Level] == ["11/2026", "2026-11-18", "2026-11-18T10:30:00.000005Z"]
    assert levels.moment(None, Level.PUBLIC) is None


def test_public_activity_has_bands_months_and_no_names_of_machines(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("report", "activity", mixed.root, "--level", "public", "--format", "json")
    crawler = ran.json["crawlers"][0]
    assert crawler["requests"] == "100-999"
    assert (crawler["collection_from"], crawler["collection_to"]) == ("11/2026", "11/2026")
    assert "observed_user_agents" not in crawler
    assert all(0 <= float(share) <= 1 for share in crawler["robots_basis"].values())
    assert mixed.log not in ran.out
    assert "curl" not in ran.out
    assert {one["field"] for one in ran.json["withheld"]} >= {"observed_user_agents", "log_range", "coverage.logs"}
    assert "node1" not in crawl_audit("report", "activity", mixed.root, "--level", "public").out


def test_public_sites_are_withheld_with_a_reason(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("report", "sites", mixed.root, "--level", "public", "--format", "json")
    assert (ran.json["sites"], ran.json["row_count"]) == ([], "1-9")
    assert {"field", "reason_code", "note"} == set(ran.json["withheld"][-1])
    for form in ("text", "md", "csv"):
        assert (
            "example.com" not in crawl_audit("report", "sites", mixed.root, "--level", "public", "--format", form).out
        )


def test_regulators_see_exact_counts_and_days(mixed: logs.LogBuilder) -> None:
    answer = crawl_audit("report", "sites", mixed.root, "--level", "regulator", "--format", "json").json
    assert isinstance(answer["sites"][0]["requests"], int)
    assert answer["sites"][0]["first_at"] == "2026-11-18"


def test_the_operators_word_is_shown_as_declared(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    file = tmp_path / "operator.toml"
    file.write_text(
        "".join(["[operator]\n", *(f'{key} = "the {key}"\n' for key in OPERATOR_KEYS), '[[crawler]]\nid = "pair"\n'])
        + "".join(f'{key} = "its {key}"\n' for key in CRAWLER_KEYS)
    )
    answer = crawl_audit("report", "activity", mixed.root, "--operator", file, "--format", "json").json
    assert answer["operator"] == {key: f"the {key}" for key in OPERATOR_KEYS}
    alpha, pair = answer["crawlers"]
    assert (alpha["purpose"], alpha["expected_user_agent"]) == ("search", "AlphaBot/1.0")  # from the run record
    assert all(pair[key] == f"its {key}" for key in CRAWLER_KEYS)
    assert "the legal_name" in crawl_audit("report", "activity", mixed.root, "--operator", file).out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not toml", "cannot be read"),
        ("[oprator]\n", "oprator"),
        ("[operator]\nname = 'x'\n", "'name'"),
        ("[operator]\ncountry = 3\n", "must be a string"),
        ("[[crawler]]\npurpose = 'x'\n", "has no id"),
        ("[crawler]\nid = 'x'\n", "two brackets"),
        ("operator = 3\n", "not a table"),
    ],
)
def test_an_operator_file_that_is_not_understood_is_refused(
    mixed: logs.LogBuilder, tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "operator.toml"
    file.write_text(content)
    assert said in refused("report", "activity", mixed.root, "--operator", file, code=78)


def test_a_missing_operator_file_is_refused(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    assert "cannot be read" in refused("report", "sites", mixed.root, "--operator", tmp_path / "none", code=78)
