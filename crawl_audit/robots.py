"""What the site says: robots.txt, product tokens and path → judgement.

The one importer of Protego.  Protego decides on the rules that we selected, and three of its habits are kept away
from it: groups are selected here (docs/robots.md says why), and rules and path reach it as hexadecimal octets, so
that it counts octets and sees no escapes, anchors or index pages of its own.  Our own matcher, which also names the
rule and its line, must come to the same answer; where it does not, the stricter holds.

Where the RFC's grammar and the evident intent of a user-agent line select different groups, both readings are
judged and a path is allowed only if both allow it.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from protego import Protego

from crawl_audit import __version__
from crawl_audit.identity import ANY_CRAWLER
from crawl_audit.records import Basis, RobotsOutcome, Verdict
from crawl_audit.resolved_path import as_resolved
from crawl_audit.robots_lines import BODY_BYTES_MAX, Group, Record, groups
from crawl_audit.robots_paths import Matcher, Rule, TooMuchWorkError, normal, rules_of
from crawl_audit.target import printable
from crawl_audit.text import storable
from crawl_audit.wishes import Wishes, wishes_of

PARSER = f"crawl-audit {__version__}, protego {importlib.metadata.version('protego')}"
"""Name and version of what judges; stored with every decision."""

# Protego builds user-agents x rules of a group (2,000 x 2,000 in 61 KB took 4.8 s and 291 MB), and more in the rest.
_RAW_PRODUCT_MAX = 200_000
_RAW_LINES_MAX = 40_000
_RAW_AGENTS_MAX = 5_000
_RAW_ASTERISKS_MAX = 100_000  # it takes them out of a line in one go, in which no other thread runs
_CANONICAL_RULES_MAX = 40_000
# Octet comparisons that Protego may spend on one path; it scans every wildcard rule.
_PROTEGO_WORK_MAX = 10_000_000
_SHORT_PATH_OCTETS = 32  # where not even such a path could be asked about, Protego need not parse
_RULE_TEXT_MAX = 1024
_GROUP_TOKENS_MAX = 50
_RESOLVED_TEXT_MAX = 200
_GROUP_TOKEN_TEXT_MAX = 200
_CRAWL_DELAY_MS_MAX = 30 * 86_400_000
_MEMO_ENTRIES_MAX = 1024

# What a parser of other people's text may raise; none of it is expected, all of it would be a denial with a reason.
_PROTEGO_FAULTS = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)

_TOKEN = re.compile(rb"[A-Za-z_-]+")  # RFC 9309 2.2.1
_TOKEN_END = re.compile(rb"[/\s,;*]")
_PRINTABLE = re.compile(rb"[!-~]*")
_DELAY = re.compile(rb"([0-9]{1,9})(?:\.([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The site's word on one path, and everything a reader needs to check it."""

    verdict: Verdict
    basis: Basis
    group_tokens: tuple[str, ...] = ()
    rule: str | None = None
    rule_line: int | None = None
    protego_verdict: Verdict | None = None
    divergent: bool = False
    crawl_delay_ms: int | None = None
    detail: str | None = None


def compile_rules(body: bytes, product_tokens: tuple[str, ...]) -> Rules:
    """The rules of ``body`` for a crawler known by all of ``product_tokens``; never raises, whatever the octets.

    Takes up to about a second for a hostile megabyte, so call it away from the event loop.
    """
    found, _ = groups(body)
    selections = _selections(found, product_tokens)
    readings = [_reading(selected) for selected in selections]
    wishes = wishes_of(record for selected in selections for group in selected.groups for record in group.others)
    token = product_tokens[0] if product_tokens else ANY_CRAWLER
    raw, raw_work = _raw_protego(body, found)
    return Rules(readings, raw, raw_work, token, wishes)


def outcome_of(
    status: int | None, *, too_many_redirects: bool = False, treat_429_as_unreachable: bool = True
) -> RobotsOutcome:
    """How fetching robots.txt ended (RFC 9309 2.3.1), from the last status; None: there was no answer."""
    if too_many_redirects:  # 2.3.1.2: "MAY assume that the robots.txt file is unavailable"; google does
        return RobotsOutcome.UNAVAILABLE
    if status is None:
        return RobotsOutcome.UNREACHABLE
    if 200 <= status <= 299:
        return RobotsOutcome.SUCCESSFUL
    if status == 429 and treat_429_as_unreachable:  # a server that is too busy has not said "no rules"
        return RobotsOutcome.UNREACHABLE
    return RobotsOutcome.UNAVAILABLE if 300 <= status <= 499 else RobotsOutcome.UNREACHABLE


