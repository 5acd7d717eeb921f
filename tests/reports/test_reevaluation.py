"""Judging again what was fetched: one site, URL by URL (`judge --log`), or a whole log as a report of what changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Action, Basis, RobotsOutcome, SnapshotSource, Verdict
from reports import judged_again, rejudging
from reports.kinds import reevaluation
from reports.log import open_log
from reports.matching import parse_subject
from reports.period import Period
from reports.projection import keyed
from reports.report import Question
from reports.url_key import make_url_key, read_url_key
from tests import logs
from tests.frames import frames
from tests.logs import LogBuilder, after
from tests.reports.command import crawl_audit, refused
from tests.reports.oracles.reevaluation import expected

OPEN = b"User-agent: *\nAllow: /\n"
CLOSED = b"User-agent: AlphaBot\nDisallow: /news/\n"


@pytest.fixture
def made(root: Path) -> Path:
    """Two pages fetched while all was open, one denied, one robots.txt; then the site closed /news/."""
    log = LogBuilder(root)
    log.add(logs.run())
    for path in ("/news/1", "/news/1", "/about"):
        log.add(logs.decision("example.com", path, body=OPEN))
    log.add(logs.decision("example.com", "/news/2", body=CLOSED, action=Action.DENIED))
    log.add(logs.decision("example.com", "/robots.txt", body=OPEN, basis=Basis.ROBOTS_TXT))
    log.add(logs.decision("other.example", "/news/1", body=OPEN))
    log.add(logs.robots_body(OPEN))
    log.add(logs.snapshot("example.com", OPEN, after(1)))
    log.add(logs.robots_body(CLOSED))
    log.add(logs.snapshot("example.com", CLOSED, after(2)))
    log.publish()
    return root


def test_the_last_copy_on_record_says_what_it_would_have_covered(made: Path) -> None:
    ran = crawl_audit("judge", "--log", made, "example.com", "--format", "json")
    answer = ran.json
    assert (ran.code, answer["robots"], answer["urls"], answer["newly_disallowed"]) == (1, "last on record", 2, 1)
    (row,) = [row for row in answer["rows"] if row["now"] == "disallowed"]
    assert (row["url"], row["requests"], row["then"]) == ("http://example.com/news/1", 2, "allowed")
    assert (row["rule"], row["rule_line"]) == ("Disallow: /news/", 2)


def test_a_given_robots_txt_is_judged_for_the_token_on_record_or_for_the_one_given(made: Path, tmp_path: Path) -> None:
    today = tmp_path / "today.txt"
    today.write_bytes(b"User-agent: AlphaBot\nAllow: /\n\nUser-agent: BetaBot\nDisallow: /\n")
    as_recorded = crawl_audit("judge", "--log", made, "--robots", today, "example.com", "--format", "json")
    as_another = crawl_audit(
        "judge", "--log", made, "--robots", today, "--token", "BetaBot", "example.com", "--format", "json"
    )
    assert (as_recorded.code, as_recorded.json["disallowed_now"]) == (0, 0)
    assert (as_another.code, as_another.json["disallowed_now"]) == (1, 2)


def test_a_site_whose_robots_txt_is_gone_allows_and_one_without_any_on_record_does_not(root: Path) -> None:
    log = LogBuilder(root)
    log.add(logs.decision("gone.example", "/a"))
    log.add(logs.snapshot("gone.example", None, status=404, outcome=RobotsOutcome.UNAVAILABLE))
    log.add(logs.decision("unknown.example", "/a"))
    log.publish()
    answers = {
        host: crawl_audit("judge", "--log", root, host, "--format", "json").json["rows"][0]["now"]
        for host in ("gone.example", "unknown.example")
    }
    assert answers == {"gone.example": Verdict.ALLOWED, "unknown.example": Verdict.DISALLOWED}


def test_what_was_disallowed_then_is_not_called_new(root: Path) -> None:
    log = LogBuilder(root)
    log.add(logs.decision("example.com", "/news/1", body=CLOSED))
    log.add(logs.robots_body(CLOSED))
    log.add(logs.snapshot("example.com", CLOSED))
    log.publish()
    answer = crawl_audit("judge", "--log", root, "example.com", "--format", "json").json
    assert (answer["disallowed_now"], answer["newly_disallowed"]) == (1, 0)


def test_people_see_the_pages_to_leave_out(made: Path) -> None:
    shown = crawl_audit("judge", "--log", made, "example.com").out
    assert "http://example.com/news/1" in shown
    assert "http://example.com/about" not in shown


@pytest.mark.parametrize("subjects", [(), ("a.example", "b.example")])
def test_exactly_one_domain_or_url_is_judged_again(made: Path, subjects: tuple[str, ...]) -> None:
    assert "exactly one domain or URL" in refused("judge", "--log", made, *subjects, code=2)


def test_a_robots_txt_that_cannot_be_read_is_one_sentence(made: Path) -> None:
    assert "absent.txt" in refused("judge", "--log", made, "--robots", "absent.txt", "example.com", code=2)


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 mixed exchanges; then sites close, open, answer 404 and 503, and fetches go on under the new copies."""
    root = tmp_path_factory.mktemp("changing") / "audit-log"
    logs.mixed(root)
    log = LogBuilder(root, "node1-20261119T110640Z-00000002")
    log.add(logs.run(at=after(86_400)))
    harmless = b"# a comment\n" + logs.ROBOTS
    closed = b"User-agent: *\nDisallow: /a\nDisallow: /caf\nDisallow: /private\n"
    shut = b"User-agent: AlphaBot\nDisallow: /\n"
    for body in (harmless, closed, shut, OPEN):
        log.add(logs.robots_body(body, after(86_400)))
    log.add(logs.snapshot("example.com", closed, after(86_500)))
    log.add(logs.snapshot("www.example.com", harmless, after(86_500)))
    for seconds, body in ((86_500, shut), (86_600, OPEN), (86_700, closed), (86_800, shut)):
        log.add(logs.snapshot("shop.example.co.uk", body, after(seconds)))
    gone = {"status": 503, "outcome": RobotsOutcome.UNREACHABLE, "robots_sha256": None, "body_bytes": None}
    log.add(logs.snapshot("127.0.0.1", None, after(86_500), **gone))
    log.add(logs.snapshot("example.com", None, after(86_900), source=SnapshotSource.OBSERVED, **gone))
    log.add(logs.snapshot("no-robots.example", shut, after(86_500)))
    for number, target in enumerate(logs.TARGETS * 3):
        log.add(logs.decision("example.com", target, after(87_000 + number), body=closed))
    allowed = logs.decision("xn--r8jz45g.jp", "/erased", after(87_100), body=OPEN)
    for basis, verdict in ((Basis.EXEMPTION, Verdict.ALLOWED), (Basis.SIGNAL, Verdict.DISALLOWED)):
        log.add(replace(allowed, basis=basis, verdict=verdict))
    log.publish()
    return root


