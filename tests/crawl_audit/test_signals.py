"""Signals in robots.txt lines and answer fields: found, scoped, read, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl_audit.signals import RAW_CHARACTERS_MAX, SIGNALS_MAX, response_signals, robots_signals
from crawl_audit.text import is_storable


@pytest.mark.parametrize(
    ("line", "protocol", "value"),
    [
        ("Content-Signal: search=yes, ai-train=no", "content-signal", "search=yes, ai-train=no"),
        (
            "content-signal: search=yes,ai-train=no,use=reference",
            "content-signal",
            "search=yes, ai-train=no, use=reference",
        ),
        ("Content-Signal: nothing", "content-signal", None),
        ("Content-Usage: train-ai=n, search=y", "content-usage", "train-ai=n, search=y; vocab-07"),
        ("Content-Usage: train-ai=maybe", "content-usage", None),
        ("Content-Usage: train-ai=", "content-usage", None),
        ("Crawl-delay: 2.5", "crawl-delay", "2.5 s"),
        ("Crawl-delay: soon", "crawl-delay", None),
        ("Request-rate: 1/10", "request-rate", "1 per 10 s"),
        ("Request-rate: 30/5m 0800-1700", "request-rate", "30 per 300 s, 0800-1700 UTC"),
        ("Request-rate: 3/0", "request-rate", None),
        ("Visit-time: 400-0845", "visit-time", "0400-0845 UTC"),
    ],
)
def test_a_line_of_a_group_is_found_with_its_user_agents(line: str, protocol: str, value: str | None) -> None:
    (found,) = robots_signals(f"User-agent: *\nUser-agent: GPTBot\n{line} # c\nDisallow: /\n".encode())
    assert (found.protocol, found.raw, found.value, found.scope) == (protocol, line, value, "*, GPTBot")


def test_a_content_usage_rule_names_its_path() -> None:
    (found,) = robots_signals(b"User-agent: *\nContent-Usage: /art/ train-ai=n\n")
    assert (found.value, found.scope) == ("train-ai=n; vocab-07", "* /art/")


def test_a_license_line_is_global_wherever_it_stands() -> None:
    found = robots_signals(b"License: https://x.example/1.xml\nUser-agent: a\nLicense: https://x.example/2.xml\n")
    assert [(one.protocol, one.value, one.scope) for one in found] == [
        ("rsl", "https://x.example/1.xml", None),
        ("rsl", "https://x.example/2.xml", None),
    ]


def test_a_line_before_any_group_has_no_scope() -> None:
    (found,) = robots_signals(b"Crawl-delay: 3\nUser-agent: a\n")
    assert found.scope is None


def test_signals_stand_in_the_order_of_the_file() -> None:
    body = b"Crawl-delay: 1\nUser-agent: a\nCrawl-delay: 2\nDisallow: /\nUser-agent: b\nCrawl-delay: 3\n"
    assert [found.value for found in robots_signals(body)] == ["1 s", "2 s", "3 s"]


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        ("Content-Usage", "train-ai=n", [("content-usage", "train-ai=n; vocab-07", None)]),
        ("Content-Usage", "train-ai=n;exceptions=1, x", [("content-usage", "train-ai=n; vocab-07", None)]),
        ("Content-Usage", "=broken", [("content-usage", None, None)]),
        ("Content-Usage", "TRAIN-AI=n", [("content-usage", None, None)]),
        ("content-signal", "ai-train=yes, search=yes", [("content-signal", "ai-train=yes, search=yes", None)]),
        ("TDM-Reservation", "1", [("tdmrep", "reserved", None)]),
        ("tdm-reservation", "0", [("tdmrep", "not reserved", None)]),
        ("tdm-reservation", "yes", [("tdmrep", None, None)]),
        ("tdm-policy", "https://x.example/p.json", [("tdmrep", "https://x.example/p.json", None)]),
        ("X-Robots-Tag", "noai, NoImageAI", [("x-robots-tag", "noai, noimageai", None)]),
        ("X-Robots-Tag", "GPTBot: noindex, nofollow", [("x-robots-tag", "noindex, nofollow", "GPTBot")]),
        (
            "X-Robots-Tag",
            "noarchive, a: noindex, none, b: noai",
            [
                ("x-robots-tag", "noarchive", None),
                ("x-robots-tag", "noindex, none", "a"),
                ("x-robots-tag", "noai", "b"),
            ],
        ),
        ("X-Robots-Tag", "max-snippet: 5, noai", [("x-robots-tag", "max-snippet: 5, noai", None)]),
        (
            "X-Robots-Tag",
            "unavailable_after: 25 Jun 2010 15:00:00 PST",
            [("x-robots-tag", "unavailable_after: 25 jun 2010 15:00:00 pst", None)],
        ),
        (
            "Robots-Tag",
            "*=noindex, nosnippet; ExampleBot=;",
            [("x-robots-tag", "noindex, nosnippet", "*"), ("x-robots-tag", None, "ExampleBot")],
        ),
        (
            "Link",
            '</a>; rel="next", <https://x.example/l.xml>; rel="license"; type="application/rsl+xml"',
            [("rsl", "https://x.example/l.xml", None)],
        ),
        ("Link", "<https://x.example/by>; rel=license", [("license", "https://x.example/by", None)]),
        ("Link", "<https://x.example/by>; rel=stylesheet", []),
        ("WWW-Authenticate", 'License error="x"', [("rsl", 'license error="x"', None)]),
        ("WWW-Authenticate", 'Basic realm="a", License', [("rsl", "license", None)]),
        ("WWW-Authenticate", 'Basic realm="License"', []),
        ("crawler-price", "USD 0.01", [("pay-per-crawl", "price USD 0.01", None)]),
        ("crawler-charged", "USD 0.01", [("pay-per-crawl", "charged USD 0.01", None)]),
        ("Crawler-Error", "CrawlerForbidden", [("pay-per-crawl", "error CrawlerForbidden", None)]),
        ("Retry-After", "120", [("retry-after", "120 s", None)]),
        ("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT", [("retry-after", "1999-12-31T23:59:59Z", None)]),
        ("Retry-After", "later", [("retry-after", None, None)]),
        ("Content-Type", "text/html", []),
    ],
)
def test_a_field_of_an_answer_is_read(name: str, sent: str, expected: list[tuple[str, str | None, str | None]]) -> None:
    found = response_signals([(name, sent)])
    assert [(one.protocol, one.value, one.scope) for one in found] == expected
    assert all(one.raw == f"{name}: {sent}" for one in found)


def test_every_instance_of_a_field_counts() -> None:
    found = response_signals([("X-Robots-Tag", "noai"), ("Server", "x"), ("X-Robots-Tag", "a: none")])
    assert [one.scope for one in found] == [None, "a"]


def test_raw_text_and_count_are_bounded() -> None:
    (long,) = response_signals([("X-Robots-Tag", "n" * 10_000)])
    assert len(long.raw) <= RAW_CHARACTERS_MAX
    assert len(response_signals([("X-Robots-Tag", "noai")] * 1000)) == SIGNALS_MAX
    assert len(robots_signals(b"Crawl-delay: 1\n" * 1000)) == SIGNALS_MAX


FIELD = st.sampled_from(
    "content-usage content-signal tdm-reservation tdm-policy x-robots-tag robots-tag link www-authenticate "
    "crawler-price retry-after".split()
)
SENT = st.one_of(st.text(st.characters(), max_size=40), st.text('<>;="\\, :/y1=nrelicense*', max_size=40))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(FIELD, SENT), max_size=4))
def test_any_fields_give_storable_signals(headers: list[tuple[str, str]]) -> None:
    for found in response_signals(headers):
        assert all(is_storable(text or "") for text in (found.raw, found.value, found.scope))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"Content-Usage", b"Request-rate", b"Visit-time", b":", b" ", b"1/0", b"\xff", b"\n"]))
)
def test_any_octets_give_storable_signals(parts: list[bytes]) -> None:
    for found in robots_signals(b"User-agent: \x9b\n" + b"".join(parts)):
        assert all(is_storable(text or "") for text in (found.raw, found.value, found.scope))