def evaluate(outcome: RobotsOutcome, rules: Rules | None, target: str) -> Judgement:
    """The judgement on ``target`` (path and query) where fetching robots.txt ended with ``outcome``."""
    if _is_robots_txt(target):
        return _ROBOTS_TXT
    if outcome is RobotsOutcome.UNAVAILABLE:
        return _UNAVAILABLE
    if outcome is RobotsOutcome.UNREACHABLE:
        return _UNREACHABLE
    if rules is None:
        return _error("robots.txt was fetched, but its rules are not at hand.")
    return rules.judge(target)


_ROBOTS_TXT = Judgement(verdict=Verdict.ALLOWED, basis=Basis.ROBOTS_TXT)
_UNAVAILABLE = Judgement(verdict=Verdict.ALLOWED, basis=Basis.UNAVAILABLE)
_UNREACHABLE = Judgement(verdict=Verdict.DISALLOWED, basis=Basis.UNREACHABLE)


class _Reading(NamedTuple):
    """One way to read which groups govern: their rules, in our form and in Protego's."""

    matcher: Matcher
    protego: Protego | None  # None: too many rules to ask it
    protego_work: int  # octets of wildcard patterns it may have to compare with a path
    group_tokens: tuple[str, ...]
    crawl_delay_ms: int | None
    basis_unmatched: Basis  # NO_RULE or NO_GROUP


class Rules:
    """The compiled rules of one body for one crawler; immutable but for a bounded memo, safe to read from threads."""

    __slots__ = ("_memo", "_raw", "_raw_work", "_readings", "_token", "wishes")

    def __init__(
        self, readings: list[_Reading], raw: Protego | None, raw_work: int, token: str, wishes: Wishes
    ) -> None:
        """``raw_work``: octets of wildcard patterns that raw Protego may have to compare with a path."""
        self._readings = readings
        self._raw = raw
        self._raw_work = raw_work
        self._token = token
        self.wishes = wishes
        self._memo: dict[tuple[int, int, bool | None], Judgement] = {}

    def judge(self, target: str) -> Judgement:
        """The judgement on ``target``, a path with query; any text gives an answer."""
        sent = _octets(target)
        octets = sent.partition(b"#")[0]
        raw = self._ask_raw(octets)
        judgement = _with_raw(_ROBOTS_TXT, raw) if octets.partition(b"?")[0] == b"/robots.txt" else None
        judgement = judgement or self._judge_readings(octets, raw)
        for other in (sent, *as_resolved(sent)) if judgement.verdict is Verdict.ALLOWED else ():
            # `/robots.txt` itself is never what a site withholds.
            if other != octets and other.partition(b"?")[0] != b"/robots.txt":
                resolved = self._judge_readings(other, raw)
                if resolved.verdict is Verdict.DISALLOWED:
                    path = printable(other[:_RESOLVED_TEXT_MAX])
                    return replace(resolved, detail=resolved.detail or f"A site may take the path for {path}")
        return judgement

    def _judge_readings(self, octets: bytes, raw: bool | None) -> Judgement:
        path = normal(octets)
        judgement = self._judge_reading(0, octets, path, raw)
        if judgement.verdict is Verdict.ALLOWED and len(self._readings) > 1:
            other = self._judge_reading(1, octets, path, raw)
            return other if other.verdict is Verdict.DISALLOWED else judgement
        return judgement

    def _judge_reading(self, index: int, octets: bytes, path: str, raw: bool | None) -> Judgement:
        reading = self._readings[index]
        try:
            rule = reading.matcher.match(path)
            # Where we disallow, Protego cannot be the stricter one.
            if (rule is None or rule.allow) and _ask_selected(reading, path) is False:
                judgement = _with_raw(_error("Protego disallows on the same rules what our matcher allows."), raw)
                return replace(judgement, divergent=True)
            rule = reading.matcher.match_other_spellings(octets, path, rule)
        except TooMuchWorkError:
            return _with_raw(_error("Matching this path against these rules would take too long."), raw)
        except _PROTEGO_FAULTS as fault:
            return _with_raw(_error(f"Protego failed on this path ({type(fault).__name__})."), raw)
        key = (index, 0 if rule is None else rule.line, raw)
        known = self._memo.get(key)
        if known is None:
            if len(self._memo) >= _MEMO_ENTRIES_MAX:
                self._memo.clear()
            known = self._memo[key] = _with_raw(_judgement(reading, rule), raw)
        return known

    def _ask_raw(self, octets: bytes) -> bool | None:
        """What Protego alone says; None where it was not asked (too much work) or failed."""
        if self._raw is None or self._raw_work * len(octets) > _PROTEGO_WORK_MAX:
            return None
        path = octets.decode("ascii") if _PRINTABLE.fullmatch(octets) else printable(octets)
        try:
            # A fixed authority: a bare `//a/b` would be read as host `a`.
            return self._raw.can_fetch("https://x" + path, self._token)
        except _PROTEGO_FAULTS:
            return None


