"""Ranges of records put together answer as the set of records would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.shipped_ranges import Coverage

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=20)


@given(RANGES, st.integers(0, 70), st.integers(0, 9))
def test_coverage_answers_as_a_set_of_records_does(ranges: list[tuple[int, int]], first: int, more: int) -> None:
    records = {seq for start, end in ranges for seq in range(start, end + 1)}
    coverage, asked = Coverage(), set(range(first, first + more + 1))
    for one in ranges:
        coverage.add(*one)
    assert coverage.covers(first, first + more) is (asked <= records)
    assert coverage.touches(first, first + more) is bool(asked & records)
    assert {seq for start, end in coverage.runs for seq in range(start, end + 1)} == records
    assert all(end + 1 < start for (_, end), (start, _) in zip(coverage.runs, coverage.runs[1:], strict=False))
