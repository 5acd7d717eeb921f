"""What the settings say of robots.txt is what the fetcher, the stores and the cache get."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.errors import ConfigurationError
from crawl_audit.identity import Crawler
from proxy_addon import robots_view, settings, trust
from proxy_addon.fetcher import Fetcher
from proxy_addon.metrics import Metrics
from proxy_addon.robots_view import RobotsView
from proxy_addon.shared_robots import SharingFetcher
from tests.proxy_addon.test_robots_cache import FakeLog


def built(tmp_path: Path, text: str, crawler: Crawler | None = None, **options: Any) -> RobotsView:
    config = tmp_path / "sidecar.toml"
    config.write_text(text)
    return robots_view.build(
        settings.load(config),
        Metrics(),
        crawlers=(crawler or Crawler(id="a", product_tokens=("ABot",)),),
        trust=trust.build(None, tmp_path / "trust.pem"),
        append_many=FakeLog().append_many,
        log="one-20261118T110000Z-0123abcd",
        **options,
    )


def test_without_a_store_the_cache_fetches_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        view = built(tmp_path, "[robots]\nttl_s = 60\nfetch_timeout_s = 3\nlast_good_copy_s = 9\n")
        assert isinstance(view.fetcher, Fetcher)
        assert view.fetcher._limits.deadline_ms == 3000
        assert view.cache._settings.freshness.ttl_s == 60
        assert view.cache._settings.last_good_copy_s == 9
        await view.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "crawler,agent",
    [
        (Crawler(id="a", product_tokens=("ABot",)), "ABot"),
        (Crawler(id="a", product_tokens=("ABot",), user_agent="ABot/2.0"), "ABot/2.0"),
    ],
)
def test_the_site_is_asked_under_the_crawlers_name(tmp_path: Path, crawler: Crawler, agent: str) -> None:
    async def scenario() -> None:
        view = built(tmp_path, "", crawler)
        assert isinstance(view.fetcher, Fetcher)
        assert view.fetcher._user_agent == agent
        await view.aclose()

    asyncio.run(scenario())


def test_workers_and_fleets_share_what_is_on_record_in_the_named_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "key").write_text("a secret of the fleet")
        text = f'[robots]\nshared = "redis://127.0.0.1:1/0"\nshared_key_file = "{tmp_path / "key"}"\nttl_s = 60\n'
        view = built(tmp_path, text, shared=tmp_path / "shared")
        outer = view.fetcher
        assert isinstance(outer, SharingFetcher) and isinstance(outer._fetcher, SharingFetcher)
        assert view.cache._on_recorded == outer.recorded
        inner = outer._fetcher._sharing
        assert (inner.key, inner.log, inner.cache.freshness.ttl_s) == (
            b"a secret of the fleet",
            "one-20261118T110000Z-0123abcd",
            60,
        )
        await view.aclose()

    asyncio.run(scenario())


def test_a_key_that_is_none_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    text = f'[robots]\nshared = "redis://127.0.0.1:1/0"\nshared_key_file = "{tmp_path / "none"}"\n'
    with pytest.raises(ConfigurationError, match="cannot be read"):
        built(tmp_path, text)