def _judgement(reading: _Reading, rule: Rule | None) -> Judgement:
    return Judgement(
        verdict=Verdict.ALLOWED if rule is None or rule.allow else Verdict.DISALLOWED,
        basis=reading.basis_unmatched if rule is None else Basis.RULE,
        group_tokens=reading.group_tokens,
        rule=None if rule is None else storable(rule.text, _RULE_TEXT_MAX),
        rule_line=None if rule is None else rule.line,
        crawl_delay_ms=reading.crawl_delay_ms,
    )


def _with_raw(judgement: Judgement, raw: bool | None) -> Judgement:
    if raw is None:
        return judgement
    verdict = Verdict.ALLOWED if raw else Verdict.DISALLOWED
    return replace(judgement, protego_verdict=verdict, divergent=verdict is not judgement.verdict)


def _error(detail: str) -> Judgement:
    return Judgement(verdict=Verdict.DISALLOWED, basis=Basis.ERROR, detail=detail)


def _is_robots_txt(target: str) -> bool:
    return target.startswith("/robots.txt") and target.partition("?")[0] == "/robots.txt"


def _octets(target: str) -> bytes:
    """The octets of ``target``; lone surrogates stand for the octets they were made from."""
    try:
        octets = target.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        octets = target.encode("utf-8", "surrogatepass")
    # google/robotstxt (GetPathParamsQuery) puts a slash before what does not start with one, and cuts the fragment.
    return octets if octets.startswith(b"/") else b"/" + octets


# Selection of groups.


class _Selection(NamedTuple):
    """The groups that govern in one reading, and whether there are any."""

    groups: list[Group]
    agents: list[bytes]  # the user-agent lines that made them govern
    found: bool


def _selections(found: list[Group], product_tokens: Collection[str]) -> list[_Selection]:
    """The readings of who governs, generous one first; one where both select the same groups.

    *Strict* is RFC 9309 2.2.1 as google/robotstxt does it: a user-agent line counts up to the first character that
    no product token can have, and only tokens of the RFC's grammar are looked for.  *Generous* also splits
    comma-separated lists (RFC erratum 8895) and finds tokens outside the grammar, like `AI2Bot`, literally.
    """
    tokens = {token.encode("utf-8", "replace").strip().lower() for token in product_tokens} - {b"", b"*"}
    valid = {token for token in tokens if _TOKEN.fullmatch(token)}
    strict = _select(found, lambda value: _names_strictly(value, valid), _is_global)
    generous = _select(
        found,
        lambda value: any(_names_generously(part, tokens, valid) for part in _parts(value)),
        lambda value: any(_is_global(part) for part in _parts(value)),
    )
    return [generous] if generous.groups == strict.groups else [generous, strict]


def _select(found: list[Group], names_us: Callable[[bytes], bool], names_all: Callable[[bytes], bool]) -> _Selection:
    """RFC 9309 2.2.1: all groups that name us, combined; where there is none, all groups for `*`; or none."""
    for names in (names_us, names_all):
        selected = [group for group in found if any(map(names, group.agents))]
        if selected:
            return _Selection(selected, [agent for group in selected for agent in group.agents if names(agent)], True)
    return _Selection([], [], False)


def _parts(value: bytes) -> list[bytes]:
    return [value, *(part.strip() for part in value.split(b","))] if b"," in value else [value]


