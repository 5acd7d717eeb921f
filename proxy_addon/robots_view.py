"""What one process sees of robots.txt, put together from the settings: fetcher, shared stores, cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crawl_audit import __version__
from crawl_audit.identity import ANY_CRAWLER, Crawler
from proxy_addon import shared_robots
from proxy_addon.clock import now_us
from proxy_addon.fetcher import Fetcher, FetchLimits
from proxy_addon.freshness import Freshness
from proxy_addon.metrics import Metrics
from proxy_addon.robots_cache import AppendMany, CacheSettings, RobotsCache
from proxy_addon.settings import Settings
from proxy_addon.shared_robots import Sharing, SharingFetcher
from proxy_addon.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotsView:
    """The cache that decisions ask, and what it fetches by."""

    cache: RobotsCache
    fetcher: Fetcher | SharingFetcher

    async def aclose(self) -> None:
        """Give up what is under way and close connections and stores."""
        await self.cache.aclose()
        await self.fetcher.aclose()


def build(
    settings: Settings,
    metrics: Metrics,
    *,
    crawlers: Sequence[Crawler],
    trust: Trust,
    append_many: AppendMany,
    log: str,
    shared: Path | None = None,
) -> RobotsView:
    """The view of the process that writes ``log``; ``shared``: the directory in which workers share answers.

    Raises ConfigurationError where the key of a shared store cannot be used.
    """
    keeping = _cache_settings(settings)
    fetcher = shared_robots.wrap(
        _fetcher(settings, crawlers, trust),
        settings.robots,
        shared,
        Sharing(cache=keeping, log=log, deadline_s=settings.robots.fetch_timeout_s, key=settings.robots.shared_key()),
        metrics.shared_robots_asked,
    )
    cache = RobotsCache(
        fetcher=fetcher,
        append_many=append_many,
        now=now_us,
        settings=keeping,
        on_fetched=metrics.robots_fetched,
        on_recorded=fetcher.recorded if isinstance(fetcher, SharingFetcher) else _nobody,
    )
    return RobotsView(cache=cache, fetcher=fetcher)


def _nobody(*_: object) -> None:
    """Nothing is shared."""


def _fetcher(settings: Settings, crawlers: Sequence[Crawler], trust: Trust) -> Fetcher:
    first = crawlers[0]
    token = first.product_tokens[0]
    agent = first.user_agent or (f"crawl-audit/{__version__}" if token == ANY_CRAWLER else token)
    limits = FetchLimits(deadline_ms=int(settings.robots.fetch_timeout_s * 1000))
    return Fetcher(ssl_context=trust.context(), limits=limits, user_agent=agent)


def _cache_settings(settings: Settings) -> CacheSettings:
    robots = settings.robots
    return CacheSettings(
        freshness=Freshness(ttl_s=robots.ttl_s, unreachable_ttl_s=robots.unreachable_ttl_s),
        treat_429_as_unreachable=robots.treat_429_as_unreachable,
        last_good_copy_s=robots.last_good_copy_s,
        tdmrep=settings.signals.fetches_tdmrep,
    )
