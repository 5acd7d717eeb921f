"""The wishes of the governing groups: how far apart requests are to be, and which use is refused for which path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import robots
from crawl_audit.records import Instant
from crawl_audit.wishes import NONE, Wishes

NOON = Instant(12 * 3_600_000_000)


def wishes(text: str | bytes, *tokens: str) -> Wishes:
    body = text if isinstance(text, bytes) else text.encode()
    return robots.compile_rules(body, tokens or ("ExampleBot",)).wishes


def interval(lines: str, at: Instant = NOON) -> int | None:
    return wishes(f"User-agent: *\n{lines}\n").request_interval_ms(at)


@pytest.mark.parametrize(
    "line,expected",
    [
        ("1/10s", 10_000), ("1/10", 10_000), ("30/1m", 2000), ("1/1h", 3_600_000), ("2/1d", 43_200_000), ("3/1s", 334),
        ("1000/1s", 1), ("5000/1", 1), ("1/90d", 30 * 86_400_000), ("0/10s", None), ("1/0", None), ("fast", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_request_rate_is_milliseconds_per_request(line: str, expected: int | None) -> None:
    assert interval(f"Request-rate: {line}") == expected


@pytest.mark.parametrize(
    "hours,minute,holds",
    [
        ("0600-0845", 6 * 60, True), ("0600-0845", 8 * 60 + 45, True), ("0600-0845", 8 * 60 + 46, False),
        ("0600-0845", 5 * 60 + 59, False), ("2200-0400", 23 * 60, True), ("2200-0400", 4 * 60, True),
        ("2200-0400", 4 * 60 + 1, False), ("2200-0400", 12 * 60, False),
    ],
)  # fmt: skip
def test_a_request_rate_with_hours_holds_in_those_hours_utc(hours: str, minute: int, holds: bool) -> None:
    day = 20_000 * 86_400_000_000
    at = Instant(day + minute * 60_000_000 + 59_999_999)
    assert interval(f"Request-rate: 1/5s {hours}", at) == (5000 if holds else None)


def test_of_several_request_rates_the_slowest_counts() -> None:
    assert interval("Request-rate: 1/2s\nRequest-rate: 1/9s 0000-0100\nRequest-rate: 1/5s") == 5000


def test_only_the_groups_that_govern_are_heard() -> None:
    text = "User-agent: ExampleBot\nRequest-rate: 1/3s\nAllow: /\n\nUser-agent: *\nRequest-rate: 1/9s\nDisallow: /x\n"
    assert wishes(text).request_interval_ms(NOON) == 3000
    assert wishes(text, "OtherBot").request_interval_ms(NOON) == 9000
    assert wishes("Request-rate: 1/3s\nUser-agent: OtherBot\nDisallow: /\n") is NONE


def test_where_two_readings_select_different_groups_both_are_heard() -> None:
    text = "User-agent: AI2Bot\nContent-Signal: ai-train=no\nAllow: /\n\nUser-agent: *\nRequest-rate: 1/9s\nAllow: /\n"
    both = wishes(text, "AI2Bot")
    assert both.refused("content-signal", "ai-train", "/") == "line 2: Content-Signal: ai-train=no"
    assert both.request_interval_ms(NOON) == 9000


@pytest.mark.parametrize(
    "line,category,refused",
    [
        ("Content-Signal: search=yes, ai-train=no", "ai-train", True),
        ("Content-Signal: search=yes,ai-train=no", "search", False),
        ("Content-signal: AI-Train=NO", "ai-train", True),
        ("Content-Signal: ai-train=yes", "ai-train", False),
        ("Content-Signal: ai-train=n", "ai-train", False),
        ("Content-Signal: search=yes", "ai-train", False),
        ("Content-Signal:", "ai-train", False),
        ("Content-Signal: ai-input=no", "ai-input", True),
        ("# Content-Signal: ai-train=no", "ai-train", False),
    ],
)
def test_a_content_signal_refuses_with_no(line: str, category: str, refused: bool) -> None:
    found = wishes(f"User-agent: *\n{line}\nAllow: /\n").refused("content-signal", category, "/a?b")
    assert (found is not None) is refused


def test_one_no_outweighs_every_yes() -> None:
    text = "User-agent: *\nContent-Signal: ai-train=yes\nContent-Signal: ai-train=no\nContent-Signal: ai-train=yes\n"
    assert wishes(text).refused("content-signal", "ai-train", "/") == "line 3: Content-Signal: ai-train=no"


@pytest.mark.parametrize(
    "target,line",
    [
        ("/", 2), ("/a", 2), ("/open/x", None), ("/open/closed/x", 4), ("/op%65n/x", None), ("/open/", None),
        ("/ope", 2), ("/search/x", None), ("/both/x", 7), ("/deep/a/end", 8), ("/deep/a/end/x", None), ("/d#x", 2),
    ],
)  # fmt: skip
def test_the_longest_content_usage_path_decides_and_equal_ones_together(target: str, line: int | None) -> None:
    text = (
        "User-agent: *\n"
        "Content-Usage: train-ai=n\n"
        "Content-Usage: /open/ train-ai=y\n"
        "Content-Usage: /open/closed/ train-ai=n\n"
        "Content-Usage: /search/ search=n\n"
        "Content-Usage: /both/ train-ai=y\n"
        "Content-Usage: /both/ train-ai=n\n"
        "Content-Usage: /deep/*/end$ train-ai=n\n"
        "Content-Usage: /deep/ train-ai=y\n"
    )
    found = wishes(text).refused("content-usage", "train-ai", target)
    assert (None if found is None else int(found.split()[1].rstrip(":"))) == line


def test_a_content_usage_that_cannot_be_read_refuses_nothing() -> None:
    assert wishes("User-agent: *\nContent-Usage: train-ai=no\nContent-Usage: (((\nContent-Usage: train-AI=n\n") is NONE


@given(st.binary(max_size=300), st.text(max_size=50))
def test_any_octets_and_any_target_give_an_answer(octets: bytes, target: str) -> None:
    body = b"User-agent: *\nContent-Usage: " + octets + b"\nRequest-rate: " + octets + b"\nContent-Signal: " + octets
    found = wishes(body)
    assert found.request_interval_ms(NOON) is None or found.request_interval_ms(NOON)
    for protocol, category in (("content-usage", "train-ai"), ("content-signal", "search"), ("tdmrep", "x")):
        answer = found.refused(protocol, category, target)
        assert answer is None or answer.isprintable()


def test_a_path_that_takes_too_long_to_match_counts_as_refused() -> None:
    lines = "".join(f"Content-Usage: /{'*a' * number}*b train-ai=n\n" for number in range(1, 500))
    found = wishes(f"User-agent: *\n{lines}").refused("content-usage", "train-ai", "/" + "a" * 60_000)
    assert found is not None
