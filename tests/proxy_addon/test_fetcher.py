"""Fetching robots.txt from real local servers that do everything a site can do."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import brotli
import pytest
import trustme

from crawl_audit import robots, schema
from crawl_audit.decision import action_for
from crawl_audit.records import Instant, Mode, SnapshotSource
from crawl_audit.target import Scope
from proxy_addon.fetcher import Fetched, Fetcher, FetchLimits
from proxy_addon.freshness import Freshness
from proxy_addon.snapshots import Copy, copy_of
from tests.proxy_addon.robots_server import (
    Asked,
    Reply,
    answer,
    by_path,
    drip,
    hang,
    raw,
    redirect,
    redirects_then,
    reset,
    serving,
    unused_port,
)

RULES = b"User-agent: *\nDisallow: /private\n"
DENY = b"User-agent: *\nDisallow: /\n"
LIMITS = FetchLimits(deadline_ms=600, connect_ms=400)
TABLE = Path(__file__).parents[2] / "docs" / "robots.md"
MIB = 1024 * 1024

CA = trustme.CA()


def client_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


def server_tls(*names: str, ca: trustme.CA = CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


async def fetch(scope: Scope, limits: FetchLimits = LIMITS, **more: str) -> Fetched:
    fetcher = Fetcher(ssl_context=client_tls(), limits=limits, user_agent="ExampleBot/1.0")
    try:
        return await fetcher.fetch(scope, **more)
    finally:
        await fetcher.aclose()


def fetched_from(reply: Reply, limits: FetchLimits = LIMITS) -> Fetched:
    async def run() -> Fetched:
        async with serving(reply) as server:
            return await fetch(server.scope, limits)

    return asyncio.run(run())


def copy_from(fetched: Fetched, scope: Scope = Scope("http", "a.example", 80)) -> Copy:  # noqa: B008
    return copy_of(
        scope,
        fetched,
        at=Instant(1_000_000_000_000_000),
        source=SnapshotSource.FETCHED,
        freshness=Freshness(),
        treat_429_as_unreachable=True,
    )


# --- the table of docs/robots.md -----------------------------------------------------------------------------


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + (b"0\r\n\r\n" if end else b"")


def coded(coding: str, body: bytes) -> Reply:
    return answer(200, body, {"Content-Encoding": coding})


HTML = b"<!DOCTYPE html>\n<html><head><title>Not found</title></head><body>Sorry</body></html>"
PLAIN_CASES: dict[str, Reply] = {
    "200-rules": answer(200, DENY),
    "200-no-matching-rule": answer(200, RULES),
    "200-empty": answer(200, b""),
    "200-html": answer(200, HTML, {"Content-Type": "text/html"}),
    "200-bom": answer(200, b"\xef\xbb\xbf" + DENY),
    "200-chunked": raw(chunked(DENY[:5], DENY[5:])),
    "200-until-close": raw(b"HTTP/1.0 200 OK\r\n\r\n" + DENY),
    "200-gzip": coded("gzip", gzip.compress(DENY)),
    "200-deflate": coded("deflate", zlib.compress(DENY)),
    "200-brotli": coded("br", brotli.compress(DENY)),
    "200-600-kib": answer(200, DENY + b"# padding line\n" * 40_960),
    "200-10-mb": answer(200, DENY + b"# padding line\n" * 700_000),
    "200-gzip-bomb": coded("gzip", gzip.compress(DENY + bytes(50 * MIB), 1)),
    "200-brotli-bomb": coded("br", brotli.compress(DENY + bytes(50 * MIB), quality=1)),
    "204": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "206": answer(206, DENY),
    "301-five": redirects_then(5, answer(200, DENY)),
    "301-six": redirects_then(6, answer(200, DENY)),
    "redirect-loop": redirect("/robots.txt", 301),
    "302-other-authority": by_path(
        {"/robots.txt": redirect("http://localhost:{port}/elsewhere"), "/elsewhere": answer(200, DENY)}
    ),
    "302-not-http": redirect("file:///etc/passwd"),
    "302-no-location": raw(b"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n"),
    "302-to-404": by_path({"/robots.txt": redirect("/gone"), "/gone": answer(404)}),
    "302-to-503": by_path({"/robots.txt": redirect("/busy"), "/busy": answer(503)}),
    "300": answer(300, b"", {"Location": "/robots.txt"}),
    "304-unasked": raw(b"HTTP/1.1 304 X\r\n\r\n"),
    "400": answer(400),
    "401": answer(401),
    "403": answer(403),
    "404": answer(404, HTML),
    "410": answer(410),
    "429": answer(429),
    "451": answer(451),
    "500": answer(500, RULES),
    "503": answer(503),
    "599": answer(599),
    "999": raw(b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"),
    "timeout": hang,
    "drip-head": drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "drip-body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"#"),
    "endless-1xx": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
    "reset": reset,
    "closed-without-answer": raw(b""),
    "not-http": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "head-200-kib": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200 * 1024 + b"\r\n\r\n"),
    "body-shorter-than-said": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + RULES),
    "chunked-broken-off": raw(chunked(RULES, end=False)),
    "chunked-garbage": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
    "gzip-broken-off": coded("gzip", gzip.compress(RULES)[:-9]),
    "gzip-garbage": coded("gzip", RULES),
    "unknown-coding": coded("zstd", RULES),
}


async def refused() -> Fetched:
    return await fetch(Scope("http", "127.0.0.1", unused_port()))


async def tls_trusted() -> Fetched:
    async with serving(answer(200, DENY), server_tls("127.0.0.1")) as server:
        return await fetch(server.scope)


async def tls_untrusted() -> Fetched:
    async with serving(answer(200, RULES), server_tls("127.0.0.1", ca=trustme.CA())) as server:
        return await fetch(server.scope)


async def tls_wrong_host() -> Fetched:
    async with serving(answer(200, RULES), server_tls("other.example")) as server:
        return await fetch(server.scope)


async def tls_not_tls() -> Fetched:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read(100)
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    try:
        return await fetch(Scope("https", "127.0.0.1", listener.sockets[0].getsockname()[1]))
    finally:
        listener.close()


async def tls_hang() -> Fetched:
    async with serving(hang) as server:
        return await fetch(Scope("https", "127.0.0.1", server.port))


async def no_such_name() -> Fetched:
    real = socket.getaddrinfo

    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    socket.getaddrinfo = fails
    try:
        return await fetch(Scope("http", "nowhere.example", 80))
    finally:
        socket.getaddrinfo = real


async def egress_denied() -> Fetched:
    loop = asyncio.get_running_loop()

    async def guarded(*_: object, **__: object) -> None:
        raise PermissionError("10.0.0.1 is a private address")

    loop.create_connection = guarded  # type: ignore[method-assign, assignment]
    return await fetch(Scope("http", "10.0.0.1", 80))


OTHER_CASES: dict[str, Callable[[], Awaitable[Fetched]]] = {
    "connection-refused": refused,
    "tls": tls_trusted,
    "tls-untrusted": tls_untrusted,
    "tls-wrong-host": tls_wrong_host,
    "tls-not-tls": tls_not_tls,
    "tls-hang": tls_hang,
    "dns-failure": no_such_name,
    "egress-denied": egress_denied,
}


@dataclass(frozen=True)
class Row:
    """One row of the table in docs/robots.md."""

    outcome: str
    word: str
    verdict: str
    basis: str
    audit: str
    enforce: str


def documented() -> dict[str, Row]:
    rows = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if match := re.fullmatch(r"test_table\[(.+)\]", cells[-1]):
            rows[match[1]] = Row(*cells[1:7])
    return rows


@pytest.mark.parametrize("case", [*PLAIN_CASES, *OTHER_CASES])
def test_table(case: str) -> None:
    """Each answer a site can give has the outcome, basis and action that docs/robots.md promises for it."""

    async def run() -> Fetched:
        if case in OTHER_CASES:
            return await OTHER_CASES[case]()
        async with serving(PLAIN_CASES[case]) as server:
            return await fetch(server.scope)

    fetched = asyncio.run(run())
    copy = copy_from(fetched)
    schema.to_entry(copy.snapshot)  # raises where the log could not hold it
    rules = None if copy.body is None else robots.compile_rules(copy.body, ("ExampleBot",))
    judgement = robots.evaluate(copy.snapshot.outcome, rules, "/page")
    assert documented()[case] == Row(
        outcome=copy.snapshot.outcome.value,
        word=(fetched.error or "–").partition(":")[0],
        verdict=judgement.verdict.value,
        basis=judgement.basis.value,
        audit=action_for(judgement.verdict, judgement.basis, Mode.AUDIT).value,
        enforce=action_for(judgement.verdict, judgement.basis, Mode.ENFORCE).value,
    ), fetched.error


def test_every_row_of_the_table_is_a_case_here() -> None:
    assert set(documented()) == {*PLAIN_CASES, *OTHER_CASES}


# --- what is asked -------------------------------------------------------------------------------------------------


def test_the_request_names_the_crawler_and_asks_for_the_plain_octets() -> None:
    async def run() -> Asked:
        async with serving(answer(200, RULES)) as server:
            await fetch(server.scope)
            return server.asked[0]

    asked = asyncio.run(run())
    assert (asked.method, asked.path) == ("GET", "/robots.txt")
    assert asked.headers["user-agent"] == "ExampleBot/1.0"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["host"] == f"127.0.0.1:{asked.port}"
    assert not {"cookie", "authorization", "range", "if-none-match"} & set(asked.headers)


def test_the_user_agent_can_be_given_for_one_fetch() -> None:
    async def run() -> Asked:
        async with serving(answer(200, RULES)) as server:
            await fetch(server.scope, user_agent="OtherBot/2.0")
            return server.asked[0]

    assert asyncio.run(run()).headers["user-agent"] == "OtherBot/2.0"


def test_cookies_of_a_site_are_not_sent_back() -> None:
    async def run() -> list[Asked]:
        cookie = {"Set-Cookie": "id=1; Path=/", "Location": "/robots.txt?again"}
        async with serving([answer(302, b"", cookie), answer(200, RULES)]) as server:
            fetcher = Fetcher(ssl_context=client_tls(), limits=LIMITS, user_agent="ExampleBot/1.0")
            await fetcher.fetch(server.scope)
            await fetcher.fetch(server.scope)
            await fetcher.aclose()
            return server.asked

    asked = asyncio.run(run())
    assert len(asked) == 3
    assert all("cookie" not in request.headers for request in asked)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    assert fetched_from(answer(200, RULES)).body == RULES


# --- what comes back -----------------------------------------------------------------------------------------------


def test_a_whole_answer_is_told_with_all_that_a_record_needs() -> None:
    headers = {"ETag": '"v1"', "Cache-Control": "max-age=600", "Age": "3", "Content-Type": "text/plain; charset=utf-8"}
    fetched = fetched_from(answer(200, RULES, headers))
    assert (fetched.status, fetched.body, fetched.error, fetched.truncated) == (200, RULES, None, False)
    assert (fetched.etag, fetched.cache_control, fetched.age) == ('"v1"', "max-age=600", "3")
    assert fetched.content_type == "text/plain; charset=utf-8"
    assert fetched.server_ip == "127.0.0.1"
    assert fetched.redirects == ()
    assert fetched.final_url.endswith("/robots.txt")
    assert 0 <= fetched.duration_ms < 600


def test_a_body_over_the_limit_is_cut_and_says_so() -> None:
    fetched = fetched_from(PLAIN_CASES["200-10-mb"])
    assert fetched.body is not None
    assert (len(fetched.body), fetched.truncated) == (MIB, True)
    assert fetched.body.startswith(DENY)


@pytest.mark.parametrize(("size", "truncated"), [(999, False), (1000, False), (1001, True)])
def test_a_body_of_exactly_the_limit_is_whole(size: int, truncated: bool) -> None:
    limits = FetchLimits(deadline_ms=600, body_bytes_max=1000)
    fetched = fetched_from(answer(200, b"#" * size), limits)
    assert (len(fetched.body or b""), fetched.truncated) == (min(size, 1000), truncated)


def test_a_600_kib_file_is_kept_whole() -> None:
    fetched = fetched_from(PLAIN_CASES["200-600-kib"])
    assert len(fetched.body or b"") == len(DENY) + 15 * 40_960
    assert not fetched.truncated


@pytest.mark.parametrize("case", ["200-gzip-bomb", "200-brotli-bomb"])
def test_a_decompression_bomb_gives_no_more_than_the_limit(case: str) -> None:
    fetched = fetched_from(PLAIN_CASES[case])
    assert (len(fetched.body or b""), fetched.truncated) == (MIB, True)


def test_a_redirect_chain_is_recorded_in_order() -> None:
    fetched = fetched_from(PLAIN_CASES["301-five"])
    assert [url.rpartition("/")[2] for url in fetched.redirects] == ["1", "2", "3", "4", "5"]
    assert fetched.final_url == fetched.redirects[-1]
    assert fetched.body == DENY


def test_the_sixth_redirect_is_not_followed() -> None:
    async def run() -> tuple[Fetched, int]:
        async with serving(PLAIN_CASES["redirect-loop"]) as server:
            return await fetch(server.scope), len(server.asked)

    fetched, requests = asyncio.run(run())
    assert requests == 6
    assert fetched.too_many_redirects
    assert len(fetched.redirects) == 5
    assert fetched.status == 301


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://a.example/", "javascript:alert(1)", "http://", "http://a.example:0/", "//:80/x"],
)
def test_a_redirect_to_what_is_not_http_is_refused_and_recorded(location: str) -> None:
    fetched = fetched_from(redirect(location))
    assert fetched.error is not None
    assert fetched.error.startswith(("redirect_refused:", "bad_url:", "connection_failed:"))
    assert fetched.body is None


@pytest.mark.parametrize(
    "location",
    [
        b"http://[::1/",
        b"http://a.example:99999/",
        b"http://\xff\xfe/",
        b"http://999.999.1.1/",
        b"http://xn--\x80/",
        b"",
    ],
)
def test_a_redirect_to_what_is_no_url_is_a_fault_and_not_an_exception(location: bytes) -> None:
    fetched = fetched_from(raw(b"HTTP/1.1 301 X\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"))
    assert fetched.error is not None
    schema.to_entry(copy_from(fetched).snapshot)


def test_credentials_and_fragments_of_a_redirect_are_dropped() -> None:
    replies = {"/robots.txt": redirect("http://user:word@127.0.0.1:{port}/x#top"), "/x": answer(200, RULES)}
    fetched = fetched_from(by_path(replies))
    assert fetched.body == RULES
    assert "user" not in fetched.final_url
    assert "#" not in fetched.final_url


def test_an_answer_that_does_not_come_is_not_described_by_the_redirect_before_it() -> None:
    fetched = fetched_from(redirect(f"http://127.0.0.1:{unused_port()}/x"))
    assert fetched.status is None
    assert fetched.server_ip is None
    assert fetched.error is not None
    assert fetched.error.startswith("connection_refused:")


def test_a_304_to_our_tag_means_not_modified() -> None:
    async def run() -> tuple[Fetched, Asked]:
        async with serving(raw(b'HTTP/1.1 304 X\r\nETag: "v1"\r\n\r\n')) as server:
            return await fetch(server.scope, etag='"v1"'), server.asked[0]

    fetched, asked = asyncio.run(run())
    assert asked.headers["if-none-match"] == '"v1"'
    assert (fetched.not_modified, fetched.error, fetched.body) == (True, None, None)


def test_a_tag_is_sent_only_to_the_url_it_came_from() -> None:
    async def run() -> list[Asked]:
        async with serving(by_path({"/robots.txt": redirect("/real"), "/real": answer(200, RULES)})) as server:
            await fetch(server.scope, etag='"v1"', etag_url=f"http://127.0.0.1:{server.port}/real")
            return server.asked

    first, second = asyncio.run(run())
    assert "if-none-match" not in first.headers
    assert second.headers["if-none-match"] == '"v1"'


@pytest.mark.parametrize("etag", ["v1", '"a"b"', '"v\xe9"', '"cut…', '"a\r\nX: y"'])
def test_a_malformed_tag_is_not_sent(etag: str) -> None:
    async def run() -> Asked:
        async with serving(answer(200, RULES)) as server:
            await fetch(server.scope, etag=etag)
            return server.asked[0]

    assert "if-none-match" not in asyncio.run(run()).headers


def test_header_values_with_any_octets_are_fit_for_the_record() -> None:
    reply = raw(b"HTTP/1.1 200 OK\r\nContent-Type: caf\xe9\xff\x9b\r\nETag: \xe3\x81\r\nContent-Length: 0\r\n\r\n")
    copy = copy_from(fetched_from(reply))
    schema.to_entry(copy.snapshot)
    assert copy.snapshot.content_type is not None


# --- time and room -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["timeout", "drip-head", "drip-body", "endless-1xx"])
def test_the_deadline_bounds_the_whole_fetch(case: str) -> None:
    started = time.monotonic()
    fetched = fetched_from(PLAIN_CASES[case], FetchLimits(deadline_ms=200))
    assert fetched.error is not None
    assert fetched.error.startswith("timeout:")
    assert time.monotonic() - started < 1.5


def test_cancelling_a_fetch_reaches_the_caller_and_frees_its_slot() -> None:
    async def run() -> Fetched:
        limits = FetchLimits(deadline_ms=2000, connections_max=1)
        fetcher = Fetcher(ssl_context=client_tls(), limits=limits, user_agent="ExampleBot/1.0")
        async with serving([hang, answer(200, RULES)]) as server:
            task = asyncio.create_task(fetcher.fetch(server.scope))
            await asyncio.sleep(0.05)
            assert len(server.asked) == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            fetched = await fetcher.fetch(server.scope)
        await fetcher.aclose()
        return fetched

    assert asyncio.run(run()).body == RULES


def test_waiting_for_a_slot_does_not_count_against_the_deadline() -> None:
    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        await answer(200, RULES)(asked, writer)

    async def run() -> list[Fetched]:
        limits = FetchLimits(deadline_ms=300, connections_max=1)
        fetcher = Fetcher(ssl_context=client_tls(), limits=limits, user_agent="ExampleBot/1.0")
        async with serving(slow) as server:
            fetched = await asyncio.gather(*(fetcher.fetch(server.scope) for _ in range(4)))
        await fetcher.aclose()
        return fetched

    assert [fetched.error for fetched in asyncio.run(run())] == [None] * 4


def test_no_connection_is_kept_after_a_fetch() -> None:
    async def run() -> bool:
        gone = asyncio.Event()

        async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            with suppress(OSError):
                if not await reader.read():
                    gone.set()
            writer.close()

        listener = await asyncio.start_server(watch, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        fetcher = Fetcher(ssl_context=client_tls(), limits=LIMITS, user_agent="ExampleBot/1.0")
        await fetcher.fetch(Scope("http", "127.0.0.1", port))
        await asyncio.wait_for(gone.wait(), 1)
        await fetcher.aclose()
        listener.close()
        return gone.is_set()

    assert asyncio.run(run())
