"""Declared exemptions: a licence, an own site, research or a known mistake → the requests it covers, until when.

An exemption says nothing about the site's rules; it says why the operator does not follow them.  So it is never
applied in silence: each decision it covers carries its id, and the declaration is in the run record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_to_bytes

from crawl_audit.records import Instant
from crawl_audit.robots_paths import normal
from crawl_audit.site import site_of
from crawl_audit.target import Target


class Reason(StrEnum):
    """On what ground the operator goes against the site's word."""

    LICENCE = "licence"
    OWN_SITE = "own_site"
    RESEARCH = "research"
    FALSE_POSITIVE = "false_positive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """One declaration; it covers a request if site or host, path, crawler and time all fit."""

    id: str
    reason: Reason
    sites: frozenset[str] = frozenset()  # registrable domains, all hosts under them
    hosts: frozenset[str] = frozenset()
    path_prefixes: tuple[str, ...] = ()  # none: every path
    crawlers: frozenset[str] = frozenset()  # none: every crawler
    not_before: Instant | None = None
    until: Instant

    def expired(self, at: Instant) -> bool:
        """Whether it is over at that time: it holds before ``until``, not at it."""
        return at >= self.until

    def covers(self, crawler: str, target: Target, at: Instant) -> bool:
        """Whether it applies to a request for ``target``, whose site or host is known to fit."""
        return (
            not self.expired(at)
            and (self.not_before is None or at >= self.not_before)
            and (not self.crawlers or crawler in self.crawlers)
            and (not self.path_prefixes or _under(target.target, self.path_prefixes))
        )


def recorded_exemption(said: Mapping[str, Any]) -> Exemption:
    """The exemption as a run's settings record it; KeyError, TypeError or ValueError where they hold something else."""
    not_before = said["not_before"]
    return Exemption(
        id=str(said["id"]),
        reason=Reason(said["reason"]),
        sites=frozenset(map(str, said["sites"])),
        hosts=frozenset(map(str, said["hosts"])),
        path_prefixes=tuple(map(str, said["path_prefixes"])),
        crawlers=frozenset(map(str, said["crawlers"])),
        not_before=None if not_before is None else _instant(not_before),
        until=_instant(said["until"]),
    )


class Exemptions:
    """All declared exemptions, filed by host and site; the first declared that covers a request applies."""

    def __init__(self, declared: Iterable[Exemption] = ()) -> None:
        self._filed: dict[str, list[tuple[int, Exemption]]] = {}
        for position, exemption in enumerate(declared):
            for name in exemption.sites | exemption.hosts:
                self._filed.setdefault(name, []).append((position, exemption))

    def covering(self, crawler: str, target: Target, at: Instant) -> Exemption | None:
        """The exemption that applies to a request of ``crawler`` at that time, or None."""
        if not self._filed:
            return None
        host = target.scope.host
        site = site_of(host)
        fitting = [pair for pair in self._filed.get(host, ()) if host in pair[1].hosts]
        fitting += [pair for pair in self._filed.get(site, ()) if site in pair[1].sites]
        covering = [pair for pair in fitting if pair[1].covers(crawler, target, at)]
        return min(covering, key=lambda pair: pair[0])[1] if covering else None


def _instant(text: str) -> Instant:
    """ISO 8601 with an offset as microseconds."""
    return Instant((datetime.fromisoformat(text) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1))


def _under(target: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a path lies under one of ``prefixes``, both in the form in which robots.txt rules are compared.

    A path with dot segments, however escaped, lies under none: a server may resolve `/own/../other` to `/other`.
    """
    octets = target.encode("utf-8", "replace")
    segments = unquote_to_bytes(octets.partition(b"?")[0]).replace(b"\\", b"/").split(b"/")
    if b".." in segments or b"." in segments:
        return False
    path = normal(octets)
    return any(path.startswith(normal(prefix.encode("utf-8"))) for prefix in prefixes)
