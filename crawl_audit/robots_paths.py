"""Which rule of a group matches a path: percent-encoding, wildcards and the longest match of RFC 9309 2.2.2–2.2.3.

Everything happens on octets.  Patterns and paths are brought into one normal form first; then a pattern is a list
of literal segments between `*`, matched greedily from left to right, which needs no backtracking and is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from crawl_audit.robots_lines import Field, Record

# Above this many octet comparisons (path length x octets of wildcard patterns) candidates are sifted first.
_SIFT_WORK_MIN = 1_000_000
# What matching one path may cost after sifting, in octet comparisons; about 20 ms at worst.
WORK_MAX = 40_000_000

# The sieve: sets of all pieces of a path, each about 5 ms for 64 KiB.
_PIECE_OCTETS_MAX = 16
_PIECE_SETS_MAX = 3

# The rarer spellings of one path are tried rule by rule: so many rules, and so many octet comparisons for each
# spelling, take some 20 ms at worst.
_VARIANTS_MAX = 20_000
_VARIANT_WORK_MAX = 10_000_000

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# ASCII that RFC 3986 has no place for: a URL holds it escaped or, sent carelessly, raw; both mean the same.
_UNSAFE = frozenset(b' "<>\\^`{|}')
# RFC 9309 2.2.3: `%2A` and `%24` in a rule stand for the characters themselves.
_SPECIAL = frozenset(b"*$")

_ODD = re.compile(rb"%[0-9A-Fa-f]{2}|[^ -~]", re.DOTALL)
# Half an escape at the end of a literal, or a character (raw or escaped) that no URL can hold raw.
_WIDER_MEANT = re.compile(rb"%[0-9A-Fa-f]?\Z|[ \"<>\\^`{|}]|%(?:20|22|3[CcEe]|5[CcEe]|60|7[B-Db-d])")


def _spelling(decoded: frozenset[int]) -> dict[bytes, bytes]:
    """What becomes of each escape and each octet outside printable ASCII where ``decoded`` octets are decoded."""
    spelling = {}
    for octet in range(256):
        escape = b"%%%02X" % octet
        plain = bytes((octet,))
        spelling[plain] = escape
        for form in {escape, escape.lower(), b"%%%X%x" % divmod(octet, 16), b"%%%x%X" % divmod(octet, 16)}:
            spelling[form] = plain if octet in decoded else escape
    return spelling


_NORMAL = _spelling(_UNRESERVED | _SPECIAL)
_RFC = _spelling(_UNRESERVED)
# In these spellings a disallow with half an escape or an unsafe character is tried too: decoded are all octets that a
# careless writer may mix up, those of RFC 9309, and (google/robotstxt) none.
_WIDER = (_spelling(_UNRESERVED | _UNSAFE | _SPECIAL), _RFC, _spelling(frozenset()))
# Figure 4 of RFC 9309 percent-encodes these in a query; `=`, `&` and the other sub-delims stay.
_QUERY_DELIMITER = re.compile(r"[:/?\[\]@]")
_QUERY_VARIES = re.compile(r"\?.*(?:[:/?\[\]@]|%(?:3A|2F|3F|5B|5D|40))")


class TooMuchWorkError(Exception):
    """Matching would take longer than any request may wait; nothing is known about the verdict."""


class Rule(NamedTuple):
    """One allow or disallow line, ready to match (a tuple, since a hostile file has 10⁵ of them)."""

    weight: int  # octets of the pattern: the longest match wins (RFC 9309 2.2.2)
    allow: bool
    line: int
    text: bytes  # as written
    segments: tuple[str, ...]  # literal octets in normal form, a `*` between each two
    anchored: bool  # the pattern ends in `$`
    literals: tuple[bytes, ...] = ()  # the segments as written, where a disallow means more than its octets

    @property
    def rank(self) -> tuple[int, bool, int]:
        """Sort key: the most octets first; among equals the allow (RFC 9309 2.2.2), then the first line."""
        return (-self.weight, not self.allow, self.line)


def normal(octets: bytes) -> str:
    """The form in which paths and pattern segments are compared (RFC 9309 2.2.2).

    Escapes of unreserved characters are decoded, octets outside printable ASCII are escaped, hexadecimal digits are
    upper case.  Escapes of other octets are left, so `%3F` is not `?` and no two byte sequences fall together, also
    where they are not UTF-8 (Shift_JIS, EUC-JP).
    """
    return _respelled(octets, _NORMAL).decode("ascii")


def rules_of(records: Iterable[Record]) -> list[Rule]:
    """The rules of allow and disallow records, the heaviest first; an empty pattern is no rule."""
    found: list[Rule] = []
    for record in records:
        if not record.value:
            continue
        allow = record.field is Field.ALLOW
        found.append(_rule(record, allow, record.value))
        # Deviation: RFC 9309 knows nothing of it, but google/robotstxt and Protego read an allowed index page as
        # its directory being allowed.
        directory, slash, page = record.value.rpartition(b"/")
        if allow and slash and page.startswith(b"index.htm"):
            found.append(_rule(record, allow, directory + b"/$"))
    found.sort(key=lambda rule: rule.rank)
    return found


class Matcher:
    """The rules of one group, indexed; immutable."""

    def __init__(self, rules: list[Rule]) -> None:
        """``rules`` in the order of `rules_of`."""
        self._plain: dict[str, Rule] = {}
        self._wild: dict[str, list[_Wild]] = {}
        self.wild_octets = 0
        for rule in rules:
            head, *rest = rule.segments
            if not rest and not rule.anchored and rule.weight == len(head):
                self._plain.setdefault(head, rule)
            else:
                self._wild.setdefault(head, []).append(_wild(rule))
                self.wild_octets += rule.weight
        self._lengths = sorted({len(prefix) for prefix in self._plain}, reverse=True)
        self._head_lengths = sorted({len(head) for head in self._wild})
        self._variants = [variant for rule in rules if (variant := _query_variant(rule)) is not None]
        wider = [rule for rule in rules if rule.literals]
        self._wider = [(spelling, [_variant(rule, spelling) for rule in wider]) for spelling in _WIDER if wider]

    def match(self, path: str) -> Rule | None:
        """The rule that decides on ``path`` (in normal form, with query), or None; raises TooMuchWorkError."""
        best, size, plain = None, len(path), self._plain
        for length in self._lengths:
            if length <= size:
                best = plain.get(path[:length])
                if best is not None:  # weight is length here, so the longest prefix is the heaviest
                    break
        sieve = _Sieve(path) if self.wild_octets * size > _SIFT_WORK_MIN else None
        for length in self._head_lengths:
            if length > size:
                break
            candidates = self._wild.get(path[:length])
            if candidates is not None:
                best = _best_wild(candidates, path, length, best, sieve)
        return best

    def match_other_spellings(self, octets: bytes, path: str, best: Rule | None) -> Rule | None:
        """``best``, or the rule that outranks it in one of the two spellings that the normal form does not cover.

        ``octets`` is the path as asked for, ``path`` its normal form.  Raises TooMuchWorkError.
        """
        if self._variants and "?" in path:
            # Figure 4 of RFC 9309: `?u=https://a` and `?u=https%3A%2F%2Fa` are one path, in rules and in URLs.
            # Deviation: google/robotstxt tells them apart.
            best = _best_variant(self._variants, _encode_query(path), best)
        for spelling, variants in self._wider:
            best = _best_variant(variants, _spelled(octets, spelling), best)
        return best


class _Wild(NamedTuple):
    """A rule with `*` or `$` as it is filed under its first segment."""

    needle: str  # the longest segment of `rest`: where it is not in the path, nothing more need be tried
    rest: tuple[str, ...]  # the segments after the first
    anchored: bool
    weight: int
    rule: Rule


def _wild(rule: Rule) -> _Wild:
    rest = rule.segments[1:]
    return _Wild(max(rest, key=len, default=""), rest, rule.anchored, rule.weight, rule)


def _best_wild(candidates: list[_Wild], path: str, start: int, best: Rule | None, sieve: _Sieve | None) -> Rule | None:
    """The first of ``candidates`` (heaviest first, their first segment fits) that fits, if it outranks ``best``."""
    floor = 0 if best is None else best.weight
    for needle, rest, anchored, weight, rule in candidates:
        if weight < floor:
            break
        if (needle in path if sieve is None else sieve.passes(needle)) and _fits(path, start, rest, anchored):
            return rule if best is None or rule.rank < best.rank else best
    return best


class _Sieve:
    """Rules out segments by their first and last octets, for hostile input: long paths, very many wildcards."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._pieces: dict[int, set[str]] = {}
        self._work = 0

    def passes(self, needle: str) -> bool:
        """Whether ``needle`` may be in the path; raises TooMuchWorkError when too many could not be ruled out."""
        size = min(len(needle), _PIECE_OCTETS_MAX)
        if size not in self._pieces and len(self._pieces) >= _PIECE_SETS_MAX:
            size = max((known for known in self._pieces if known < size), default=0)
        have = self._pieces.get(size)
        if have is None:
            have = {self._path[i : i + size] for i in range(len(self._path) - size + 1)}
            self._pieces[size] = have
        if needle[:size] not in have or needle[len(needle) - size :] not in have:
            return False
        # What `str.find` costs at worst: naive below 30,000 characters, linear (two-way) above.
        self._work += len(self._path) * min(len(needle) + 1, 100 if len(self._path) < 30_000 else 6)
        if self._work > WORK_MAX:
            raise TooMuchWorkError
        return True


