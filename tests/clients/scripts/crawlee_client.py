"""Crawlee for Python: the proxy from ProxyConfiguration, where it is given one."""

# ruff: noqa: T201 -- a program of its own, whose output is read

import asyncio
import os
import sys

from crawlee import ConcurrencySettings
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext
from crawlee.proxy_configuration import ProxyConfiguration
from crawlee.storage_clients import MemoryStorageClient


async def main() -> None:
    proxy = os.environ.get("CRAWLER_PROXY")
    crawler = ParselCrawler(
        proxy_configuration=ProxyConfiguration(proxy_urls=[proxy]) if proxy else None,
        storage_client=MemoryStorageClient(),
        concurrency_settings=ConcurrencySettings(desired_concurrency=1, max_concurrency=1),
        max_request_retries=0,
        retry_on_blocked=False,
        max_session_rotations=0,
        configure_logging=False,
        ignore_http_error_status_codes=[403],
    )

    @crawler.router.default_handler
    async def handle(context: ParselCrawlingContext) -> None:
        print(context.http_response.status_code, context.request.url)

    @crawler.failed_request_handler
    async def failed(context: ParselCrawlingContext, error: Exception) -> None:
        print(type(error).__name__, context.request.url, error)

    await crawler.run(sys.argv[1:])


asyncio.run(main())
