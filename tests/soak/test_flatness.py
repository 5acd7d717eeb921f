"""The rule finds a leak in noise, and takes noise for noise."""

from __future__ import annotations

import random

import pytest

from tests.soak.flatness import judge

TIMES = [10.0 * n for n in range(360)]


def noisy(mean: float, spread: float, leak_per_s: float = 0.0, warm_up: float = 0.0) -> list[float]:
    chance = random.Random(3)
    return [
        mean + leak_per_s * at + chance.gauss(0, spread) + (-warm_up if at < TIMES[-1] / 4 else 0.0) for at in TIMES
    ]


def test_a_steady_value_with_noise_is_flat() -> None:
    assert judge(TIMES, noisy(200, 4)).flat
    assert judge(TIMES, [70.0] * len(TIMES)).flat
    assert judge(TIMES, noisy(200, 4, leak_per_s=-0.01)).flat


def test_a_saw_tooth_is_flat() -> None:
    assert judge(TIMES, [150 + (at % 300) / 10 for at in TIMES]).flat


def test_a_warm_up_in_the_first_third_is_no_growth() -> None:
    assert judge(TIMES, noisy(200, 2, warm_up=90)).flat


@pytest.mark.parametrize("spread", [0, 2, 8])
def test_a_leak_of_a_hundred_octets_a_request_is_found(spread: float) -> None:
    found = judge(TIMES, noisy(200, spread, leak_per_s=150 * 100 / 2**20))
    assert not found.flat
    assert found.growth == pytest.approx(34, abs=2)


def test_one_descriptor_lost_a_minute_is_found_and_a_few_to_and_fro_are_not() -> None:
    assert not judge(TIMES, [80 + at // 60 for at in TIMES], least=5).flat
    assert judge(TIMES, [80.0 + (at // 40) % 5 for at in TIMES], least=5).flat


def test_noise_does_not_hide_a_growth_of_a_fifth() -> None:
    assert not judge(TIMES, noisy(200, 90, leak_per_s=0.08)).flat


def test_a_run_too_short_to_judge_is_not_judged() -> None:
    with pytest.raises(ValueError, match="too few"):
        judge(TIMES[:7], TIMES[:7])
    with pytest.raises(ValueError, match="0 samples"):
        judge([], [])
