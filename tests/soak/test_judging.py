"""The soak finds what it is there for: each broken promise, planted in accounts that agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.soak import crawl, judging
from tests.soak.judging import Counted
from tests.soak.sampling import Sample


def agreeing(**changes: Any) -> Counted:
    """Five requests: forwarded, denied, left before its decision, a stranger's, left after it."""
    values: dict[str, Any] = {
        "statuses": [200, 403, crawl.NOTHING, 407, crawl.NOTHING],
        "decided": [1, 1, 0, 0, 1],
        "forwarded": [1, 0, 0, 0, 1],
        "ended": [1, 0, 0, 0, 1],
        "seen": [1, 0, 0, 0, 0],
        "incidents": 1,
    }
    return Counted(**{**values, **changes})


def test_accounts_that_agree_are_counted() -> None:
    counted = agreeing()
    assert judging.histories(counted) == {
        "requests": 5,
        "decisions": 3,
        "unknown_crawler": 1,
        "never_decided": 1,
        "forwarded": 2,
        "completions": 2,
        "seen_by_sites": 1,
    }
    assert counted.failures == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"decided": [0, 1, 0, 0, 1]}, "1 requests were answered and not on record"),
        ({"decided": [2, 1, 0, 0, 1]}, "1 requests were on record twice"),
        ({"seen": [1, 1, 0, 0, 0]}, "1 requests were seen by a site and not on record as forwarded"),
        ({"ended": [1, 0, 0, 0, 0]}, "1 requests were forwarded and not ended exactly once"),
        ({"ended": [2, 0, 0, 0, 1]}, "1 requests were forwarded and not ended exactly once"),
        ({"incidents": 0}, "1 requests were refused as unknown and not on record as that"),
    ],
)
def test_what_does_not_agree_is_said(changes: dict[str, Any], sentence: str) -> None:
    counted = agreeing(**changes)
    judging.histories(counted)
    assert counted.failures == [sentence]


def samples(**growing: float) -> list[Sample]:
    first = Sample(
        at_s=0,
        requests=0,
        rss_mib=200,
        pss_mib=150,
        threads=20,
        descriptors=60,
        queue=0,
        open_exchanges=5,
        lag_mean_ms=1,
        lag_p99_ms=5,
        log_mib=1,
        segments=1,
    )
    return [
        replace(first, at_s=10.0 * n, **{name: getattr(first, name) + by * n for name, by in growing.items()})
        for n in range(60)
    ]


def test_nothing_that_grows_is_nothing_to_say() -> None:
    rows, failures = judging.growth(samples(log_mib=1.0))
    assert failures == []
    assert [row["what"] for row in rows] == [name for name, _, _ in judging.WATCHED]


@pytest.mark.parametrize("name", [name for name, _, _ in judging.WATCHED])
def test_anything_watched_that_grows_is_said(name: str) -> None:
    _, failures = judging.growth(samples(**{name: 2.0}))
    assert [sentence.split(" ")[0] for sentence in failures] == [name]


def test_the_number_of_a_request_is_found_in_what_a_site_saw() -> None:
    targets = ["/page?id=7", "/odd/big?id=12&bytes=5", "/robots.txt", "/page?id=", "/page"]
    assert judging.tally(13, crawl.numbers(iter(targets))) == [0] * 7 + [1] + [0] * 4 + [1]
