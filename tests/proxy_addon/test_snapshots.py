"""What an answer becomes in the log."""

from __future__ import annotations

import time

import pytest

from proxy_addon.snapshots import looks_like_html

RULES = b"User-agent: *\nDisallow: /private\n"


@pytest.mark.parametrize(
    ("body", "html"),
    [
        (b"<!DOCTYPE html><html>", True),
        (b"\xef\xbb\xbf \r\n<HTML lang=ja>", True),
        (b"<!-- a --><!-- b -->\n<head>", True),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">', True),
        (b"", False),
        (RULES, False),
        (b"# <html> is not allowed\nUser-agent: *", False),
        (b"<User-agent: *", False),
    ],
)
def test_html_is_told_from_rules(body: bytes, html: bool) -> None:
    assert looks_like_html(body) is html


def test_telling_html_takes_no_time_on_a_thousand_comments() -> None:
    started = time.perf_counter()
    assert not looks_like_html(b"<!---->" * 100_000)
    assert time.perf_counter() - started < 0.1
