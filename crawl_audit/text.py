"""Untrusted bytes to text that every record, terminal and file may hold.

A site or crawler may send any octet.  Entries are canonical JSON without control characters and without lone
surrogates (notes on RFC 8785 in docs/log-format.md), so what does not fit is escaped where it stands, visibly and
without loss of its neighbours.
"""

from __future__ import annotations

import re

# C0 controls, DEL, C1 controls and lone surrogates: none may stand in an entry.  C1 is included because terminals
# act on it; bidirectional controls are kept here (they are text) and neutralised where text is shown.
_UNSTORABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _escape(match: re.Match[str]) -> str:
    point = ord(match.group())
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def storable(value: str | bytes, limit: int = 8192) -> str:
    """Text fit for a record: bytes read as UTF-8, what is not text escaped as ``\\xNN``, cut at ``limit`` characters.

    A backslash is kept as it is: the result is for reading, not for restoring the octets.
    """
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    text = _UNSTORABLE.sub(_escape, text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def is_storable(value: str) -> bool:
    """Whether ``value`` may stand in an entry as it is."""
    return _UNSTORABLE.search(value) is None


def first_line(error: Exception) -> str:
    """What an error says in one line, or its name where it says nothing: libraries add hints and traces below it."""
    return (str(error).splitlines() or [type(error).__name__])[0]
