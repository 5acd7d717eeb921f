"""How much may be open, and how much of it one crawler may have: counted here, asked before anything is decided.

Nothing here waits: whoever is above a limit is refused at once, with a reason and a time to come again.
"""

from __future__ import annotations

import math
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

CONNECTIONS_MAX = 4000
"""Where nothing else is set; one takes some 30 KiB with its connection to a site, so these take 120 MiB."""

# Kept for the log, fetches of robots.txt, the admin listener and connections that are only told to come again.
_DESCRIPTORS_KEPT = 200
_CONNECTIONS_MIN = 16
# Connections above the limit that are still told why they are not served; beyond these they are closed at once.
_SURPLUS_MAX = 64
# So many requests may come at once, where a second's worth is fewer: browsers and pools begin so.
_BURST_MIN = 10
# Idle connections to sites that one crawler's connection may keep; it has one exchange at a time.
SITES_PER_CLIENT = 4


class Limit(StrEnum):
    """What was exceeded, as `crawl_audit_limit_exceeded_total` counts it beside the deadlines."""

    REQUEST_HEAD = "request_head"
    REQUEST_TARGET = "request_target"
    REQUEST_BODY = "request_body"
    ANSWER_HEAD = "answer_head"
    OPEN_CONNECTIONS = "open_connections"
    CRAWLER_EXCHANGES = "crawler_exchanges"
    CRAWLER_RATE = "crawler_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """How large a request, and the head of an answer, may be; in octets, a body of 0 means without end."""

    request_head_bytes: int = 256 * 1024
    response_head_bytes: int = 256 * 1024
    head_fields: int = 1000
    target_bytes: int = 16 * 1024
    body_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlerLimits:
    """What one crawler may have; None: no limit of its own."""

    open_exchanges: int | None = None
    requests_per_s: float | None = None


def connections_for(descriptors: int) -> int:
    """Client connections that so many file descriptors are enough for: each needs one to a site as well."""
    return max(_CONNECTIONS_MIN, min(CONNECTIONS_MAX, (descriptors - _DESCRIPTORS_KEPT) // 2))


def descriptors_for(connections: int) -> int:
    """File descriptors that so many client connections need."""
    return connections * 2 + _DESCRIPTORS_KEPT


def raise_descriptors(connections: int) -> int:
    """Raise the soft limit of open files to what so many connections need, if it may be; what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = descriptors_for(connections)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        return allowed
    return wanted if soft == resource.RLIM_INFINITY else soft


