"""Crawl4AI with Debian's Chromium in place of the one it downloads; the proxy from ``proxy_config``."""

# ruff: noqa: T201 -- a program of its own, whose output is read

import asyncio
import os
import sys

from crawl4ai import AsyncWebCrawler, BrowserConfig, CacheMode, CrawlerRunConfig
from playwright.async_api import BrowserType

_launch = BrowserType.launch


async def launch(self, **options):
    return await _launch(self, **{**options, "executable_path": os.environ["CRAWLER_CHROMIUM"]})


BrowserType.launch = launch


async def main() -> None:
    proxy, key = os.environ.get("CRAWLER_PROXY"), os.environ.get("CRAWLER_SPKI")
    config = BrowserConfig(
        proxy_config={"server": proxy} if proxy else None,
        extra_args=[
            "--disable-quic",
            "--no-sandbox",
            *([f"--ignore-certificate-errors-spki-list={key}"] if key else []),
        ],
        ignore_https_errors=False,
        verbose=False,
    )
    async with AsyncWebCrawler(config=config) as crawler:
        for url in sys.argv[1:]:
            run = CrawlerRunConfig(cache_mode=CacheMode.BYPASS, verbose=False, page_timeout=20_000)
            result = await crawler.arun(url, config=run)
            print(result.status_code, url, "" if result.success else (result.error_message or "").strip()[:200])


asyncio.run(main())
