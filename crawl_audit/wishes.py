"""What the groups that govern a crawler wish beside their rules: a pace, and what the content may be used for.

Read once for each robots.txt and crawler, so that asking costs a look-up.  `signals` records these lines for every
crawler as they stand; here only those count that stand in the groups for our product tokens, or for `*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from crawl_audit import signals
from crawl_audit.records import Instant
from crawl_audit.robots_lines import Field, Record
from crawl_audit.robots_paths import Matcher, TooMuchWorkError, normal, rules_of
from crawl_audit.text import storable

# Lines with a wish that are looked at; a robots.txt with more is made to hurt.
_LINES_MAX = 10_000
_TEXT_MAX = 200
_INTERVAL_MS_MAX = 30 * 86_400_000
_MINUTE_US = 60_000_000
_DAY_MINUTES = 1440

# What `signals` makes of the lines.
_RATE = re.compile(r"([0-9]+) per ([0-9]+) s(?:, ([0-9]{2})([0-9]{2})-([0-9]{2})([0-9]{2}) UTC)?")
_PREFERENCE = re.compile(r"([A-Za-z0-9_-]+)=([A-Za-z0-9_-]+)")
_KEYS = (b"content-signal", b"content-usage", b"request-rate")
# The word with which a protocol says no.
_REFUSALS = {"content-signal": "no", "content-usage": "n"}


class Rate(NamedTuple):
    """One Request-rate: how far apart requests are to be, always or in some hours of the day."""

    interval_ms: int
    hours: tuple[int, int] | None  # first and last minute of the day, UTC; the last before the first: past midnight


class Wishes:
    """The wishes of one robots.txt for one crawler; immutable, `NONE` where there are none."""

    __slots__ = ("_by_path", "_everywhere", "_rates", "_refusals_of_line")

    def __init__(
        self, rates: tuple[Rate, ...], everywhere: dict[tuple[str, str], str], by_path: dict[bytes, _Placed]
    ) -> None:
        """``everywhere``: (protocol, category) → line; ``by_path``: AIPREF rules, which hold by longest match."""
        self._rates = rates
        self._everywhere = everywhere
        self._refusals_of_line = {placed.line: placed.refused for placed in by_path.values()}
        self._by_path = None
        if by_path:
            self._by_path = Matcher(rules_of(_as_rule(path, placed) for path, placed in by_path.items()))

    def request_interval_ms(self, at: Instant) -> int | None:
        """Milliseconds per request that Request-rate asks for at that time, the longest where several do."""
        if not self._rates:
            return None
        minute = at // _MINUTE_US % _DAY_MINUTES
        asked = [rate.interval_ms for rate in self._rates if rate.hours is None or _within(minute, rate.hours)]
        return max(asked, default=None)

    def refused(self, protocol: str, category: str, target: str) -> str | None:
        """The line by which ``protocol`` refuses the use ``category`` of ``target`` (path and query), or None."""
        everywhere = self._everywhere.get((protocol, category))
        if everywhere is not None or self._by_path is None or protocol != "content-usage":
            return everywhere
        octets = target.encode("utf-8", "replace").partition(b"#")[0]
        path = normal(octets)
        try:
            rule = self._by_path.match_other_spellings(octets, path, self._by_path.match(path))
        except TooMuchWorkError:
            return "matching this path against the Content-Usage lines would take too long"
        return None if rule is None else self._refusals_of_line[rule.line].get(category)


class _Placed(NamedTuple):
    """What the Content-Usage lines for one path refuse together."""

    line: int  # the first of them; stands for all
    refused: dict[str, str]  # category → line as text


def wishes_of(records: Iterable[Record]) -> Wishes:
    """The wishes in ``records``, the other records of the groups that govern (RFC 9309 2.2.4); any octets are fine.

    AIPREF (draft-ietf-aipref-attach-05): a Content-Usage line holds for the paths it names, or for all; the longest
    match decides, and of lines for the same path the most restrictive.  Content-Signal knows no paths: one `no` holds.
    """
    rates: list[Rate] = []
    everywhere: dict[tuple[str, str], str] = {}
    by_path: dict[bytes, _Placed] = {}
    known: dict[bytes, str | None] = {}
    wished = {record.line: record for record in records if record.key.lower() in _KEYS}
    for record in sorted(wished.values())[:_LINES_MAX]:
        path, reading = _read(record, known)
        if reading is None:
            continue
        key = record.key.lower()
        if key == b"request-rate":
            rates += _rates(reading)
        elif key == b"content-usage":
            placed = by_path.setdefault(path, _Placed(record.line, {}))
            for category in _refused("content-usage", reading):
                placed.refused.setdefault(category, _line(record))
        else:
            for category in _refused("content-signal", reading):
                everywhere.setdefault(("content-signal", category), _line(record))
    if not any(placed.refused for placed in by_path.values()):
        by_path = {}
    return Wishes(tuple(rates), everywhere, by_path) if rates or everywhere or by_path else NONE


def _read(record: Record, known: dict[bytes, str | None]) -> tuple[bytes, str | None]:
    """(path, reading of the value); ``known`` remembers readings, since lines repeat."""
    path, value = b"/", record.value
    if record.key.lower() == b"content-usage" and value.startswith(b"/"):
        path, _, value = value.partition(b" ")
    text = record.key + b": " + value
    if text not in known:
        found = signals.robots_signals(text)
        known[text] = found[0].value if found else None
    return path, known[text]


def _refused(protocol: str, reading: str) -> list[str]:
    return [category for category, word in _PREFERENCE.findall(reading) if word == _REFUSALS[protocol]]


def _rates(reading: str) -> list[Rate]:
    found = _RATE.fullmatch(reading)
    if found is None or int(found[1]) == 0:
        return []
    interval_ms = min(-(-int(found[2]) * 1000 // int(found[1])), _INTERVAL_MS_MAX)
    hours = None
    if found[3] is not None:
        hours = (int(found[3]) * 60 + int(found[4]), int(found[5]) * 60 + int(found[6]))
    return [Rate(interval_ms, hours)]


def _within(minute: int, hours: tuple[int, int]) -> bool:
    first, last = hours
    return first <= minute <= last if first <= last else minute >= first or minute <= last


def _line(record: Record) -> str:
    return f"line {record.line}: {storable(record.text, _TEXT_MAX)}"


def _as_rule(path: bytes, placed: _Placed) -> Record:
    """A path of AIPREF as the matcher takes it: as a disallow, so that every spelling of the path is covered."""
    return Record(placed.line, Field.DISALLOW, b"content-usage", path, path)


NONE = Wishes((), {}, {})
