"""Until when a robots.txt holds, for any header values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.records import Instant, RobotsOutcome
from proxy_addon.freshness import Freshness, cache_directives

HEADER = st.none() | st.text(max_size=40) | st.from_regex(r"(s-)?max-age=[0-9]{0,25}(, no-cache)?", fullmatch=True)
DELAY = st.none() | st.text(max_size=20) | st.from_regex(r"[0-9]{1,25}", fullmatch=True)
SECOND = 1_000_000


@given(
    outcome=st.sampled_from(RobotsOutcome), cache_control=HEADER, age=DELAY, retry=DELAY, failures=st.integers(0, 10**6)
)
def test_no_header_makes_a_copy_hold_less_than_a_minute_or_more_than_a_day(
    outcome: RobotsOutcome, cache_control: str | None, age: str | None, retry: str | None, failures: int
) -> None:
    until = Freshness().valid_until(
        Instant(0), outcome, cache_control=cache_control, age=age, retry_after=retry, failures=failures
    )
    assert 60 * SECOND <= until <= 86_400 * SECOND


@given(failures=st.integers(1, 10**6), retry=DELAY)
def test_an_unreachable_site_is_asked_again_within_the_hour(failures: int, retry: str | None) -> None:
    until = Freshness().valid_until(
        Instant(0), RobotsOutcome.UNREACHABLE, cache_control=None, age=None, retry_after=retry, failures=failures
    )
    assert until <= 3600 * SECOND


def test_a_configured_pause_longer_than_the_doubling_is_kept() -> None:
    freshness = Freshness(unreachable_ttl_s=900)
    until = freshness.valid_until(
        Instant(0), RobotsOutcome.UNREACHABLE, cache_control=None, age=None, retry_after=None, failures=1
    )
    assert until == 900 * SECOND


@pytest.mark.parametrize(
    ("text", "directives"),
    [
        (None, {}),
        ("", {}),
        ("no-cache", {"no-cache": None}),
        ("Max-Age=5, max-age=9", {"max-age": "5"}),
        ('private="a, no-store", max-age = "7"', {"private": "a, no-store", "max-age": "7"}),
    ],
)
def test_cache_control_is_read_as_rfc_9111_writes_it(text: str | None, directives: dict[str, str | None]) -> None:
    assert cache_directives(text) == directives
