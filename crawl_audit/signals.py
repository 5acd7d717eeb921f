"""Usage preferences and pacing wishes that a robots.txt or an answer's header fields carry, as found.

They are facts beside the verdict and never change it.  ``raw`` is what was sent; ``value`` our short reading, None
where there is none.  Readings name their version where the vocabulary still moves (AIPREF): a later reader can redo
them from ``raw``.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC

import http_sf

from crawl_audit.robots_lines import Record, groups
from crawl_audit.text import storable

SIGNALS_MAX = 100
"""How many signals are taken from one robots.txt or one answer."""
RAW_CHARACTERS_MAX = 2048
_SCOPE_CHARACTERS_MAX = 512

# draft-ietf-aipref-vocab-07 (2026-08-19) knows these two categories; -05 and -06 the same.
_AIPREF_LABELS = ("train-ai", "search")
_AIPREF_VERSION = "vocab-07"
_CONTENT_SIGNAL = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)\s*=\s*([A-Za-z0-9_-]+)")
_RATE = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*([smhd]?)(?:\s+([0-9]{3,4})\s*-\s*([0-9]{3,4}))?", re.IGNORECASE)
_HOURS = re.compile(r"([0-9]{3,4})\s*[-\s]\s*([0-9]{3,4})")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s=;,"]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)')
_PARAMETER = re.compile(r';\s*([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))')
# Directives of X-Robots-Tag that have a value of their own, so their colon does not end a crawler's name.
_VALUED_DIRECTIVES = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
_AGENT = re.compile(r"\s*([A-Za-z0-9_.*-]+)\s*:\s*(.*)", re.DOTALL)
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSignal:
    """One signal: the fields of `records.Signal` that do not depend on where it was found."""

    protocol: str
    raw: str
    value: str | None
    scope: str | None


def robots_signals(body: bytes) -> list[FoundSignal]:
    """Signals of a robots.txt in the order of its lines, at most `SIGNALS_MAX`; any octets are fine.

    The scope is the group's user-agent lines, with the path for a Content-Usage rule that has one.  License (RSL)
    is global wherever it stands.
    """
    found, loose = groups(body)
    placed: list[tuple[Record, str | None]] = [(record, None) for record in loose]
    for group in found:
        scope = _bounded(", ".join(storable(agent, 200) for agent in group.agents[:50]))
        placed += [(record, scope) for record in group.others]
    placed.sort(key=lambda pair: pair[0].line)
    signals = []
    for record, scope in placed:
        kind = _LINES.get(record.key.lower())
        if kind is None:
            continue
        protocol, read = kind
        value, path = storable(record.value, RAW_CHARACTERS_MAX), None
        if protocol == "content-usage" and value.startswith("/"):
            path, _, value = value.partition(" ")
        signals.append(
            FoundSignal(
                protocol=protocol,
                raw=storable(record.text, RAW_CHARACTERS_MAX),
                value=read(value),
                scope=None if protocol == "rsl" else _scope(scope, path),
            )
        )
        if len(signals) >= SIGNALS_MAX:
            break
    return signals


def response_signals(headers: Iterable[tuple[str, str]]) -> list[FoundSignal]:
    """Signals of an answer's header fields, in order, at most `SIGNALS_MAX`; field names in any case."""
    signals: list[FoundSignal] = []
    for name, value in headers:
        reader = _FIELDS.get(name.lower())
        if reader is not None:
            raw = storable(f"{name}: {value}", RAW_CHARACTERS_MAX)
            # The bound is on what is read as well: nothing longer than it can be a signal that anyone means.
            found = reader(name.lower(), storable(value, RAW_CHARACTERS_MAX))
            signals += [
                FoundSignal(protocol=protocol, raw=raw, value=_bounded(reading), scope=_bounded(scope))
                for protocol, reading, scope in found
            ]
        if len(signals) >= SIGNALS_MAX:
            break
    return signals[:SIGNALS_MAX]


type _Reading = tuple[str, str | None, str | None]
"""protocol, value, scope"""


def _scope(agents: str | None, path: str | None) -> str | None:
    return agents if path is None else _bounded(f"{agents or ''} {path}".strip())


def _bounded(text: str | None) -> str | None:
    return None if text is None else storable(text, _SCOPE_CHARACTERS_MAX)


def _content_signal(value: str) -> str | None:
    """`search=yes, ai-train=no`: keys and values in lower case, in the order given."""
    pairs = _CONTENT_SIGNAL.findall(value)[:20]
    return ", ".join(f"{key.lower()}={word.lower()}" for key, word in pairs) or None


def _content_usage(value: str) -> str | None:
    """AIPREF: a Dictionary (RFC 9651) of categories, each `y` or `n`; anything else is unknown and left out."""
    try:
        parsed = http_sf.parse(value.encode("utf-8", "replace"), tltype="dictionary")
    except (http_sf.StructuredFieldError, ValueError, LookupError):
        return None
    assert isinstance(parsed, dict)
    known = []
    for label in _AIPREF_LABELS:
        item = parsed.get(label)
        word = item[0] if isinstance(item, tuple) else item
        if isinstance(word, http_sf.Token) and str(word) in ("y", "n"):
            known.append(f"{label}={word}")
    return f"{', '.join(known)}; {_AIPREF_VERSION}" if known else None


