"""Fields of one connection, and fields between crawler and proxy, go no further; all others pass as they came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.hop_by_hop import Fields, to_crawler, to_site


def fields(*lines: str) -> Fields:
    pairs = (line.split(": ", 1) for line in lines)
    return tuple((name.encode(), value.encode()) for name, value in pairs)


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (("Proxy-Authorization: Basic c2VjcmV0", "Accept: a/b"), ("Accept: a/b",)),
        (("proxy-connection: keep-alive", "Proxy-Anything: x"), ()),
        (("Keep-Alive: timeout=5", "TE: trailers"), ()),
        (("Connection: X-Private, close", "x-private: 1", "X-Public: 2"), ("Connection: close", "X-Public: 2")),
        (("Connection: a", "Connection: b , keep-alive", "A: 1", "B: 2"), ("Connection: keep-alive",)),
        (("Connection: , ,",), ()),
        # What frames or addresses the message, or is on record as sent, stays whatever Connection names.
        (
            ("Connection: Host, Content-Length, Transfer-Encoding, User-Agent", "Host: a", "User-Agent: Bot"),
            ("Host: a", "User-Agent: Bot"),
        ),
        (("Connection: Cookie", "Cookie: a=b"), ()),
        # One change of protocol passes, asked for in the one way in which it is.
        (
            ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
            ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
        ),
        (("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"), ()),
        (("Connection: Upgrade", "Upgrade: websocket, h2c"), ()),
        (("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"), ()),
        (("Upgrade: websocket",), ()),
        (("Cookie: a", "Cookie: b", "X-A: 1"), ("Cookie: a", "Cookie: b", "X-A: 1")),
    ],
)
def test_what_a_site_gets_of_a_request(sent: tuple[str, ...], passed: tuple[str, ...]) -> None:
    assert to_site(fields(*sent)) == fields(*passed)


@pytest.mark.parametrize(
    ("sent", "status", "passed"),
    [
        (("Proxy-Authenticate: Basic realm=x", "WWW-Authenticate: Basic"), 407, ("WWW-Authenticate: Basic",)),
        (("Proxy-Status: crawl-audit; error=http_request_denied",), 403, ()),
        (('Proxy-Status: cdn, "crawl-audit"; error=x',), 403, ()),
        (("Proxy-Status: cdn.example; hit",), 200, ("Proxy-Status: cdn.example; hit",)),
        (("Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: 5"), 200, ("Connection: close",)),
        (("Upgrade: h2c", "Connection: Upgrade"), 200, ()),
        (("Upgrade: websocket", "Connection: Upgrade"), 101, ("Upgrade: websocket", "Connection: Upgrade")),
        (
            ("X-Folded: a\r\n  b\r\n\tc", "X-Nul: a\0b", "X-Cr: a\rb"),
            200,
            ("X-Folded: a b c", "X-Nul: a b", "X-Cr: a b"),
        ),
        (("Set-Cookie: a", "Set-Cookie: b"), 200, ("Set-Cookie: a", "Set-Cookie: b")),
    ],
)
def test_what_a_crawler_gets_of_an_answer(sent: tuple[str, ...], status: int, passed: tuple[str, ...]) -> None:
    assert to_crawler(fields(*sent), status) == fields(*passed)


NAMES = st.sampled_from([b"Connection", b"Proxy-X", b"TE", b"Upgrade", b"Host", b"X-A", b"Content-Length", b"Cookie"])
VALUES = st.one_of(st.binary(max_size=12), st.sampled_from([b"x-a, close", b"host", b"upgrade", b"websocket", b"te"]))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(tuple)


@given(FIELDS)
def test_no_field_is_made_up_reordered_or_left_that_must_go(sent: Fields) -> None:
    passed = to_site(sent)
    left = iter(sent)
    assert all(
        any(name == other and (value == was or name == b"Connection") for other, was in left) for name, value in passed
    )
    names = [name for name, _ in passed]
    assert not {b"Proxy-X", b"TE"} & set(names)
    for essential in (b"Host", b"Content-Length"):
        assert names.count(essential) == [name for name, _ in sent].count(essential)
    assert to_site(passed) == passed
