"""What a store of shared answers has to do, and the patience had with it: a quarter of a second, then it is left alone.

A store is a help and never a condition: whatever is the matter with it, the sidecar fetches for itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from proxy_addon.operational_log import about

logger = logging.getLogger("crawl_audit.shared_robots")

OPERATION_S = 0.25
"""Longest wait for one answer of a store: less than fetching a robots.txt takes from most sites."""
# How long a store that failed is not asked at all; doubles with each failure in a row.
_PAUSE_S = 1.0
_PAUSE_MAX_S = 30.0


class StoreError(Exception):
    """A store could not be reached or does not answer as one; the text says what it was."""


class StoreAway(Exception):
    """The store failed now or a moment ago; whoever wanted something of it does without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to fetch for all, until it is released or runs out."""

    key: str
    token: str
    value: bytes | None  # what the store held under the key at that moment


class Store(Protocol):
    """Octets under keys of 64 hex digits, kept for a while, and leases on keys.  Each method may raise StoreError."""

    @property
    def name(self) -> str:
        """What it is called in messages, without secrets."""

    async def get(self, key: str) -> bytes | None:
        """What is under ``key``; None: nothing."""

    async def lease(self, key: str, lifetime_s: float) -> Lease | None:
        """The lease on ``key``, which ends by itself; None: somebody else has it."""

    async def put(self, key: str, value: bytes, lifetime_s: float, lease: Lease | None) -> None:
        """Keep ``value`` for ``lifetime_s`` in place of what is there, and release ``lease``."""

    async def release(self, lease: Lease) -> None:
        """Let somebody else fetch."""

    async def aclose(self) -> None:
        """Close connections and files; raises nothing."""


class Patient:
    """A store with bounded waits; while it is away only one operation after each pause is tried on it."""

    def __init__(
        self,
        store: Store,
        *,
        operation_s: float = OPERATION_S,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._operation_s = operation_s
        self._clock = clock
        self._on_failure = on_failure
        self._failures = 0
        self._again_at = 0.0

    @property
    def name(self) -> str:
        """What the store is called in messages."""
        return self._store.name

    @property
    def is_away(self) -> bool:
        """Whether the last operation on it failed."""
        return self._failures > 0

    async def get(self, key: str) -> bytes | None:
        """As Store.get; raises StoreAway alone, as all of these."""
        return await self._within(lambda: self._store.get(key))

    async def lease(self, key: str, lifetime_s: float) -> Lease | None:
        """As Store.lease."""
        return await self._within(lambda: self._store.lease(key, lifetime_s))

    async def put(self, key: str, value: bytes, lifetime_s: float, lease: Lease | None) -> None:
        """As Store.put."""
        await self._within(lambda: self._store.put(key, value, lifetime_s, lease))

    async def release(self, lease: Lease) -> None:
        """As Store.release."""
        await self._within(lambda: self._store.release(lease))

    async def aclose(self) -> None:
        """Close it within the same patience."""
        try:
            async with asyncio.timeout(self._operation_s):
                await self._store.aclose()
        except TimeoutError:
            logger.warning("%s could not be closed in time.", self.name, extra=about("shared_robots_away"))

    async def _within[T](self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        now = self._clock()
        if self._failures:
            if now < self._again_at:
                raise StoreAway
            self._again_at = now + self._pause()  # the others go on without it while one tries
        try:
            async with asyncio.timeout(self._operation_s):
                got = await operation()
        except TimeoutError:
            self._failed(f"no answer within {self._operation_s * 1000:.0f} ms")
            raise StoreAway from None
        except StoreError as error:
            self._failed(str(error))
            raise StoreAway from error
        if self._failures:
            self._failures = 0
            logger.info("%s answers again.", self.name, extra=about("shared_robots_back"))
        return got

    def _pause(self) -> float:
        return min(_PAUSE_S * 2.0 ** min(self._failures - 1, 16), _PAUSE_MAX_S)

    def _failed(self, why: str) -> None:
        self._failures += 1
        self._again_at = self._clock() + self._pause()
        self._on_failure()
        if self._failures == 1:
            logger.warning(
                "%s does not answer (%s); until it does, this sidecar fetches every robots.txt itself.",
                self.name,
                why,
                extra=about("shared_robots_away"),
            )
