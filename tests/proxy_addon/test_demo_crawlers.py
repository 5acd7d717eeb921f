"""The demo's crawlers, each against a proxy that notes what it is asked: all crawl alike, none minds robots.txt."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon import demo_crawlers
from proxy_addon.demo_crawlers import Crawler

BEGIN = "http://127.0.0.2:9999/"
# 127.0.0.9 is not among the hosts, /4 is one link deeper than the crawl may go, and /denied is answered with 403.
LINKS = {
    "http://127.0.0.2:9999/": ("/1", "/denied", "http://127.0.0.9:9999/", "http://127.0.0.3:9999/"),
    "http://127.0.0.2:9999/1": ("/2", "/"),
    "http://127.0.0.2:9999/2": ("/3",),
    "http://127.0.0.2:9999/3": ("/4",),
    "http://127.0.0.3:9999/": (),
}
WANTED = {*LINKS, "http://127.0.0.2:9999/denied"}


class Proxy(ThreadingHTTPServer):
    """Answers for every site itself."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[tuple[str, str]] = []


class Answering(BaseHTTPRequestHandler):
    server: Proxy
    timeout = 60
    protocol_version = "HTTP/1.1"  # with 1.0 wget may reuse a connection that is about to be closed

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["User-Agent"]))
        links = LINKS.get(self.path, ())
        body = "".join(f'<a href="{link}">x</a>' for link in links).encode()
        self.send_response(200 if self.path in LINKS else 403)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = Proxy()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("crawler", demo_crawlers.installed())
def test_every_crawler_asks_the_proxy_for_all_within_reach_and_never_for_robots_txt(
    crawler: Crawler, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    address = f"127.0.0.1:{proxy.server_port}"
    demo_crawlers.crawl(crawler, begin=BEGIN, hosts=["127.0.0.2", "127.0.0.3"], proxy=address, work=tmp_path)
    assert {url for url, _ in proxy.asked} == WANTED
    assert {agent for _, agent in proxy.asked} == {demo_crawlers.USER_AGENT}


@pytest.mark.parametrize("crawler", [c for c in demo_crawlers.installed() if c is not Crawler.SCRAPY])
def test_a_proxy_that_is_not_there_is_a_sentence(crawler: Crawler, tmp_path: Path) -> None:
    """Scrapy ends well whatever happens; the demo sees that nothing arrived."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CrawlAuditError, match="The demo stopped: "):
            demo_crawlers.crawl(crawler, begin=BEGIN, hosts=["127.0.0.2"], proxy=address, work=tmp_path)


def test_a_crawler_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    monkeypatch.setattr(demo_crawlers, "_CRAWL_S", 0.3)
    with pytest.raises(CrawlAuditError, match=r"wget did not finish within 0\.3 s"):
        demo_crawlers.crawl(Crawler.WGET, begin=BEGIN, hosts=[], proxy="127.0.0.1:9", work=tmp_path)


def program(directory: Path, line: str) -> None:
    path = directory / "wget"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def test_the_first_installed_crawler_is_taken_and_another_on_demand() -> None:
    assert demo_crawlers.choose(None) is demo_crawlers.installed()[0]
    assert demo_crawlers.choose("plain") is Crawler.PLAIN
    assert demo_crawlers.installed()[-1] is Crawler.PLAIN
    with pytest.raises(ConfigurationError, match=r"'curl' cannot be used here; there is .*plain"):
        demo_crawlers.choose("curl")


@pytest.mark.parametrize(
    "says,usable", [("echo GNU Wget 1.21", True), ("echo 'wget: unrecognized option: version' >&2; exit 1", False)]
)
def test_only_gnu_wget_counts_as_wget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, usable: bool) -> None:
    program(tmp_path, says)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (Crawler.WGET in demo_crawlers.installed()) is usable


def test_without_wget_and_scrapy_the_demo_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(demo_crawlers.importlib.util, "find_spec", lambda name: None)
    assert demo_crawlers.installed() == (Crawler.PLAIN,)
    assert "neither wget nor Scrapy" in demo_crawlers.described(demo_crawlers.choose(None))
