"""The EU record: the checks that reviewers of published summaries make, and numbers computed independently."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Action
from reports import eu_body, eu_fields, eu_list
from reports.attestations import Attestations
from reports.declarations import Declarations, TrainingUse
from reports.fields import walk
from reports.kinds import eu
from reports.period import Period
from reports.words import ENGLISH, Language, Words
from tests import logs
from tests.frames import frames
from tests.golden.reports import summaries
from tests.reports import crawling
from tests.reports.command import crawl_audit
from tests.reports.crawling import PART, WHOLE
from tests.reports.oracles import eu as oracle

LABELS = (
    "(a) Were crawlers used by the provider or on behalf of?",
    "(b) If yes, specify crawler name(s)/identifier(s)",
    "(c) Purposes of the crawler(s)",
    "(d) General description of crawler behaviour",
    "(e) Period of data collection",
    "(f) Comprehensive description of the type of content and online sources crawled",
    "(g) Type of modality covered",
    "(h) Summary of the most relevant domain names crawled",
    "(i) Additional comments (optional)",
)


def made(root: Path, period: Period = WHOLE, *, declared: bool = True) -> dict[str, Any]:
    return crawling.record(eu.KIND, root, period, declared=declared)


@pytest.mark.parametrize("period", [WHOLE, PART], ids=["whole", "part"])
def test_every_number_is_what_the_records_say(crawled: logs.LogBuilder, period: Period) -> None:
    answer = made(crawled.root, period)
    crawlers = [one["crawler"] for one in answer["crawlers"]]
    assert crawlers == ["books", "news"]
    expected = oracle.expected(frames(crawled.root), period, crawlers, ["s03.example"], sme=False)
    assert answer["domains"] == expected["domains"] != []
    for name in ("total", "addresses", "attested_excluded"):
        assert answer["selection"][name] == expected[name]
    assert answer["selection"]["listed"] == len(answer["domains"])
    assert answer["top_level_domains"] == expected["top_level_domains"]
    assert answer["section_1_3"] == {name: expected[name] for name in ("latest_acquisition", "modality_bytes")}
    first, last = expected["periods"]["books"]
    assert answer["crawlers"][0]["period"] == f"{first} to {last}"


def test_the_log_holds_an_address_a_refused_domain_and_one_attested_as_not_used(crawled: logs.LogBuilder) -> None:
    answer = made(crawled.root)
    assert (answer["selection"]["addresses"], answer["selection"]["attested_excluded"]) == (1, 1)
    assert "refused.example" not in {one["domain"] for one in answer["domains"]}
    assert {"jp", "example"} == set(answer["top_level_domains"])


@pytest.mark.parametrize(
    ("total", "large", "small"),
    [
        (0, 0, 0),
        (1, 1, 1),
        (9, 1, 1),
        (10, 1, 1),
        (11, 2, 1),
        (21, 3, 2),
        (25_000, 2_500, 1_000),
        (19_999, 2_000, 1_000),
    ],
)
def test_the_list_is_a_share_of_the_number_of_domains(total: int, large: int, small: int) -> None:
    assert (eu_list.listed_of(total, sme=False), eu_list.listed_of(total, sme=True)) == (large, small)


def test_a_small_enterprise_lists_the_twentieth(crawled: logs.LogBuilder) -> None:
    expected = oracle.expected(frames(crawled.root), WHOLE, ["books", "news"], [], sme=True)
    rows = [{"site": f"{number:04d}.example", "content_responses": 1, "content_bytes": 9} for number in range(41)]
    chosen = eu_list.choose(rows, True, Attestations(Declarations()))
    assert (len(chosen.domains), chosen.selection["rule"]) == (3, eu_fields.SME_RULE)
    assert len(expected["domains"]) == eu_list.listed_of(expected["total"], sme=True)


def test_the_list_is_a_candidate_until_every_domain_on_it_is_attested() -> None:
    rows = [{"site": site, "content_responses": 1, "content_bytes": 5} for site in ("a.example", "b.example")]

    def status(*sites: str) -> object:
        common = {"attested_by": "x", "attested_at": date(2026, 1, 1)}
        uses = [TrainingUse(sites=list(sites), status="included", **common)] if sites else []
        chosen = eu_list.choose(rows * 10, None, Attestations(Declarations(training_use=uses)))
        assert len(chosen.domains) == 2
        return chosen.selection["status"]

    assert status() == status("a.example") == "candidate list, upper bound"
    assert status("a.example", "b.example") == status("*") == "attested by the operator"


@pytest.mark.parametrize("site", ["192.0.2.1", "::1", "[2001:db8::1]"])
def test_an_address_is_no_domain_name(site: str) -> None:
    chosen = eu_list.choose(
        [{"site": site, "content_responses": 1, "content_bytes": 5}], None, Attestations(Declarations())
    )
    assert (chosen.domains, chosen.selection["addresses"], chosen.selection["total"]) == ([], 1, 0)
    assert chosen.selection["status"] == eu_fields.CANDIDATE


def test_only_crawlers_for_training_are_in_it_and_the_others_are_named_with_the_reason(
    crawled: logs.LogBuilder,
) -> None:
    answer = made(crawled.root)
    assert answer["crawler_names"] == ["books", "NewsBot"]
    assert {one["crawler"]: one["why"] for one in answer["excluded"]} == {
        "index": eu_fields.OTHER_PURPOSE,
        "planned": eu_fields.NOT_SEEN,
        "walker": eu_fields.NO_PURPOSE,
    }
    sources = {one["crawler"]: one["purpose_source"] for one in answer["crawlers"]}
    assert sources == {"books": "settings", "news": "operator file"}


def test_a_crawler_of_which_nothing_was_forwarded_was_not_used(root: Path) -> None:
    made_log = logs.LogBuilder(root)
    settings = '{"crawlers": [{"id": "alpha", "purpose": "training"}]}'
    made_log.add(logs.run(settings=settings))
    made_log.add(replace(logs.decision("a.example"), action=Action.DENIED))
    made_log.publish()
    answer = made(root, declared=False)
    assert (answer["crawlers_used"], answer["domains"]) == ("No", [])
    assert [one["why"] for one in answer["excluded"]] == [eu_fields.NOT_SENT]


@pytest.mark.parametrize(
    ("settings", "used"),
    [('{"crawlers": [{"id": "alpha", "purpose": "search"}]}', "No"), ('{"crawlers": [{"id": "alpha"}]}', "Not known")],
)
def test_no_is_said_only_where_the_purpose_of_every_crawler_is_known(root: Path, settings: str, used: str) -> None:
    made_log = logs.LogBuilder(root)
    made_log.add(logs.run(settings=settings))
    made_log.add(logs.decision("a.example"))
    made_log.publish()
    assert made(root, declared=False)["crawlers_used"] == used
    out = crawl_audit("report", "eu", root, "--format", "md").out
    assert all(f"## {label}" in out.replace("\\", "") for label in LABELS)
    after = out.split("## (h)")[1].split("\n\n")[1]
    assert after == ("None" if used == "No" else "Not known")


def test_reviewers_find_everything_they_check(crawled: logs.LogBuilder) -> None:
    answer = crawling.report("eu", crawled.root, "json", "public").json
    assert answer["crawlers_used"] == "Yes"
    assert answer["domains"]
    for crawler in answer["crawlers"]:
        for name in ("period_from", "period_to"):
            assert re.fullmatch(r"\d{2}/\d{4}", crawler[name])
        assert re.fullmatch(r"\d{2}/\d{4} to \d{2}/\d{4}", crawler["period"])
        five = {"robots_txt", "other_protocols", "captchas", "password_protected_websites", "paywalls"}
        assert set(crawler["behaviour"]) == five
    markdown = crawling.report("eu", crawled.root, "md", "public").out.replace("\\", "")
    parts = {part[:3]: part for part in markdown.split("\n## ")}
    for crawler in answer["crawlers"]:
        assert crawler["name"] in parts["(b)"]
        assert f"- {crawler['name']}: {crawler['period']}\n" in parts["(e)"] + "\n"
        assert f"- {crawler['name']}: " in parts["(c)"]
        mine = parts["(d)"].split(f"\n{crawler['name']}\n")[1]
        for word in ("robots.txt", "Other protocols", "Captchas", "Password-protected websites", "Paywalls"):
            assert f"- {word}: " in mine
    assert parts["(b)"].split("\n\n", 1)[1].split() == answer["crawler_names"]


def test_the_labels_are_the_templates_own_in_every_language(crawled: logs.LogBuilder) -> None:
    for language in ("en", "ja"):
        out = crawling.report("eu", crawled.root, "md", "public", "--lang", language).out.replace("\\", "")
        assert [line[3:] for line in out.splitlines() if line.startswith("## (")] == list(LABELS)


def test_nothing_is_left_blank(crawled: logs.LogBuilder) -> None:
    for declared in (True, False):
        out = crawling.report("eu", crawled.root, "md", "public", declared=declared).out
        assert [line for line in out.splitlines() if line.endswith((":", ": ", "| |"))] == [
            "Crawlers that this summary is not about:",
            *(line for line in out.splitlines() if line.startswith("Before and during collection by")),
        ]


def test_the_public_list_has_names_in_order_and_no_sizes(crawled: logs.LogBuilder) -> None:
    public = crawling.report("eu", crawled.root, "json", "public").json
    regulator = crawling.report("eu", crawled.root, "json", "regulator").json
    assert all(set(one) == {"rank", "domain"} for one in public["domains"])
    assert [one["domain"] for one in public["domains"]] == [one["domain"] for one in regulator["domains"]]
    sizes = [one["content_bytes"] for one in regulator["domains"]]
    assert sizes == sorted(sizes, reverse=True)
    listed = crawling.report("eu", crawled.root, "csv", "public").out
    rows = list(csv.DictReader(io.StringIO(listed)))
    assert [row["domain"] for row in rows] == [one["domain"] for one in public["domains"]]
    assert isinstance(public["selection"]["total"], int)


def test_it_never_says_that_anything_was_used_to_train(crawled: logs.LogBuilder) -> None:
    out = crawling.report("eu", crawled.root, "md", "public").out
    assert "candidate list, upper bound" in out
    assert not re.search(r"trained on|compliant|certified|lawful", out)


def test_an_earlier_period_and_another_purpose_in_the_settings_are_shown_as_what_they_are(
    crawled: logs.LogBuilder,
) -> None:
    news = made(crawled.root)["crawlers"][1]
    assert (news["period"], news["period_in_log"]) == ("03/2025 to 12/2026", "11/2026 to 12/2026")
    shown = {"crawlers": [news]}
    (_, note) = eu_body.BLOCKS["e"](shown, ENGLISH)
    assert "11/2026 to 12/2026" in note.text
    (purposes,) = eu_body.BLOCKS["c"](shown, ENGLISH)
    assert purposes.pairs[0][1].endswith("(The settings of its proxy say: search.)")


def test_section_3_1_rests_on_recorded_settings_and_says_what_is_declared(crawled: logs.LogBuilder) -> None:
    answer = made(crawled.root)
    books, news = answer["crawlers"]
    assert (books["robots"]["disallowed"], books["robots"]["cache_default_s"]) == ("denied", 3600)
    done = {one["protocol"]: one["done"] for one in books["protocols"]}
    assert (done["content-signal"], done["tdmrep"]) == ("requests denied", "recorded only")
    assert {one["protocol"]: one["done"] for one in news["protocols"]}["content-signal"] == "recorded only"
    assert answer["section_3_1"]["cop_signatory"] is True


def test_without_an_operator_file_strict_says_what_is_missing(crawled: logs.LogBuilder) -> None:
    ran = crawling.report("eu", crawled.root, "json", "internal", "--strict", declared=False)
    assert ran.code == 3
    missing = {one["field"] for one in ran.json["withheld"] if one["reason_code"] == "not_supplied"}
    assert {"template_version", "selection.sme", "section_3_1.cop_signatory"} <= missing


def test_no_field_claims_more_in_public_than_for_regulators() -> None:
    sizes = [path for path, field in walk(eu_fields.RECORD.fields) if path.endswith("content_bytes")]
    assert sizes == ["domains[].content_bytes"]


def test_in_japanese_what_is_not_a_label_is_japanese(crawled: logs.LogBuilder) -> None:
    out = crawling.report("eu", crawled.root, "md", "public", "--lang", "ja").out
    assert "学習用にニュースを収集します。" in out
    assert "CAPTCHAで停止します。" in out
    assert Words(Language.JA).said({"en": "x", "ja": "y"}) == "y"


@pytest.mark.parametrize("language", list(Language))
def test_the_summary_is_what_it_was(crawled: logs.LogBuilder, language: Language) -> None:
    """`python -m tests.golden.reports.update` rewrites the files: look at every difference."""
    assert summaries.made(crawled.root, language) == summaries.file(language).read_text(encoding="utf-8")
