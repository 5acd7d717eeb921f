"""The snapshot in force for a robots scope: one fetch at a time, on record before first use, renewed when old.

Decided here: a copy past ``valid_until`` is never served, the next request waits for the new one; while robots.txt is
unreachable everything is disallowed (freshness.py says why), unless the last good copy is to stay in force for a
while; a robots.txt the crawler fetched itself is always recorded, but is in force only where the sidecar holds no
valid answer of its own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from crawl_audit import robots
from crawl_audit.errors import LogUnavailable
from crawl_audit.records import Instant, Record, RobotsOutcome, Snapshot, SnapshotSource
from crawl_audit.target import Scope
from crawl_audit.tdmrep import TdmrepEntry
from proxy_addon import snapshots, tdmrep_file
from proxy_addon.compiled_rules import CompiledRules
from proxy_addon.fetcher import ROBOTS_PATH, Fetched
from proxy_addon.freshness import Freshness
from proxy_addon.observed import is_answer, observed_answer
from proxy_addon.single_flight import FlightCancelledError, SingleFlight
from proxy_addon.snapshots import Copy

AppendMany = Callable[[Callable[[int], list[Record]]], Awaitable[list[int]]]
"""Given a factory of records for a first ``seq``: their ``seq`` once durable in one commit, or LogUnavailable."""


class Fetches(Protocol):
    """What the cache needs of the fetcher."""

    async def fetch(
        self,
        scope: Scope,
        user_agent: str | None = None,
        etag: str | None = None,
        etag_url: str | None = None,
        *,
        path: str = ROBOTS_PATH,
    ) -> Fetched:
        """One robots.txt, or the file at ``path`` beside it; never raises for what a site does."""


OnRecorded = Callable[[Scope, str, Fetched | None], object]
"""Told scope, path and answer once what was fetched is durable in the log; None: it could not be recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """What is kept, and how answers are read."""

    freshness: Freshness = field(default_factory=Freshness)
    treat_429_as_unreachable: bool = True
    entries_max: int = 50_000  # scopes
    body_bytes_max: int = 256 * 1024 * 1024  # bodies kept for another product token or a 304
    observed_bytes_max: int = 1024 * 1024  # of a robots.txt the crawler fetched, after decoding
    last_good_copy_s: float = 0  # oldest successful copy that stays in force while robots.txt is unreachable; 0: none
    tdmrep: bool = False  # fetch /.well-known/tdmrep.json beside robots.txt


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What a decision rests on; ``rules`` only where the outcome is successful."""

    snapshot: Snapshot
    seq: int
    rules: robots.Rules | None
    tdmrep: tuple[TdmrepEntry, ...] = ()
    """Reservations of the site's tdmrep.json, in its order; none where there is no such file or it is not fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    copy: Copy
    seq: int
    good: _Held | None = None  # where ``copy`` is unreachable: the last successful one, itself without ``good``
    tdmrep: tuple[TdmrepEntry, ...] = ()

    @property
    def weight(self) -> int:
        return len(self.copy.body or b"") + (self.good.weight if self.good else 0) + tdmrep_file.weight(self.tdmrep)


def _unnoticed(*_: object) -> None:
    """Nobody wants to know."""


