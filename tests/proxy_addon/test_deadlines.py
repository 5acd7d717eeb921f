"""Every phase has an end that no drip can move, and nothing that moves fast enough is ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon import deadlines
from proxy_addon.deadlines import Deadline, Limits, Phase, Progress, advanced, passed

LIMITS = Limits(
    connect_s=10,
    tls_s=11,
    first_byte_s=60,
    idle_s=120,
    total_s=3600,
    rate_bytes_s=100,
    rate_window_s=60,
    client_head_s=15,
)
WAITS = {
    Phase.CONNECT: (10, Deadline.CONNECT),
    Phase.TLS: (11, Deadline.TLS),
    Phase.FIRST_BYTE: (60, Deadline.FIRST_BYTE),
    Phase.HEAD: (60, Deadline.HEAD),
    Phase.CLIENT_HEAD: (15, Deadline.CLIENT_HEAD),
    Phase.CLIENT_IDLE: (120, Deadline.CLIENT_IDLE),
}


def run(steps: list[tuple[float, Phase, int]], limits: Limits = LIMITS) -> tuple[float, Deadline] | None:
    """Look at every step (time, phase, octets so far); when a deadline had passed, and which."""
    progress: Progress | None = None
    for now, phase, octets in steps:
        progress = advanced(progress, phase, octets, now, limits)
        deadline = passed(progress, now, now, limits)
        if deadline is not None:
            return now, deadline
    return None


@pytest.mark.parametrize("phase", list(WAITS))
def test_a_wait_ends_at_its_limit_however_much_drips(phase: Phase) -> None:
    seconds, deadline = WAITS[phase]
    assert run([(now, phase, now) for now in range(seconds)]) is None
    assert run([(now, phase, now) for now in range(seconds + 5)]) == (seconds, deadline)


def test_half_a_head_shares_the_clock_of_the_first_byte() -> None:
    steps = [(now, Phase.FIRST_BYTE if now < 50 else Phase.HEAD, 0) for now in range(100)]
    assert run(steps) == (60, Deadline.HEAD)


def test_each_phase_has_a_clock_of_its_own() -> None:
    steps = [(now, Phase.CONNECT, 0) for now in range(9)]
    steps += [(now, Phase.TLS, 0) for now in range(9, 19)]
    steps += [(now, Phase.FIRST_BYTE, 0) for now in range(19, 78)]
    assert run(steps) is None


@pytest.mark.parametrize(("phase", "deadline"), [(Phase.BODY, Deadline.RATE), (Phase.REQUEST, Deadline.REQUEST)])
def test_a_body_that_drips_ends_after_one_window(phase: Phase, deadline: Deadline) -> None:
    assert run([(now, phase, now * 5) for now in range(200)]) == (60, deadline)


@pytest.mark.parametrize("phase", [Phase.BODY, Phase.REQUEST])
def test_a_body_that_stalls_after_much_ends_within_two_windows(phase: Phase) -> None:
    ended = run([(now, phase, min(now, 90) * 10_000) for now in range(400)])
    assert ended is not None
    assert 90 + 59 <= ended[0] <= 90 + 2 * 60


@given(st.lists(st.integers(100, 1_000_000), min_size=1, max_size=300))
def test_a_body_that_moves_at_the_least_rate_is_never_ended_for_it(each_second: list[int]) -> None:
    total, steps = 0, []
    for now, octets in enumerate(each_second):
        steps.append((float(now), Phase.BODY, total))
        total += octets
    assert run(steps) is None


@given(st.lists(st.integers(0, 200), min_size=200, max_size=400))
def test_a_body_below_the_rate_ends_in_bounded_time_whatever_its_rhythm(each_second: list[int]) -> None:
    slow = [octets % 100 for octets in each_second]
    total, steps = 0, []
    for now, octets in enumerate(slow):
        steps.append((float(now), Phase.BODY, total))
        total += octets
    ended = run(steps)
    assert ended is not None
    assert ended[0] <= 120


def test_without_a_least_rate_only_silence_and_the_total_end_a_body() -> None:
    limits = Limits(rate_bytes_s=0, idle_s=120, total_s=3600)
    assert run([(now, Phase.BODY, now) for now in range(3600)], limits) is None
    assert run([(now, Phase.BODY, 7) for now in range(200)], limits) == (120, Deadline.IDLE)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in WAITS])
def test_nothing_lives_longer_than_its_total(phase: Phase) -> None:
    steps = [(now, phase, now * 10_000) for now in range(0, 4000, 10)]
    assert run(steps) == (3600, Deadline.TOTAL)
    assert run(steps, Limits(total_s=0)) is None


def test_a_websocket_may_be_slow_and_not_silent() -> None:
    assert run([(now, Phase.UPGRADED, now // 100) for now in range(1000)]) is None
    assert run([(now, Phase.UPGRADED, 3) for now in range(1000)]) == (120, Deadline.IDLE)


def test_a_look_at_what_has_not_moved_changes_nothing() -> None:
    first = advanced(None, Phase.BODY, 5, 1.0, LIMITS)
    assert advanced(first, Phase.BODY, 5, 2.0, LIMITS) is first


@pytest.mark.parametrize("deadline", list(Deadline))
def test_every_deadline_has_a_sentence(deadline: Deadline) -> None:
    said = deadlines.sentence(deadline, LIMITS)
    assert said.endswith(".")
    assert " s" in said
