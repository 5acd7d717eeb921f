"""Which of the shipped segments are read: those that lie within no other, unless a compacted day stands for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.errors import LogFormatError
from reports import torn_uploads
from reports.findings import Findings, Result
from reports.log import NotALogError
from reports.remote_listing import outermost


def test_segments_one_after_the_other_are_all_read() -> None:
    places = [("b", 0, 9), ("a", 10, 19), ("a", 0, 9), ("a", 30, 39)]
    assert outermost(places) == [("a", 0, 9), ("a", 10, 19), ("a", 30, 39), ("b", 0, 9)]


def test_a_segment_within_another_is_left_out() -> None:
    assert outermost([("a", 0, 9), ("a", 0, 4), ("a", 5, 9), ("a", 3, 3)]) == [("a", 0, 9)]


@pytest.mark.parametrize("other", [("a", 5, 14), ("a", 9, 9 + 3)])
def test_segments_that_share_some_records_are_refused(other: tuple[str, int, int]) -> None:
    with pytest.raises(LogFormatError, match="overlap"):
        outermost([("a", 0, 9), other])


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted), max_size=8))
def test_no_record_is_read_twice_and_none_is_left_out(spans: list[list[int]]) -> None:
    places = {("a", first, last) for first, last in spans}
    try:
        chosen = outermost(places)
    except LogFormatError:
        return
    read = [seq for _, first, last in chosen for seq in range(first, last + 1)]
    assert len(read) == len(set(read))
    assert set(read) == {seq for _, first, last in places for seq in range(first, last + 1)}


def test_uploads_that_are_not_whole_make_a_verification_incomplete() -> None:
    findings, refused = Findings(), [("b", "x")]
    torn_uploads.name(["a/000000000000-000000000009"], refused, findings)
    assert refused == [("b", "x"), ("a", "000000000000-000000000009")]
    assert findings.result is Result.INCOMPLETE


def test_a_directory_is_its_own_place_and_another_scheme_is_refused() -> None:
    assert torn_uploads.located("audit-log") == ("audit-log", ())
    with pytest.raises(NotALogError, match="copy the evidence"):
        torn_uploads.located("https://example.com/log")
