"""The crawler's own robots.txt as a fetch of ours."""

from __future__ import annotations

import gzip

import pytest

from proxy_addon.fetcher import Fetched
from proxy_addon.observed import is_answer, observed_answer

RULES = b"User-agent: *\nDisallow: /private\n"


def observed(status: int = 200, wire: bytes = RULES, *headers: tuple[str, str]) -> Fetched:
    url = "https://a.example/robots.txt"
    return observed_answer(status, headers, wire, final_url=url, fetch_ms=7, body_bytes_max=1000)


def test_the_body_is_decoded_and_the_fields_are_joined_as_http_joins_them() -> None:
    cache = (("Cache-Control", "public"), ("cache-control", "max-age=60"))
    fetched = observed(200, gzip.compress(RULES), ("Content-Encoding", "gzip"), ("ETag", '"x"'), *cache)
    assert (fetched.body, fetched.etag, fetched.cache_control) == (RULES, '"x"', "public, max-age=60")
    assert (fetched.status, fetched.error, fetched.duration_ms) == (200, None, 7)


def test_a_long_body_is_cut_and_says_so() -> None:
    fetched = observed(200, b"#" * 1001)
    assert (len(fetched.body or b""), fetched.truncated) == (1000, True)


@pytest.mark.parametrize(
    ("fetched", "word"),
    [
        (observed(206), "partial_content"),
        (observed(200, RULES, ("Content-Encoding", "zstd")), "bad_encoding"),
        (observed(200, gzip.compress(RULES)[:-1], ("Content-Encoding", "gzip")), "bad_encoding"),
    ],
)
def test_what_cannot_be_read_whole_is_a_fault(fetched: Fetched, word: str) -> None:
    assert fetched.body is None
    assert (fetched.error or "").startswith(word + ": ")


def test_the_body_of_an_error_page_is_not_kept() -> None:
    assert observed(404, b"<html>").body is None


@pytest.mark.parametrize(
    ("status", "yes"), [(101, False), (200, True), (301, False), (304, False), (404, True), (503, True)]
)
def test_redirects_and_304_are_no_answers(status: int, yes: bool) -> None:
    assert is_answer(status) is yes
