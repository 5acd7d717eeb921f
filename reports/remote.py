"""``s3://…`` as a log directory: what a command needs is fetched into a cache, checked, and read from there.

Nothing is ever written below the address.  What was listed a moment ago is taken for what is there, but never where
evidence is to be verified or handed on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from crawl_audit.compacted_day import CompactedDay
from crawl_audit.errors import LogFormatError
from reports import output, remote_listing
from reports.object_store import ObjectMissingError, ObjectStore, address_of, endpoint
from reports.remote_cache import COMPACTING, ORIGINALS, Cache, State
from reports.remote_fetching import Fetching
from reports.remote_listing import Fleet, Markers

_ATTEMPTS = 2


class Need(StrEnum):
    """What a copy is for."""

    READING = "read-compacted"
    """Compacted days where there are some, as a moment ago."""
    ORIGINALS = "read-originals"
    """The originals, as a moment ago."""
    EVIDENCE = "evidence"
    """The originals as they are there now, and which uploads are not whole."""
    COMPACTION = "compaction"
    """What no compacted day stands for, as it is there now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """A copy of what lies at an address; its tree is held until the cache lets go of it."""

    cache: Cache
    store: ObjectStore
    state: State
    fleet: Fleet | None
    """What was found there; None where that was a moment ago."""
    markers: Markers

    @property
    def root(self) -> Path:
        """The tree, in the form of a log directory."""
        return self.cache.tree(self.state.tree)


def mirrored(address: str, need: Need, *, torn: bool = False, without: Collection[str] = ()) -> Mirrored:
    """What lies at ``address``, in a cache of this machine; ``without``: days whose compacted copy is left alone.

    ``torn``: look there now, for uploads that are not whole as well; of evidence that is always done.
    Raises ConfigurationError and LogFormatError in one sentence.
    """
    where = address_of(address)
    cache, store = Cache(where, endpoint()), ObjectStore(where)
    markers = Markers(cache.markers, store)
    with cache.locked():
        known = need in (Need.READING, Need.ORIGINALS)
        state = cache.remembered(need.value) if known and not torn else None
        if state is not None:
            cache.hold(state.tree)
            return Mirrored(cache=cache, store=store, state=state, fleet=None, markers=markers)
        looked = partial(
            remote_listing.look,
            store,
            markers,
            originals=need in (Need.ORIGINALS, Need.EVIDENCE),
            torn=torn or need is Need.EVIDENCE,
            without=without,
        )
        fleet, state = _as_it_is(cache, store, markers, looked, copies=need is not Need.COMPACTION)
        cache.hold(state.tree)
        if known:
            cache.remember(need.value, state)
        if need is Need.READING:
            cache.drop_others(state.tree)
        return Mirrored(cache=cache, store=store, state=state, fleet=fleet, markers=markers)


def _as_it_is(
    cache: Cache, store: ObjectStore, markers: Markers, look: Callable[[], Fleet], *, copies: bool
) -> tuple[Fleet, State]:
    for left in reversed(range(_ATTEMPTS)):
        with output.waiting(f"Listing {store.address}"):
            fleet = look()
        _refuse_nothing(store, fleet)
        try:
            return fleet, _fetched(cache, store, markers, fleet, copies=copies)
        except ObjectMissingError:  # a day may be compacted anew while its files are fetched
            if not left or not fleet.days:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _refuse_nothing(store: ObjectStore, fleet: Fleet) -> None:
    if fleet.nothing_at_all:
        raise LogFormatError(f"There is no log at {store.address}: name the address that sidecars ship to.")


def tree_name(days: tuple[CompactedDay, ...]) -> str:
    """The tree that holds these days and the originals they do not stand for."""
    if not days:
        return ORIGINALS
    return "compacted-" + hashlib.sha256(b"".join(day.to_json() for day in days)).hexdigest()[:16]


def _fetched(cache: Cache, store: ObjectStore, markers: Markers, fleet: Fleet, *, copies: bool) -> State:
    """Bring a tree up to date; without ``copies`` one that has what no compacted day stands for, and nothing else."""
    name = tree_name(fleet.days) if copies else COMPACTING
    Fetching(cache, store, markers, name).run(fleet if copies else replace(fleet, days=()))
    return State(tree=name, days=tuple(day.day for day in fleet.days), torn=fleet.torn)