def report(root: Path, **asked: Any) -> dict[str, Any]:
    with open_log(str(root)) as log:
        return reevaluation.make(Question(log=log, period=Period(), **asked))


DATES = [None, "2026-11-19T11:08:30", "2026-11-19T11:10:05", "2026-11-18T11:00:00"]


@pytest.mark.parametrize("date", DATES)
def test_every_number_equals_judging_every_url_again(changing: Path, date: str | None) -> None:
    as_of = None if date is None else datetime.fromisoformat(date)
    answer, wanted = report(changing, as_of=as_of), expected(frames(changing), Period(), as_of)
    assert answer["fetched"] == wanted["fetched"]
    assert {name: number for name, number in answer["fetches"].items() if number} == wanted["fetches"]
    for site in answer["sites"]:
        for name in ("fetched", "newly_disallowed", "disallowed_then", "not_known_now"):
            assert site[name] == wanted["sites"][site["site"]][name], (site["site"], name)
    assert answer["sites_fetched"] == len(wanted["sites"])
    assert answer["urls_newly_disallowed"] == len(answer["rows"]) == len(wanted["rows"])
    said = {
        (row["site"], row["url"], row["product_token"]): tuple(
            row[name] for name in ("requests", "first_at", "last_at", "since")
        )
        for row in answer["rows"]
    }
    assert said == {
        (site, f"{scheme}://{host}{target}", token): tuple(row.values())
        for (site, scheme, host, _, target, token), row in wanted["rows"].items()
    }


