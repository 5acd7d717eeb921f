"""The demo's crawler: wget or Scrapy, whichever is installed, told to ignore robots.txt; else a few lines of our own.

Ignoring it is the point: what is not crawled then, the sidecar has denied.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon.demo_processes import environment, last_words
from proxy_addon.demo_sites import PRODUCT_TOKEN

USER_AGENT = f"{PRODUCT_TOKEN}/1.0 (+https://example.com/bot)"
DEPTH = 3
_CRAWL_S = 40
_REQUEST_S = 10
_REQUESTS_MAX = 500
# wget(1): 8 is "server issued an error response", and 403 for what is denied is one.
_WGET_GOOD = (0, 8)
_LINK = re.compile(r'href="([^"]+)"')

_SPIDER = """\
import scrapy
from scrapy.http import TextResponse


class DemoSpider(scrapy.Spider):
    name = "demo"

    def __init__(self, begin, through, hosts, **options):
        super().__init__(**options)
        self.begin, self.through, self.allowed_domains = begin, through, hosts.split(",")

    async def start(self):
        yield scrapy.Request(self.begin, meta={"proxy": self.through})

    def parse(self, response):
        if isinstance(response, TextResponse):
            for link in response.css("a::attr(href)").getall():
                yield response.follow(link, meta={"proxy": self.through})
"""


class Crawler(StrEnum):
    """The crawlers the demo knows, the preferred one first."""

    WGET = "wget"
    SCRAPY = "scrapy"
    PLAIN = "plain"


def installed() -> tuple[Crawler, ...]:
    """Those of them that can run here; the plain one always can."""
    there = {Crawler.WGET: _has_gnu_wget(), Crawler.SCRAPY: importlib.util.find_spec("scrapy") is not None}
    return tuple(crawler for crawler in Crawler if there.get(crawler, True))


def choose(wanted: str | None) -> Crawler:
    """The crawler asked for, or the first that is installed; ConfigurationError where it cannot be had."""
    available = installed()
    if wanted is None:
        return available[0]
    if wanted not in available:
        raise ConfigurationError(f"The crawler {wanted!r} cannot be used here; there is {', '.join(available)}.")
    return Crawler(wanted)


def described(crawler: Crawler) -> str:
    """One line for people: what crawls, and how it was told to ignore robots.txt."""
    return {
        Crawler.WGET: f"wget --recursive --level={DEPTH} -e robots=off --span-hosts",
        Crawler.SCRAPY: f"scrapy runspider -s ROBOTSTXT_OBEY=False -s DEPTH_LIMIT={DEPTH}",
        Crawler.PLAIN: "a few lines of Python (neither wget nor Scrapy is used; install one to see a real crawler)",
    }[crawler]


def crawl(crawler: Crawler, *, begin: str, hosts: Sequence[str], proxy: str, work: Path) -> None:
    """Crawl from ``begin`` over ``hosts`` through the proxy (HOST:PORT); CrawlAuditError where the crawler fails."""
    if crawler is Crawler.PLAIN:
        _plain(begin, frozenset(hosts), proxy)
        return
    made = _wget if crawler is Crawler.WGET else _scrapy
    command, good = made(begin, hosts, proxy, work)
    try:
        done = subprocess.run(
            command,
            env=environment(http_proxy=f"http://{proxy}", HOME=str(work)),
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_CRAWL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CrawlAuditError(f"The demo stopped: {crawler} did not finish within {_CRAWL_S} s.") from None
    if done.returncode not in good:
        raise CrawlAuditError(
            f"The demo stopped: {crawler} ended with code {done.returncode}: {last_words(done.stdout)}"
        )


def _has_gnu_wget() -> bool:
    """Whether ``wget`` is GNU's; that of BusyBox cannot follow links."""
    program = shutil.which("wget")
    if program is None:
        return False
    asked = subprocess.run([program, "--version"], capture_output=True, timeout=_REQUEST_S, check=False)
    return asked.stdout.startswith(b"GNU Wget")


def _wget(begin: str, hosts: Sequence[str], proxy: str, work: Path) -> tuple[list[str], tuple[int, ...]]:
    limits = [
        f"--level={DEPTH}",
        "--tries=1",
        f"--timeout={_REQUEST_S}",
        "--span-hosts",
        f"--domains={','.join(hosts)}",
    ]
    settings = ["--no-config", "-e", "robots=off", "-e", "use_proxy=yes", "-e", f"http_proxy=http://{proxy}/"]
    told = ["--recursive", *limits, *settings, f"--user-agent={USER_AGENT}"]
    return ["wget", *told, "--no-verbose", f"--directory-prefix={work / 'wget'}", begin], _WGET_GOOD


def _scrapy(begin: str, hosts: Sequence[str], proxy: str, work: Path) -> tuple[list[str], tuple[int, ...]]:
    spider = work / "spider.py"
    spider.write_text(_SPIDER, encoding="utf-8")
    settings = {
        "ROBOTSTXT_OBEY": "False",
        "DEPTH_LIMIT": str(DEPTH),
        "USER_AGENT": USER_AGENT,
        "CONCURRENT_REQUESTS": "8",
        "DOWNLOAD_DELAY": "0",
        "RETRY_ENABLED": "False",
        "COOKIES_ENABLED": "False",
        "TELNETCONSOLE_ENABLED": "False",
        "DOWNLOAD_TIMEOUT": str(_REQUEST_S),
        "CLOSESPIDER_TIMEOUT": str(_CRAWL_S - 5),
        "LOG_LEVEL": "ERROR",
    }
    told = [part for name, value in settings.items() for part in ("-s", f"{name}={value}")]
    given = ["-a", f"begin={begin}", "-a", f"through=http://{proxy}", "-a", f"hosts={','.join(hosts)}"]
    return [sys.executable, "-P", "-m", "scrapy", "runspider", *told, *given, str(spider)], (0,)


def _plain(begin: str, hosts: frozenset[str], proxy: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    waiting, known = [(begin, 0)], {begin}
    while waiting:
        url, depth = waiting.pop(0)
        request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT})  # noqa: S310 links of our own sites
        request.set_proxy(proxy, "http")  # a ProxyHandler would leave out what the variable no_proxy names
        try:
            with opener.open(request, timeout=_REQUEST_S) as answer:
                page = answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            error.close()  # denied, or not there: a crawler goes on
            continue
        except OSError as error:
            raise CrawlAuditError(
                f"The demo stopped: {url} could not be asked for through {proxy}: {error}."
            ) from error
        for link in _LINK.findall(page):
            found = urljoin(url, link)
            if (
                depth < DEPTH
                and urlsplit(found).hostname in hosts
                and found not in known
                and len(known) < _REQUESTS_MAX
            ):
                known.add(found)
                waiting.append((found, depth + 1))
