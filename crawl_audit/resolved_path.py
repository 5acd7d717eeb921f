"""Which other paths a site may take a path for: dot segments, slashes that it merges, and what hides both.

`/public/../private/x` is `/private/x` to whoever serves it (RFC 3986 6.2.2), and no rule for `/private/` matches what
was sent.  So a path is judged as it was sent and as a site may resolve it, and the stricter verdict holds.
"""

from __future__ import annotations

import re

# Most paths hold none of these and are what they are.
_SUSPECT = re.compile(rb"//|/\.|/%2[Ee]|\\|%5[Cc]|%2[Ff]")
_DOT = re.compile(rb"%2[Ee]")
_ESCAPED_SLASH = re.compile(rb"%2[Ff]")
_HIDDEN_SLASH = re.compile(rb"\\|%5[Cc]|%2[Ff]")
_SLASHES = re.compile(rb"//+")


def as_resolved(octets: bytes) -> tuple[bytes, ...]:
    """The paths, other than ``octets`` (path and query as sent), that a site may serve for it; mostly none.

    * as RFC 3986 6.2.2 resolves it: dots unescaped, dot segments removed;
    * the same with runs of slashes merged, as nginx and Apache do unless told otherwise;
    * the same with escaped slashes, and with backslashes too, read as slashes, where these hide a dot segment;
      elsewhere `%2F` stays what RFC 9309 2.2.2 makes of it, another character than a slash;
    * each of them also for what stands before a `#`, which no request should hold and some servers cut.
    """
    found: dict[bytes, None] = {}
    for sent in (octets, octets.partition(b"#")[0]) if b"#" in octets else (octets,):
        found[sent] = None
        path, mark, query = sent.partition(b"?")
        if _SUSPECT.search(path) is not None:
            for resolved in _resolutions(_DOT.sub(b".", path)):
                found[resolved + mark + query] = None
    found.pop(octets, None)
    return tuple(found)


def _resolutions(path: bytes) -> tuple[bytes, ...]:
    # `/a//../b` is `/a/b` to who removes dot segments alone, and `/b` to who merges slashes first.
    found = (without_dot_segments(path), without_dot_segments(_SLASHES.sub(b"/", path)))
    unhidden = _HIDDEN_SLASH.sub(b"/", path)
    if unhidden == path or not _has_dot_segment(unhidden):
        return found
    # A backslash is a slash to some servers, and to others a character of a name: `/%2F/private/..%5C`.
    readings = (unhidden, _ESCAPED_SLASH.sub(b"/", path))
    return (*found, *(without_dot_segments(_SLASHES.sub(b"/", reading)) for reading in readings))


def _has_dot_segment(path: bytes) -> bool:
    return any(segment in (b".", b"..") for segment in path.split(b"/"))


def without_dot_segments(path: bytes) -> bytes:
    """``path`` after RFC 3986 5.2.4: `.` and `..` taken as the directory they stand for, none above the first."""
    segments = path.split(b"/")[1:]
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments and segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
