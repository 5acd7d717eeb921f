"""HTML pages that pass state usage preferences: kept up to a bound, decoded, and recorded with their exchange."""

from __future__ import annotations

import asyncio
import gzip

import brotli
import pytest
from mitmproxy import http
from mitmproxy.proxy.layers.http import HttpRequestHeadersHook, HttpResponseHeadersHook, HttpResponseHook

from crawl_audit.html_meta import SCAN_BYTES_MAX
from proxy_addon import page_signals
from tests.proxy_addon.fakes import Parts, answered, flow, production

PAGE = b'<html><head><meta name="robots" content="noai"><meta name="examplebot" content="none"></head>' + b"x" * 100_000
READ = [("meta-robots", "noai", None), ("meta-robots", "none", "ExampleBot")]


def readings(wire: bytes, coding: str | None = None) -> list[tuple[str, str | None, str | None]]:
    return [(s.protocol, s.value, s.scope) for s in page_signals.signals_of(wire, coding, ("ExampleBot",))]


@pytest.mark.parametrize(
    ("coding", "wire"),
    [
        (None, PAGE),
        ("gzip", gzip.compress(PAGE, mtime=0)),
        ("br", brotli.compress(PAGE)),
        ("gzip", gzip.compress(PAGE, 0, mtime=0)),
    ],
    ids=["plain", "gzip", "brotli", "gzip-cut-off"],
)
def test_the_first_octets_of_a_page_are_enough(coding: str | None, wire: bytes) -> None:
    assert readings(wire[: page_signals.WIRE_BYTES_MAX], coding) == READ


@pytest.mark.parametrize(
    ("coding", "wire"),
    [("zstd", PAGE), ("gzip", PAGE), ("br", b"\xff\xff\xff"), ("gzip", gzip.compress(PAGE, mtime=0)[:9]), (None, b"")],
)
def test_what_cannot_be_decoded_states_nothing(coding: str | None, wire: bytes) -> None:
    assert readings(wire, coding) == []


def test_what_was_decoded_before_a_fault_counts() -> None:
    wire = bytearray(gzip.compress(PAGE[:200], 0) + b"\x1f\x8b" + b"garbage")
    assert readings(bytes(wire), "gzip") == READ


def test_a_bomb_is_decoded_no_further_than_is_read() -> None:
    bomb = gzip.compress(b" " * (SCAN_BYTES_MAX - 10) + PAGE + bytes(50_000_000))
    assert readings(bomb[: page_signals.WIRE_BYTES_MAX], "gzip") == []


@pytest.mark.parametrize(
    ("content_type", "page"),
    [
        ("text/html", True),
        ("Text/HTML; charset=utf-8", True),
        ("application/xhtml+xml", True),
        ("text/plain", False),
        ("application/json", False),
        ("", False),
        (None, False),
    ],
)
def test_a_page_is_told_by_its_media_type(content_type: str | None, page: bool) -> None:
    assert page_signals.is_page(content_type) is page


# --- at the hooks --------------------------------------------------------------------------------------------------


def crawled(*, html_meta: bool, path: str = "/a", content_type: str = "text/html") -> Parts:
    """One exchange whose answer is ``PAGE``, in pieces."""
    parts = Parts()
    parts.addon._html_meta = html_meta

    async def exchange(made: http.HTTPFlow) -> None:
        async with production(parts.addon) as trigger:
            await trigger(HttpRequestHeadersHook(made))
            answered(made, content_type=content_type)
            await trigger(HttpResponseHeadersHook(made))
            assert made.response is not None
            stream = made.response.stream
            assert callable(stream)
            for start in range(0, len(PAGE), 50):
                assert stream(PAGE[start : start + 50]) == PAGE[start : start + 50]
            await trigger(HttpResponseHook(made))

    asyncio.run(exchange(flow(path)))
    return parts


def test_the_signals_of_a_page_are_recorded_with_its_exchange() -> None:
    parts = crawled(html_meta=True)
    assert [(s.protocol, s.value, s.scope) for s in parts.log.signals] == READ
    assert {s.exchange_id for s in parts.log.signals} == {parts.log.decisions[0].exchange_id}
    assert parts.log.completions[0].response_bytes == len(PAGE)


@pytest.mark.parametrize(
    "case",
    [
        {"html_meta": False},
        {"html_meta": True, "content_type": "text/plain"},
        {"html_meta": True, "path": "/robots.txt"},
    ],
    ids=["switched-off", "not-html", "robots-txt"],
)
def test_other_answers_are_not_read(case: dict[str, object]) -> None:
    parts = crawled(**case)  # type: ignore[arg-type]
    assert parts.log.signals == []
    assert len(parts.log.completions) == 1
