"""Judging again what was fetched: by a given robots.txt, or by the last one on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawl_audit.records import Action, Basis, RobotsOutcome, Verdict
from tests import logs
from tests.logs import LogBuilder, after
from tests.reports.command import crawl_audit, refused

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
