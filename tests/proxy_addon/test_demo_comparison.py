"""The comparison of access logs and log: what counts as recorded, and what must not."""

from __future__ import annotations

from typing import Any

from proxy_addon.demo_comparison import Compared, compare
from proxy_addon.demo_sites import PLANS, Seen, Site

GAZETTE = PLANS[1]
NOON = 1_800_000_000_000_000


def site(*arrived: tuple[str, int]) -> Site:
    log = [Seen(at_us=NOON + at, method="GET", path=path, user_agent="DemoBot", status=200) for path, at in arrived]
    return Site(plan=GAZETTE, host="127.0.0.3", port=8000, access_log=log)


def decision(path: str, at: int, action: str = "forwarded", port: int = 8000) -> dict[str, Any]:
    return {"url": f"http://127.0.0.3:{port}{path}", "action": action, "at_us": NOON + at}


def one(seen: Site, *decisions: dict[str, Any], robots: int = 0) -> Compared:
    (made,) = compare([seen], decisions, [{"host": "127.0.0.3", "port": 8000, "requests": robots}])
    return made


def test_two_accounts_that_are_the_same_agree() -> None:
    made = one(
        site(("/robots.txt", 1), ("/", 5), ("/news.html", 9)),
        decision("/", 4),
        decision("/news.html", 9),
        decision("/private/", 11, "denied"),
        robots=1,
    )
    assert made.agrees
    assert (made.arrived, made.recorded, made.denied, made.trespasses, made.lost) == (2, 2, 1, 0, 0)


def test_a_request_without_a_decision_does_not_count_as_recorded() -> None:
    made = one(site(("/", 5), ("/news.html", 6)), decision("/", 4))
    assert (made.arrived, made.recorded, made.agrees) == (2, 1, False)


def test_a_decision_recorded_after_the_request_arrived_does_not_count() -> None:
    assert one(site(("/", 5)), decision("/", 6)).recorded == 0


def test_a_decision_counts_for_one_request_only() -> None:
    made = one(site(("/", 5), ("/", 7)), decision("/", 4))
    assert (made.arrived, made.recorded) == (2, 1)
    assert one(site(("/", 5), ("/", 7)), decision("/", 4), decision("/", 6)).agrees


def test_a_denied_decision_does_not_stand_for_a_request_that_arrived() -> None:
    made = one(site(("/private/", 5)), decision("/private/", 4, "denied"))
    assert (made.recorded, made.trespasses, made.agrees) == (0, 1, False)


def test_a_disallowed_page_that_was_reached_is_a_difference_even_where_it_is_recorded() -> None:
    assert not one(site(("/private/", 5)), decision("/private/", 4)).agrees


def test_what_was_forwarded_and_never_arrived_is_a_difference() -> None:
    made = one(site(), decision("/", 4))
    assert (made.lost, made.agrees) == (1, False)


def test_a_decision_about_another_port_belongs_to_another_site() -> None:
    made = one(site(("/", 5)), decision("/", 4, port=80001))
    assert (made.recorded, made.lost) == (0, 0)


def test_a_fetch_of_robots_txt_without_a_snapshot_is_a_difference() -> None:
    assert not one(site(("/robots.txt", 5))).agrees
