"""That a question about a site or some days does not read a whole log, told without a clock: by plans and scans."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reports.log import Log, open_log, sql_text
from reports.matching import parameters, parse_subject
from reports.period import Period, parse_period
from tests import realistic, realistic_sites

INQUIRIES = ("inquiry", "inquiry_answers", "inquiry_robots", "inquiry_signals")
JOINED = ("activity_answers", "activity_sites", "eu_domains", "sites_content")
SCANNED = re.compile(r"Row Groups Scanned: (\d+) / (\d+)")


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each day of each sidecar in a segment of its own."""
    root = tmp_path_factory.mktemp("month") / "audit-log"
    realistic.generate(root, 20_000, sites=400, at_once=1)
    return root


def plan(log: Log, query: str, how: str = "EXPLAIN", **values: Any) -> str:
    """The plan as words with single spaces, without the lines that DuckDB draws around it."""
    text = sql_text(query)
    given = {name: value for name, value in values.items() if f"${name}" in text}
    (row,) = log.select(f"{how} {text}", given)
    return " ".join(re.sub("[\u2500-\u257f]", " ", str(row["explain_value"])).split())


def scope(log: Log, site: str, period: Period) -> dict[str, Any]:
    return {**parameters(log, parse_subject(site), period), "rows_max": 100}


@pytest.mark.parametrize("query", INQUIRIES)
def test_the_site_asked_about_is_a_filter_of_the_scan(month: Path, query: str) -> None:
    site = realistic_sites.site_name(3)
    with open_log(str(month)) as log:
        drawn = plan(log, query, **scope(log, site, Period()))
    assert f"site = '{site}'" in drawn
    assert "CROSS PRODUCT" not in drawn.upper()


def test_segments_outside_the_period_are_not_read(month: Path) -> None:
    period = parse_period("2026-10-03", "2026-10-04")
    with open_log(str(month)) as log:
        drawn = plan(log, "activity_days", "EXPLAIN ANALYZE", **period.parameters)
    ((scanned, there),) = SCANNED.findall(drawn)
    assert 2 <= int(scanned) <= 6 < int(there)


def test_how_far_logs_reach_is_known_without_reading_their_records(month: Path) -> None:
    with open_log(str(month)) as log:
        drawn = plan(log, "logs")
    assert "extent" in drawn
    assert "decision.parquet" not in drawn


@pytest.mark.parametrize("query", JOINED)
def test_answers_are_joined_by_numbers_and_not_by_long_names(query: str) -> None:
    text = sql_text(query)
    assert text.count("hash(log) AS log") == 2
    assert "exchange" not in text