def test_something_of_every_sort_is_in_that_log(changing: Path) -> None:
    answer = report(changing)
    assert all(answer["fetches"][name] > 0 for name in reevaluation.THEN_AND_NOW)
    assert answer["sites_affected"] >= 2
    since = {str(row["since"]) for row in answer["rows"] if row["site"] == "example.co.uk"}
    assert len(since) == 2  # some URLs were closed by both copies, some only by the last


@pytest.mark.parametrize(("name", "value"), [("_FETCHES", 5), ("_BODY_BYTES", 100), ("_COPIES", 1), ("_ROWS", 3)])
def test_parts_of_any_size_give_the_same_answer(
    changing: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    whole = report(changing)
    monkeypatch.setattr(rejudging, name, value)
    assert report(changing) == whole


def test_a_copy_that_differs_in_comments_alone_is_not_judged_again(
    changing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = report(changing)
    monkeypatch.setattr(rejudging, "_COMPARED_FROM", 0)
    assert report(changing) == whole
    row = {"requests": 1, "copy_then": "a", "copy_now": "b"}
    assert rejudging._same_rules(row, {"a": OPEN, "b": b"# note\n" + OPEN})
    assert not rejudging._same_rules(row, {"a": OPEN, "b": CLOSED})
    assert not rejudging._same_rules(row, {"b": OPEN})


def test_the_list_is_as_long_as_asked_and_says_what_it_leaves_out(changing: Path) -> None:
    whole, short = report(changing), report(changing, rows_max=2)
    assert short["rows"] == whole["rows"][:2]
    assert short["rows_left_out"] == len(whole["rows"]) - 2
    assert {**short, "rows": [], "rows_left_out": 0} == {**whole, "rows": []}


def test_one_site_or_one_url_can_be_asked_about(changing: Path) -> None:
    whole = report(changing)
    subject = parse_subject("example.co.uk")
    one = report(changing, subject=subject)
    assert one["query"] == "example.co.uk"
    assert one["rows"] == [row for row in whole["rows"] if row["site"] == "example.co.uk"]
    url = one["rows"][0]["url"]
    assert {row["url"] for row in report(changing, subject=parse_subject(url))["rows"]} == {url}
    assert report(changing, subject=parse_subject("nobody.example"))["fetched"] == 0


def test_regulators_get_hashes_of_urls_that_the_holder_of_the_key_can_test(changing: Path, tmp_path: Path) -> None:
    key = tmp_path / "url.key"
    make_url_key(str(key))
    asked = ("report", "reevaluation", changing, "--format", "json", "--level")
    inside = crawl_audit(*asked, "internal").json["rows"]
    outside = crawl_audit(*asked, "regulator", "--url-key", key)
    secret = read_url_key(str(key))
    assert [row["url"] for row in outside.json["rows"]] == [keyed(row["url"], secret) for row in inside]
    assert "://example.com/" not in outside.out
    without = crawl_audit(*asked, "regulator").json
    assert all("url" not in row for row in without["rows"])
    assert "rows[].url" in {left["field"] for left in without["withheld"]}
    public = crawl_audit(*asked, "public", "--url-key", key).json
    assert "rows" not in public and "sites" not in public


def test_judge_and_report_agree(changing: Path) -> None:
    with open_log(str(changing)) as log:
        again = judged_again.judged_again(log, parse_subject("example.co.uk"), Period(), None, [])
    judged = {row["url"] for row in again["rows"] if row["now"] == "disallowed" and row["then"] == "allowed"}
    assert judged == {row["url"] for row in report(changing)["rows"] if row["site"] == "example.co.uk"}
