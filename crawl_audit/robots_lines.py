"""The octets of a robots.txt → records → groups, as RFC 9309 2.1–2.2 and google/robotstxt read them.

No product token is known here: the result is the same for every crawler.  What google/robotstxt accepts beyond the
RFC (a missing colon, frequent typing errors, keys by prefix, a byte order mark) is accepted here too, because a site
that wrote ``Disalow: /`` meant something, and taking it for nothing would be a false "allowed".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

BODY_BYTES_MAX = 1024 * 1024
"""What is evaluated of a body; RFC 9309 2.5 asks for at least 500 KiB.  The rest is not looked at."""

# google/robotstxt reads no more than this of a line (8 * 2083, less its terminator), so a longer path acts as its
# own prefix.  Deviation: RFC 9309 knows no limit on a line.
LINE_BYTES_MAX = 8 * 2083 - 1

OTHERS_MAX = 20_000
"""How many other records of a file are kept: they decide nothing, and a hostile file has 350,000."""

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"[ \t]+")
_EOL = re.compile(rb"\r\n?|\n")
_PIECE_BYTES = 64 * 1024


class Field(Enum):
    """What a record is for; everything that RFC 9309 2.2.4 calls other records is OTHER."""

    USER_AGENT = "user-agent"
    ALLOW = "allow"
    DISALLOW = "disallow"
    OTHER = "other"


class Record(NamedTuple):
    """One ``key: value`` line (a tuple, since a hostile file has 10⁵ of them)."""

    line: int  # counted from 1, in the file as served
    field: Field
    key: bytes
    value: bytes
    text: bytes  # the line without comment and surrounding white space


class Group(NamedTuple):
    """User-agent lines and the records under them (RFC 9309 2.1)."""

    agents: list[bytes]  # values of the user-agent lines, as written
    rules: list[Record]  # allow and disallow lines, empty patterns included
    others: list[Record]


# Key prefixes in the order google/robotstxt tries them; it compares prefixes, so `Disallowed:` counts.
_PREFIXES: tuple[tuple[Field, tuple[bytes, ...]], ...] = (
    (Field.USER_AGENT, (b"user-agent", b"useragent", b"user agent")),
    (Field.ALLOW, (b"allow",)),
    (Field.DISALLOW, (b"disallow", b"dissallow", b"dissalow", b"disalow", b"diasllow", b"disallaw")),
)


def records(body: bytes) -> Iterator[Record]:
    """Every line that has a key and a value (the value may be empty), in order; any octets are fine."""
    for number, line in enumerate(_lines(body), 1):
        text = line[:LINE_BYTES_MAX].partition(b"\0")[0].partition(b"#")[0].strip()
        if not text:
            continue
        key, colon, value = text.partition(b":")
        if not colon:
            words = _BLANK.split(text)
            if len(words) != 2:  # google/robotstxt: a missing colon is forgiven between exactly two words
                continue
            key, value = words
        key = key.strip()
        if key:
            yield Record(number, _field(key.lower()), key, value.strip(), text)


def groups(body: bytes) -> tuple[list[Group], list[Record]]:
    """The groups of a file in order, and the other records that stand before any group.

    RFC 9309 2.2.1: a group is one or more user-agent lines and the rules that follow, so a user-agent line after a
    rule starts a new one.  2.2.4: other records never do.  Rules before any group are ignored (2.2.2).
    """
    found: list[Group] = []
    loose: list[Record] = []
    others = 0
    for record in records(body):
        if record.field is Field.USER_AGENT:
            if not found or found[-1].rules:
                found.append(Group([], [], []))
            found[-1].agents.append(record.value)
        elif record.field is Field.OTHER:
            others += 1
            if others <= OTHERS_MAX:
                (found[-1].others if found else loose).append(record)
        elif found:
            found[-1].rules.append(record)
    return found, loose


def _lines(body: bytes) -> Iterator[bytes]:
    """Lines ended by CR, LF or CRLF and by nothing else (RFC 9309 2.2: EOL); `bytes.splitlines` does just that."""
    body, whole = _evaluated(body)
    start = 0
    while start < len(body):
        # Piece by piece: a million empty lines in one call would keep every other thread waiting for 40 ms.
        cut = _EOL.search(body, start + _PIECE_BYTES)
        end = len(body) if cut is None else cut.end()
        lines = body[start:end].splitlines()
        if end == len(body) and not whole:
            del lines[-1]
        yield from lines
        start = end


def _evaluated(body: bytes) -> tuple[bytes, bool]:
    """What is read of ``body``, and whether that is all there is."""
    for octet in _BOM:  # google/robotstxt skips a byte order mark, also one that is cut short
        if body[:1] != bytes((octet,)):
            break
        body = body[1:]
    # The line the limit falls into is not a line of the site's: half an Allow would allow more than was written.
    return body[:BODY_BYTES_MAX], len(body) <= BODY_BYTES_MAX


def _field(key: bytes) -> Field:
    for field, prefixes in _PREFIXES:
        if key.startswith(prefixes):
            return field
    return Field.OTHER
