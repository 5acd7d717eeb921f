"""A month of two sidecars: every number of every report equals what is computed from the records by other means.

Twice: on a log of a million exchanges at 25,000 sites, and on one of 20,000 at 1,000, for computations that look at
each record or each URL by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from polars import DataFrame

from reports.kinds import activity, coverage_report, eu, inquiry, inquiry_record, sites
from reports.log import open_log
from reports.matching import parse_subject
from reports.period import Period, iso, parse_period
from reports.verify import verify
from tests import realistic, realistic_sites
from tests.frames import frames
from tests.reports import crawling, test_japan, test_opt_out, test_plans, test_robots_history, test_violations
from tests.reports.command import crawl_audit
from tests.reports.oracles import activity as activity_oracle
from tests.reports.oracles import coverage_report as coverage_oracle
from tests.reports.oracles import eu as eu_oracle
from tests.reports.oracles import inquiry as inquiry_oracle
from tests.reports.oracles import japan as japan_oracle
from tests.reports.oracles import opt_out as opt_out_oracle
from tests.reports.oracles import reevaluation as reevaluation_oracle
from tests.reports.oracles import robots_history as robots_history_oracle
from tests.reports.oracles import sites as sites_oracle
from tests.reports.oracles import violations as violations_oracle

# Over the time that no log covers, the change of many a robots.txt, and one end of the exemptions.
PART = ("2026-10-09", "2026-10-20T12:00:00Z")
PERIODS = [(None, None), PART]
EACH_PERIOD = pytest.mark.parametrize("limits", PERIODS, ids=["whole", "part"])
# No robots.txt of these sites names the second token of a crawler that has two.
TOKENS = tuple(sorted(one.product_tokens[0] for one in realistic_sites.CRAWLERS.values()))


class Month(NamedTuple):
    """A log, and its records as frames."""

    root: Path
    records: dict[str, DataFrame]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Month:
    root = tmp_path_factory.mktemp("large") / "audit-log"
    realistic.generate(root, 1_000_000)
    return Month(root, frames(root))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Month:
    root = tmp_path_factory.mktemp("small") / "audit-log"
    realistic.generate(root, 20_000, sites=1_000, seed=2)
    return Month(root, frames(root))


def answer(kind: str, month: Month, limits: tuple[str | None, str | None], *more: object) -> dict[str, Any]:
    """The record as the command gives it."""
    options = [word for name, value in zip(("--from", "--to"), limits, strict=True) if value for word in (name, value)]
    ran = crawl_audit("report", kind, month.root, "--format", "json", *options, *more)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = ran.json
    return found


def test_the_log_is_what_a_sidecar_could_have_left(tmp_path: Path) -> None:
    realistic.generate(tmp_path / "audit-log", 3_000, sites=200, verifiable=True)
    found = verify(str(tmp_path / "audit-log"))
    assert [one for one in found["findings"] if one["severity"] == "error"] == []
    assert sum(one["replayed"] for one in found["logs"]) > 2_500


def test_the_same_seed_makes_the_same_log(tmp_path: Path) -> None:
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        realistic.generate(tmp_path / name, 400, sites=50, seed=seed)
    first, again, other = (frames(tmp_path / name) for name in ("first", "again", "other"))
    assert all(first[kind].equals(again[kind]) for kind in first)
    assert not first["decision"].equals(other["decision"])


def test_there_is_everything_in_it_that_numbers_could_be_wrong_about(large: Month) -> None:
    decisions, ends, copies = (large.records[kind] for kind in ("decision", "completion", "snapshot"))
    assert (decisions.height, decisions["site"].n_unique()) == (1_000_000, 25_000)
    assert set(decisions["crawler"]) == set(realistic_sites.CRAWLERS)
    assert set(decisions["basis"]) == {
        *("rule", "no_rule", "no_group", "unavailable", "unreachable", "robots_txt", "error", "exemption", "signal"),
        "crawl_delay",
    }
    assert decisions.filter(verdict="disallowed", action="forwarded").height > 10_000
    assert set(ends["modality"]) == {"text", "image", "audio", "video", "other", None}
    assert {"challenge", "http_401", "http_402", "http_403", "http_429", "http_451"} < set(ends["barrier"])
    assert set(copies["outcome"]) == {"successful", "unavailable", "unreachable"}
    assert set(copies["source"]) == {"fetched", "observed"}
    assert large.records["run"].filter(event="start").height == len(realistic.RUNS)
    assert large.records["gap"].height == 3
    assert {"content-signal", "content-usage", "rsl", "tdmrep", "x-robots-tag"} < set(
        large.records["signal"]["protocol"]
    )
    unended = decisions.filter(action="forwarded").height - ends.height
    assert 5_000 < unended < 20_000
    suffixes = {".".join(site.split(".")[1:]) for site in decisions["site"].unique()}
    assert {"co.jp", "co.uk", "com"} < suffixes
    assert any(site.startswith("xn--") for site in decisions["site"].unique())


@EACH_PERIOD
def test_every_number_of_activity(large: Month, limits: tuple[str | None, str | None]) -> None:
    period = parse_period(*limits)
    expected = activity_oracle.expected(large.records, period)
    found = {one["crawler"]: one for one in crawling.record(activity.KIND, large.root, period)["crawlers"]}
    assert set(found) == set(expected) == set(realistic_sites.CRAWLERS)
    for name, numbers in expected.items():
        assert {field: found[name][field] for field in numbers} == numbers


@EACH_PERIOD
def test_every_number_of_sites(large: Month, limits: tuple[str | None, str | None]) -> None:
    period = parse_period(*limits)
    expected = sites_oracle.expected(large.records, period)
    made = crawling.record(sites.KIND, large.root, period)
    assert [one["site"] for one in made["sites"]] == list(expected)
    different = [
        (one, expected[one["site"]])
        for one in made["sites"]
        if {name: one[name] for name in expected[one["site"]]} != expected[one["site"]]
    ]
    assert different[:1] == []
    assert made["content_bytes"] == sum(one["content_bytes"] for one in expected.values())


@EACH_PERIOD
def test_every_number_of_eu(large: Month, limits: tuple[str | None, str | None]) -> None:
    period = parse_period(*limits)
    made = crawling.record(eu.KIND, large.root, period)
    crawlers = [one["crawler"] for one in made["crawlers"]]
    expected = eu_oracle.expected(large.records, period, crawlers, [], sme=False)
    assert made["domains"] == expected["domains"]
    assert len(made["domains"]) > 2_000
    for name in ("total", "addresses", "attested_excluded"):
        assert made["selection"][name] == expected[name]
    assert made["top_level_domains"] == expected["top_level_domains"]
    assert made["section_1_3"] == {name: expected[name] for name in ("latest_acquisition", "modality_bytes")}


@EACH_PERIOD
def test_every_number_of_violations(large: Month, limits: tuple[str | None, str | None]) -> None:
    made = answer("violations", large, limits)
    test_violations.check(made, violations_oracle.expected(large.records, parse_period(*limits)))


@EACH_PERIOD
def test_every_number_of_coverage(large: Month, limits: tuple[str | None, str | None]) -> None:
    period = parse_period(*limits)
    made, wanted = (
        crawling.record(coverage_report.KIND, large.root, period),
        coverage_oracle.expected(large.records, period),
    )
    for name in ("sidecars", "starts", "orderly_stops", "seconds_between", "minutes_without_seal", "modes"):
        assert made[name] == wanted[name], name
    assert {(r["log"], r["started_at"], r["ended_at"], r["seals"]) for r in made["runs"]} == wanted["runs"]
    assert {(gap["node"], gap["from"], gap["to"]) for gap in made["between"]} == wanted["between"]
    assert {(one["log"], one["from"], one["to"]) for one in made["silences"]} == wanted["silences"]
    assert [tuple(one.values()) for one in made["incidents_by_day"]] == wanted["incidents_by_day"]


@EACH_PERIOD
@pytest.mark.parametrize("rank", [2, 24_000])
def test_every_number_of_inquiry(large: Month, limits: tuple[str | None, str | None], rank: int) -> None:
    period, site = parse_period(*limits), realistic_sites.site_name(rank)
    want = inquiry_oracle.expected(large.records, period, site)
    with open_log(str(large.root)) as log:
        found = inquiry.inquiry(log, parse_subject(site), period)
    same = ("row_count", *(field.name for field in inquiry_record.NUMBERS if not field.name.endswith("_at")))
    assert {name: found[name] for name in same} == {name: want[name] for name in same}
    assert [found[name] for name in ("first_at", "last_at")] == [iso(want[name]) for name in ("first_at", "last_at")]
    assert {(one["crawler"], one["product_token"]): one["requests"] for one in found["crawlers"]} == want["crawlers"]
    assert {(one["day"], one["verdict"], one["action"]): one["requests"] for one in found["days"]} == want["days"]
    assert {(one["log"], one["seq"]): Counter(one["verdicts"]) for one in found["robots"]} == want["robots"]
    shown = {
        (one["protocol"], one["host"], one["raw"], one["scope"]): (one["count"], one["requests_after"])
        for one in found["signals"]
    }
    assert shown == want["signals"]


def test_segments_without_the_site_asked_about_are_not_read(large: Month) -> None:
    """Small segments are always read, so it takes a log of this size to show it."""
    site = realistic_sites.site_name(24_000)
    with open_log(str(large.root)) as log:
        drawn = test_plans.plan(log, "inquiry", "EXPLAIN ANALYZE", **test_plans.scope(log, site, Period()))
    ((scanned, there),) = test_plans.SCANNED.findall(drawn)
    assert int(scanned) < int(there) / 2


@EACH_PERIOD
def test_every_number_of_opt_out(small: Month, limits: tuple[str | None, str | None]) -> None:
    expected = opt_out_oracle.expected(small.records, parse_period(*limits))
    assert expected["opt_outs_total"] > 100
    test_opt_out.check(answer("opt-out", small, limits), expected)


@EACH_PERIOD
def test_every_number_of_robots_history(small: Month, limits: tuple[str | None, str | None]) -> None:
    expected = robots_history_oracle.expected(small.records, parse_period(*limits), TOKENS, every=False)
    assert len(expected) > 10
    test_robots_history.check(answer("robots-history", small, limits, "--limit", 100_000), expected)


@EACH_PERIOD
def test_every_number_of_japan(large: Month, limits: tuple[str | None, str | None]) -> None:
    expected = japan_oracle.expected(large.records, parse_period(*limits))
    test_japan.same_as_the_oracle(answer("japan", large, limits), expected)


@pytest.mark.parametrize("date", [None, "2026-10-16T00:00:00Z"])
def test_every_number_of_reevaluation(small: Month, date: str | None) -> None:
    day = None if date is None else parse_period(date, None).start
    wanted = reevaluation_oracle.expected(small.records, Period(), day)
    made = answer("reevaluation", small, (None, None), *(() if date is None else ("--as-of", date)))
    assert made["fetched"] == wanted["fetched"]
    assert {name: number for name, number in made["fetches"].items() if number} == wanted["fetches"]
    for site in made["sites"]:
        for name in ("fetched", "newly_disallowed", "disallowed_then", "not_known_now"):
            assert site[name] == wanted["sites"][site["site"]][name], (site["site"], name)
    assert made["sites_fetched"] == len(wanted["sites"])
    assert made["urls_newly_disallowed"] == len(wanted["rows"]) > 20


def test_every_kind_gives_json_that_is_the_same_again(small: Month) -> None:
    for kind in ("activity", "sites", "eu", "card", "coverage"):
        first, again = (answer(kind, small, PART) for _ in range(2))
        assert first["content_sha256"] == again["content_sha256"], kind
        assert json.dumps(first["coverage"]) == json.dumps(again["coverage"])
