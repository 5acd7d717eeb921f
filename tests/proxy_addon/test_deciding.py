"""A decision rests on the snapshot in force, the declared policy and the pace, and names each of them."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.proxy.layers.http import HttpRequestHeadersHook

from crawl_audit import tdmrep
from crawl_audit.errors import LogUnavailable
from crawl_audit.exemptions import Exemption, Exemptions, Reason
from crawl_audit.identity import Crawler
from crawl_audit.policy import Policy
from crawl_audit.records import Action, Basis, Instant, Mode, RobotsOutcome, Verdict
from crawl_audit.signal_policy import SignalPolicy
from crawl_audit.target import Scope, Target
from proxy_addon.addon import AuditAddon
from proxy_addon.deciding import Asked, Decided, Decider
from proxy_addon.pacing import OwnMarks, Pacer
from proxy_addon.robots_cache import InForce
from tests.proxy_addon.fakes import FakeCache, Parts, flow, production

PACED = b"User-agent: *\nCrawl-delay: 0.05\nRequest-rate: 1/1s 0000-0000\nDisallow: /private\n"
CRAWLER = Crawler(id="news", product_tokens=("ExampleBot",), purpose="training")
ALWAYS = Instant(2**52)


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test written as a coroutine."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def asked(path: str = "/a") -> Asked:
    target = Target(Scope("http", "www.example.com", 80), path, None)
    return Asked(exchange_id="id", crawler=CRAWLER, client=None, user_agent=None, method="GET", target=target)


class Desk:
    """A decider with its cache and its pacer."""

    def __init__(
        self,
        body: bytes = PACED,
        *,
        mode: Mode = Mode.ENFORCE,
        policy: Policy | None = None,
        enforce: bool = True,
        hold_max_s: float = 5.0,
    ) -> None:
        self.cache = FakeCache(body)
        self.marks = OwnMarks()
        self.pacer = Pacer(enforce=enforce, hold_max_s=hold_max_s, marks=self.marks)
        self.decider = Decider(cache=self.cache, mode=mode, policy=policy or Policy(), pacer=self.pacer)

    async def ask(self, path: str = "/a") -> Decided:
        """Decide, and let the request leave if it may."""
        decided = await self.decider.decide(asked(path))
        with self.pacer.leaving(decided.decision):
            pass
        return decided


@scenario
async def test_pace_asked_and_pace_kept_are_recorded_without_holding_anything() -> None:
    desk = Desk(b"User-agent: *\nCrawl-delay: 30\nRequest-rate: 1/1m\n", enforce=False)
    first, second = (await desk.ask()).decision, (await desk.ask()).decision
    for decision in (first, second):
        assert (decision.crawl_delay_ms, decision.request_interval_ms, decision.held_ms) == (30_000, 60_000, None)
        assert decision.action is Action.FORWARDED
    assert first.since_previous_ms is None
    assert second.since_previous_ms is not None
    assert second.since_previous_ms < 30_000


@pytest.mark.parametrize("mode", list(Mode))
@scenario
async def test_a_request_that_comes_early_is_held_and_decided_on_afterwards(mode: Mode) -> None:
    desk = Desk(mode=mode)
    first, second = (await desk.ask()).decision, (await desk.ask()).decision
    assert first.held_ms == 0
    assert second.held_ms is not None
    assert second.held_ms >= 45
    assert second.recorded_at - first.recorded_at >= 50_000
    assert (second.since_previous_ms or 0) >= 50
    assert len(desk.cache.asked) == 3, "the snapshot may have run out while it was held"


@scenario
async def test_a_verdict_that_changes_while_a_request_is_held_is_the_one_that_counts() -> None:
    desk = Desk()
    await desk.ask()
    held = asyncio.create_task(desk.ask())
    await asyncio.sleep(0.01)
    desk.cache.body = b"User-agent: *\nDisallow: /\n"
    assert (await held).decision.action is Action.DENIED


@pytest.mark.parametrize("mode", list(Mode))
@scenario
async def test_a_request_that_would_be_held_too_long_is_denied_in_either_mode(mode: Mode) -> None:
    desk = Desk(b"User-agent: *\nCrawl-delay: 20\nAllow: /a\n", mode=mode, hold_max_s=0.1)
    await desk.ask()
    decided = await desk.ask()
    decision = decided.decision
    assert (decision.verdict, decision.basis, decision.action) == (
        Verdict.DISALLOWED,
        Basis.CRAWL_DELAY,
        Action.DENIED,
    )
    assert decided.retry_after_s == 20
    assert decision.rule == "Allow: /a", "what robots.txt says of the path is still to be seen"
    assert "20000 ms" in (decision.detail or "")
    assert decision.held_ms is None


@scenario
async def test_what_does_not_leave_and_robots_txt_are_not_held() -> None:
    desk = Desk(hold_max_s=0.01)
    await desk.ask()
    for path in ("/private", "/robots.txt"):
        decision = (await desk.ask(path)).decision
        assert decision.held_ms is None
        assert decision.basis in (Basis.RULE, Basis.ROBOTS_TXT)


@scenario
async def test_without_a_pace_asked_nothing_is_held() -> None:
    desk = Desk(b"User-agent: *\nDisallow: /x\n")
    for _ in range(3):
        assert (await desk.ask()).decision.held_ms is None
    assert len(desk.marks) == 1


@scenario
async def test_an_exemption_allows_and_is_named_on_everything_it_covers() -> None:
    deal = Exemption(id="deal", reason=Reason.LICENCE, sites=frozenset({"example.com"}), until=ALWAYS)
    desk = Desk(b"User-agent: *\nDisallow: /private\n", policy=Policy(Exemptions([deal])))
    for path, basis in (("/private", Basis.EXEMPTION), ("/a", Basis.NO_RULE), ("/robots.txt", Basis.ROBOTS_TXT)):
        decision = (await desk.ask(path)).decision
        assert (decision.basis, decision.exemption, decision.action) == (basis, "deal", Action.FORWARDED)
    assert (await desk.ask("/private")).decision.rule == "Disallow: /private"
    desk.cache.outcome = RobotsOutcome.UNREACHABLE
    assert (await desk.ask()).decision.basis is Basis.EXEMPTION
    refused = desk.decider.refused(asked(), "No.")
    assert (refused.exemption, refused.action) == (None, Action.DENIED)


@pytest.mark.parametrize("mode", list(Mode))
@scenario
async def test_a_preference_that_the_policy_heeds_disallows_and_is_named(mode: Mode) -> None:
    policy = Policy(signals=SignalPolicy({"content-signal": {"training": "deny"}}))
    desk = Desk(b"User-agent: *\nContent-Signal: ai-train=no\nAllow: /\n", mode=mode, policy=policy)
    decision = (await desk.ask()).decision
    assert (decision.verdict, decision.basis, decision.mode) == (Verdict.DISALLOWED, Basis.SIGNAL, mode)
    assert decision.action is (Action.DENIED if mode is Mode.ENFORCE else Action.FORWARDED)
    assert "line 2: Content-Signal: ai-train=no" in (decision.detail or "")
    assert decision.rule == "Allow: /"


@scenario
async def test_a_reservation_in_tdmrep_json_disallows_where_the_policy_heeds_it() -> None:
    desk = Desk(b"", policy=Policy(signals=SignalPolicy({"tdmrep": "deny"})))
    current = desk.cache.current
    entries = tdmrep.parse(b'[{"location": "/art", "tdm-reservation": 1}]')
    assert entries

    async def with_entries(scope: Scope, tokens: tuple[str, ...]) -> InForce:
        return replace(await current(scope, tokens), tdmrep=entries)

    desk.cache.current = with_entries  # type: ignore[method-assign]
    assert (await desk.ask("/art/1")).decision.basis is Basis.SIGNAL
    assert (await desk.ask("/other")).decision.basis is Basis.NO_GROUP


# --- through the hook -----------------------------------------------------------------------------------------------


def parts_with(desk: Desk, mode: Mode) -> Parts:
    """The whole addon on a desk's cache and pacer."""
    parts = Parts(mode)
    parts.cache = desk.cache
    parts.addon = AuditAddon(recorder=parts.recorder, cache=desk.cache, mode=mode, pacer=desk.pacer)  # type: ignore[arg-type]
    return parts


