"""The record of each crawler: its numbers equal an independent computation, declared and logged are kept apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports import crawler_fields
from reports.crawler_declared import declared, purpose, setting
from reports.crawler_figures import NO_END
from reports.declarations import Crawler
from reports.kinds import activity
from reports.period import Period, parse_period
from reports.render import Chart, ChartKind
from reports.shares import size
from reports.words import ENGLISH
from tests import logs
from tests.frames import frames
from tests.reports import crawling
from tests.reports.command import crawl_audit
from tests.reports.crawling import PART, WHOLE
from tests.reports.oracles import activity as oracle


def made(root: Path, period: Period = WHOLE, *, declared: bool = False) -> dict[str, Any]:
    return crawling.record(activity.KIND, root, period, declared=declared)


@pytest.mark.parametrize("period", [WHOLE, PART], ids=["whole", "part"])
def test_every_number_is_what_the_records_say(crawled: logs.LogBuilder, period: Period) -> None:
    expected = oracle.expected(frames(crawled.root), period)
    found = {one["crawler"]: one for one in made(crawled.root, period)["crawlers"]}
    assert set(found) == set(expected) == set(crawling.CRAWLERS)
    for name, numbers in expected.items():
        assert {field: found[name][field] for field in numbers} == numbers


def test_the_log_holds_what_the_numbers_could_be_wrong_about(crawled: logs.LogBuilder) -> None:
    found = list(oracle.expected(frames(crawled.root), WHOLE).values())
    for one in found:
        assert one["load"]["requests_per_second_max"] > 1
        assert one["without_completion"] and one["robots"]["not_evaluated"]
        assert one["outcomes"][NO_END] == one["without_completion"]
        assert 0 < one["robots"]["older_than_24_h"] < one["requests"]
        assert "content-signal" in one["signals"]
        assert "crawl-delay" not in one["signals"]  # a pace is no reservation
    assert "crawl-delay" in set(frames(crawled.root)["signal"]["protocol"])
    assert any(0 < one["violations"] < one["disallowed"] for one in found)
    assert any(one["robots"]["divergent"] for one in found)
    assert any(len(one["top_sites"]) == crawler_fields.SITES_MAX for one in found)
    assert set().union(*(one["modalities"] for one in found)) == set(oracle.KINDS)
    assert {"http_401", "http_402", "challenge"} <= set().union(*(one["barriers_by_kind"] for one in found))


def test_every_field_that_the_log_gives_is_checked(crawled: logs.LogBuilder) -> None:
    by_operator = set(declared(Crawler(id="news"), {})) | {"crawler"}
    elsewhere = {"exemptions", "pace_by_authority"}  # test_exemptions.py, test_pace.py
    checked = set(oracle.expected(frames(crawled.root), WHOLE)["news"])
    assert {field.name for field in crawler_fields.CRAWLER} == checked | by_operator | elsewhere


def test_the_orders_of_lists_and_tallies_are_those_of_the_oracle(crawled: logs.LogBuilder) -> None:
    expected = oracle.expected(frames(crawled.root), WHOLE)
    for one in made(crawled.root, WHOLE)["crawlers"]:
        for name in ("outcomes", "statuses", "barriers_by_kind", "modalities", "robots_basis"):
            assert list(one[name]) == list(expected[one["crawler"]][name])


def test_what_the_operator_says_and_what_the_settings_say_stand_apart(crawled: logs.LogBuilder) -> None:
    answer = made(crawled.root, declared=True)
    books, index, news, walker = answer["crawlers"]
    assert (news["purpose_code"], news["configured_purpose"]) == ("training", "search")
    assert (books["purpose_code"], books["configured_purpose"]) == (None, "training")
    assert (index["purpose_code"], walker["configured_purpose"]) == ("search_index", None)
    assert (news["period_source"], news["earlier_from"], news["earlier_to"]) == (
        "log and operator",
        "03/2025",
        "06/2025",
    )
    assert (books["period_source"], books["earlier_from"]) == ("log", None)
    policies = [news[name]["en"] for name in ("captcha_policy", "password_policy", "paywall_policy")]
    assert policies == ["It stops at CAPTCHAs.", "It has no passwords.", "It passes no paywall."]
    assert news["exclusion_lists"] == [{"name": "Notorious Markets", "version": "2026", "uri": None}]


def test_collection_goes_on_until_a_stop_is_on_record_and_no_later_request(mixed: logs.LogBuilder) -> None:
    assert [one["collection_ongoing"] for one in made(mixed.root, WHOLE)["crawlers"]] == [False, False]
    earlier = parse_period(None, "2026-11-18T11:08")
    assert [one["collection_ongoing"] for one in made(mixed.root, earlier)["crawlers"]] == [True, True]


def test_a_purpose_is_the_operators_then_that_of_the_settings() -> None:
    assert purpose(Crawler(id="x", purpose_code="research"), {"purpose": "training"}) == ("research", "operator file")
    assert purpose(Crawler(id="x"), {"purpose": "search"}) == ("search_index", "settings")
    assert purpose(Crawler(id="x"), {"purpose": "whatever"}) == (None, None)
    assert purpose(Crawler(id="x"), {"purpose": ["training"]}) == (None, None)
    assert setting({"purpose": "x" * 600}, "purpose") == "x" * 500


def test_in_public_there_are_no_days_no_sites_and_no_exact_volumes(crawled: logs.LogBuilder) -> None:
    ran = crawling.report("activity", crawled.root, "json", "public")
    news = ran.json["crawlers"][2]
    assert not {"by_day", "top_sites", "observed_user_agents", "pace_by_authority"} & set(news)
    assert (news["requests"], news["load"]["requests_per_second_max"]) == ("100-999", "1-9")
    assert all(band.count("-") == 1 for band in news["barriers_by_kind"].values())
    assert "s00.example" not in ran.out + crawling.report("activity", crawled.root, "md", "public").out
    named = {one["field"] for one in ran.json["withheld"]}
    assert {"crawlers[].by_day", "crawlers[].top_sites"} <= named


def charts(shown: dict[str, Any]) -> list[Chart]:
    return [block for part in activity.body(shown, ENGLISH) for block in part.blocks if isinstance(block, Chart)]


def test_charts_show_the_numbers_of_the_record_and_none_that_are_rough(crawled: logs.LogBuilder) -> None:
    answer = crawling.report("activity", crawled.root).json
    drawn = charts(answer)
    days = [one for one in drawn if one.kind is ChartKind.DAYS]
    for crawler, chart in zip(answer["crawlers"], days, strict=True):
        assert sum(number for _, _, number in chart.table.rows) == crawler["requests"]
        assert dict(chart.tones)["disallowed, forwarded"] == "bad"
    kinds = [one for one in drawn if one.kind is ChartKind.SHARES]
    assert [dict(one.table.rows) for one in kinds[:2]] == [
        answer["crawlers"][0][name] for name in ("modalities", "modality_bytes")
    ]
    public = crawling.report("activity", crawled.root, "json", "public").json
    assert {one.kind for one in charts(public)} == {ChartKind.SHARES}
    for one in charts(public):
        assert 0.95 <= sum(size(shared) for _, shared in one.table.rows) <= 1.05


def test_what_a_level_suppresses_is_not_drawn() -> None:
    assert activity.share_chart({"text": "suppressed", "image": "suppressed"}, "x", ENGLISH) == []
    assert activity.share_chart({}, "x", ENGLISH) == []


def test_training_use_is_said_not_to_be_known(crawled: logs.LogBuilder) -> None:
    for level in ("public", "internal"):
        answer = crawling.report("activity", crawled.root, "json", level).json
        assert answer["training_use_statement"] == crawler_fields.STATEMENT
    assert crawler_fields.STATEMENT in crawling.report("activity", crawled.root, "md").out


def test_user_agents_beyond_the_most_sent_are_counted(root: Path) -> None:
    made_log = logs.LogBuilder(root)
    for number in range(60):
        made_log.add(logs.decision("a.example", at=logs.after(number), user_agent=f"Agent/{number:02d}"))
    made_log.add(logs.decision("a.example", at=logs.after(99), user_agent="Agent/59"))
    made_log.publish()
    (one,) = made(root, WHOLE)["crawlers"]
    assert (one["user_agents_seen"], len(one["observed_user_agents"])) == (60, crawler_fields.AGENTS_MAX)
    assert one["observed_user_agents"][0] == {"user_agent": "Agent/59", "requests": 2}


def test_a_period_without_requests_says_so(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("report", "activity", mixed.root, "--from", "2030-01-01", "--to", "2030-01-02")
    assert (ran.code, "No request in this period." in ran.out) == (0, True)