class RobotsCache:
    """Holds the snapshots in force; used from one event loop."""

    def __init__(
        self,
        *,
        fetcher: Fetches,
        append_many: AppendMany,
        now: Callable[[], Instant],
        settings: CacheSettings | None = None,
        on_fetched: Callable[[Snapshot], object] = _unnoticed,
        on_recorded: OnRecorded = _unnoticed,
    ) -> None:
        self._fetcher = fetcher
        self._append_many = append_many
        self._now = now
        self._settings = settings or CacheSettings()
        self._on_fetched = on_fetched
        self._on_recorded = on_recorded
        self.hits = 0
        self.misses = 0
        self._held: OrderedDict[Scope, _Held] = OrderedDict()
        self._body_bytes = 0
        self._flights: SingleFlight[Scope, _Held] = SingleFlight()
        self._compiled = CompiledRules()
        self._written = _Remembered(200_000)
        self._observed: OrderedDict[Scope, Snapshot] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def body_bytes(self) -> int:
        """Octets of robots.txt held, and of what tdmrep.json files say."""
        return self._body_bytes

    async def current(self, scope: Scope, tokens: tuple[str, ...]) -> InForce:
        """The snapshot in force for ``scope`` with its rules for ``tokens``, durable in the log.

        Fetches where none is valid; whoever asks meanwhile waits for the same fetch, and cancelling one of them leaves
        it running.  Raises LogUnavailable where the snapshot could not be recorded; the next call tries again.
        """
        held = self._held.get(scope)
        try:
            if held is None or not self._is_valid(held.copy.snapshot):
                self.misses += 1
                held = await self._flights.run(scope, lambda: self._refresh(scope))
            else:
                self.hits += 1
                self._held.move_to_end(scope)
            used = held
            if held.good is not None and self._is_good_enough(held.good.copy.snapshot):
                used = held.good
            rules = await self._rules(used.copy, tokens)
            return InForce(snapshot=used.copy.snapshot, seq=used.seq, rules=rules, tdmrep=held.tdmrep)
        except FlightCancelledError:
            raise LogUnavailable("The sidecar is stopping; try again.", reason="draining") from None

    async def observe(
        self,
        scope: Scope,
        *,
        status: int,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
        final_url: str,
        fetch_ms: int,
        exchange_id: str | None = None,
        crawler: str | None = None,
    ) -> None:
        """Record the answer to the crawler's own GET /robots.txt; LogUnavailable where that fails.

        To be called with whole answers to requests that do not depend on who asked (no Range, no condition, no
        credentials).  ``body`` is as it came over the wire, before content decoding.  The same answer is recorded once
        while it is valid; redirects and 304 are no answer and are left out.
        """
        if body is None or not is_answer(status):
            return
        bound = self._settings.observed_bytes_max
        fetched = observed_answer(status, headers, body, final_url=final_url, fetch_ms=fetch_ms, body_bytes_max=bound)
        copy = self._copy(scope, fetched, self._now(), SnapshotSource.OBSERVED)
        known = self._observed.get(scope)
        if known is not None and self._is_valid(known) and _agree(known, copy.snapshot):
            return
        extra = []
        if (held := self._own_answer(scope)) and _reached(copy.snapshot) and not _agree(held, copy.snapshot):
            extra = [snapshots.mismatch(held, copy.snapshot, exchange_id=exchange_id, crawler=crawler)]
        self._note_observed(scope, copy.snapshot)
        try:
            seq = await self._record(copy, extra)
        except LogUnavailable:
            self._observed.pop(scope, None)
            raise
        # A fetch of ours that reached nothing holds no copy: what the site answers the crawler is better than none.
        # But a scope whose tdmrep.json is wanted and was never asked for needs a fetch of ours first.
        known_scope = self._held.get(scope)
        if _reached(copy.snapshot) and self._own_answer(scope) is None and (known_scope or not self._settings.tdmrep):
            self._put_in_force(scope, _Held(copy=copy, seq=seq, tdmrep=known_scope.tdmrep if known_scope else ()))

    async def aclose(self) -> None:
        """Give up fetches and compilations under way; their waiters get LogUnavailable."""
        await self._flights.aclose()
        await self._compiled.aclose()

    async def _refresh(self, scope: Scope) -> _Held:
        held = self._held.get(scope)
        previous = held.copy if held else None
        etag, etag_url = _condition(previous)
        fetching = self._fetcher.fetch(scope, etag=etag, etag_url=etag_url)
        beside: Fetched | None = None
        if self._settings.tdmrep:
            fetched, other = await asyncio.gather(fetching, self._fetcher.fetch(scope, path=tdmrep_file.PATH))
            found = await self._compiled.off_loop(partial(tdmrep_file.read, other), len(other.body or b""))
            beside = other
        else:
            fetched, found = await fetching, tdmrep_file.Found()
        copy = self._fetched_copy(scope, fetched, previous)
        # A tdmrep.json that cannot be reached has withdrawn nothing: what it said last still holds.
        entries = found.entries if found.entries is not None else held.tdmrep if held else ()
        recorded = False
        try:
            seq = await self._record(copy, tdmrep_file.records_of(found, copy.snapshot.recorded_at))
            recorded = True
        finally:
            self._on_recorded(scope, ROBOTS_PATH, snapshots.shareable(fetched, copy) if recorded else None)
            if beside is not None:
                self._on_recorded(scope, tdmrep_file.PATH, beside if recorded else None)
        renewed = _Held(copy=copy, seq=seq, good=self._good(copy, held), tdmrep=entries)
        self._put_in_force(scope, renewed)
        return renewed

    def _fetched_copy(self, scope: Scope, fetched: Fetched, previous: Copy | None) -> Copy:
        """The copy of an answer that was fetched by us, or by another sidecar for all."""
        if fetched.origin_log is not None:
            return self._copy(scope, fetched, self._now(), SnapshotSource.SHARED, previous)
        # Where the time was noted others may be told it: then it is the time on record.
        at = self._now() if fetched.fetched_at is None else fetched.fetched_at
        copy = self._copy(scope, fetched, at, SnapshotSource.FETCHED, previous)
        self._on_fetched(copy.snapshot)
        return copy

    def _good(self, copy: Copy, held: _Held | None) -> _Held | None:
        """The copy to stay in force where ``copy``, which renews ``held``, is unreachable."""
        if held is None or _reached(copy.snapshot) or self._settings.last_good_copy_s <= 0:
            return None
        good = held.good or (held if held.copy.snapshot.outcome is RobotsOutcome.SUCCESSFUL else None)
        return good if good is not None and self._is_good_enough(good.copy.snapshot) else None

    def _is_good_enough(self, snapshot: Snapshot) -> bool:
        """Whether a successful copy may stand in: RFC 9309 2.4 allows more than 24 hours while unreachable."""
        return 0 <= self._now() - snapshot.taken_at <= self._settings.last_good_copy_s * 1_000_000

    def _copy(
        self, scope: Scope, fetched: Fetched, at: Instant, source: SnapshotSource, previous: Copy | None = None
    ) -> Copy:
        return snapshots.copy_of(
            scope,
            fetched,
            at=at,
            source=source,
            freshness=self._settings.freshness,
            treat_429_as_unreachable=self._settings.treat_429_as_unreachable,
            previous=previous,
        )

    async def _record(self, copy: Copy, extra: Iterable[Record] = ()) -> int:
        """Append the snapshot, its body where the log has not got it yet, and its signals; the snapshot's ``seq``."""
        digest = copy.snapshot.robots_sha256
        found = (*await self._compiled.off_loop(lambda: snapshots.signals_in(copy), len(copy.body or b"")), *extra)
        with_body = digest is not None and digest not in self._written
        seqs = await self._append_many(lambda base: snapshots.records_of(copy, found, base, with_body=with_body))
        if digest is not None:
            self._written.add(digest)
        return seqs[0]

    async def _rules(self, copy: Copy, tokens: tuple[str, ...]) -> robots.Rules | None:
        if copy.body is None or copy.snapshot.robots_sha256 is None:
            return None
        return await self._compiled.rules(copy.snapshot.robots_sha256, copy.body, tokens)

    def _is_valid(self, snapshot: Snapshot) -> bool:
        # A snapshot from the future means that the clock was set back: its age is unknown, so it holds no longer.
        return snapshot.recorded_at <= self._now() < snapshot.valid_until

    def _own_answer(self, scope: Scope) -> Snapshot | None:
        """The valid snapshot that a sidecar, this one or another, got from the site, if there is one."""
        held = self._held.get(scope)
        if held is None or not self._is_valid(held.copy.snapshot) or not _reached(held.copy.snapshot):
            return None
        return None if held.copy.snapshot.source is SnapshotSource.OBSERVED else held.copy.snapshot

    def _put_in_force(self, scope: Scope, held: _Held) -> None:
        replaced = self._held.pop(scope, None)
        self._body_bytes += held.weight - (replaced.weight if replaced else 0)
        self._held[scope] = held
        while len(self._held) > self._settings.entries_max or (
            self._body_bytes > self._settings.body_bytes_max and len(self._held) > 1
        ):
            _, dropped = self._held.popitem(last=False)
            self._body_bytes -= dropped.weight

    def _note_observed(self, scope: Scope, snapshot: Snapshot) -> None:
        self._observed[scope] = snapshot
        self._observed.move_to_end(scope)
        if len(self._observed) > self._settings.entries_max:
            self._observed.popitem(last=False)


class _Remembered:
    """A set that forgets the oldest beyond ``entries_max``; forgetting a digest only means writing a body again."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._items: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, item: str) -> bool:
        return item in self._items

    def add(self, item: str) -> None:
        self._items[item] = None
        self._items.move_to_end(item)
        if len(self._items) > self._entries_max:
            self._items.popitem(last=False)


def _condition(previous: Copy | None) -> tuple[str | None, str | None]:
    """ETag and URL to ask "only if changed" with: only of a body we hold and fetched ourselves.

    A crawler, or a sidecar under another name, may have been sent another representation under its tag.
    """
    if previous is None or previous.body is None or previous.snapshot.source is not SnapshotSource.FETCHED:
        return None, None
    return previous.snapshot.etag, previous.snapshot.final_url


def _reached(snapshot: Snapshot) -> bool:
    return snapshot.outcome is not RobotsOutcome.UNREACHABLE


def _agree(one: Snapshot, other: Snapshot) -> bool:
    return (one.outcome, one.robots_sha256) == (other.outcome, other.robots_sha256)
