"""One robots.txt over the network, within limits and by RFC 9309 2.3.1: whatever a site does is a value.

Of httpx only its URLs are used: a client of its kind would keep the cookies of sites, follow redirects by rules of its
own and read proxies from the environment, and takes half again the time.  Connections are made through the running
loop (site_connection.py), so a guard on it sees every address, that of a redirect too; there is none in this module.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from dataclasses import dataclass, field

import httpx

from crawl_audit.records import Instant
from crawl_audit.target import DEFAULT_PORTS, Scope
from crawl_audit.text import storable
from proxy_addon import site_connection
from proxy_addon.content_coding import BoundedBody, CodingError
from proxy_addon.network_fault import SITE_FAULTS, explain, fault
from proxy_addon.site_connection import Answer, Request

ROBOTS_PATH = "/robots.txt"
# RFC 9110 15.4: the statuses whose Location is to be followed.  300 leaves the choice to a person, 304 is no redirect.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# RFC 9110 8.8.3; anything else is not sent back.
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """How far one fetch goes."""

    deadline_ms: int = 10_000  # everything together: names, connections, TLS, redirects, body
    connect_ms: int = 5_000  # one connection
    redirects_max: int = 5  # RFC 9309 2.3.1.2: "SHOULD follow at least five consecutive redirects"
    body_bytes_max: int = 1024 * 1024  # after decoding; RFC 9309 2.5 asks for at least 500 KiB
    connections_max: int = 256  # fetches at the same time; each holds one connection and one body at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came of one fetch.  With ``error`` set there is no answer to rely on, whatever ``status`` says."""

    status: int | None  # of the last answer; None where there was none
    final_url: str  # that gave the last answer, or that was asked last
    redirects: tuple[str, ...]  # URLs redirected to, in order
    error: str | None  # a short fixed word, a colon, a sentence
    body: bytes | None  # decoded; only of a whole 2xx answer, or of one cut at the limit
    truncated: bool
    content_type: str | None
    etag: str | None  # as sent; fit for If-None-Match to ``final_url`` only
    cache_control: str | None
    age: str | None
    retry_after: str | None
    duration_ms: int
    server_ip: str | None
    too_many_redirects: bool
    not_modified: bool  # 304 to our If-None-Match: the body we hold is still the one
    fetched_at: Instant | None = None  # when it was complete, where somebody took note of that
    origin_log: str | None = None  # log of the sidecar that fetched it, where it came out of a shared store


class Fetcher:
    """Fetches robots.txt; made once, used from one event loop, closed with it.

    ``ssl_context`` must be the fetcher's own, because the protocols it offers (ALPN) are set here.
    """

    def __init__(self, *, ssl_context: ssl.SSLContext, limits: FetchLimits, user_agent: str) -> None:
        self._limits = limits
        self._user_agent = user_agent
        # Waiting for a slot is our trouble and not the site's, so it does not count against the deadline.
        self._slots = asyncio.Semaphore(limits.connections_max)
        self._tls = ssl_context
        self._tls.set_alpn_protocols(["http/1.1"])
        # Only connecting has a bound of its own; the deadline bounds all the rest, a slow drip too.
        self._connect_s = min(limits.connect_ms, limits.deadline_ms * 0.8) / 1000

    async def fetch(
        self,
        scope: Scope,
        user_agent: str | None = None,
        etag: str | None = None,
        etag_url: str | None = None,
        *,
        path: str = ROBOTS_PATH,
    ) -> Fetched:
        """The robots.txt that governs ``scope``, or the file at ``path`` beside it.

        Never raises for what a site does, only CancelledError.

        ``etag`` is sent to ``etag_url`` alone (by default the file's own URL): the same tag from another place means
        another file.
        """
        url = f"{scope.scheme}://{scope.authority}{path}"
        trip = _Trip(
            url=url,
            user_agent=user_agent or self._user_agent,
            etag=etag if etag is not None and _ENTITY_TAG.fullmatch(etag) else None,
            etag_url=etag_url or url,
        )
        async with self._slots:
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._limits.deadline_ms / 1000):
                    await self._travel(trip)
            except TimeoutError:
                trip.fail("timeout", f"No whole answer within {self._limits.deadline_ms} ms.")
            except CodingError as error:
                trip.fail("bad_encoding", str(error))
            except SITE_FAULTS as error:
                trip.error = explain(error, reading_body=trip.reading_body)
            return trip.fetched(round((time.monotonic() - started) * 1000))

    async def aclose(self) -> None:
        """Nothing is kept between fetches, and those under way end with their tasks."""

    async def _travel(self, trip: _Trip) -> None:
        while True:
            url = httpx.URL(trip.url)
            if not _can_be_asked(url):
                return trip.fail("bad_url", "The URL is not http or https with a host and a port.")
            if await self._visit(trip, url):
                return None

    async def _visit(self, trip: _Trip, url: httpx.URL) -> bool:
        """Ask one URL; whether that was the end of the trip."""
        request = Request(
            host=url.raw_host.decode("ascii"),
            port=url.port if url.port is not None else DEFAULT_PORTS[url.scheme],
            target=url.raw_path,
            headers=[(b"Host", url.netloc), *trip.request_headers()],
            tls=self._tls if url.scheme == "https" else None,
        )
        trip.forget_answer()
        async with site_connection.get(request, self._connect_s) as answer:
            trip.note_head(answer)
            if answer.status in _REDIRECTS:
                return not trip.follow(url, answer, self._limits.redirects_max)
            if answer.status == 304 and trip.is_conditional:
                trip.not_modified = True
            elif answer.status == 206:
                # RFC 9110 15.3.7 answers a Range, and none was sent: a part must not pass for the whole.
                trip.fail("partial_content", "The server sent a part of the file though the whole was asked for.")
            elif 300 <= answer.status < 400:
                # No rule of RFC 9309 makes this an answer; taking it for "unavailable" would be a permission made up.
                trip.fail("unexpected_status", "The status is neither an answer nor a redirect that can be followed.")
            elif 200 <= answer.status < 300:
                trip.reading_body = True
                await self._read(trip, answer)
            return True

    async def _read(self, trip: _Trip, answer: Answer) -> None:
        body = BoundedBody(answer.field("content-encoding"), self._limits.body_bytes_max)
        async for octets in answer.body():
            body.feed(octets)
            if body.truncated:
                break
        body.finish()
        trip.body, trip.truncated = body.body, body.truncated


