"""The figures on pace equal a computation over the records that shares no code with the SQL."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Action, Decision
from reports.levels import Level
from reports.pace import FIELD, pace
from reports.projection import project
from tests import logs
from tests.reports.command import crawl_audit


@pytest.fixture(scope="module")
def paced(tmp_path_factory: pytest.TempPathFactory) -> logs.LogBuilder:
    """300 requests of two crawlers at three sites, with every mixture of what is asked and what was kept."""
    chance = random.Random(11)
    made = logs.LogBuilder(tmp_path_factory.mktemp("paced") / "audit-log")
    made.add(logs.run())
    for number in range(300):
        made.add(
            replace(
                logs.decision(chance.choice(("a.example", "www.b.example", "c.example")), "/", logs.after(number)),
                crawler=chance.choice(("alpha", "beta")),
                action=chance.choice((Action.FORWARDED, Action.FORWARDED, Action.DENIED)),
                crawl_delay_ms=chance.choice((None, 0, 1000)),
                request_interval_ms=chance.choice((None, 500, 2000)),
                since_previous_ms=chance.choice((None, 0, 499, 500, 999, 1000, 1999, 2000, 5000)),
                held_ms=chance.choice((None, 0, 700)),
            )
        )
    made.publish()
    return made


def figures(found: list[Decision]) -> dict[str, Any]:
    """What is said of these decisions, computed apart."""
    asked = []
    for one in found:
        wanted = max(one.crawl_delay_ms or 0, one.request_interval_ms or 0)
        if one.action is Action.FORWARDED and wanted:
            asked.append((one.since_previous_ms, wanted))
    known = [since for since, _ in asked if since is not None]
    return {
        "asked": len(asked),
        "faster_than_asked": sum(since is not None and since < wanted for since, wanted in asked),
        "shortest_interval_ms": min(known, default=None),
        "median_interval_ms": statistics.median_low(known) if known else None,
        "held": sum(bool(one.held_ms) for one in found),
    }


@pytest.mark.parametrize(("kind", "rows", "name"), [("activity", "crawlers", "crawler"), ("sites", "sites", "site")])
def test_the_pace_of_each_crawler_and_site_is_what_the_records_say(
    paced: logs.LogBuilder, kind: str, rows: str, name: str
) -> None:
    answer = crawl_audit("report", kind, paced.root, "--format", "json").json
    decisions = [record for record in paced.records if isinstance(record, Decision)]
    assert {row[name] for row in answer[rows]} == {getattr(one, name) for one in decisions}
    for row in answer[rows]:
        assert row["pace"] == figures([one for one in decisions if getattr(one, name) == row[name]])
        assert row["pace"]["faster_than_asked"] > 0


def test_the_pace_at_each_authority_is_what_the_records_say_worst_first(paced: logs.LogBuilder) -> None:
    answer = crawl_audit("report", "activity", paced.root, "--format", "json").json
    decisions = [record for record in paced.records if isinstance(record, Decision)]
    for row in answer["crawlers"]:
        expected = []
        for host in {one.host for one in decisions}:
            mine = [
                one
                for one in decisions
                if (one.crawler, one.host, one.action) == (row["crawler"], host, Action.FORWARDED)
                and max(one.crawl_delay_ms or 0, one.request_interval_ms or 0)
            ]
            asked_ms = max(max(one.crawl_delay_ms or 0, one.request_interval_ms or 0) for one in mine)
            expected.append({"authority": f"http://{host}", "asked_ms": asked_ms, **figures(mine)})
        shown = row["pace_by_authority"]
        assert sorted(shown, key=lambda one: one["authority"]) == sorted(expected, key=lambda one: one["authority"])
        worst = [one["faster_than_asked"] for one in shown]
        assert worst == sorted(worst, reverse=True)


def test_hosts_are_left_out_of_what_is_public_and_that_is_said(paced: logs.LogBuilder) -> None:
    answer = crawl_audit("report", "activity", paced.root, "--level", "public", "--format", "json").json
    assert all("pace_by_authority" not in crawler for crawler in answer["crawlers"])
    assert "crawlers[].pace_by_authority" in {one["field"] for one in answer["withheld"]}


def test_where_no_pace_is_asked_there_is_nothing_to_keep(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(replace(logs.decision("a.example"), since_previous_ms=3))
    made.publish()
    (site,) = crawl_audit("report", "sites", root, "--format", "json").json["sites"]
    assert site["pace"] == figures([])


def test_in_public_the_counts_are_rough() -> None:
    row = {"pace_asked": 123, "faster_than_asked": 0, "shortest_interval_ms": 7, "median_interval_ms": 9, "held": 1}
    assert project({"pace": pace(row)}, (FIELD,), Level.PUBLIC).shown["pace"] == {
        "asked": "100-999",
        "faster_than_asked": 0,
        "shortest_interval_ms": 7,
        "median_interval_ms": 9,
        "held": "1-9",
    }
