"""The demo's sites: what they answer, what they note, and that their plans say what the judge says."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from crawl_audit import robots
from crawl_audit.errors import CrawlAuditError
from crawl_audit.records import RobotsOutcome
from proxy_addon import demo_sites
from proxy_addon.demo_sites import PLANS, PRODUCT_TOKEN, Plan, Site


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[str, Site]]:
    with demo_sites.running() as made:
        yield {site.plan.name: site for site in made}


def ask(site: Site, path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(site.host, site.port, timeout=10)
    try:
        connection.request(method, path, headers={"User-Agent": "tester"})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_the_pages_that_a_plan_calls_off_limits_are_those_its_robots_txt_forbids(plan: Plan) -> None:
    moved = plan.robots.location
    answer = plan.more[moved] if moved else plan.robots
    paths = [*plan.pages, *(path for path in plan.more if path != moved)]
    if answer.status == 200:
        outcome, rules = RobotsOutcome.SUCCESSFUL, robots.compile_rules(answer.body, (PRODUCT_TOKEN,))
    else:
        outcome, rules = (RobotsOutcome.UNAVAILABLE if answer.status == 404 else RobotsOutcome.UNREACHABLE), None
    judged = {path for path in paths if robots.evaluate(outcome, rules, path).verdict == "disallowed"}
    assert judged == plan.off_limits


def test_every_site_can_be_reached_by_links_from_the_first(sites: dict[str, Site]) -> None:
    links = {link for plan in PLANS for page in plan.pages.values() for link in page}
    assert {f"{{{plan.name}}}/" for plan in PLANS[1:]} <= links
    _, page = ask(sites["library"], "/")
    assert f'href="{sites["clinic"].url}/"'.encode() in page
    assert b"{" not in page


@pytest.mark.parametrize(
    "name,path,status,content_type",
    [
        ("library", "/", 200, "text/html; charset=utf-8"),
        ("library", "/catalogue.json", 200, "application/json"),
        ("library", "/nowhere", 404, "text/plain; charset=utf-8"),
        ("forum", "/robots.txt", 404, "text/plain; charset=utf-8"),
        ("clinic", "/robots.txt", 500, "text/plain; charset=utf-8"),
        ("studio", "/poster.png", 200, "image/png"),
        ("atlas", "/robots.txt", 301, "text/html; charset=utf-8"),
    ],
)
def test_a_site_answers(sites: dict[str, Site], name: str, path: str, status: int, content_type: str) -> None:
    answer, body = ask(sites[name], path)
    assert (answer.status, answer.headers["Content-Type"]) == (status, content_type)
    assert answer.headers["Content-Length"] == str(len(body))


def test_the_moved_robots_txt_is_where_it_is_said_to_be(sites: dict[str, Site]) -> None:
    answer, _ = ask(sites["atlas"], "/robots.txt")
    there, body = ask(sites["atlas"], answer.headers["Location"])
    assert there.status == 200
    assert b"Disallow: /drafts/" in body


def test_the_access_log_has_every_request_of_whatever_kind() -> None:
    with demo_sites.running() as (_, site, *_rest):
        ask(site, "/robots.txt")
        ask(site, "/private/salaries.html", "HEAD")
        ask(site, "/news.html?a=1", "DELETE")
        with socket.create_connection((site.host, site.port), timeout=10) as raw:
            raw.sendall(b"no request\r\n\r\n")
            assert raw.recv(100)
    assert [(seen.method, seen.path, seen.status) for seen in site.access_log[:3]] == [
        ("GET", "/robots.txt", 200),
        ("HEAD", "/private/salaries.html", 200),
        ("DELETE", "/news.html?a=1", 501),
    ]
    assert len(site.access_log) == 4
    assert [seen.path for seen in site.robots_seen()] == ["/robots.txt"]
    assert [seen.path for seen in site.trespasses()] == ["/private/salaries.html"]
    assert len(site.pages_seen()) == 3


def test_sites_that_cannot_listen_are_a_sentence_and_leave_nothing_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    original = demo_sites._Server.server_bind

    def bind(server: demo_sites._Server) -> None:
        if len(opened) == 2:
            raise OSError(99, "Cannot assign requested address")
        original(server)
        opened.append(server)

    monkeypatch.setattr(demo_sites._Server, "server_bind", bind)
    with pytest.raises(CrawlAuditError, match=r"forum cannot listen on 127\.0\.0\.4 \(Cannot assign"):
        demo_sites.running().__enter__()
    assert [server.fileno() for server in opened] == [-1, -1]