def _best_variant(variants: list[Rule], path: str, best: Rule | None) -> Rule | None:
    if len(variants) > _VARIANTS_MAX:
        raise TooMuchWorkError
    work = 0
    for rule in variants:
        if best is not None and rule.rank >= best.rank:
            break
        head, *rest = rule.segments
        if not path.startswith(head):
            continue
        work += len(path) * len(rest) * 10
        if work > _VARIANT_WORK_MAX:
            raise TooMuchWorkError
        if _fits(path, len(head), tuple(rest), rule.anchored):
            return rule
    return best


def _fits(path: str, start: int, rest: tuple[str, ...], anchored: bool) -> bool:
    """Whether ``path`` from ``start`` on matches the segments ``rest``, each at its first occurrence."""
    if not rest:
        return not anchored or len(path) == start
    for segment in rest[:-1]:
        start = path.find(segment, start)
        if start < 0:
            return False
        start += len(segment)
    last = rest[-1]
    if anchored:
        return len(path) - len(last) >= start and path.endswith(last)
    return path.find(last, start) >= 0


def _rule(record: Record, allow: bool, pattern: bytes) -> Rule:
    anchored = pattern.endswith(b"$")
    literals = (pattern[:-1] if anchored else pattern).split(b"*")
    # Counted as written (google/robotstxt), with escapes of unreserved characters decoded (RFC 9309).
    weight = sum(len(_respelled(literal, _RFC)) for literal in literals) + len(literals) - 1 + anchored
    # `Disallow: /*%2` means every escape that starts so, and the normal form has decoded some of those; `/a b` and
    # `/a|b` mean `/a%20b` and `/a%7Cb`.  Neither RFC 9309 nor google/robotstxt goes so far, so it is for disallows.
    wider = not allow and any(_WIDER_MEANT.search(literal) for literal in literals)
    written = tuple(literals) if wider else ()
    return Rule(weight, allow, record.line, record.text, tuple(map(normal, literals)), anchored, written)