def _first_word(value: str) -> str | None:
    return next(iter(value.split()), None)


def _seconds(value: str) -> str | None:
    found = _SECONDS.match(value.strip())
    return None if found is None else f"{found.group()} s"


def _request_rate(value: str) -> str | None:
    found = _RATE.match(value.strip())
    if found is None or int(found[2]) == 0:
        return None
    reading = f"{int(found[1])} per {int(found[2]) * _UNIT_SECONDS[found[3].lower()]} s"
    return reading if found[4] is None else f"{reading}, {found[4].zfill(4)}-{found[5].zfill(4)} UTC"


def _visit_time(value: str) -> str | None:
    found = _HOURS.match(value.strip())
    return None if found is None else f"{found[1].zfill(4)}-{found[2].zfill(4)} UTC"


def _of(protocol: str, read: Callable[[str], str | None]) -> Callable[[str, str], list[_Reading]]:
    return lambda _name, value: [(protocol, read(value), None)]


def _tdm_reservation(_name: str, value: str) -> list[_Reading]:
    """TDMRep: 1 reserved, 0 not reserved, anything else is as if unset."""
    return [("tdmrep", {"1": "reserved", "0": "not reserved"}.get(value.strip()), None)]


def _x_robots_tag(_name: str, value: str) -> list[_Reading]:
    """`noai, noimageai`, `GPTBot: noindex`, and several of both in one field: one signal per crawler named."""
    directives: dict[str | None, list[str]] = {}
    agent: str | None = None
    for part in value.split(",")[:SIGNALS_MAX]:
        text = part
        named = _AGENT.match(part)
        if named is not None and named[1].lower() not in _VALUED_DIRECTIVES:
            agent, text = named[1], named[2]
        if text.strip():
            directives.setdefault(agent, []).append(" ".join(text.split()))
    return [("x-robots-tag", ", ".join(words).lower(), scope) for scope, words in directives.items()]


def _robots_tag(name: str, value: str) -> list[_Reading]:
    """draft-illyes-repext-00: `*=noindex, nosnippet; ExampleBot=`; without `=` as X-Robots-Tag."""
    if "=" not in value:
        return _x_robots_tag(name, value)
    readings: list[_Reading] = []
    for part in value.split(";")[:SIGNALS_MAX]:
        agent, equals, words = part.partition("=")
        if equals:
            listed = ", ".join(word.strip().lower() for word in words.split(",") if word.strip())
            readings.append(("x-robots-tag", listed or None, agent.strip() or None))
    return readings


def _link(_name: str, value: str) -> list[_Reading]:
    """Link fields with rel=license: RSL where the type says so, else a licence of any kind."""
    readings: list[_Reading] = []
    for url, tail in _LINK.findall(value):
        parameters = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(tail)}
        if "license" in parameters.get("rel", "").lower().split():
            rsl = parameters.get("type", "").lower() == "application/rsl+xml"
            readings.append(("rsl" if rsl else "license", url.strip() or None, None))
    return readings


def _www_authenticate(_name: str, value: str) -> list[_Reading]:
    """RSL CAP: the challenge `License`, in a field that may hold others."""
    challenge = re.search(r"(?:^|,\s*)License(?:\s+(.*))?$", value, re.IGNORECASE | re.DOTALL)
    return [] if challenge is None else [("rsl", f"license {challenge[1] or ''}".strip(), None)]


def _pay_per_crawl(name: str, value: str) -> list[_Reading]:
    return [("pay-per-crawl", f"{name.removeprefix('crawler-')} {' '.join(value.split())}".strip(), None)]


def _retry_after(_name: str, value: str) -> list[_Reading]:
    """RFC 9110 10.2.3: seconds, or a date (given back in UTC, ISO 8601)."""
    if value.strip().isdecimal():
        return [("retry-after", _seconds(value), None)]
    try:
        moment = email.utils.parsedate_to_datetime(value.strip())
        reading = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, TypeError, LookupError, OverflowError):
        return [("retry-after", None, None)]
    return [("retry-after", reading, None)]


_LINES: dict[bytes, tuple[str, Callable[[str], str | None]]] = {
    b"content-signal": ("content-signal", _content_signal),
    b"content-usage": ("content-usage", _content_usage),
    b"license": ("rsl", _first_word),
    b"crawl-delay": ("crawl-delay", _seconds),
    b"request-rate": ("request-rate", _request_rate),
    b"visit-time": ("visit-time", _visit_time),
}
_FIELDS: dict[str, Callable[[str, str], list[_Reading]]] = {
    "content-signal": _of("content-signal", _content_signal),
    "content-usage": _of("content-usage", _content_usage),
    "tdm-reservation": _tdm_reservation,
    "tdm-policy": _of("tdmrep", _first_word),
    "x-robots-tag": _x_robots_tag,
    "robots-tag": _robots_tag,
    "link": _link,
    "www-authenticate": _www_authenticate,
    "crawler-price": _pay_per_crawl,
    "crawler-charged": _pay_per_crawl,
    "crawler-error": _pay_per_crawl,
    "retry-after": _retry_after,
}
