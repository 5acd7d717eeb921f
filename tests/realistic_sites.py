"""The world that a synthetic log is about: sites with their hosts, robots.txt files, crawlers, and what is decided."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crawl_audit import robots
from crawl_audit.decision import action_for
from crawl_audit.exemptions import Exemptions, recorded_exemption
from crawl_audit.identity import Crawler
from crawl_audit.policy import Policy, Ruling
from crawl_audit.records import Basis, Instant, Mode, RobotsOutcome, Verdict
from crawl_audit.robots import Judgement, Rules
from crawl_audit.signal_policy import SignalPolicy
from crawl_audit.signals import response_signals, robots_signals
from crawl_audit.site import site_of
from crawl_audit.target import Scope, Target

DAY = 86_400_000_000
BEGIN = Instant(int(datetime(2026, 10, 1, tzinfo=UTC).timestamp()) * 1_000_000)
DAYS = 30
HEAD = 500
"""Sites that are asked every day; the others, on one day in :data:`TURNS`."""
TURNS = 15

_LISTED = "\n".join(f"Disallow: /section-{number}/" for number in range(80))


@dataclass(frozen=True, slots=True, kw_only=True)
class Robots:
    """A robots.txt as sites have it: what the server answers; None: no answer at all."""

    status: int | None
    body: bytes | None = None

    @property
    def outcome(self) -> RobotsOutcome:
        """How fetching it ends."""
        return robots.outcome_of(self.status)


def _served(text: str) -> Robots:
    return Robots(status=200, body=text.encode())


ROBOTS = {
    "missing": Robots(status=404),
    "forbidden": Robots(status=403),
    "failing": Robots(status=503),
    "busy": Robots(status=429),
    "dead": Robots(status=None),
    "empty": _served(""),
    "plain": _served("User-agent: *\nDisallow: /private/\nDisallow: /search\n"),
    "open": _served("User-agent: *\nDisallow:\n"),
    "blog": _served("User-agent: *\nDisallow: /wp-admin/\nAllow: /wp-admin/admin-ajax.php\nDisallow: /*?ref=\n"),
    "delay": _served("User-agent: *\nCrawl-delay: 10\nDisallow: /private/\n"),
    "rate": _served("User-agent: *\nRequest-rate: 1/5\nVisit-time: 0200-0630\nDisallow: /api/\n"),
    "images": _served("User-agent: *\nDisallow: /*.jpg$\nDisallow: /media/\nAllow: /media/*.mp4\n"),
    "long": _served(f"User-agent: *\n{_LISTED}\nAllow: /section-7/open\nDisallow: /files/\n"),
    "page": _served("<!DOCTYPE html>\n<html><head><title>Not found</title></head><body>Nothing here</body></html>\n"),
    "no-training": _served(
        "User-agent: ExampleTrainBot\nUser-agent: OtherTrainBot\nDisallow: /\n\nUser-agent: *\nDisallow: /private/\n"
    ),
    "no-example": _served("User-agent: ExampleTrainBot\nDisallow: /\n\nUser-agent: *\nAllow: /\n"),
    "some-training": _served("User-agent: OtherTrainBot\nAllow: /articles/\nDisallow: /\n\nUser-agent: *\nDisallow:\n"),
    "nobody": _served("User-agent: *\nDisallow: /\n"),
    "signal": _served("User-agent: *\nContent-Signal: search=yes, ai-train=no\nDisallow: /private/\n"),
    "usage": _served("User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /api/ search=n\nAllow: /\n"),
    "licence": _served(
        "License: https://rights.example/terms.xml?<script>alert(1)</script>\nUser-agent: *\nDisallow: /private/\n"
    ),
}
# before → (after, share of sites in 10,000): what a site has, and what some change to in the middle.
_COMMON = (
    *(("plain", 2400), ("missing", 1500), ("open", 1300), ("blog", 1500), ("empty", 300), ("delay", 500)),
    *(("rate", 200), ("images", 500), ("long", 400), ("page", 150), ("no-training", 350), ("no-example", 200)),
    *(("some-training", 100), ("nobody", 120), ("signal", 200), ("usage", 100), ("licence", 60), ("forbidden", 70)),
    *(("failing", 30), ("busy", 10), ("dead", 10)),
)
_CHANGES = {
    "plain": ("no-training", "signal", "nobody", "usage", "delay"),
    "missing": ("no-training", "plain", "signal"),
    "open": ("no-training", "usage", "no-example", "licence"),
    "blog": ("no-training", "signal", "dead"),
    "no-training": ("plain", "nobody"),
    "delay": ("rate", "no-training"),
}
_CHANGED = 0.12
"""Share of the sites of those kinds that change."""

CRAWLERS = {
    one.id: one
    for one in (
        Crawler(
            id="train-a",
            product_tokens=("ExampleTrainBot",),
            user_agent="Mozilla/5.0 (compatible; ExampleTrainBot/2.1; +https://crawler.example/train)",
            purpose="training",
        ),
        Crawler(
            id="search",
            product_tokens=("ExampleSearchBot", "ExampleBot"),
            user_agent="ExampleSearchBot/1.4 (+https://crawler.example/search)",
            purpose="search",
        ),
        Crawler(id="fetch", product_tokens=("ExampleFetcher",), user_agent="ExampleFetcher/0.9", purpose="user_fetch"),
        Crawler(
            id="train-b",
            product_tokens=("OtherTrainBot",),
            user_agent="OtherTrainBot/3.0 (+https://crawler.example/other)",
            purpose="training",
        ),
    )
}
ON_NODE = {"node1": ("train-a", "search", "fetch"), "node2": ("train-b",)}
POLICY = {"content-signal": {"training": "deny"}, "content-usage": {"training": "deny", "search": "deny"}}
EXEMPT_DAYS = (11, 24)
"""First day since the begin on which exemptions hold, and the first on which they no longer do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of request: its target is prefix, a number where there is one, and suffix; ``share`` in 1,000."""

    prefix: str
    suffix: str = ""
    numbered: bool = True
    content_type: str | None = "text/html; charset=utf-8"
    modality: str | None = "text"
    median_bytes: int = 30_000
    share: int
    contradictory: bool = False  # the request does not say where it goes


_SQL = "'; DROP TABLE decision; --"
KINDS = (
    Kind(prefix="/", numbered=False, share=60),
    Kind(prefix="/articles/", share=330),
    Kind(prefix="/blog/2026/10/", suffix="?ref=feed", share=100),
    Kind(prefix="/section-7/", suffix="/index.html", share=60),
    Kind(prefix="/private/", share=40),
    Kind(prefix="/search?q=", share=40),
    Kind(prefix="/wp-admin/", suffix=".php", share=8),
    Kind(prefix="/images/", suffix=".jpg", content_type="image/jpeg", modality="image", median_bytes=90_000, share=150),
    Kind(
        prefix="/media/", suffix=".mp3", content_type="audio/mpeg", modality="audio", median_bytes=3_000_000, share=12
    ),
    Kind(prefix="/media/", suffix=".mp4", content_type="video/mp4", modality="video", median_bytes=9_000_000, share=14),
    Kind(prefix="/api/", suffix=".json", content_type="application/json", median_bytes=8_000, share=70),
    Kind(prefix="/files/", suffix=".zip", content_type="application/zip", modality="other", share=20),
    Kind(prefix="/docs/", suffix=".pdf", content_type="application/pdf", median_bytes=400_000, share=40),
    Kind(prefix="/untyped/", content_type=None, modality=None, share=20),
    Kind(prefix="/robots.txt", numbered=False, content_type="text/plain", share=20),
    Kind(prefix="/<script>alert(", suffix=")</script>", share=3),
    Kind(prefix="/=HYPERLINK(1)?x=", suffix=_SQL, share=3),
    Kind(prefix="/%E2%80%AE%1B[31m/", suffix="/%00", share=4),
    Kind(prefix="/", numbered=False, share=6, contradictory=True),
)
AGENTS = (
    '<img src=x onerror="alert(1)">',
    "Robert'); DROP TABLE run; --",
    '=HYPERLINK("https://crawler.example")',
    "ExampleTrainBot \u202etoBniarT\u202c \u2066x\u2069",
    r"\x1b[31mred\x1b[0m",
    "",
)
"""User-Agents that are sent instead of the crawler's own, now and then."""
ANSWERS: tuple[tuple[int, str, str | None, int | None, str | None], ...] = (
    *((8600, "completed", None, 200, None), (100, "completed", None, 206, None), (260, "completed", None, 301, None)),
    *((200, "completed", None, 304, None), (350, "completed", None, 404, None), (60, "completed", None, 503, None)),
    *((60, "completed", None, 403, "http_403"), (40, "completed", None, 403, "challenge")),
    *((40, "completed", None, 401, "http_401"), (20, "completed", None, 402, "http_402")),
    *((60, "completed", None, 429, "http_429"), (10, "completed", None, 451, "http_451")),
    (20, "completed", None, 500, None),
    (90, "upstream_error", "connect: The server refused the connection.", None, None),
    (40, "timeout", "answer_timeout: The answer took too long.", None, None),
    (50, "client_abort", "The crawler closed the connection.", 200, None),
)
"""(share in 10,000, outcome, error, status, barrier) of how requests end."""