class Capacity:
    """The client connections that are open, and which of them came when there were too many."""

    def __init__(self, connections_max: int = CONNECTIONS_MAX) -> None:
        self.connections_max = connections_max
        self._open: set[str] = set()
        self._surplus: set[str] = set()
        self.sites: set[str] = set()
        """Ids of the connections to sites that are open."""

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, client_id: str) -> bool:
        """Count a connection; whether it may stay, be it only to be told that it is not served."""
        if len(self._open) >= self.connections_max + min(_SURPLUS_MAX, max(1, self.connections_max // 8)):
            return False
        if len(self._open) >= self.connections_max:
            self._surplus.add(client_id)
        self._open.add(client_id)
        return True

    def gone(self, client_id: str) -> None:
        """A connection is closed, admitted or not."""
        self._open.discard(client_id)
        self._surplus.discard(client_id)

    def serves(self, client_id: str) -> bool:
        """Whether requests on a connection are decided on; one that came too late is served once there is room."""
        if client_id in self._surplus and len(self._open) <= self.connections_max:
            self._surplus.discard(client_id)
        return client_id not in self._surplus

    @property
    def sites_per_client(self) -> int:
        """How many connections to sites a client may keep beside the one it uses."""
        return SITES_PER_CLIENT if len(self.sites) < self.connections_max else 1


@dataclass(frozen=True, slots=True)
class TooMany:
    """A crawler is above a limit of its own; after so many seconds it may try again."""

    limit: Limit
    retry_after_s: int


@dataclass(slots=True)
class Level:
    """What is left in a bucket, and when that was so by the monotonic clock; None: nobody has taken anything."""

    left: float = 0.0
    at: float | None = None


class Cell(Protocol):
    """Where the level of a bucket is kept."""

    def holding(self) -> AbstractContextManager[Level]:
        """The level, which nobody else reads or changes meanwhile."""
        ...


class OwnCell:
    """The level of a bucket of a sidecar of one process."""

    __slots__ = ("_level",)

    def __init__(self) -> None:
        self._level = Level()

    @contextmanager
    def holding(self) -> Iterator[Level]:
        """As of :class:`Cell`."""
        yield self._level


class Bucket:
    """So many a second, and so many at once (a token bucket)."""

    __slots__ = ("_cell", "_clock", "_full", "_rate")

    def __init__(
        self, rate: float, at_once: float, clock: Callable[[], float] = time.monotonic, cell: Cell | None = None
    ) -> None:
        self._rate, self._full, self._clock = rate, at_once, clock
        self._cell: Cell = OwnCell() if cell is None else cell

    def take(self) -> float:
        """0 where one may pass, else the seconds until the next one may."""
        now = self._clock()
        with self._cell.holding() as level:
            before = self._full if level.at is None else level.left + (now - level.at) * self._rate
            level.left, level.at = min(self._full, before), now
            if level.left >= 1:
                level.left -= 1
                return 0
            return (1 - level.left) / self._rate


class Shared(Protocol):
    """What all workers of a sidecar know of what crawlers use (:class:`proxy_addon.shared_limits.SharedLimits`)."""

    def cell(self, crawler: str, bucket: str) -> Cell: ...

    def admit(self, crawler: str, own: int, most: int) -> bool: ...

    def note(self, crawler: str, own: int) -> None: ...


class CrawlerLimiter:
    """Each crawler's own limits, so that a flood of one is no matter for the others."""

    def __init__(
        self,
        limits: Mapping[str, CrawlerLimits],
        clock: Callable[[], float] = time.monotonic,
        shared: Shared | None = None,
    ) -> None:
        """``shared``: what other workers count, where there are several."""
        self._shared = shared
        self._open: Counter[str] = Counter()
        self._exchanges = {name: own.open_exchanges for name, own in limits.items() if own.open_exchanges}
        rates = {name: own.requests_per_s for name, own in limits.items() if own.requests_per_s}
        self._requests, self._tunnels = (
            {
                name: Bucket(rate, max(rate, _BURST_MIN), clock, shared.cell(name, kind) if shared else None)
                for name, rate in rates.items()
            }
            for kind in ("requests", "tunnels")
        )
        self._deciding: Counter[str] = Counter()

    def request(self, crawler: str, open_exchanges: int) -> TooMany | None:
        """Count a request that is about to be decided on; what it exceeds, if anything."""
        most, own = self._exchanges.get(crawler), open_exchanges + self._deciding[crawler]
        if most is not None and not (self._shared.admit(crawler, own, most) if self._shared else own < most):
            return TooMany(Limit.CRAWLER_EXCHANGES, 1)
        exceeded = _rated(self._requests.get(crawler))
        if exceeded is not None:
            self._note(crawler)
        return exceeded

    def note_open(self, crawler: str, exchanges: int) -> None:
        """So many exchanges of a crawler are open here now."""
        self._open[crawler] = exchanges
        self._note(crawler)

    def tunnel(self, crawler: str) -> TooMany | None:
        """Count a CONNECT, which is recorded as well, by the same rate as requests and apart from them."""
        return _rated(self._tunnels.get(crawler))

    @contextmanager
    def deciding(self, crawler: str) -> Iterator[None]:
        """Around deciding on a request, which takes as long as a robots.txt takes to come."""
        self._deciding[crawler] += 1
        self._note(crawler)
        try:
            yield
        finally:
            self._deciding[crawler] -= 1
            self._note(crawler)

    def _note(self, crawler: str) -> None:
        if self._shared is not None and crawler in self._exchanges:
            self._shared.note(crawler, self._open[crawler] + self._deciding[crawler])


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """All of it together, as the hooks on connections and those on exchanges share it."""

    messages: MessageLimits = MessageLimits()
    capacity: Capacity = field(default_factory=Capacity)
    limiter: CrawlerLimiter = field(default_factory=lambda: CrawlerLimiter({}))


def _rated(bucket: Bucket | None) -> TooMany | None:
    wait_s = 0 if bucket is None else bucket.take()
    return TooMany(Limit.CRAWLER_RATE, max(1, math.ceil(wait_s))) if wait_s else None
