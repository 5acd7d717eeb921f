"""What a site's /.well-known/tdmrep.json reserves: its entries, and which of them is for a path (TDMRep, W3C CG).

The file is an array of ``{"location": "/path*", "tdm-reservation": 1, "tdm-policy": "https://…"}``.  Locations are
patterns as in robots.txt (`*`, `$` at the end, otherwise a prefix), and the first that matches counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from crawl_audit.robots_paths import normal
from crawl_audit.text import storable

ENTRIES_MAX = 128
"""How many entries of one file are read; files in use have a handful."""
LOCATION_CHARACTERS_MAX = 512
RAW_CHARACTERS_MAX = 2048
BODY_BYTES_MAX = 128 * 1024
"""A longer file is not read: half a JSON text is none, and decoding more at once would hold other requests up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TdmrepEntry:
    """One element of the array, as read; made by `parse`."""

    location: str | None  # as written; None where there is none that could match
    reserved: bool | None  # None: neither 1 nor 0, which counts as if unset
    policy: str | None  # URL of the licensing policy, as written
    raw: str  # the element as JSON
    segments: tuple[str, ...] = ()  # literal octets of `location` in normal form, a `*` between each two
    anchored: bool = False  # `location` ends in `$`

    @property
    def value(self) -> str | None:
        """The reading in words, as for the header field TDM-Reservation."""
        return None if self.reserved is None else "reserved" if self.reserved else "not reserved"


def parse(body: bytes) -> tuple[TdmrepEntry, ...] | None:
    """The entries in the order of the file, at most `ENTRIES_MAX`; None where the octets are no such file."""
    if len(body) > BODY_BYTES_MAX:
        return None
    try:
        value = json.loads(body.decode("utf-8-sig", "replace"))
        elements = [value] if isinstance(value, dict) else value  # a lone entry is meant as an array of one
        if not isinstance(elements, list):
            return None
        return tuple(_entry(element) for element in elements[:ENTRIES_MAX])
    except (ValueError, RecursionError):
        return None


def reservation_for(entries: tuple[TdmrepEntry, ...], target: str) -> TdmrepEntry | None:
    """The entry that is for ``target`` (path and query): the first in sequence that matches, or None."""
    if not entries:
        return None
    path = normal(target.partition("#")[0].encode("utf-8", "surrogatepass"))
    return next((entry for entry in entries if entry.location is not None and _matches(entry, path)), None)


def _entry(element: Any) -> TdmrepEntry:
    fields = element if isinstance(element, dict) else {}
    location, policy = fields.get("location"), fields.get("tdm-policy")
    if not isinstance(location, str) or len(location) > LOCATION_CHARACTERS_MAX:
        location = ""
    segments, anchored = _pattern(location) if location else ((), False)
    return TdmrepEntry(
        location=storable(location, LOCATION_CHARACTERS_MAX) or None,
        reserved=_reserved(fields.get("tdm-reservation")),
        policy=storable(policy, RAW_CHARACTERS_MAX) if isinstance(policy, str) else None,
        raw=storable(json.dumps(element, ensure_ascii=False), RAW_CHARACTERS_MAX),
        segments=segments,
        anchored=anchored,
    )


def _reserved(value: object) -> bool | None:
    """The specification knows the integers 1 and 0; what means the same in another type is taken to mean it."""
    if value in (1, "1"):  # true and 1.0 too
        return True
    return False if value in (0, "0") else None


def _pattern(location: str) -> tuple[tuple[str, ...], bool]:
    anchored = location.endswith("$")
    octets = location.removesuffix("$").encode("utf-8", "surrogatepass")
    if octets[:1] not in (b"/", b"*"):
        octets = b"/" + octets  # a path cannot start with anything else
    return tuple(normal(literal) for literal in octets.split(b"*")), anchored


def _matches(entry: TdmrepEntry, path: str) -> bool:
    """Each literal at its first occurrence after the one before; no backtracking, linear in the path."""
    head, *rest = entry.segments
    if not path.startswith(head):
        return False
    start = len(head)
    if not rest:
        return not entry.anchored or len(path) == start
    for segment in rest[:-1]:
        start = path.find(segment, start)
        if start < 0:
            return False
        start += len(segment)
    if entry.anchored:
        return len(path) - len(rest[-1]) >= start and path.endswith(rest[-1])
    return path.find(rest[-1], start) >= 0
