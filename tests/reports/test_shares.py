"""Parts of a whole are rounded in one way, never to all or nothing falsely, and of few nothing is said."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.shares import SUPPRESSED, in_percent, percent, ratio, share, size


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 100, "0.00"),
        (100, 100, "1.00"),
        (629, 1000, "0.63"),
        (1, 200, "<0.01"),  # 0.005 goes to the even digit, which would be none
        (15, 1000, "0.02"),
        (25, 1000, "0.02"),
        (1, 30_000, "<0.01"),
        (9_999, 10_000, ">0.99"),
        (99, 99, SUPPRESSED),
        (0, 1, SUPPRESSED),
        (0, 0, None),
    ],
)
def test_a_ratio_has_two_digits_and_is_withheld_of_fewer_than_100(part: int, whole: int, said: str | None) -> None:
    assert ratio(part, whole) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 7, "0.0%"),
        (1, 10**9, "<0.1%"),
        (1, 2000, "<0.1%"),
        (3, 2000, "0.2%"),
        (1, 3, "33.3%"),
        (629, 1000, "62.9%"),
        (0.43, 1, "43.0%"),
        (9995, 10_000, ">99.9%"),
        (7, 7, "100.0%"),
    ],
)
def test_per_cent_have_one_digit_and_are_not_cut_off(part: float, whole: int, said: str) -> None:
    assert percent(part, whole) == said


@given(whole=st.integers(1, 10**12), part=st.integers(0, 10**12))
def test_only_nothing_is_nothing_and_only_all_is_all(whole: int, part: int) -> None:
    part = min(part, whole)
    said = share(part, whole)
    assert (said == "0.00") is (part == 0)
    assert (said == "1.00") is (part == whole)
    if said[0] not in "<>":
        exact = (Decimal(part) / Decimal(whole)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
        assert abs(Decimal(said) - exact) <= Decimal("0.01") * (part * 200 % whole == 0)


def test_a_rough_share_is_said_and_drawn_as_it_was_given() -> None:
    assert [in_percent(one) for one in ("0.43", "<0.01", ">0.99", "1.00")] == ["43%", "<1%", ">99%", "100%"]
    assert [size(one) for one in ("0.43", "<0.01", ">0.99")] == [0.43, 0.005, 0.99]


@given(whole=st.integers(100, 400), data=st.data())
def test_a_public_share_never_tells_the_number_behind_it(whole: int, data: st.DataObject) -> None:
    """The public knows the band of the whole: several wholes and parts must always come to the same digits."""
    part = data.draw(st.integers(0, whole))
    said = share(part, whole)
    near = {whole: round(size(said) * whole) for whole in range(100, 1000)}
    wholes = [
        other
        for other, about in near.items()
        if any(share(one, other) == said for one in (about - 1, about, about + 1, other - 1) if 0 <= one <= other)
    ]
    assert len(wholes) > 100