def _is_global(value: bytes) -> bool:
    """`*`, or `*` and white space and anything (google/robotstxt)."""
    return value[:1] == b"*" and (len(value) == 1 or value[1:2].isspace())


def _names_strictly(value: bytes, tokens: Collection[bytes]) -> bool:
    leading = _TOKEN.match(value)
    return leading is not None and leading.group().lower() in tokens


def _names_generously(value: bytes, tokens: Collection[bytes], valid: Collection[bytes]) -> bool:
    lower = value.lower()
    return (
        lower in tokens
        or lower.partition(b"/")[0].strip() in tokens
        or _TOKEN_END.split(lower, maxsplit=1)[0] in tokens
        or _names_strictly(value, valid)
    )


def _reading(selection: _Selection) -> _Reading:
    rules = rules_of(rule for group in selection.groups for rule in group.rules)
    matcher = Matcher(rules)
    protego, work = None, 9 * matcher.wild_octets  # pattern and path are three times as long there
    if len(rules) <= _CANONICAL_RULES_MAX and work * _SHORT_PATH_OCTETS <= _PROTEGO_WORK_MAX:
        protego = Protego.parse(_selected_text(rules))
    return _Reading(
        matcher=matcher,
        protego=protego,
        protego_work=work,
        group_tokens=tuple(storable(agent, _GROUP_TOKEN_TEXT_MAX) for agent in selection.agents[:_GROUP_TOKENS_MAX]),
        crawl_delay_ms=_crawl_delay_ms(record for group in selection.groups for record in group.others),
        basis_unmatched=Basis.NO_RULE if selection.found else Basis.NO_GROUP,
    )


def _crawl_delay_ms(records: Iterable[Record]) -> int | None:
    """The longest Crawl-delay asked for, at most 30 days; RFC 9309 does not know it, many sites use it."""
    delays = [
        int(match[1]) * 1000 + int((match[2] or b"0").ljust(3, b"0"))
        for record in records
        if record.key.lower() in (b"crawl-delay", b"crawl delay") and (match := _DELAY.match(record.value))
    ]
    return min(max(delays), _CRAWL_DELAY_MS_MAX) if delays else None


# Protego.


def _selected_text(rules: Iterable[Rule]) -> str:
    """The selected rules as a robots.txt in which Protego has nothing to interpret.

    Every octet is three characters, `-` and two hexadecimal digits, a wildcard is three asterisks.  So Protego's
    count of characters is three times the octets of the pattern, exactly, with asterisks before the `=` (it stands
    once in every path, so they match nothing) filling up what `$` and escapes leave short.
    """
    lines = ["User-agent: *"]
    for rule in rules:
        body = "***".join(map(_hexadecimal, rule.segments))
        body += "$" if rule.anchored else ""
        lines.append(f"{'Allow' if rule.allow else 'Disallow'}: /{'*' * (3 * rule.weight - len(body))}={body}")
    return "\n".join(lines)


def _hexadecimal(text: str) -> str:
    return "-" + text.encode("ascii").hex("-") if text else ""


def _ask_selected(reading: _Reading, path: str) -> bool | None:
    """Protego's answer on the selected rules; None where asking would take too long."""
    if reading.protego is None or reading.protego_work * len(path) > _PROTEGO_WORK_MAX:
        return None
    return reading.protego.can_fetch("https://x/=" + _hexadecimal(path), ANY_CRAWLER)


def _raw_protego(body: bytes, found: list[Group]) -> tuple[Protego | None, int]:
    """Protego on the whole file, and the octets of its wildcard rules; none where parsing would take too long."""
    agents = sum(len(group.agents) for group in found)
    rules = sum(len(group.rules) for group in found)
    # Protego closes a group at other records too, so its groups are never larger than ours.
    product = sum(len(group.agents) * len(group.rules) for group in found)
    if product > _RAW_PRODUCT_MAX or agents > _RAW_AGENTS_MAX or agents + rules > _RAW_LINES_MAX:
        return None, 0
    wild = sum(len(rule.value) for group in found for rule in group.rules if b"*" in rule.value)
    if wild * _SHORT_PATH_OCTETS > _PROTEGO_WORK_MAX or body.count(b"*") > _RAW_ASTERISKS_MAX:
        return None, 0
    try:
        return Protego.parse(body[:BODY_BYTES_MAX].decode("utf-8", "replace")), wild
    except _PROTEGO_FAULTS:
        return None, 0
