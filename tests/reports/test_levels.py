"""What each level may see, and that what is left out is named."""

from __future__ import annotations

from datetime import datetime

import pytest

from reports import levels
from reports.levels import Level
from reports.words import Language, Words
from tests import logs
from tests.reports.command import crawl_audit


@pytest.mark.parametrize(
    ("number", "band"), [(0, 0), (1, "1-9"), (9, "1-9"), (10, "10-99"), (100, "100-999"), (123456, "100000-999999")]
)
def test_a_public_count_is_a_power_of_ten(number: int, band: object) -> None:
    assert levels.banded(number) == band


def test_people_read_bands_and_months_as_their_language_writes_them() -> None:
    english, japanese = (Words(language) for language in Language)
    assert str(levels.banded(123456)) == "100000-999999"
    assert english("{start} to {end}", start=levels.banded(5000), end=12345) == "1,000–9,999 to 12,345"
    month = levels.moment(datetime(2026, 11, 3), Level.PUBLIC)  # noqa: DTZ001 - as DuckDB gives it
    assert month == "11/2026"
    assert english("{start} to {end}", start=month, end=month) == "11/2026 to 11/2026"
    assert japanese("{start} to {end}", start=month, end="x") == "2026年11月からxまで"


def test_a_time_is_a_month_a_day_or_exact() -> None:
    at = datetime.fromisoformat("2026-11-18T10:30:00.000005")
    assert [levels.moment(at, level) for level in Level] == ["11/2026", "2026-11-18", "2026-11-18T10:30:00.000005Z"]
    assert levels.moment(None, Level.PUBLIC) is None


def test_shares_have_two_digits_and_those_of_fewer_than_100_are_suppressed() -> None:
    assert levels.shares({"text": 20, "image": 80}) == {"text": "0.20", "image": "0.80"}
    assert levels.shares({"text": 19, "image": 80}) == {"text": levels.SUPPRESSED, "image": levels.SUPPRESSED}
    assert levels.shares({}) == {}


def test_public_activity_has_bands_months_and_no_names_of_machines(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("report", "activity", mixed.root, "--level", "public", "--format", "json")
    crawler = ran.json["crawlers"][0]
    assert crawler["requests"] == "100-999"
    assert (crawler["collection_from"], crawler["collection_to"]) == ("11/2026", "11/2026")
    assert "observed_user_agents" not in crawler
    assert all(0 <= float(share) <= 1 for share in crawler["robots_basis"].values())
    assert mixed.log not in ran.out
    assert "curl" not in ran.out
    left_out = {one["field"] for one in ran.json["withheld"]}
    assert left_out >= {"crawlers[].observed_user_agents", "log_range", "coverage.logs"}
    assert "node1" not in crawl_audit("report", "activity", mixed.root, "--level", "public").out


def test_public_sites_are_withheld_with_a_reason(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("report", "sites", mixed.root, "--level", "public", "--format", "json")
    assert ran.json["row_count"] == "1-9"
    assert {"field", "reason_code", "note"} == set(ran.json["withheld"][-1])
    assert "sites" in {one["field"] for one in ran.json["withheld"]}
    for form in ("text", "md", "csv", "html"):
        shown = crawl_audit("report", "sites", mixed.root, "--level", "public", "--format", form)
        assert "example.com" not in shown.out


def test_regulators_see_exact_counts_and_days(mixed: logs.LogBuilder) -> None:
    answer = crawl_audit("report", "sites", mixed.root, "--level", "regulator", "--format", "json").json
    assert isinstance(answer["sites"][0]["requests"], int)
    assert answer["sites"][0]["first_at"] == "2026-11-18"
