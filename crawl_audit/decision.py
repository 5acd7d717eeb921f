"""Verdict × mode → action, as one Decision: the function the product is about.

The verdict is the site's word, the mode the operator's, the action what was done.  Both are recorded, so a log kept
in audit mode still shows what enforcement would have denied.
"""

from __future__ import annotations

from dataclasses import dataclass

from crawl_audit import robots
from crawl_audit.identity import Crawler, token_in_user_agent
from crawl_audit.records import Action, Basis, Decision, Instant, Mode, Snapshot, Verdict
from crawl_audit.robots import Judgement
from crawl_audit.site import site_of
from crawl_audit.target import Scope, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What every decision says of its request, whatever the verdict."""

    recorded_at: Instant
    exchange_id: str
    crawler: Crawler
    client: str | None
    user_agent: str | None
    method: str
    target: Target
    trace_id: str | None = None
    since_previous_ms: int | None = None
    held_ms: int | None = None


# Denied whatever the mode: nobody can tell where the request goes, or the operator enforces the pace by itself.
_ALWAYS_DENIED = (Basis.ERROR, Basis.CRAWL_DELAY)


def action_for(verdict: Verdict, basis: Basis, mode: Mode) -> Action:
    """What to do: a request without a tellable target never leaves; a disallowed one leaves in audit mode only."""
    if basis in _ALWAYS_DENIED:
        return Action.DENIED
    if verdict is Verdict.DISALLOWED and mode is Mode.ENFORCE:
        return Action.DENIED
    return Action.FORWARDED


def decide(
    request: Request,
    mode: Mode,
    judgement: Judgement,
    snapshot: Snapshot | None,
    snapshot_seq: int | None,
    *,
    exemption: str | None = None,
    request_interval_ms: int | None = None,
) -> Decision:
    """The decision on ``request``; ``snapshot`` is what the judgement rests on, None where it rests on none.

    ``judgement`` is what is decided on, after the operator's policy (policy.py), which also names the exemption.
    """
    age_ms = None if snapshot is None else max(0, (request.recorded_at - snapshot.taken_at) // 1000)
    return Decision(
        recorded_at=request.recorded_at,
        exchange_id=request.exchange_id,
        trace_id=request.trace_id,
        crawler=request.crawler.id,
        product_token=request.crawler.product_token,
        client=request.client,
        user_agent=request.user_agent,
        token_in_user_agent=token_in_user_agent(request.user_agent, request.crawler.product_tokens),
        method=request.method,
        scheme=request.target.scope.scheme,
        host=request.target.scope.host,
        port=request.target.scope.port,
        target=request.target.target,
        target_b64=request.target.target_b64,
        site=site_of(request.target.scope.host),
        snapshot_seq=snapshot_seq,
        robots_sha256=None if snapshot is None else snapshot.robots_sha256,
        robots_age_ms=age_ms,
        verdict=judgement.verdict,
        basis=judgement.basis,
        group_tokens=judgement.group_tokens,
        rule=judgement.rule,
        rule_line=judgement.rule_line,
        protego_verdict=judgement.protego_verdict,
        divergent=judgement.divergent,
        parser=robots.PARSER,
        mode=mode,
        action=action_for(judgement.verdict, judgement.basis, mode),
        exemption=exemption,
        detail=judgement.detail,
        crawl_delay_ms=judgement.crawl_delay_ms,
        request_interval_ms=request_interval_ms,
        since_previous_ms=request.since_previous_ms,
        held_ms=request.held_ms,
    )


def refused(request: Request, mode: Mode, detail: str) -> Decision:
    """The decision on a request that has no tellable target or may not leave; ``detail`` is one sentence."""
    judgement = Judgement(verdict=Verdict.DISALLOWED, basis=Basis.ERROR, detail=detail)
    return decide(request, mode, judgement, None, None)


def unknown_target(scheme: str, host: str, port: int, target: str) -> Target:
    """A target good enough to record for a request that contradicts itself."""
    return Target(Scope(scheme, host, port), target, None)
