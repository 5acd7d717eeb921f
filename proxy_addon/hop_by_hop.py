"""Which header fields end at the sidecar: those of one connection, and those between crawler and proxy.

RFC 9110 7.6.1: a field that Connection names, and a few that are always meant for one connection, are not passed on;
mitmproxy passes on all of them.  What frames or addresses a message stays whatever Connection names, as it may not
name a field that is meant for every recipient; so does User-Agent, which is on record as sent to the site.
"""

from __future__ import annotations

import re

type Fields = tuple[tuple[bytes, bytes], ...]

_ALWAYS = frozenset((b"keep-alive", b"te", b"proxy-connection"))
_PROXY = b"proxy-"
_NEVER = frozenset(
    (
        b"connection",
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-encoding",
        b"user-agent",
        b"cache-control",
    )
)
# They tell mitmproxy whether a connection goes on; it has no other place for that.
_KEPT_OPTIONS = frozenset((b"close", b"keep-alive"))
_LINE = re.compile(rb"[\r\n\0]+[ \t]*")
_OURS = re.compile(rb"(?:\A|,)[ \t]*\"?crawl-audit\b", re.IGNORECASE)


def to_site(fields: Fields) -> Fields:
    """The fields of a request as they go on to the site."""
    return _end_to_end(fields, upgrade=_asks_for_websocket(fields))


def to_crawler(fields: Fields, status: int) -> Fields:
    """The fields of an answer as they go on to the crawler.

    A site may not speak in the proxy's name: Proxy-Authenticate would have the crawler send the proxy its token anew,
    and Proxy-Status could look like a refusal of ours.  A value over several lines becomes one (RFC 9112 5.2).
    """
    passed = _end_to_end(fields, upgrade=status == 101, keep=b"proxy-status")
    if any(_speaks_for_us(name, value) for name, value in passed):
        passed = tuple((name, value) for name, value in passed if not _speaks_for_us(name, value))
    if any(b"\n" in value or b"\r" in value or b"\0" in value for _, value in passed):
        passed = tuple((name, _LINE.sub(b" ", value)) for name, value in passed)
    return passed


def _speaks_for_us(name: bytes, value: bytes) -> bool:
    return len(name) == len(b"proxy-status") and name.lower() == b"proxy-status" and _OURS.search(value) is not None


def _end_to_end(fields: Fields, *, upgrade: bool, keep: bytes = b"") -> Fields:
    named = _options(fields)
    if upgrade:
        named.discard(b"upgrade")
    dropped = (_ALWAYS | named | (set() if upgrade else {b"upgrade"})) - _NEVER
    kept_options = _KEPT_OPTIONS | {b"upgrade"} if upgrade else _KEPT_OPTIONS
    passed = []
    for name, value in fields:
        lower = name.lower()
        if lower == b"connection":
            if options := [option for option in _split(value) if option.lower() in kept_options]:
                passed.append((name, b", ".join(options)))
        elif lower not in dropped and (not lower.startswith(_PROXY) or lower == keep):
            passed.append((name, value))
    return tuple(passed)


def _options(fields: Fields) -> set[bytes]:
    return {option.lower() for name, value in fields if name.lower() == b"connection" for option in _split(value)}


def _split(value: bytes) -> list[bytes]:
    return [option for part in value.split(b",") if (option := part.strip())]


def _asks_for_websocket(fields: Fields) -> bool:
    """Whether a request asks for the one change of protocol that may pass; h2c and others are dropped."""
    upgrades = [value.strip().lower() for name, value in fields if name.lower() == b"upgrade"]
    return upgrades == [b"websocket"] and b"upgrade" in _options(fields)
