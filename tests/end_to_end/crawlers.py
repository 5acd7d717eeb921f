"""Real crawlers, each as a function that crawls one site through a proxy the way its own manual says.

``obeys`` and ``fetches_robots`` say what each does behind a proxy when its own robots.txt setting is as given; the
tests hold the crawlers to that, because a crawler that never misbehaved would prove nothing about the sidecar.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.end_to_end.harness import ROOT, Sidecar
from tests.end_to_end.origin import Origin

PATHS = ("/", "/a.html", "/private/one.html", "/private/two.html")


@dataclass(frozen=True, slots=True)
class RealClient:
    """A way to crawl a site, and what is known of it."""

    name: str
    scheme: str
    obeys: bool
    fetches_robots: bool
    crawl: Callable[[Sidecar, Origin, Path], str]

    def __str__(self) -> str:
        return self.name


def curl(*options: str) -> Callable[[Sidecar, Origin, Path], str]:
    def crawl(sidecar: Sidecar, origin: Origin, directory: Path) -> str:
        shown = ("-sS", "-w", "%{http_version} %{http_code} %{url}\\n")
        trusted = ("--cacert", str(sidecar.site.certificate), "-x", sidecar.proxy)
        return run_program(["curl", *shown, *options, *trusted, *(origin.url + path for path in PATHS)], directory)

    return crawl


def _httpx(sidecar: Sidecar, origin: Origin, directory: Path) -> str:
    with sidecar.client() as client:
        answers: list[httpx.Response] = [client.get(origin.url + path) for path in PATHS]
    return "\n".join(f"{answer.status_code} {answer.url}" for answer in answers)


def _wget(robots: str) -> Callable[[Sidecar, Origin, Path], str]:
    def crawl(sidecar: Sidecar, origin: Origin, directory: Path) -> str:
        options = ("-r", "-l", "2", "--tries=1", "-e", f"robots={robots}", "-e", "use_proxy=on")
        trusted = (f"--ca-certificate={sidecar.site.certificate}", "-e", f"http_proxy={sidecar.proxy}")
        return run_program(
            ["wget", "--no-config", *options, *trusted, "-e", f"https_proxy={sidecar.proxy}", origin.url + "/"],
            directory,
        )

    return crawl


_SCRAPY = """
import scrapy, sys
from scrapy.crawler import CrawlerProcess

class Shop(scrapy.Spider):
    name = "shop"
    start_urls = [sys.argv[1]]
    def parse(self, response):
        if response.url == sys.argv[1]:
            yield from response.follow_all(css="a")

process = CrawlerProcess({
    "ROBOTSTXT_OBEY": sys.argv[2] == "on", "USER_AGENT": "TestBot/1.0", "RETRY_ENABLED": False,
    "DOWNLOAD_DELAY": 0, "DOWNLOAD_TIMEOUT": 20, "TELNETCONSOLE_ENABLED": False,
})
process.crawl(Shop)
process.start()
"""

_CRAWLEE = """
import asyncio, datetime, sys
from crawlee import ConcurrencySettings
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext
from crawlee.proxy_configuration import ProxyConfiguration
from crawlee.storage_clients import MemoryStorageClient

async def main():
    crawler = ParselCrawler(
        respect_robots_txt_file=True,
        proxy_configuration=ProxyConfiguration(proxy_urls=[sys.argv[2]]),
        storage_client=MemoryStorageClient(),
        concurrency_settings=ConcurrencySettings(desired_concurrency=2, max_concurrency=2),
        max_request_retries=0, retry_on_blocked=False, max_session_rotations=0,
        configure_logging=False,
    )
    @crawler.router.default_handler
    async def handle(context: ParselCrawlingContext) -> None:
        await context.enqueue_links()
    await crawler.run([sys.argv[1]])

asyncio.run(main())
"""


def _scrapy(obey: str) -> Callable[[Sidecar, Origin, Path], str]:
    def crawl(sidecar: Sidecar, origin: Origin, directory: Path) -> str:
        script = _script(directory, _SCRAPY)
        arguments = [crawlers_python(), str(script), origin.url + "/", obey]
        return run_program(arguments, directory, http_proxy=sidecar.proxy, https_proxy=sidecar.proxy)

    return crawl


def _crawlee(sidecar: Sidecar, origin: Origin, directory: Path) -> str:
    script = _script(directory, _CRAWLEE)
    return run_program([crawlers_python(), str(script), origin.url + "/", sidecar.proxy], directory)


def _script(directory: Path, text: str) -> Path:
    path = directory / "crawl.py"
    path.write_text(textwrap.dedent(text))
    return path


CLIENTS = (
    RealClient("curl-http", "http", False, False, curl()),
    RealClient("curl-https", "https", False, False, curl()),
    RealClient("curl-http2", "https", False, False, curl("--http2")),
    RealClient("httpx-http", "http", False, False, _httpx),
    RealClient("httpx-https", "https", False, False, _httpx),
    RealClient("wget-robots-on", "http", True, True, _wget("on")),
    RealClient("wget-robots-off", "https", False, False, _wget("off")),
    RealClient("scrapy-obey", "https", True, True, _scrapy("on")),
    RealClient("scrapy-disobey", "http", False, False, _scrapy("off")),
    # Fetches robots.txt outside the proxy, cannot reach it, and takes everything for allowed (Crawlee 1.11).
    RealClient("crawlee-respect-robots", "http", False, False, _crawlee),
)


def crawlers_python() -> str:
    """A Python that has Scrapy and Crawlee; the test fails where there is none."""
    named = os.environ.get("CRAWL_AUDIT_CRAWLERS_PYTHON")
    if named:
        return named
    own = ROOT / ".venv-crawlers" / "bin" / "python"
    if own.exists():
        return str(own)
    missing = [name for name in ("scrapy", "crawlee") if importlib.util.find_spec(name) is None]
    assert not missing, f"{' and '.join(missing)} must be installed for this test: install requirements/dev.txt."
    return sys.executable


def run_program(arguments: Sequence[str], directory: Path, seconds: float = 60, **environment: str) -> str:
    """Run a crawler in ``directory`` and return what it said, whatever its exit code."""
    kept = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and k != "PYTHONPATH"}
    done = subprocess.run(
        list(arguments),
        cwd=directory,
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
    )
    return done.stdout.decode("utf-8", "replace")
