"""The pace of each crawler at each authority: measured always, and kept by holding requests where that is enforced.

A *slot* is the moment at which a request may leave.  Slots are handed out in the order in which requests come, each
at least the interval asked after the one before, so requests made at once queue up instead of leaving together.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from crawl_audit.errors import LogUnavailable
from crawl_audit.records import Action, Basis, Decision
from crawl_audit.target import Scope

# (crawler, authority) pairs that are remembered, some 300 octets each.
_PACES_MAX = 100_000
# asyncio may wake a little early by the clock; a request must never leave a millisecond before its time.
_WAKE_LATE_S = 0.001
# How much later than its slot a request may leave, because the one before it took long to become durable.
_DRIFT_S = 2.5

type Pace = tuple[str, str, str, int]
"""crawler, scheme, host, port"""


@dataclass(frozen=True, slots=True)
class Turn:
    """A request may leave, after it was held for so long."""

    held_ms: int


@dataclass(frozen=True, slots=True)
class TooEarly:
    """A request would have to be held longer than requests are held."""

    wait_s: float

    @property
    def retry_after_s(self) -> int:
        """Whole seconds after which it could leave."""
        return max(1, math.ceil(self.wait_s))


@dataclass(slots=True)
class Mark:
    """By the monotonic clock: when the previous request left, the last slot handed out, when one was last let go."""

    left: float = -math.inf
    slot: float = -math.inf
    let_go: float = -math.inf


class Marks(Protocol):
    """Where the marks are kept."""

    def holding(self, pace: Pace) -> AbstractContextManager[Mark]:
        """The mark of a pace, which nobody else reads or changes meanwhile; nothing is awaited while it is held."""
        ...

    def left(self, pace: Pace) -> float:
        """When the previous request left, if any did."""
        ...


class OwnMarks:
    """The marks of a sidecar of one process."""

    def __init__(self) -> None:
        self._marks: OrderedDict[Pace, Mark] = OrderedDict()

    def __len__(self) -> int:
        return len(self._marks)

    @contextmanager
    def holding(self, pace: Pace) -> Iterator[Mark]:
        """As of :class:`Marks`."""
        mark = self._marks.get(pace)
        if mark is None:
            mark = self._marks[pace] = Mark()
            if len(self._marks) > _PACES_MAX:
                self._marks.popitem(last=False)
        else:
            self._marks.move_to_end(pace)
        yield mark

    def left(self, pace: Pace) -> float:
        """As of :class:`Marks`."""
        mark = self._marks.get(pace)
        return -math.inf if mark is None else mark.left


class Pacer:
    """Remembers when each crawler last asked each authority; used from one event loop."""

    def __init__(self, *, enforce: bool = False, hold_max_s: float = 10.0, marks: Marks | None = None) -> None:
        """``enforce``: whether :meth:`turn` is to be asked; ``hold_max_s``: the longest a request is held.

        ``marks``: those of all workers, where there are several.
        """
        self.enforce = enforce
        self.hold_max_s = hold_max_s
        self._marks: Marks = OwnMarks() if marks is None else marks
        self._stopping = asyncio.Event()

    def since_previous_ms(self, crawler: str, scope: Scope) -> int | None:
        """Milliseconds since this crawler's previous forwarded request to the same scheme, host and port."""
        left = self._marks.left((crawler, scope.scheme, scope.host, scope.port))
        return None if left == -math.inf else int((time.monotonic() - left) * 1000)

    @contextmanager
    def leaving(self, decision: Decision) -> Iterator[None]:
        """Around making ``decision`` durable: it counts from now on, from its end anew, and not at all if it raises.

        A request that is being recorded counts already, because ten made at once would otherwise each look like the
        first.  A denied one is no visit, and /robots.txt is not content: its pace is nobody's concern.
        """
        if decision.action is not Action.FORWARDED or decision.basis is Basis.ROBOTS_TXT:
            yield
            return
        pace = (decision.crawler, decision.scheme, decision.host, decision.port)
        with self._marks.holding(pace) as mark:
            previous, ours = mark.left, time.monotonic()
            mark.left, left = ours, previous
        try:
            yield
            left = time.monotonic()
        finally:
            with self._marks.holding(pace) as mark:
                # Where it raised and nobody left meanwhile, it is as if it had never come.
                mark.left = left if mark.left == ours else max(mark.left, left)

    async def turn(self, crawler: str, scope: Scope, interval_ms: int) -> Turn | TooEarly:
        """Wait until a request may leave that is to come ``interval_ms`` after the previous one.

        Raises LogUnavailable where the sidecar stops meanwhile.  Whoever is cancelled gives back its slot if it was
        the last; an earlier one is left unused, so that nobody's order changes.
        """
        interval_s, began = interval_ms / 1000, time.monotonic()
        pace = (crawler, scope.scheme, scope.host, scope.port)
        with self._marks.holding(pace) as mark:
            slot = max(began, max(mark.left, mark.slot) + interval_s)
            if slot - began > self.hold_max_s:
                return TooEarly(slot - began)
            previous, mark.slot = mark.slot, slot
        due, done = slot, False
        try:
            while not done:
                if (wait_s := due - time.monotonic()) > 0:
                    await self._sleep(wait_s + _WAKE_LATE_S)
                # The one before may have left later than its slot: the interval counts from when it really left.
                with self._marks.holding(pace) as mark:
                    due = max(mark.left, mark.let_go) + interval_s
                    if due <= time.monotonic():  # from here on nobody else may, in whichever process
                        mark.let_go, done = time.monotonic(), True
                if not done and due > began + self.hold_max_s + _DRIFT_S:
                    return TooEarly(due - time.monotonic())
        finally:
            if not done:
                with self._marks.holding(pace) as mark:
                    if mark.slot == slot:
                        mark.slot = previous
        return Turn(int((time.monotonic() - began) * 1000))

    def stop(self) -> None:
        """Hold nothing any longer: who is being held gets LogUnavailable, as the sidecar is stopping."""
        self._stopping.set()

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise LogUnavailable("The sidecar is stopping; try again.", reason="draining")
