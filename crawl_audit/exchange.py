"""The life of an exchange: which event may follow which.

Asserted by the writer as it happens and checked again by readers.  A forwarded exchange without completion is a
legal end (the process died); it is counted as unfinished, never taken for completed.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an exchange stands."""

    RECEIVED = "received"
    FORWARDED = "forwarded"
    DENIED = "denied"
    COMPLETED = "completed"


class Event(StrEnum):
    """What happens to an exchange, each a durable record."""

    DECIDED_FORWARD = "decided_forward"
    DECIDED_DENY = "decided_deny"
    COMPLETE = "complete"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.RECEIVED: {Event.DECIDED_FORWARD: State.FORWARDED, Event.DECIDED_DENY: State.DENIED},
    State.FORWARDED: {Event.COMPLETE: State.COMPLETED},
    State.DENIED: {},  # mitmproxy does fire `response` for our own denial: it is not a completion
    State.COMPLETED: {},  # mitmproxy may fire `error` after `response`: the first one counts
}


def may_follow(state: State, event: Event) -> bool:
    """Whether ``event`` is legal in ``state``."""
    return event in TRANSITIONS[state]


def advance(state: State, event: Event) -> State:
    """The state after ``event``; a programmer's error (AssertionError) where it is not legal."""
    assert may_follow(state, event), f"{event} cannot follow {state}"
    return TRANSITIONS[state][event]


def exchange_id(unix_ms: int, random: bytes) -> str:
    """A UUIDv7 (RFC 9562 5.7) from a time in milliseconds and 10 random octets: unique and in order of time."""
    value = (unix_ms & (2**48 - 1)) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76  # version 7
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant of RFC 9562
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
