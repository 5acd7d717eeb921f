"""A request that has a target → the decision on it: robots.txt in force, verdict, the operator's policy, the pace.

Everything a decision rests on is asked for here, in this order; what is done about the decision is addon.py's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from crawl_audit import decision as decisions
from crawl_audit import robots
from crawl_audit.identity import Crawler
from crawl_audit.policy import Policy, Ruling
from crawl_audit.records import Action, Basis, Decision, Mode, RobotsOutcome, Verdict
from crawl_audit.target import Scope, Target
from crawl_audit.wishes import NONE
from proxy_addon.clock import now_us
from proxy_addon.pacing import Pacer, TooEarly
from proxy_addon.robots_cache import InForce


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks for what, as far as it goes into the decision."""

    exchange_id: str
    crawler: Crawler
    client: str | None
    user_agent: str | None
    method: str
    target: Target
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and after how many seconds to come again where it was denied for coming too early."""

    decision: Decision
    retry_after_s: int | None = None


class Snapshots(Protocol):
    """What is needed of the cache."""

    async def current(self, scope: Scope, tokens: tuple[str, ...]) -> InForce:
        """The snapshot in force, durable in the log."""


class Decider:
    """Decides; holds a request where its pace is enforced."""

    def __init__(self, *, cache: Snapshots, mode: Mode, policy: Policy, pacer: Pacer) -> None:
        self._cache = cache
        self._mode = mode
        self._policy = policy
        self._pacer = pacer

    async def decide(self, asked: Asked) -> Decided:
        """The decision on a request with a tellable target; raises LogUnavailable where it cannot be made."""
        target = asked.target
        if target.is_robots_txt:
            judgement = robots.evaluate(RobotsOutcome.SUCCESSFUL, None, target.target)
            ruling = self._policy.ruling(judgement, asked.crawler, target, now_us())
            return Decided(self._decision(asked, ruling, None))
        in_force = await self._cache.current(target.scope, asked.crawler.product_tokens)
        ruling = self._ruling(asked, in_force)
        if not self._pacer.enforce or not ruling.interval_ms or self._denied(ruling):
            return Decided(self._decision(asked, ruling, in_force))
        return await self._paced(asked, ruling, in_force)

    def refused(self, asked: Asked, why: str) -> Decision:
        """The decision on a request that does not say where it goes; ``why`` is one sentence."""
        return decisions.refused(self._request(asked), self._mode, why)

    async def _paced(self, asked: Asked, ruling: Ruling, in_force: InForce) -> Decided:
        turn = await self._pacer.turn(asked.crawler.id, asked.target.scope, ruling.interval_ms)
        if isinstance(turn, TooEarly):
            wait_ms = int(turn.wait_s * 1000)
            why = f"The site asks for {ruling.interval_ms} ms between requests; this one would be held {wait_ms} ms."
            judgement = replace(ruling.judgement, verdict=Verdict.DISALLOWED, basis=Basis.CRAWL_DELAY, detail=why)
            return Decided(self._decision(asked, replace(ruling, judgement=judgement), in_force), turn.retry_after_s)
        if turn.held_ms:
            # A copy may have run out meanwhile: what is decided on is in force when the request leaves.
            in_force = await self._cache.current(asked.target.scope, asked.crawler.product_tokens)
            ruling = self._ruling(asked, in_force)
        return Decided(self._decision(asked, ruling, in_force, held_ms=turn.held_ms))

    def _ruling(self, asked: Asked, in_force: InForce) -> Ruling:
        judgement = robots.evaluate(in_force.snapshot.outcome, in_force.rules, asked.target.target)
        wishes = NONE if in_force.rules is None else in_force.rules.wishes
        return self._policy.ruling(judgement, asked.crawler, asked.target, now_us(), wishes, in_force.tdmrep)

    def _denied(self, ruling: Ruling) -> bool:
        judgement = ruling.judgement
        return decisions.action_for(judgement.verdict, judgement.basis, self._mode) is Action.DENIED

    def _decision(self, asked: Asked, ruling: Ruling, in_force: InForce | None, held_ms: int | None = None) -> Decision:
        # The time of the decision is taken after the snapshot is there: a decision never rests on a later one.
        return decisions.decide(
            self._request(asked, held_ms),
            self._mode,
            ruling.judgement,
            None if in_force is None else in_force.snapshot,
            None if in_force is None else in_force.seq,
            exemption=ruling.exemption,
            request_interval_ms=ruling.request_interval_ms,
        )

    def _request(self, asked: Asked, held_ms: int | None = None) -> decisions.Request:
        return decisions.Request(
            recorded_at=now_us(),
            exchange_id=asked.exchange_id,
            crawler=asked.crawler,
            client=asked.client,
            user_agent=asked.user_agent,
            method=asked.method,
            target=asked.target,
            trace_id=asked.trace_id,
            since_previous_ms=self._pacer.since_previous_ms(asked.crawler.id, asked.target.scope),
            held_ms=held_ms,
        )
