"""The per-site record: numbers and ranks equal an independent computation, training use is only ever attested."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from reports.attestations import Attestations
from reports.declarations import Declarations, TrainingUse
from reports.kinds import sites
from reports.period import Period
from tests import logs
from tests.frames import frames
from tests.reports import crawling
from tests.reports.crawling import PART, WHOLE
from tests.reports.oracles import sites as oracle


def made(root: Path, period: Period = WHOLE, *, declared: bool = False) -> dict[str, Any]:
    return crawling.record(sites.KIND, root, period, declared=declared)


@pytest.mark.parametrize("period", [WHOLE, PART], ids=["whole", "part"])
def test_every_number_is_what_the_records_say(crawled: logs.LogBuilder, period: Period) -> None:
    expected = oracle.expected(frames(crawled.root), period)
    answer = made(crawled.root, period)
    assert [one["site"] for one in answer["sites"]] == list(expected)
    for one in answer["sites"]:
        assert {name: one[name] for name in expected[one["site"]]} == expected[one["site"]]
    assert answer["content_bytes"] == sum(one["content_bytes"] for one in expected.values())
    assert answer["sites_with_content"] == max(one["rank"] or 0 for one in expected.values())


def test_a_site_that_was_only_refused_is_listed_and_has_no_rank(crawled: logs.LogBuilder) -> None:
    (refused,) = (one for one in made(crawled.root, WHOLE)["sites"] if one["site"] == "refused.example")
    assert refused["denied"] == refused["requests"] > 0
    assert (refused["rank"], refused["content_bytes"], refused["modalities"]) == (None, 0, {})


def test_the_same_body_twice_is_one(crawled: logs.LogBuilder) -> None:
    listed = made(crawled.root)["sites"]
    assert any(0 < one["unique_bodies"] < one["content_responses"] for one in listed)


def test_training_use_is_unknown_unless_the_operator_attests_it(crawled: logs.LogBuilder) -> None:
    assert {one["training_use_status"] for one in made(crawled.root, WHOLE)["sites"]} == {"unknown"}
    by_site = {one["site"]: one for one in made(crawled.root, declared=True)["sites"]}
    said = by_site["s03.example"]
    assert (said["training_use_status"], said["attestation"]) == ("operator_attested_excluded", "DO-7")
    assert (said["attested_by"], said["attested_at"]) == ("Data office", "2026-11-01")
    assert by_site["s04.example"]["training_use_status"] == "operator_attested_included"
    assert by_site["s00.example"]["training_use_status"] == "unknown"
    assert by_site["s00.example"]["attested_by"] is None


def test_an_attestation_that_names_the_site_comes_before_one_for_all() -> None:
    common = {"attested_by": "x", "attested_at": date(2026, 1, 1)}
    everything = TrainingUse(sites=["*"], status="partial", **common)
    named = [TrainingUse(sites=["a.example"], status=status, **common) for status in ("excluded", "included")]
    attested = Attestations(Declarations(training_use=[everything, *named]))
    assert attested.status("a.example") == "operator_attested_excluded"
    assert attested.status("b.example") == "operator_attested_partial"
    assert Attestations(Declarations()).status("a.example") == "unknown"


def test_purposes_are_those_declared_of_the_crawlers_that_asked(crawled: logs.LogBuilder) -> None:
    plain, declared = made(crawled.root, WHOLE), made(crawled.root, declared=True)
    assert plain["sites"][0]["crawlers"] == declared["sites"][0]["crawlers"] == sorted(crawling.CRAWLERS)
    assert plain["sites"][0]["purposes"] == declared["sites"][0]["purposes"] == ["search_index", "training"]


def test_in_public_there_are_totals_and_no_site(crawled: logs.LogBuilder) -> None:
    ran = crawling.report("sites", crawled.root, "json", "public")
    assert "sites" not in ran.json
    assert (ran.json["sites_with_content"], ran.json["row_count"]) == ("10-99", "10-99")
    for form in ("md", "csv", "json"):
        out = crawling.report("sites", crawled.root, form, "public").out
        assert "s00.example" not in out


def test_the_table_for_people_has_every_site_once_in_order(crawled: logs.LogBuilder) -> None:
    out = crawling.report("sites", crawled.root, "md").out
    names = [line.split(" | ")[1] for line in out.splitlines() if line.startswith("| ") and ".example" in line]
    assert names == [one["site"] for one in made(crawled.root, WHOLE)["sites"] if ".example" in one["site"]]
