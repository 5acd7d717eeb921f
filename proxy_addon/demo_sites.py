"""The demo's web: six small sites on loopback, each with another robots.txt and an access log of its own.

The access log is the other side's account: what really arrived at an origin server, written without any knowledge of
the sidecar.  Each site has an address of its own (127.0.0.2 and up), because a site is told by its host.
"""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from crawl_audit.errors import CrawlAuditError

PRODUCT_TOKEN = "DemoBot"  # noqa: S105 a name in robots.txt, not a secret
_IDLE_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a site answers on one path."""

    body: bytes
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One site before it runs.  Page texts hold ``{name}`` where the address of the site of that name belongs."""

    name: str
    robots_is: str  # for people: what is special about its robots.txt
    robots: Answer
    pages: Mapping[str, tuple[str, ...]]  # path -> links
    more: Mapping[str, Answer] = field(default_factory=dict)
    off_limits: frozenset[str] = frozenset()  # what its robots.txt forbids DemoBot, worked out by hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as the origin server saw it; ``at_us`` is microseconds UTC since 1970."""

    at_us: int
    method: str
    path: str
    user_agent: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """A running site."""

    plan: Plan
    host: str
    port: int
    access_log: list[Seen]

    @property
    def url(self) -> str:
        """Its origin, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def pages_seen(self) -> list[Seen]:
        """What was asked of it except robots.txt, which the sidecar fetches on its own account."""
        return [seen for seen in self.access_log if seen.path not in self.robots_paths]

    def robots_seen(self) -> list[Seen]:
        """Requests for robots.txt and where it redirects to."""
        return [seen for seen in self.access_log if seen.path in self.robots_paths]

    def trespasses(self) -> list[Seen]:
        """Requests for pages that its robots.txt forbids."""
        return [seen for seen in self.access_log if seen.path in self.plan.off_limits]

    @property
    def robots_paths(self) -> frozenset[str]:
        """The paths at which its robots.txt lies."""
        return frozenset({"/robots.txt", self.plan.robots.location or "/robots.txt"})


def _text(body: str, status: int = 200) -> Answer:
    return Answer(body=body.encode(), content_type="text/plain; charset=utf-8", status=status)


PLANS = (
    Plan(
        name="library",
        robots_is="allows everything",
        robots=_text("User-agent: *\nAllow: /\n"),
        pages={
            "/": ("/shelf-1.html", "/shelf-2.html", "{gazette}/", "{forum}/", "{clinic}/", "{studio}/", "{atlas}/"),
            "/shelf-1.html": ("/", "/shelf-2.html", "/catalogue.json", "{gazette}/private/salaries.html"),
            "/shelf-2.html": ("/", "/shelf-3.html", "{clinic}/patients.html"),
            "/shelf-3.html": ("/", "{atlas}/drafts/1.html"),
        },
        more={"/catalogue.json": Answer(body=b'{"books": 3}\n', content_type="application/json")},
    ),
    Plan(
        name="gazette",
        robots_is=f"closes /private/ to {PRODUCT_TOKEN}, but for one page",
        robots=_text(
            "User-agent: *\nDisallow:\n\n"
            f"User-agent: {PRODUCT_TOKEN}\nDisallow: /private/\nAllow: /private/press.html\n"
        ),
        pages={
            "/": ("/news.html", "/private/press.html", "/private/salaries.html", "/private/sources.html"),
            "/news.html": ("/", "/private/", "{library}/"),
            "/private/": ("/",),
            "/private/press.html": ("/private/sources.html",),
            "/private/salaries.html": ("/",),
            "/private/sources.html": ("/",),
        },
        off_limits=frozenset({"/private/", "/private/salaries.html", "/private/sources.html"}),
    ),
    Plan(
        name="forum",
        robots_is="does not exist (404)",
        robots=_text("no such file\n", 404),
        pages={"/": ("/thread-1.html", "/thread-2.html"), "/thread-1.html": ("/",), "/thread-2.html": ("{library}/",)},
    ),
    Plan(
        name="clinic",
        robots_is="cannot be had (500)",
        robots=_text("out of order\n", 500),
        pages={"/": ("/patients.html",), "/patients.html": ("/",)},
        off_limits=frozenset({"/", "/patients.html"}),
    ),
    Plan(
        name="studio",
        robots_is="allows crawling, not training (Content-Signal)",
        robots=_text("User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n"),
        pages={"/": ("/works.html", "/poster.png"), "/works.html": ("/", "{gazette}/private/")},
        more={"/poster.png": Answer(body=b"\x89PNG\r\n\x1a\n" + bytes(64), content_type="image/png")},
    ),
    Plan(
        name="atlas",
        robots_is="lies elsewhere (301), and closes /drafts/",
        robots=Answer(body=b"", status=301, location="/policy/robots.txt"),
        pages={"/": ("/map.html", "/drafts/1.html", "/drafts/2.html"), "/map.html": ("/", "{library}/shelf-1.html")},
        more={
            "/policy/robots.txt": _text("User-agent: *\nDisallow: /drafts/\n"),
            "/drafts/1.html": _text("draft\n"),
            "/drafts/2.html": _text("draft\n"),
        },
        off_limits=frozenset({"/drafts/1.html", "/drafts/2.html"}),
    ),
)


@contextmanager
def running(plans: tuple[Plan, ...] = PLANS) -> Iterator[tuple[Site, ...]]:
    """The sites, listening from the first line of the block to its last; raises CrawlAuditError where they cannot."""
    servers: list[_Server] = []
    try:
        for number, plan in enumerate(plans, start=2):
            servers.append(_listen(plan, f"127.0.0.{number}"))
        addresses = {server.site.plan.name: server.site.url for server in servers}
        for server in servers:
            server.answers = _answers(server.site.plan, addresses)
            threading.Thread(target=server.serve_forever, args=(0.05,), name=server.site.plan.name, daemon=True).start()
        yield tuple(server.site for server in servers)
    finally:
        for server in servers:
            if server.answers:  # only then does it serve, and shutdown() would wait forever otherwise
                server.shutdown()
            server.server_close()


def _listen(plan: Plan, host: str) -> _Server:
    try:
        return _Server(plan, host)
    except OSError as error:
        raise CrawlAuditError(
            f"The demo's site {plan.name} cannot listen on {host} ({error.strerror}): "
            "the demo needs the loopback addresses 127.0.0.2 to 127.0.0.7, which Linux has."
        ) from error


def _answers(plan: Plan, addresses: Mapping[str, str]) -> dict[str, Answer]:
    """Every path of a site with its answer, the addresses of the other sites filled in."""
    made = {"/robots.txt": plan.robots, **plan.more}
    for path, links in plan.pages.items():
        items = "".join(f'<li><a href="{link.format(**addresses)}">{link.format(**addresses)}</a>' for link in links)
        body = f"<!doctype html><title>{plan.name} {path}</title><h1>{plan.name} {path}</h1><ul>{items}</ul>\n"
        made[path] = Answer(body=body.encode())
    return made


class _Server(ThreadingHTTPServer):
    """One site's server, with what it answers and what it saw."""

    def __init__(self, plan: Plan, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.site = Site(plan=plan, host=host, port=self.server_port, access_log=[])
        self.answers: dict[str, Answer] = {}

    def server_bind(self) -> None:
        """Without the base class's look-up of the address's name, which can wait for a DNS server out of reach."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "demo"
    timeout = _IDLE_S

    def do_GET(self) -> None:
        answer = self.server.answers.get(self.path) or _text("there is no such page\n", 404)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.location:
            self.send_header("Location", answer.location)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_request(self, code: Any = "-", size: Any = "-") -> None:  # noqa: ARG002 the base class's signature
        """Called for every answer, also those to methods and requests this server does not understand."""
        headers = getattr(self, "headers", None)
        self.server.site.access_log.append(
            Seen(
                at_us=time.time_ns() // 1000,
                method=self.command or "?",
                path=getattr(self, "path", self.requestline),
                user_agent=(headers.get("User-Agent", "") if headers else ""),
                status=int(code),
            )
        )

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class's name
        """Nothing on the demo's screen."""
