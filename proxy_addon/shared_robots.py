"""One fetch of a robots.txt for many sidecars: ask a shared store first, else fetch under a lease and share the answer.

An answer is shared only once it is durable in the log of who fetched it, so that every log that names another's fetch
can be held against it.  How long it holds is computed from when it was fetched, by the reader's own settings and clock.
Nothing here fails a request: a store that is away, slow or full of nonsense means fetching for oneself.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from crawl_audit.records import Instant, RobotsOutcome
from crawl_audit.target import Scope
from proxy_addon import snapshots
from proxy_addon.clock import now_us
from proxy_addon.fetcher import ROBOTS_PATH, Fetched, Fetcher
from proxy_addon.operational_log import about
from proxy_addon.robots_cache import CacheSettings, Fetches
from proxy_addon.shared_answer import NotBelieved, Question, pack, unpack
from proxy_addon.shared_robots_files import FileStore
from proxy_addon.shared_robots_settings import SharedRobotsSettings
from proxy_addon.shared_store import OPERATION_S, Lease, Patient, Store, StoreAway

logger = logging.getLogger("crawl_audit.shared_robots")

_SECOND = 1_000_000  # µs
# A clock this far behind the other's is waited for; one that is further behind makes the answer unusable.
_AHEAD_MAX_US = 1 * _SECOND
# A file beside robots.txt holds as long as that does, so it must not be much older to begin with.
_BESIDE_US = 60 * _SECOND
# How often is looked whether somebody else's fetch has come to its end.
_POLL_S = 0.01
_POLL_MAX_S = 0.25
# From this size on compressing is worth a thread.
_INLINE_BYTES_MAX = 32 * 1024
_CLOSING_S = 1.0
# Longest wait for the sidecar's own disk: as long as for a commit, because a machine that is busy is slow in both.
_FILES_S = 2.0


class Fetching(Fetches, Protocol):
    """A fetcher that is closed at the end."""

    async def aclose(self) -> None:
        """Close what is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How answers are shared."""

    cache: CacheSettings
    log: str  # ours, which answers of ours are named after
    deadline_s: float  # of a fetch: a lease ends then, and nobody waits longer for one
    key: bytes | None = None
    faults: bool = False  # also share that a site could not be reached: only among those who reach the same


class SharingFetcher:
    """A fetcher that asks a store first; used from one event loop, closed with it."""

    def __init__(
        self,
        fetcher: Fetching,
        store: Patient,
        sharing: Sharing,
        *,
        now: Callable[[], Instant] = now_us,
        count: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._fetcher = fetcher
        self._store = store
        self._sharing = sharing
        self._now = now
        self._count = count
        self._doubted = False
        self._fetched: dict[Question, Lease | None] = {}  # what we fetch ourselves, until it is recorded
        self._tasks: set[asyncio.Task[None]] = set()

    async def fetch(
        self,
        scope: Scope,
        user_agent: str | None = None,
        etag: str | None = None,
        etag_url: str | None = None,
        *,
        path: str = ROBOTS_PATH,
    ) -> Fetched:
        """The answer of the store where it has one that still holds, else our own; as Fetches.fetch.

        Whoever gets an answer without ``origin_log`` must tell :meth:`recorded` of it.
        """
        question, began = Question(scope=scope, path=path), time.monotonic()
        try:
            found = await self._ask(question)
        except StoreAway:
            self._count("away")
            found = None
        waited_ms = _ms_since(began)
        if isinstance(found, Fetched):
            self._count("taken")
            return replace(found, duration_ms=waited_ms)
        self._fetched[question] = found
        fetched = await self._fetcher.fetch(scope, user_agent, etag, etag_url, path=path)
        complete = self._now() if fetched.fetched_at is None else fetched.fetched_at
        return replace(fetched, fetched_at=complete, duration_ms=waited_ms + fetched.duration_ms)

    def recorded(self, scope: Scope, path: str, fetched: Fetched | None) -> None:
        """What we fetched is durable in our log and may be shared; None: it is not, and somebody else may fetch."""
        question = Question(scope=scope, path=path)
        if isinstance(self._fetcher, SharingFetcher):
            self._fetcher.recorded(scope, path, fetched)
        if question not in self._fetched:
            return
        lease = self._fetched.pop(question)
        if fetched is not None and self._is_worth_sharing(fetched):
            self._later(self._share(question, fetched, lease))
        elif lease is not None:
            self._later(self._release(lease))

    async def aclose(self) -> None:
        """Let go of everything within a second: leases that are left run out."""
        for lease in self._fetched.values():
            if lease is not None:
                self._later(self._release(lease))
        self._fetched.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_CLOSING_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._store.aclose()
        await self._fetcher.aclose()

    async def _ask(self, question: Question) -> Fetched | Lease | None:
        """An answer of the store's, or the lease to fetch under; None where somebody else holds that for too long."""
        key, deadline_s = question.digest, self._sharing.deadline_s
        until, pause = time.monotonic() + deadline_s, _POLL_S
        while True:
            if (found := await self._believed(await self._store.get(key), question)) is not None:
                return found
            lease = await self._store.lease(key, deadline_s)
            if lease is not None:
                # Between the two looks somebody may have come to the end of a fetch.
                if (found := await self._believed(lease.value, question)) is not None:
                    self._later(self._release(lease))
                    return found
                self._count("fetched")
                return lease
            if time.monotonic() >= until:
                self._count("waited_out")
                return None
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _POLL_MAX_S)

    async def _believed(self, value: bytes | None, question: Question) -> Fetched | None:
        """The answer in ``value`` where it is one and still holds."""
        if value is None:
            return None
        try:
            fetched = unpack(value, question, self._sharing.key)
        except NotBelieved as error:
            self._count("refused")
            if not self._doubted:
                self._doubted = True
                self._say(logging.WARNING, "%s holds what is not believed (%s); this sidecar fetches itself.", error)
            return None
        if self._doubted:
            self._doubted = False
            self._say(logging.INFO, "%s holds answers that can be believed again%s.", "")
        return fetched if await self._holds(fetched, question) else None

    async def _holds(self, fetched: Fetched, question: Question) -> bool:
        """Whether an answer is of the past and still in its term, by our settings."""
        taken = fetched.fetched_at or Instant(0)
        if 0 < (ahead := taken - self._now()) <= _AHEAD_MAX_US:
            # Two clocks are never quite the same, and an age below zero is none.
            await asyncio.sleep(ahead / _SECOND)
        now = self._now()
        if taken > now:
            self._count("from_the_future")
            return False
        until = self._term(fetched)
        if question.path != ROBOTS_PATH:
            until = min(until, Instant(taken + _BESIDE_US))
        if now >= until:
            self._count("expired")
            return False
        return True

    def _term(self, fetched: Fetched) -> Instant:
        cache, taken = self._sharing.cache, fetched.fetched_at or Instant(0)
        return snapshots.valid_until(fetched, taken, self._outcome(fetched), cache.freshness, 1)

    def _outcome(self, fetched: Fetched) -> RobotsOutcome:
        return snapshots.outcome_of(fetched, treat_429_as_unreachable=self._sharing.cache.treat_429_as_unreachable)

    def _is_worth_sharing(self, fetched: Fetched) -> bool:
        """What the site said is; that we could not reach it may be our own trouble and must not bind others."""
        if fetched.fetched_at is None:
            return False
        if self._outcome(fetched) is not RobotsOutcome.UNREACHABLE:
            return True
        return self._sharing.faults or (fetched.error is None and fetched.status is not None)

    async def _share(self, question: Question, fetched: Fetched, lease: Lease | None) -> None:
        make = functools.partial(pack, question, fetched, fetched.origin_log or self._sharing.log, self._sharing.key)
        value = await asyncio.to_thread(make) if len(fetched.body or b"") > _INLINE_BYTES_MAX else make()
        lifetime_s = (self._term(fetched) - self._now()) / _SECOND
        if lifetime_s <= 0:
            return
        try:
            await self._store.put(question.digest, value, lifetime_s, lease)
        except StoreAway:
            self._count("not_shared")
        else:
            self._count("shared")

    async def _release(self, lease: Lease) -> None:
        try:
            await self._store.release(lease)
        except StoreAway:
            self._count("away")

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the requests, which do not wait for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _say(self, level: int, template: str, said: object) -> None:
        logger.log(level, template, self._store.name, said, extra=about("shared_robots_refused"))


def wrap(
    fetcher: Fetcher,
    settings: SharedRobotsSettings,
    directory: Path | None,
    sharing: Sharing,
    count: Callable[[str], object] = lambda _: None,
) -> Fetcher | SharingFetcher:
    """``fetcher`` behind the stores there are: ``directory`` of the workers of one sidecar, then the fleet's.

    The workers ask among themselves first, so that the fleet's store is asked once for all of them.
    """
    wrapped: Fetcher | SharingFetcher = fetcher

    def behind(store: Store, how: Sharing, operation_s: float = OPERATION_S) -> SharingFetcher:
        return SharingFetcher(wrapped, Patient(store, operation_s=operation_s), how, count=count)

    if settings.shared is not None:
        # Some megabytes and a tenth of a second that only those pay who share.
        from proxy_addon.shared_robots_redis import RedisStore

        wrapped = behind(RedisStore(settings.shared), sharing)
    if directory is not None:
        # No key: the directory is the sidecar's own.  All workers reach what one of them reaches.
        wrapped = behind(FileStore(directory), replace(sharing, key=None, faults=True), _FILES_S)
    return wrapped


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