def _variant(rule: Rule, spelling: dict[bytes, bytes]) -> Rule:
    return rule._replace(segments=tuple(_spelled(literal, spelling) for literal in rule.literals))


def _respelled(octets: bytes, spelling: dict[bytes, bytes]) -> bytes:
    return octets if _ODD.search(octets) is None else _ODD.sub(lambda found: spelling[found[0]], octets)


def _spelled(octets: bytes, spelling: dict[bytes, bytes]) -> str:
    """``octets`` so spelled, half an escape at the end in upper case too."""
    text = _respelled(octets, spelling).decode("ascii")
    return text[:-1] + text[-1].upper() if text[-2:-1] == "%" else text


def _query_variant(rule: Rule) -> Rule | None:
    """The rule with the delimiters of its query encoded; None where that cannot make a difference."""
    joined = "*".join(rule.segments)
    if "?" not in joined or _QUERY_VARIES.search(joined) is None:
        return None
    segments, in_query = [], False
    for segment in rule.segments:
        segments.append(_encode_delimiters(segment) if in_query else _encode_query(segment))
        in_query = in_query or "?" in segment
    return rule._replace(segments=tuple(segments))


def _encode_query(text: str) -> str:
    path, mark, query = text.partition("?")
    return path + mark + _encode_delimiters(query)


def _encode_delimiters(text: str) -> str:
    return _QUERY_DELIMITER.sub(lambda found: f"%{ord(found.group()):02X}", text)
