"""What the operator declares changes verdict and basis only, and what the site says stays to be seen."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import robots, schema
from crawl_audit.decision import Request, decide
from crawl_audit.exemptions import Exemption, Exemptions, Reason
from crawl_audit.identity import Crawler
from crawl_audit.policy import Policy, Ruling
from crawl_audit.records import Action, Basis, Instant, Mode, RobotsOutcome, Verdict
from crawl_audit.robots import Judgement
from crawl_audit.signal_policy import SignalPolicy
from crawl_audit.target import Scope, Target
from crawl_audit.wishes import NONE

BODY = b"User-agent: *\nContent-Signal: ai-train=no\nRequest-rate: 1/7s\nCrawl-delay: 3\nDisallow: /private\n"
AT = Instant(1_000)
CRAWLER = Crawler(id="news", product_tokens=("ExampleBot",), purpose="training")
LICENCE = Exemption(id="deal-7", reason=Reason.LICENCE, sites=frozenset({"example.com"}), until=Instant(2_000))
EXEMPT = Policy(Exemptions([LICENCE]))
HEEDING = Policy(signals=SignalPolicy({"content-signal": "deny"}))
BOTH = Policy(Exemptions([LICENCE]), SignalPolicy({"content-signal": "deny"}))
SITE_FACTS = ("group_tokens", "rule", "rule_line", "protego_verdict", "divergent", "crawl_delay_ms")


def target(path: str) -> Target:
    return Target(Scope("https", "www.example.com", 443), path, None)


def ruled(
    policy: Policy, path: str, outcome: RobotsOutcome = RobotsOutcome.SUCCESSFUL, at: Instant = AT
) -> tuple[Judgement, Ruling]:
    """The site's judgement and the ruling on it."""
    rules = robots.compile_rules(BODY, CRAWLER.product_tokens) if outcome is RobotsOutcome.SUCCESSFUL else None
    judgement = robots.evaluate(outcome, rules, path)
    return judgement, policy.ruling(judgement, CRAWLER, target(path), at, rules.wishes if rules else NONE)


def words(ruling: Ruling) -> tuple[str, str, str | None]:
    return ruling.judgement.verdict.value, ruling.judgement.basis.value, ruling.exemption


@pytest.mark.parametrize("path", ["/", "/private", "/robots.txt"])
@pytest.mark.parametrize("outcome", list(RobotsOutcome))
def test_without_declarations_the_judgement_stands(path: str, outcome: RobotsOutcome) -> None:
    judgement, ruling = ruled(Policy(), path, outcome)
    assert ruling.judgement is judgement
    assert ruling.exemption is None


@pytest.mark.parametrize(
    "policy,path,outcome,expected",
    [
        (EXEMPT, "/", RobotsOutcome.SUCCESSFUL, ("allowed", "no_rule", "deal-7")),
        (EXEMPT, "/private", RobotsOutcome.SUCCESSFUL, ("allowed", "exemption", "deal-7")),
        (EXEMPT, "/", RobotsOutcome.UNREACHABLE, ("allowed", "exemption", "deal-7")),
        (EXEMPT, "/", RobotsOutcome.UNAVAILABLE, ("allowed", "unavailable", "deal-7")),
        (EXEMPT, "/robots.txt", RobotsOutcome.SUCCESSFUL, ("allowed", "robots_txt", "deal-7")),
        (HEEDING, "/", RobotsOutcome.SUCCESSFUL, ("disallowed", "signal", None)),
        (HEEDING, "/private", RobotsOutcome.SUCCESSFUL, ("disallowed", "rule", None)),
        (HEEDING, "/", RobotsOutcome.UNAVAILABLE, ("allowed", "unavailable", None)),
        (HEEDING, "/robots.txt", RobotsOutcome.SUCCESSFUL, ("allowed", "robots_txt", None)),
        (BOTH, "/", RobotsOutcome.SUCCESSFUL, ("allowed", "exemption", "deal-7")),
    ],
)
def test_the_table_of_rulings(
    policy: Policy, path: str, outcome: RobotsOutcome, expected: tuple[str, str, str | None]
) -> None:
    assert words(ruled(policy, path, outcome)[1]) == expected


@pytest.mark.parametrize("policy", [EXEMPT, HEEDING, BOTH])
@pytest.mark.parametrize("path", ["/", "/private", "/private/x?y"])
def test_what_the_site_says_is_kept_whatever_is_ruled(policy: Policy, path: str) -> None:
    judgement, ruling = ruled(policy, path)
    for name in SITE_FACTS:
        assert getattr(ruling.judgement, name) == getattr(judgement, name)


def test_the_detail_names_the_line_that_refuses_and_what_an_exemption_sets_aside() -> None:
    line = "content-signal refuses the use for training: line 2: Content-Signal: ai-train=no."
    assert ruled(HEEDING, "/")[1].judgement.detail == line
    assert ruled(BOTH, "/")[1].judgement.detail == f"Without exemption deal-7: disallowed by signal ({line})"
    assert ruled(EXEMPT, "/private")[1].judgement.detail == "Without exemption deal-7: disallowed by rule"


def test_an_exemption_that_is_over_changes_nothing() -> None:
    assert words(ruled(EXEMPT, "/private", at=Instant(2_000))[1]) == ("disallowed", "rule", None)


@given(st.sampled_from([EXEMPT, HEEDING, BOTH, Policy()]), st.sampled_from(Mode))
def test_an_error_is_denied_and_named_by_no_exemption(policy: Policy, mode: Mode) -> None:
    judgement = Judgement(verdict=Verdict.DISALLOWED, basis=Basis.ERROR, detail="x")
    ruling = policy.ruling(judgement, CRAWLER, target("/"), AT)
    assert words(ruling) == ("disallowed", "error", None)
    assert ruling.judgement.detail == "x"


def test_the_pace_asked_is_the_slower_of_crawl_delay_and_request_rate() -> None:
    judgement, ruling = ruled(Policy(), "/")
    assert (judgement.crawl_delay_ms, ruling.request_interval_ms, ruling.interval_ms) == (3000, 7000, 7000)
    assert dataclasses.replace(ruling, request_interval_ms=None).interval_ms == 3000
    assert ruled(Policy(), "/robots.txt")[1].interval_ms == 0
    assert ruled(Policy(), "/", RobotsOutcome.UNAVAILABLE)[1].interval_ms == 0


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("policy,forwarded_in_enforce", [(EXEMPT, True), (HEEDING, False)])
def test_the_mode_makes_the_action_of_a_ruling(policy: Policy, forwarded_in_enforce: bool, mode: Mode) -> None:
    path = "/private" if policy is EXEMPT else "/"
    ruling = ruled(policy, path)[1]
    request = Request(
        recorded_at=AT,
        exchange_id="x",
        crawler=CRAWLER,
        client=None,
        user_agent=None,
        method="GET",
        target=target(path),
    )
    made = decide(
        request,
        mode,
        ruling.judgement,
        None,
        None,
        exemption=ruling.exemption,
        request_interval_ms=ruling.request_interval_ms,
    )
    forwarded = mode is Mode.AUDIT or forwarded_in_enforce
    assert made.action is (Action.FORWARDED if forwarded else Action.DENIED)
    assert (made.exemption, made.request_interval_ms, made.held_ms) == (ruling.exemption, 7000, None)
    assert schema.to_record(schema.parse_entry(schema.to_entry(made, bytes(16)))) == made
