"""What a fleet has shipped, by one listing: segments that are whole, days that are compacted, what stays to be read.

A segment without its ``shipped`` object is not there.  A compacted day stands for its segments only as long as each of
them is there with the same ``shipped`` object; otherwise the originals are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

from crawl_audit.compacted_day import OBJECT_BYTES_MAX, CompactedDay, parse_compacted
from crawl_audit.errors import LogFormatError
from crawl_audit.remote_layout import parse_segment_key, parse_shipped_key
from reports.object_store import Listed, ObjectStore, concurrently

MARKER_BYTES_MAX = 64 * 2**10

Place = tuple[str, int, int]
"""A segment: its log and the range of ``seq`` it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What is to be read: compacted days, segments beside them, checkpoints; and what cannot be."""

    segments: dict[Place, Listed]
    """The ``shipped`` object of every segment that no day stands for."""
    days: tuple[CompactedDay, ...] = ()
    checkpoints: tuple[Listed, ...] = ()
    torn: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    """Compacted days that do not stand for the originals any more, so that those are read."""
    nothing_at_all: bool = False


@dataclass(slots=True)
class Markers:
    """Small objects that were read before, kept on disk under a name that changes when the object does."""

    directory: Path
    store: ObjectStore
    _known: dict[str, set[str]] = field(default_factory=dict)

    def has(self, listed: Listed) -> bool:
        """Whether this object, as it is now, was read before."""
        return self.path(listed).name in self._names(self.path(listed).parent)

    def read(self, listed: Listed, size_max: int = MARKER_BYTES_MAX) -> bytes:
        """Its octets."""
        path = self.path(listed)
        if self.has(listed):
            return path.read_bytes()
        octets = self.store.fetched(listed.key, size_max)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(path.name + ".new")
        made.write_bytes(octets)
        made.rename(path)
        names = self._names(path.parent)
        for older in [name for name in names if name.rpartition(".")[0] == path.name.rpartition(".")[0]]:
            path.with_name(older).unlink(missing_ok=True)
            names.remove(older)
        names.add(path.name)
        return octets

    def path(self, listed: Listed) -> Path:
        """Where it is, or will be, kept."""
        place = self.directory / listed.key.removesuffix(".json")
        return place.with_name(f"{place.name}.{listed.mark}")

    def _names(self, directory: Path) -> set[str]:
        key = str(directory)
        if key not in self._known:
            self._known[key] = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
        return self._known[key]


def look(store: ObjectStore, markers: Markers, *, originals: bool, torn: bool, without: Collection[str] = ()) -> Fleet:
    """What is below the address; ``originals``: without compacted days, ``torn``: with uploads that are not whole.

    ``without`` names compacted days to be left alone.

    Raises LogFormatError where two segments of a log overlap without one holding the other.
    """
    shipped = {place: one for one in store.listed("shipped") if (place := parse_shipped_key(one.key)) is not None}
    checkpoints = tuple(store.listed("checkpoints"))
    chosen = outermost(shipped)
    days, stale = ((), ()) if originals else _days(store, markers, {p: shipped[p] for p in chosen}, without)
    covered = {(one.log, one.first, one.last) for day in days for one in day.segments}
    return Fleet(
        segments={place: shipped[place] for place in chosen if place not in covered},
        days=days,
        checkpoints=checkpoints,
        torn=_torn(store, shipped) if torn else (),
        stale=stale,
        nothing_at_all=not shipped and not checkpoints and next(iter(store.listed("segments")), None) is None,
    )


def outermost(places: Iterable[Place]) -> list[Place]:
    """The segments that lie within no other; raises LogFormatError where two overlap otherwise."""
    by_log: dict[str, list[Place]] = {}
    for place in places:
        by_log.setdefault(place[0], []).append(place)
    made: list[Place] = []
    for log in sorted(by_log):
        kept: list[Place] = []
        for place in sorted(by_log[log], key=lambda one: (one[1], -one[2])):
            if not kept or place[2] > kept[-1][2]:
                kept.append(place)
        for one, other in pairwise(kept):
            if other[1] <= one[2]:
                raise LogFormatError(
                    f"Two shipped segments of {log} overlap, {_name(one)} and {_name(other)}: one of them was never"
                    " made by its sidecar; take its `shipped` object away."
                )
        made += kept
    return made


def _name(place: Place) -> str:
    return f"{place[1]:012d}-{place[2]:012d}"


def _torn(store: ObjectStore, shipped: Mapping[Place, Listed]) -> tuple[str, ...]:
    """The segments of which files are there and the ``shipped`` object is not."""
    found = {parsed[:3] for one in store.listed("segments") if (parsed := parse_segment_key(one.key)) is not None}
    return tuple(f"{place[0]}/{_name(place)}" for place in sorted(found - shipped.keys()))


def _days(
    store: ObjectStore, markers: Markers, shipped: Mapping[Place, Listed], without: Collection[str]
) -> tuple[tuple[CompactedDay, ...], tuple[str, ...]]:
    """The compacted days that stand for originals that are there, and the names of the others."""
    listed = [one for one in compacted(store) if day_of(one) not in without]
    read: dict[str, CompactedDay] = {}

    def fetch(one: Listed) -> None:
        name = day_of(one)
        read[name] = parse_compacted(markers.read(one, OBJECT_BYTES_MAX), name)

    concurrently(partial(fetch, one) for one in listed)
    good, stale = [], []
    taken: set[Place] = set()
    for name, day in sorted(read.items()):
        places = {(one.log, one.first, one.last) for one in day.segments}
        if len(places) == len(day.segments) and not places & taken and _stands(markers, day, shipped):
            good.append(day)
            taken |= places
        else:
            stale.append(name)
    return tuple(good), tuple(stale)


def compacted(store: ObjectStore) -> list[Listed]:
    """The objects that describe compacted days."""
    return [one for one in store.listed("compacted") if one.key.count("/") == 1 and one.key.endswith(".json")]


def day_of(listed: Listed) -> str:
    """The day that such an object describes."""
    return listed.key.removeprefix("compacted/").removesuffix(".json")


def _stands(markers: Markers, day: CompactedDay, shipped: Mapping[Place, Listed]) -> bool:
    """Whether each segment of the day is still there with the same ``shipped`` object."""
    unsure: list[tuple[Listed, str]] = []
    for one in day.segments:
        found = shipped.get((one.log, one.first, one.last))
        if found is None:
            return False
        if not one.etag or found.etag != one.etag:
            unsure.append((found, one.sha256))
    different: list[str] = []

    def compare(found: Listed, sha256: str) -> None:
        if hashlib.sha256(markers.read(found)).hexdigest() != sha256:
            different.append(found.key)

    concurrently(partial(compare, *pair) for pair in unsure)
    return not different