async def through(parts: Parts, path: str, **fields: str) -> http.HTTPFlow:
    made = flow(path, fields=fields)
    async with production(parts.addon) as trigger:
        await trigger(HttpRequestHeadersHook(made))
    return made


@pytest.mark.parametrize("mode", list(Mode))
@scenario
async def test_too_early_is_answered_429_with_the_time_to_come_again(mode: Mode) -> None:
    parts = parts_with(Desk(b"User-agent: *\nCrawl-delay: 20\n", hold_max_s=0.1), mode)
    assert (await through(parts, "/a")).response is None
    early = (await through(parts, "/a")).response
    assert early is not None
    assert (early.status_code, early.headers["Retry-After"]) == (429, "20")
    problem = json.loads(early.content or b"")
    assert (problem["basis"], problem["type"]) == ("crawl_delay", "urn:crawl-audit:problem:too-early")
    assert (await through(parts, "/robots.txt")).response is None
    assert [decision.action for decision in parts.log.decisions] == [Action.FORWARDED, Action.DENIED, Action.FORWARDED]


@scenario
async def test_a_request_that_could_not_be_recorded_is_no_visit() -> None:
    desk = Desk(enforce=False)
    parts = parts_with(desk, Mode.AUDIT)
    parts.log.append_error = LogUnavailable("x", reason="x")
    assert (await through(parts, "/a")).response is not None
    parts.log.append_error = None
    await through(parts, "/a")
    assert parts.log.decisions[0].since_previous_ms is None


@scenario
async def test_web_bot_auth_is_recorded_and_passed_on_untouched() -> None:
    parts = parts_with(Desk(b"User-agent: *\nDisallow: /private\n"), Mode.ENFORCE)
    fields = {
        "Signature-Input": 'a=("@authority");keyid="k";tag="web-bot-auth"',
        "Signature": "a=:AAAA:",
        "Signature-Agent": 'a="https://signer.example"',
    }
    forwarded = await through(parts, "/a", **fields)
    await through(parts, "/private", **fields)
    await through(parts, "/a")
    assert {name: forwarded.request.headers[name] for name in fields} == fields
    assert [signal.exchange_id for signal in parts.log.signals] == [
        decision.exchange_id for decision in parts.log.decisions[:2]
    ], "also of a denied request, and of no other"
    for signal in parts.log.signals:
        assert (signal.protocol, signal.value) == (
            "web-bot-auth",
            "keyid=k, tag=web-bot-auth, signature-agent=https://signer.example",
        )
        assert "AAAA" not in signal.raw
