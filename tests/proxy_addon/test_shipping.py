"""What is to be shipped is what no shipped segment covers, and never what overlaps one."""

from __future__ import annotations

import pytest

from crawl_audit.shipped_ranges import Coverage
from proxy_addon.shipping import ShipStatus, pause_s, plan, removable


def test_what_is_not_shipped_is_to_be_shipped_oldest_first() -> None:
    found = plan([(20, 29), (0, 9), (10, 19)], Coverage([(0, 9)]))
    assert (found.ship, found.overlapping) == (((10, 19), (20, 29)), ())


def test_what_was_merged_of_shipped_segments_is_not_shipped_again() -> None:
    assert plan([(0, 29)], Coverage([(0, 9), (20, 29), (10, 19)])).ship == ()


def test_what_overlaps_shipped_records_is_never_shipped() -> None:
    found = plan([(0, 29), (30, 39)], Coverage([(10, 19)]))
    assert (found.ship, found.overlapping) == (((30, 39),), ((0, 29),))


@pytest.mark.parametrize(
    "verified,expected",
    [
        ({(0, 9): 100.0, (10, 19): 100.0, (20, 29): 100.0}, [(0, 9), (10, 19)]),
        ({(0, 9): 100.0, (20, 29): 100.0}, [(0, 9)]),
        ({(10, 19): 100.0}, []),
        ({(0, 9): 901.0, (10, 19): 100.0}, []),
        ({(0, 4): 100.0, (5, 19): 900.0}, [(0, 9), (10, 19)]),
        ({}, []),
    ],
    ids=range(6),
)
def test_the_oldest_leave_first_without_a_gap_and_the_newest_stays(
    verified: dict[tuple[int, int], float], expected: list[tuple[int, int]]
) -> None:
    local = [(20, 29), (0, 9), (10, 19)]
    assert removable(local, verified, now=1000.0, keep_s=100.0) == expected


def test_pauses_double_up_to_the_longest_and_chance_takes_up_to_half() -> None:
    assert [pause_s(n, first_s=1, longest_s=60, chance=0) for n in (1, 2, 3, 7, 1000)] == [1, 2, 4, 60, 60]
    assert pause_s(3, first_s=1, longest_s=60, chance=1) == 2


def test_a_status_warns_of_faults_conflicts_and_problems() -> None:
    status = ShipStatus.from_json({"fault": "A.", "conflicts": ["B."], "problems": ["C."]})
    assert status.warnings == ["A.", "B.", "C."] and not ShipStatus().warnings
    with pytest.raises(TypeError):
        ShipStatus.from_json({"other": 1})
