"""What would be decided: any robots.txt, product token and URL, one at a time or as JSON lines.

The library behind ``crawl-audit judge``.  It judges as the proxy does for a robots.txt that was fetched; how a fetch
ended (4xx, 5xx) is no part of the question.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from crawl_audit.errors import CrawlAuditError
from crawl_audit.records import RobotsOutcome
from crawl_audit.robots import Judgement, Rules, compile_rules, evaluate
from crawl_audit.target import printable

# Compiled rules take some 50 times the memory of the file, so both bounds matter.
_CACHE_ENTRIES_MAX = 2048
_CACHE_BODY_BYTES_MAX = 8 * 1024 * 1024

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PRINTABLE = re.compile(rb"[!-~]*")
_AUTHORITY_END = re.compile(r"[/?#]")


class JudgeLineError(CrawlAuditError):
    """A line that asks nothing that can be answered; the text says why, in one sentence."""


def judge_url(body: bytes, tokens: tuple[str, ...], url: str) -> Judgement:
    """The judgement of the robots.txt ``body`` on ``url`` (absolute, or a path) for a crawler called ``tokens``."""
    return next(judge_urls(body, tokens, [url]))


def judge_urls(body: bytes, tokens: tuple[str, ...], urls: Iterable[str]) -> Iterator[Judgement]:
    """The judgement on each URL, as :func:`judge_url`; the robots.txt is compiled once."""
    rules = compile_rules(body, tokens)
    return (evaluate(RobotsOutcome.SUCCESSFUL, rules, target_of(url)) for url in urls)


def facts(judgement: Judgement) -> dict[str, Any]:
    """What is told of a judgement, by the names that others rely on."""
    return {
        "verdict": judgement.verdict,
        "basis": judgement.basis,
        "rule": judgement.rule,
        "rule_line": judgement.rule_line,
        "protego_verdict": judgement.protego_verdict,
        "divergent": judgement.divergent,
    }


def judge_lines(lines: Iterable[str]) -> Iterator[str]:
    """The answers of :func:`answers` as JSON, one a line."""
    return map(json.dumps, answers(lines))


def answers(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One answer per JSON question; a line that is no question is answered with ``error``, and the rest follows.

    Question: ``{"id", "robots" or "robots_b64", "token", "url"}``, where ``token`` is a string or a list of them.
    """
    cache = _RulesCache()
    for line in lines:
        if line.strip():
            yield _answer(line, cache)


def target_of(url: str) -> str:
    """Path and query of a URL in printable ASCII, as a crawler would send them; no fragment, no dot segments resolved.

    Characters outside ASCII are percent-encoded as UTF-8.  What has no scheme is a path, `//a/b` too.
    """
    text = url.strip(" \t\r\n").partition("#")[0]
    if _ABSOLUTE.match(text):
        rest = text.partition("://")[2]
        end = _AUTHORITY_END.search(rest)
        text = rest[end.start() :] if end else ""
    if not text.startswith("/"):
        text = "/" + text
    try:
        octets = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        octets = text.encode("utf-8", "surrogatepass")
    return text if _PRINTABLE.fullmatch(octets) else printable(octets)


class _RulesCache:
    """Compiled rules by (robots.txt, tokens), least recently used first out, bounded in entries and octets."""

    def __init__(self) -> None:
        self._rules: OrderedDict[tuple[str, str, tuple[str, ...]], tuple[Rules, int]] = OrderedDict()
        self._body_bytes = 0

    def rules(self, field: str, robots: str, tokens: tuple[str, ...]) -> Rules:
        """The rules of ``robots``, given as ``field`` (`robots` or `robots_b64`) gives it."""
        key = (field, robots, tokens)
        known = self._rules.get(key)
        if known is not None:
            self._rules.move_to_end(key)
            return known[0]
        body = _body(field, robots)
        rules = compile_rules(body, tokens)
        self._rules[key] = (rules, len(robots))
        self._body_bytes += len(robots)
        while len(self._rules) > _CACHE_ENTRIES_MAX or (
            self._body_bytes > _CACHE_BODY_BYTES_MAX and len(self._rules) > 1
        ):
            _, (_, size) = self._rules.popitem(last=False)
            self._body_bytes -= size
        return rules


def _answer(line: str, cache: _RulesCache) -> dict[str, Any]:
    identifier: Any = None
    try:
        question = _question(line)
        identifier = question.get("id")
        field, robots = _robots(question)
        rules = cache.rules(field, robots, _tokens(question))
        url = question.get("url")
        if not isinstance(url, str):
            raise JudgeLineError("`url` must be a string.")
        judgement = evaluate(RobotsOutcome.SUCCESSFUL, rules, target_of(url))
    except JudgeLineError as error:
        return {"id": identifier, "error": str(error)}
    return {"id": identifier, **facts(judgement)}


def _question(line: str) -> dict[str, Any]:
    try:
        question = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise JudgeLineError("The line is not JSON.") from error
    if not isinstance(question, dict):
        raise JudgeLineError("The line is not a JSON object.")
    return question


def _robots(question: dict[str, Any]) -> tuple[str, str]:
    given = [field for field in ("robots", "robots_b64") if question.get(field) is not None]
    if len(given) != 1 or not isinstance(question[given[0]], str):
        raise JudgeLineError("Exactly one of `robots` and `robots_b64` must be given, as a string.")
    return given[0], question[given[0]]


def _tokens(question: dict[str, Any]) -> tuple[str, ...]:
    token = question.get("token")
    tokens = [token] if isinstance(token, str) else token
    if not isinstance(tokens, list) or not tokens or not all(isinstance(one, str) for one in tokens):
        raise JudgeLineError("`token` must be a string or a list of strings.")
    return tuple(tokens)


def _body(field: str, robots: str) -> bytes:
    if field == "robots":
        return robots.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(robots, validate=True)
    except (binascii.Error, ValueError) as error:
        raise JudgeLineError("`robots_b64` is not base64.") from error
