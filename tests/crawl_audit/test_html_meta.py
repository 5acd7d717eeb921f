"""Usage preferences in HTML: what is found, what is not looked at, and that nothing takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import html_meta
from crawl_audit.html_meta import html_signals
from crawl_audit.text import is_storable

TOKENS = ("GPTBot", "*")
ROBOTS = b'<meta name="robots" content="noai">'


def readings(page: bytes | str) -> list[tuple[str, str | None, str | None]]:
    body = page if isinstance(page, bytes) else page.encode()
    return [(signal.protocol, signal.value, signal.scope) for signal in html_signals(body, TOKENS)]


@pytest.mark.parametrize(
    ("tag", "reading"),
    [
        ('<meta = name="robots" "x" content="noai">', ("meta-robots", "noai", None)),
        ('<meta name="robots" content="noai, noimageai">', ("meta-robots", "noai, noimageai", None)),
        ("<META CONTENT='NoAI,NOINDEX' NAME='Robots'/>", ("meta-robots", "noai, noindex", None)),
        ("<meta name=robots content=none>", ("meta-robots", "none", None)),
        ("<meta\nname = robots\n content = noai >", ("meta-robots", "noai", None)),
        ('<meta name="gptbot" content="noindex">', ("meta-robots", "noindex", "GPTBot")),
        ('<meta name="robots" content="">', ("meta-robots", None, None)),
        ('<meta name="robots">', ("meta-robots", None, None)),
        ('<meta name="robots" content="no&#97;i &amp; x">', ("meta-robots", "noai & x", None)),
        ('<meta name="robots" content="a>b">', ("meta-robots", "a>b", None)),
        ('<meta name=robots name=x content=noai content="">', ("meta-robots", "noai", None)),
        ('<meta name="tdm-reservation" content="1">', ("tdmrep", "reserved", None)),
        ('<meta name="tdm-reservation" content="0">', ("tdmrep", "not reserved", None)),
        ('<meta name="tdm-reservation" content="yes">', ("tdmrep", None, None)),
        ('<meta name="tdm-policy" content="https://a.example/p">', ("tdmrep", "https://a.example/p", None)),
        (
            '<link rel="alternate license" type="application/rsl+xml" href="https://a.example/l.xml">',
            ("rsl", "https://a.example/l.xml", None),
        ),
    ],
)
def test_a_tag_is_read(tag: str, reading: tuple[str, str | None, str | None]) -> None:
    assert readings(f"<!doctype html><html><head><title>x</title>{tag}</head><body>") == [reading]


@pytest.mark.parametrize(
    "page",
    [
        '<meta name="description" content="robots noai">',
        '<meta name="googlebot" content="noindex">',
        '<meta name="*" content="noindex">',
        '<metadata name="robots" content="noai">',
        '<link rel="license" href="https://a.example/licence.html">',
        '<link rel="stylesheet" type="application/rsl+xml" href="x">',
        '<!-- <meta name="robots" content="noai"> -->',
        '<script>document.write(\'<meta name="robots" content="noai">\')</script>',
        '<SCRIPT type=x><meta name="robots" content="noai"></script >',
        '<title><meta name="robots" content="noai"></title>',
        '<textarea><meta name="robots" content="noai">',
        '<meta name="robots" content="noai"',
        '<meta name="robots" content="noai',
        '<!-- not ended <meta name="robots" content="noai">',
        "",
    ],
)
def test_what_states_nothing_gives_nothing(page: str) -> None:
    assert readings(page) == []


@pytest.mark.parametrize(
    "before", ["<!---->", "<!-->", "<!--->", "<script></script>", "<title>\u0130</TITLE>", "<", "<!>"]
)
def test_a_tag_after_what_ended_is_seen(before: str) -> None:
    assert readings(before.encode() + ROBOTS) == [("meta-robots", "noai", None)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "shift_jis"])
def test_the_encoding_of_the_page_does_not_matter(encoding: str) -> None:
    page = '<meta name="author" content="x"><meta name="robots" content="noai">'
    assert readings(page.encode(encoding)) == [("meta-robots", "noai", None)]


def test_the_raw_text_is_the_whole_tag() -> None:
    page = b"<html>" + ROBOTS + b"<meta name=tdm-reservation content=1 />text"
    assert [s.raw for s in html_signals(page, ())] == [ROBOTS.decode(), "<meta name=tdm-reservation content=1 />"]


def test_only_the_first_64_kib_are_read() -> None:
    padding = b" " * (html_meta.SCAN_BYTES_MAX - len(ROBOTS))
    assert len(readings(padding + ROBOTS)) == 1
    assert readings(padding + b" " + b"<p>" + ROBOTS) == []


def test_no_more_signals_are_taken_than_the_bound() -> None:
    assert len(readings(ROBOTS * 500)) == html_meta.SIGNALS_MAX


HOSTILE = {
    "angles": b"<",
    "metas": b"<meta ",
    "empty metas": b"<meta>",
    "slashes": b"<meta/",
    "open quotes": b'<meta a="',
    "crossed quotes": b"<meta a='<meta a=\"",
    "attributes": b"<meta a=1 b=2 c=3 d=4 e=5 f=6 g=7>",
    "references": b'<meta a="&amp;&amp;&#120;&amp;">',
    "comments": b"<!---->",
    "open comments": b"<!--",
    "scripts": b"<script></script>",
    "open scripts": b"<script ",
    "white space": b"<meta a \n",
    "equals": b"<meta =",
    "long number": b'<meta name=robots content="&#' + b"1" * 65_000 + b'">',
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_page_takes_no_time_worth_a_thread(piece: bytes) -> None:
    page = (piece * (html_meta.SCAN_BYTES_MAX // len(piece) + 1))[: html_meta.SCAN_BYTES_MAX]
    times = []
    for _ in range(5):
        started = time.perf_counter()
        html_signals(page, TOKENS)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.03  # measured: 3 ms at worst on an idle machine


@given(st.binary(max_size=200))
def test_any_octets_give_signals_that_can_be_recorded(body: bytes) -> None:
    for signal in html_signals(body + ROBOTS + body, TOKENS):
        assert is_storable(signal.raw)
        assert is_storable(signal.value or "")


pieces = st.sampled_from(
    [
        "<meta ",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        'name="robots"',
        "content=",
        '"',
        "'",
        ">",
        "/",
        " ",
        "=",
        "é",
        "x",
    ]
)


@given(st.lists(pieces, max_size=20))
def test_pieces_of_html_in_any_order_give_an_answer_of_whole_tags(parts: list[str]) -> None:
    page = "".join(parts)
    for signal in html_signals(page.encode(), TOKENS):
        assert signal.raw.startswith("<meta")
        assert signal.raw in page
