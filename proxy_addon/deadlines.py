"""Which deadline an exchange has passed, as a function of values: its phase, since when, and how much has moved.

mitmproxy's only timeout is for silence, so one octet now and then keeps a connection for ever.  Here every phase has
an end that no drip can move: an exchange waits for a connection, a handshake or an answer's head for a fixed time,
moves its bodies at a least rate, and lives no longer than its total.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Phase(StrEnum):
    """What an exchange, or a connection that has none, is waiting for."""

    CONNECT = "connect"
    TLS = "tls"
    REQUEST = "request"
    FIRST_BYTE = "first_byte"
    HEAD = "head"
    BODY = "body"
    UPGRADED = "upgraded"
    CLIENT_HEAD = "client_head"
    CLIENT_IDLE = "client_idle"


class Deadline(StrEnum):
    """A limit that was passed; the words stand in ``Completion.error`` after ``timeout:`` and label the metric."""

    CONNECT = "connect"
    TLS = "tls"
    FIRST_BYTE = "first_byte"
    HEAD = "head"
    REQUEST = "request"
    RATE = "rate"
    CLIENT_RATE = "client_rate"
    IDLE = "idle"
    TOTAL = "total"
    CLIENT_HEAD = "client_head"
    CLIENT_IDLE = "client_idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits in force, in seconds and octets per second; a total or a rate of 0 means none."""

    connect_s: float = 10
    tls_s: float = 10
    first_byte_s: float = 60
    idle_s: float = 120
    total_s: float = 3600
    rate_bytes_s: float = 100
    rate_window_s: float = 60
    client_head_s: float = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far something was when it was last looked at: since when in this phase, and when octets last moved."""

    phase: Phase
    since: float
    octets: int
    moved_at: float
    marked_octets: int
    marked_at: float


_MOVING = (Phase.REQUEST, Phase.BODY)
_AWAITED = {
    Phase.CONNECT: Deadline.CONNECT,
    Phase.TLS: Deadline.TLS,
    Phase.FIRST_BYTE: Deadline.FIRST_BYTE,
    Phase.HEAD: Deadline.HEAD,
    Phase.CLIENT_HEAD: Deadline.CLIENT_HEAD,
    Phase.CLIENT_IDLE: Deadline.CLIENT_IDLE,
}


def advanced(before: Progress | None, phase: Phase, octets: int, now: float, limits: Limits) -> Progress:
    """What is known after another look; ``before`` itself where nothing has changed.

    The first octets of an answer's head do not start its clock anew: no first byte and half a head share one limit.
    """
    if before is None or (before.phase is not phase and not _same_wait(before.phase, phase)):
        return Progress(phase=phase, since=now, octets=octets, moved_at=now, marked_octets=octets, marked_at=now)
    if before.phase is phase and before.octets == octets:
        return before
    if octets - before.marked_octets >= limits.rate_bytes_s * limits.rate_window_s:
        before = replace(before, marked_octets=octets, marked_at=now)
    moved_at = before.moved_at if before.octets == octets else now
    return replace(before, phase=phase, octets=octets, moved_at=moved_at)


def _same_wait(before: Phase, after: Phase) -> bool:
    return {before, after} == {Phase.FIRST_BYTE, Phase.HEAD}


def passed(progress: Progress, age_s: float, now: float, limits: Limits) -> Deadline | None:
    """The deadline that has passed, if any; ``age_s`` is how old the exchange is (0 where there is none)."""
    if limits.total_s and age_s >= limits.total_s:
        return Deadline.TOTAL
    if progress.phase in _AWAITED:
        return _AWAITED[progress.phase] if now - progress.since >= _wait(progress.phase, limits) else None
    if now - progress.moved_at >= limits.idle_s:
        return Deadline.IDLE
    watched_s = now - progress.marked_at
    too_slow = progress.octets - progress.marked_octets < limits.rate_bytes_s * watched_s
    if progress.phase in _MOVING and watched_s >= limits.rate_window_s and too_slow:
        return Deadline.REQUEST if progress.phase is Phase.REQUEST else Deadline.RATE
    return None


def _wait(phase: Phase, limits: Limits) -> float:
    return {
        Phase.CONNECT: limits.connect_s,
        Phase.TLS: limits.tls_s,
        Phase.CLIENT_HEAD: limits.client_head_s,
        Phase.CLIENT_IDLE: limits.idle_s,
    }.get(phase, limits.first_byte_s)


def sentence(deadline: Deadline, limits: Limits) -> str:
    """What happened, for the record and for whoever reads the answer."""
    rate = f"{limits.rate_bytes_s:g} octets a second over {limits.rate_window_s:g} s"
    return {
        Deadline.CONNECT: f"No connection to the site could be made within {limits.connect_s:g} s.",
        Deadline.TLS: f"The site did not finish the TLS handshake within {limits.tls_s:g} s.",
        Deadline.FIRST_BYTE: f"The site sent nothing within {limits.first_byte_s:g} s of the request.",
        Deadline.HEAD: f"The site did not finish the head of its answer within {limits.first_byte_s:g} s.",
        Deadline.REQUEST: f"The crawler sent the body of its request more slowly than {rate}.",
        Deadline.RATE: f"The site moved a body more slowly than {rate}.",
        Deadline.CLIENT_RATE: f"The crawler took the answer more slowly than {rate}.",
        Deadline.IDLE: f"Nothing moved for {limits.idle_s:g} s.",
        Deadline.TOTAL: f"The exchange was still going on after {limits.total_s:g} s.",
        Deadline.CLIENT_HEAD: f"The crawler did not finish its request within {limits.client_head_s:g} s.",
        Deadline.CLIENT_IDLE: f"The connection was not used for {limits.idle_s:g} s.",
    }[deadline]