@dataclass(slots=True, kw_only=True)
class _Trip:
    """One fetch as far as it has got."""

    url: str
    user_agent: str
    etag: str | None
    etag_url: str
    redirects: list[str] = field(default_factory=list)
    status: int | None = None
    answer: Answer | None = None
    error: str | None = None
    body: bytes | None = None
    truncated: bool = False
    reading_body: bool = False
    too_many_redirects: bool = False
    not_modified: bool = False

    @property
    def is_conditional(self) -> bool:
        """Whether If-None-Match goes to the URL to be asked now."""
        return self.etag is not None and self.url == self.etag_url

    def request_headers(self) -> list[tuple[bytes, bytes]]:
        """The fields of the next request.  Identity: the octets on record are then the octets as sent."""
        headers = [
            (b"User-Agent", self.user_agent.encode("ascii")),
            (b"Accept", b"text/plain, */*;q=0.8"),
            (b"Accept-Encoding", b"identity"),
            (b"Connection", b"close"),
        ]
        if self.etag is not None and self.is_conditional:
            headers.append((b"If-None-Match", self.etag.encode("ascii")))
        return headers

    def forget_answer(self) -> None:
        """Before the next request: an answer that does not come must not be described by the one before it."""
        self.status, self.answer = None, None

    def note_head(self, answer: Answer) -> None:
        """Keep what the head of the answer says."""
        self.status, self.answer = answer.status, answer

    def follow(self, url: httpx.URL, answer: Answer, redirects_max: int) -> bool:
        """Turn to where the answer points, noting it; False where that is not to be followed."""
        locations = set(answer.values("location"))
        if len(locations) != 1:
            self.fail("redirect_refused", "The redirect does not have exactly one Location.")
            return False
        target = _reference(url, locations.pop())
        if len(self.redirects) >= redirects_max:
            self.too_many_redirects = True
            self.fail("too_many_redirects", f"More than {redirects_max} redirects one after the other.")
            return False
        self.redirects.append(storable(str(target)))
        if not _can_be_asked(target):
            self.fail("redirect_refused", "The redirect leads to what is not http or https with a host and a port.")
            return False
        self.url = str(target)
        return True

    def fail(self, word: str, sentence: str) -> None:
        """Note the fault that ended the trip."""
        self.error = fault(word, sentence)

    def fetched(self, duration_ms: int) -> Fetched:
        """The trip as a value fit for records."""
        return Fetched(
            status=self.status,
            final_url=storable(self.url),
            redirects=tuple(self.redirects),
            error=self.error,
            body=None if self.error else self.body,
            truncated=self.truncated and not self.error,
            content_type=self._header("content-type"),
            etag=self._header("etag"),
            cache_control=self._header("cache-control"),
            age=self._header("age"),
            retry_after=self._header("retry-after"),
            duration_ms=duration_ms,
            server_ip=self.answer.server_ip if self.answer else None,
            too_many_redirects=self.too_many_redirects,
            not_modified=self.not_modified and not self.error,
        )

    def _header(self, name: str) -> str | None:
        value = self.answer.field(name) if self.answer else None
        return None if value is None else storable(value, 1024)


def _reference(base: httpx.URL, location: str) -> httpx.URL:
    """The URL a Location stands for; joining would quietly turn ``http://`` without a host into ``base``."""
    given = httpx.URL(location)
    target = given if given.scheme else base.join(given)
    return target.copy_with(fragment=None, userinfo=b"")


def _can_be_asked(url: httpx.URL) -> bool:
    port = url.port if url.port is not None else DEFAULT_PORTS.get(url.scheme, 0)
    return url.scheme in DEFAULT_PORTS and bool(url.host) and 0 < port < 65_536
