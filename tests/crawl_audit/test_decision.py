"""Verdict and mode make the action, and a decision says all that it rests on."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import robots, schema
from crawl_audit.decision import Request, action_for, decide, refused, unknown_target
from crawl_audit.identity import Crawler
from crawl_audit.records import Action, Basis, Instant, Mode, RobotsOutcome, Snapshot, SnapshotSource, Verdict
from crawl_audit.robots import Judgement
from crawl_audit.target import Scope, Target
from tests.strategies import integers, records_of, storable_texts, targets

REQUEST = Request(
    recorded_at=Instant(10_000_000),
    exchange_id="01999999-0000-7000-8000-000000000000",
    crawler=Crawler(id="news", product_tokens=("ExampleBot-News", "ExampleBot")),
    client="10.0.0.1:4711",
    user_agent="Mozilla/5.0 (compatible; ExampleBot/1.0)",
    method="GET",
    target=Target(Scope("https", "www.example.co.uk", 8443), "/a?b", None),
    since_previous_ms=17,
)
judgements = st.builds(
    Judgement,
    verdict=st.sampled_from(Verdict),
    basis=st.sampled_from(Basis),
    group_tokens=st.lists(storable_texts, max_size=2).map(tuple),
    rule=st.none() | storable_texts,
    rule_line=st.none() | st.integers(1, 10**6),
    protego_verdict=st.none() | st.sampled_from(Verdict),
    divergent=st.booleans(),
    crawl_delay_ms=st.none() | st.integers(0, 10**9),
    detail=st.none() | storable_texts,
)


@pytest.mark.parametrize("verdict,basis,mode", list(itertools.product(Verdict, Basis, Mode)))
def test_the_action_follows_from_verdict_basis_and_mode(verdict: Verdict, basis: Basis, mode: Mode) -> None:
    denied = basis in (Basis.ERROR, Basis.CRAWL_DELAY) or (verdict is Verdict.DISALLOWED and mode is Mode.ENFORCE)
    assert action_for(verdict, basis, mode) is (Action.DENIED if denied else Action.FORWARDED)


@given(judgements, st.sampled_from(Mode), st.none() | records_of("snapshot"), targets, integers)
def test_a_decision_can_be_recorded_and_its_action_is_the_tables(
    judgement: Judgement, mode: Mode, snapshot: Snapshot | None, target: Target, now: int
) -> None:
    request = dataclasses.replace(REQUEST, target=target, recorded_at=Instant(now))
    if snapshot is not None and abs(snapshot.recorded_at - now) > 2**52:
        return  # ages beyond any clock
    made = decide(request, mode, judgement, snapshot, None if snapshot is None else 3)
    assert schema.to_record(schema.parse_entry(schema.to_entry(made, bytes(16)))) == made
    assert made.action is action_for(judgement.verdict, judgement.basis, mode)
    if mode is Mode.ENFORCE and judgement.basis not in (Basis.ERROR, Basis.CRAWL_DELAY):
        assert (made.action is Action.DENIED) == (made.verdict is Verdict.DISALLOWED)
    assert (made.verdict, made.basis, made.mode) == (judgement.verdict, judgement.basis, mode)


def test_a_decision_says_who_asked_for_what_and_why() -> None:
    judgement = Judgement(
        verdict=Verdict.DISALLOWED,
        basis=Basis.RULE,
        group_tokens=("ExampleBot",),
        rule="Disallow: /a",
        rule_line=4,
        protego_verdict=Verdict.ALLOWED,
        divergent=True,
        crawl_delay_ms=2000,
    )
    made = decide(REQUEST, Mode.AUDIT, judgement, None, None)
    assert (made.crawler, made.product_token) == ("news", "ExampleBot-News, ExampleBot")
    assert (made.scheme, made.host, made.port, made.target) == ("https", "www.example.co.uk", 8443, "/a?b")
    assert made.site == "example.co.uk"
    assert made.token_in_user_agent is True
    assert (made.rule, made.rule_line, made.group_tokens) == ("Disallow: /a", 4, ("ExampleBot",))
    assert (made.protego_verdict, made.divergent, made.crawl_delay_ms) == (Verdict.ALLOWED, True, 2000)
    assert (made.client, made.user_agent, made.since_previous_ms) == (REQUEST.client, REQUEST.user_agent, 17)
    assert made.parser == robots.PARSER
    assert (made.snapshot_seq, made.robots_sha256, made.robots_age_ms, made.exemption) == (None, None, None, None)


@pytest.mark.parametrize("fetched_at,age_ms", [(9_000_000, 1000), (10_000_000, 0), (9_999_001, 0), (11_000_000, 0)])
def test_the_age_of_the_robots_txt_is_whole_milliseconds_and_never_negative(fetched_at: int, age_ms: int) -> None:
    snapshot = Snapshot(
        recorded_at=Instant(fetched_at),
        scheme="https",
        host="www.example.co.uk",
        port=8443,
        source=SnapshotSource.FETCHED,
        fetched_at=None,
        origin_log=None,
        final_url="https://www.example.co.uk:8443/robots.txt",
        redirects=(),
        status=200,
        outcome=RobotsOutcome.SUCCESSFUL,
        error=None,
        robots_sha256="ab" * 32,
        body_bytes=0,
        truncated=False,
        content_type=None,
        looks_like_html=False,
        etag=None,
        fetch_ms=1,
        valid_until=Instant(fetched_at + 1),
    )
    made = decide(REQUEST, Mode.ENFORCE, Judgement(verdict=Verdict.ALLOWED, basis=Basis.NO_RULE), snapshot, 12)
    assert (made.snapshot_seq, made.robots_sha256, made.robots_age_ms) == (12, "ab" * 32, age_ms)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_refused_request_is_denied_in_every_mode_and_rests_on_nothing(mode: Mode) -> None:
    made = refused(REQUEST, mode, "The Host field names another authority than the request goes to.")
    assert (made.verdict, made.basis, made.action) == (Verdict.DISALLOWED, Basis.ERROR, Action.DENIED)
    assert made.detail == "The Host field names another authority than the request goes to."
    assert (made.snapshot_seq, made.robots_sha256, made.rule) == (None, None, None)


def test_a_target_that_contradicts_itself_is_recorded_as_it_was_given() -> None:
    target = unknown_target("ftp", "Weird Host", 0, "x")
    request = dataclasses.replace(REQUEST, target=target)
    made = refused(request, Mode.AUDIT, "Only http and https are forwarded.")
    assert (made.scheme, made.host, made.port, made.target) == ("ftp", "Weird Host", 0, "x")
    schema.to_entry(made, bytes(16))