def exemptions() -> list[dict[str, Any]]:
    """What the operator declared, as runs record it; they hold for a part of the time."""
    first, last = (datetime.fromtimestamp((BEGIN + day * DAY) // 1_000_000, UTC).isoformat() for day in EXEMPT_DAYS)
    common = {"hosts": [], "not_before": first, "until": last, "approver": "Legal"}
    return [
        {
            **common,
            "id": "licence-7",
            "reason": "licence",
            "reference": "Contract 7/2026",
            "sites": sorted({site_name(3), site_name(40), site_name(700)}),
            "path_prefixes": [],
            "crawlers": ["train-a"],
        },
        {
            **common,
            "id": "own-shop",
            "reason": "own_site",
            "reference": "Ticket 12",
            "sites": [site_name(5)],
            "path_prefixes": ["/private/", "/articles/"],
            "crawlers": [],
        },
    ]


def policy() -> Policy:
    """The operator's policy."""
    return Policy(Exemptions(map(recorded_exemption, exemptions())), SignalPolicy(POLICY))


def site_name(rank: int) -> str:
    """The registrable domain of the site of that rank (1: the one asked most), or an address."""
    if rank % 997 == 0:
        return f"198.51.100.{rank // 997 % 250 + 1}" if rank % 1994 else f"2001:db8::{rank:x}"
    if rank % 211 == 0:
        return f"xn--{f'\u30c6\u30b9\u30c8{rank}'.encode('punycode').decode()}.jp"
    endings = ("com", "org", "net", "co.jp", "jp", "co.uk", "de", "fr", "com", "com", "io", "ac.jp", "com.au")
    return f"site-{rank}-test.{endings[rank * 7919 % len(endings)]}"


@dataclass(frozen=True, slots=True)
class Place:
    """One authority of a site, and the robots.txt it has before and after a day."""

    rank: int
    number: int  # of the authorities of this site
    site: str
    host: str
    scheme: str
    port: int
    before: str
    after: str
    change_day: int
    flaky: bool
    own: bool  # its robots.txt names the host, so no other has the same octets
    address: str


def places(sites: int, seed: int) -> Iterator[Place]:
    """Every authority of every site."""
    chance = random.Random(seed)
    kinds, shares = zip(*_COMMON, strict=True)
    for rank in range(1, sites + 1):
        name = site_name(rank)
        before = after = chance.choices(kinds, shares)[0]
        if before in _CHANGES and chance.random() < _CHANGED:
            after = chance.choice(_CHANGES[before])
        if rank == 2:
            before, after = "plain", "no-training"
        change_day, own = chance.randrange(4, DAYS - 4), chance.random() < 0.6
        hosts = [name]
        if not (name[0].isdigit() or ":" in name):
            hosts = [f"www.{name}", name, f"shop.{name}", f"cdn.{name}"]
            hosts = hosts[: chance.randint(2, 4) if rank <= HEAD else chance.choices((1, 2), (9, 1))[0]]
        for number, host in enumerate(hosts):
            scheme = "http" if chance.random() < 0.15 else "https"
            port = 8443 if chance.random() < 0.005 else 443 if scheme == "https" else 80
            yield Place(
                rank=rank,
                number=number,
                site=site_of(host),
                host=host,
                scheme=scheme,
                port=port,
                before=before,
                after=after,
                change_day=change_day,
                flaky=chance.random() < 0.1,
                own=own,
                address=f"192.0.2.{chance.randrange(1, 255)}",
            )


def judged() -> Iterator[dict[str, Any]]:
    """What is decided on each kind of request, by robots.txt, crawler and exemption: from the code that decides."""
    with_grounds = policy()
    for name, file in ROBOTS.items():
        for crawler in CRAWLERS.values():
            rules = robots.compile_rules(file.body or b"", crawler.product_tokens)
            for number, kind in enumerate(KINDS):
                for site in ("other.example", site_name(3), site_name(5)):
                    ruled = _ruling(with_grounds, file, rules, crawler, kind, site)
                    if ruled.exemption is not None or site == "other.example":
                        yield {"robots": name, "crawler": crawler.id, "kind": number, **_columns(ruled)}


def _ruling(with_grounds: Policy, file: Robots, rules: Rules, crawler: Crawler, kind: Kind, site: str) -> Ruling:
    if kind.contradictory:
        detail = "The Host field names another authority than the request line."
        return Ruling(judgement=Judgement(verdict=Verdict.DISALLOWED, basis=Basis.ERROR, detail=detail))
    target = f"{kind.prefix}{17 if kind.numbered else ''}{kind.suffix}"
    judgement = robots.evaluate(file.outcome, None if file.body is None else rules, target)
    place = Target(Scope("http", site, 80), target, None)
    return with_grounds.ruling(judgement, crawler, place, Instant(BEGIN + 15 * DAY), rules.wishes)


def _columns(ruled: Ruling) -> dict[str, Any]:
    made = ruled.judgement
    return {
        "exemption": ruled.exemption,
        "verdict": made.verdict.value,
        "basis": made.basis.value,
        "group_tokens": list(made.group_tokens),
        "rule": made.rule,
        "rule_line": made.rule_line,
        "protego_verdict": None if made.protego_verdict is None else made.protego_verdict.value,
        "divergent": made.divergent,
        "detail": made.detail,
        "crawl_delay_ms": made.crawl_delay_ms,
        "request_interval_ms": ruled.request_interval_ms,
        "audited": action_for(made.verdict, made.basis, Mode.AUDIT).value,
        "enforced": action_for(made.verdict, made.basis, Mode.ENFORCE).value,
    }


def wishes() -> Iterator[dict[str, Any]]:
    """The signals of each robots.txt, as the sidecar would find them."""
    for name, file in ROBOTS.items():
        for number, found in enumerate(robots_signals(file.body or b"")):
            yield {
                "robots": name,
                "number": number,
                **{field: getattr(found, field) for field in ("protocol", "raw", "value", "scope")},
            }


_HEADERS = (
    ("X-Robots-Tag", "noai, noimageai"),
    ("tdm-reservation", "1"),
    ("Content-Usage", "train-ai=n, search=y"),
    ("X-Robots-Tag", "<b>noindex</b>, \u202egnihton"),
)


def fields() -> Iterator[dict[str, Any]]:
    """The signals of an answer's header fields, in four sets."""
    for set_number, header in enumerate(_HEADERS):
        for number, found in enumerate(response_signals([header])):
            named = {field: getattr(found, field) for field in ("protocol", "raw", "value", "scope")}
            yield {"set_number": set_number, "number": number, **named}
