"""What the sidecar's cache puts in force, whatever happens meanwhile, is what the auditor's rules expect."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.identity import Crawler
from crawl_audit.policy import Policy
from crawl_audit.records import Action, Instant, Mode, Record, Snapshot
from crawl_audit.target import Scope, Target
from proxy_addon import deciding
from proxy_addon.deciding import Asked, Decider
from proxy_addon.fetcher import Fetched
from proxy_addon.freshness import Freshness
from proxy_addon.pacing import Pacer
from proxy_addon.robots_cache import CacheSettings, RobotsCache
from reports import verify_decisions
from reports.evidence import open_evidence
from reports.findings import Findings, Tally
from tests import logs

SCOPES = [Scope("http", f"www{n}.example.com", 80) for n in range(3)]
BODIES = [b"User-agent: *\nDisallow: /%d\n" % n for n in range(4)]
TOKENS = [("AlphaBot",), ("BetaBot", "AlphaBot")]
STEPS = 700


class World:
    """A clock, a log and sites, in which everything takes a random while."""

    def __init__(self, root: Path, seed: int, last_good_copy_s: float) -> None:
        self.chance = random.Random(seed)
        self.now = logs.START
        self.busy = 0
        self.commits = asyncio.Lock()
        self.made = logs.LogBuilder(root, signing=True)
        said = json.dumps({"robots": {"last_good_copy_s": last_good_copy_s}})
        self.made.start(settings=said, settings_sha256=hashlib.sha256(said.encode()).hexdigest())
        settings = CacheSettings(
            freshness=Freshness(ttl_s=20, ttl_min_s=1, unreachable_ttl_s=5, unreachable_ttl_max_s=10),
            last_good_copy_s=last_good_copy_s,
            entries_max=2,  # fewer than there are sites, so that copies are forgotten
        )
        self.cache = RobotsCache(fetcher=self, append_many=self.append_many, now=lambda: self.now, settings=settings)
        self.decider = Decider(cache=self.cache, mode=Mode.ENFORCE, policy=Policy(), pacer=Pacer())

    def pass_by(self, seconds: float) -> None:
        """Let time go on, slowly where somebody is being answered: nobody waits for long."""
        scale = 0.05 if self.busy else 1
        self.now = Instant(self.now + int(self.chance.uniform(0, seconds) * scale * logs.SECOND))

    async def take(self, seconds: float) -> None:
        """Let others go on meanwhile."""
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        self.pass_by(seconds)

    async def append_many(self, make: Callable[[int], list[Record]]) -> list[int]:
        """Durable after a while, and answered in the order in which it was asked for."""
        seqs = [self.made.add(record) for record in make(len(self.made.records))]
        async with self.commits:  # asyncio's locks are fair
            await self.take(0.5)
        return seqs

    async def fetch(
        self,
        scope: Scope,
        user_agent: str | None = None,
        etag: str | None = None,
        etag_url: str | None = None,
        *,
        path: str = "/robots.txt",
    ) -> Fetched:
        """Any answer that there is."""
        await self.take(1)
        status = self.chance.choice([200, 200, 200, 404, 500, None])
        if etag is not None and self.chance.random() < 0.3:
            status = 304
        body = self.chance.choice(BODIES) if status == 200 else None
        return Fetched(
            status=status,
            final_url=scope.robots_url,
            redirects=(),
            error="connect: refused" if status is None else None,
            body=body,
            truncated=False,
            content_type="text/plain",
            etag='"x"',
            cache_control=self.chance.choice([None, "max-age=3", "max-age=90"]),
            age=None,
            retry_after=None,
            duration_ms=1,
            server_ip=None,
            too_many_redirects=False,
            not_modified=status == 304,
            **self._shared(status),
        )

    def _shared(self, status: int | None) -> dict[str, Any]:
        """Now and then the answer is another sidecar's, fetched a moment before and still valid."""
        if status == 304 or self.chance.random() > 0.3:
            return {}
        ago_us = self.chance.randrange(logs.SECOND * 9 // 10)
        return {"fetched_at": Instant(self.now - ago_us), "origin_log": "another"}

    async def one(self) -> None:
        """A crawler asks for a page, or for robots.txt."""
        await self.take(15)
        self.busy += 1
        try:
            await self.ask(self.chance.choice(SCOPES))
        finally:
            self.busy -= 1

    async def ask(self, scope: Scope) -> None:
        """One request to a site."""
        if self.chance.random() < 0.15:
            status = self.chance.choice([200, 404, 503])
            await self.cache.observe(
                scope,
                status=status,
                headers=[("Cache-Control", "max-age=30")],
                body=self.chance.choice(BODIES),
                final_url=scope.robots_url,
                fetch_ms=1,
            )
            return
        tokens = self.chance.choice(TOKENS)
        target = Target(scope, self.chance.choice(["/0", "/1/x", "/robots.txt", "/"]), None)
        asked = Asked(
            exchange_id=f"{self.chance.getrandbits(64):016x}",
            crawler=Crawler(id="alpha", product_tokens=tokens),
            client=None,
            user_agent=None,
            method="GET",
            target=target,
        )
        decision = (await self.decider.decide(asked)).decision
        await self.take(0.2)
        seq = self.made.add(decision)
        if decision.action is Action.FORWARDED:
            self.made.add(logs.completion(seq, self.now))
        if self.chance.random() < 0.05:
            self.made.seal(self.now)


async def live(world: World) -> None:
    """Some crawlers at once."""

    async def crawl() -> None:
        for _ in range(STEPS // 7):
            await world.one()

    await asyncio.gather(*(crawl() for _ in range(7)))
    await world.cache.aclose()


@pytest.mark.parametrize("seed,last_good_copy_s", [(1, 0), (2, 0), (3, 60), (4, 600)])
def test_nothing_that_the_cache_puts_in_force_is_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, last_good_copy_s: float
) -> None:
    world = World(tmp_path / "log", seed, last_good_copy_s)
    monkeypatch.setattr(deciding, "now_us", lambda: world.now)
    asyncio.run(live(world))
    world.made.close(world.now)
    with open_evidence(str(world.made.root)) as evidence:
        findings, tally = Findings(), Tally(world.made.log)
        verify_decisions.check(evidence, world.made.log, findings, tally)
    assert [(one.check, one.where, one.message) for one in findings.listed()] == []
    assert tally.replayed > STEPS // 2
    shots = [record for record in world.made.records if isinstance(record, Snapshot)]
    assert len(shots) > 50
    assert {shot.outcome for shot in shots} == set(type(shots[0].outcome))
