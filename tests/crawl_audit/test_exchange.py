"""The table of what may follow what, in full, and the identifiers of exchanges."""

from __future__ import annotations

import itertools
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.exchange import TRANSITIONS, Event, State, advance, exchange_id, may_follow

LEGAL = {
    (State.RECEIVED, Event.DECIDED_FORWARD): State.FORWARDED,
    (State.RECEIVED, Event.DECIDED_DENY): State.DENIED,
    (State.FORWARDED, Event.COMPLETE): State.COMPLETED,
}


@pytest.mark.parametrize("state,event", list(itertools.product(State, Event)))
def test_an_event_leads_on_exactly_where_the_life_of_an_exchange_says(state: State, event: Event) -> None:
    assert may_follow(state, event) == ((state, event) in LEGAL)
    if (state, event) in LEGAL:
        assert advance(state, event) is LEGAL[state, event]
    else:
        with pytest.raises(AssertionError, match=event.value):
            advance(state, event)


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)


@given(st.lists(st.sampled_from(Event)))
def test_no_exchange_is_both_denied_and_completed_or_completed_twice(events: list[Event]) -> None:
    state, seen = State.RECEIVED, []
    for event in events:
        if may_follow(state, event):
            state = advance(state, event)
            seen.append(event)
    assert len(set(seen)) == len(seen) <= 2
    assert not {Event.DECIDED_DENY, Event.COMPLETE} <= set(seen)
    assert Event.COMPLETE not in seen or seen[0] is Event.DECIDED_FORWARD


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_exchange_id_is_a_uuid_of_version_7_that_tells_its_time(unix_ms: int, random: bytes) -> None:
    made = uuid.UUID(exchange_id(unix_ms, random))
    assert str(made) == exchange_id(unix_ms, random)
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == unix_ms


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_later_ids_sort_later_whatever_the_random_octets(one: bytes, two: bytes) -> None:
    assert exchange_id(1_793_000_000_000, one) < exchange_id(1_793_000_000_001, two)


def test_the_random_octets_are_kept_but_for_the_six_bits_of_version_and_variant() -> None:
    ids = {exchange_id(1, bytes([0] * i + [1 << bit] + [0] * (9 - i))) for i in range(10) for bit in range(8)}
    assert len(ids) == 80 - 6 + 1
