"""Judges fetched URLs again by the robots.txt of now, as few of them as will do.

A fetch whose robots.txt is still the one of now, by its digest, has the verdict it had. Only fetches that another copy
allowed are judged again, host by host, so that one copy's rules are compiled once and no more than a part of the URLs
is in memory.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crawl_audit.records import RobotsOutcome, Verdict
from crawl_audit.robots import Judgement, Rules, compile_rules, evaluate
from crawl_audit.robots_lines import groups
from reports.log import Log, Row, sql_text

_FETCHES = 500_000
"""Fetches of one part: their URLs are in memory at once, some 100 MB."""
_BODY_BYTES = 32_000_000
"""Octets of robots.txt copies in memory at once."""
_ROWS = 10_000
_COMPARED_FROM = 200
"""Fetches under one copy from which on it pays to see first whether that copy had the same rules."""
_COMPILED = 64
_COPIES = 1024
"""Copies of a part when it is said since when: half a gigabyte if every one had the greatest size."""

Bodies = dict[str, bytes]


@dataclass(slots=True, kw_only=True)
class Found:
    """What is newly disallowed: URLs and fetches of each site, and the first URLs one by one."""

    urls: dict[str, int] = field(default_factory=dict)
    fetches: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row, judged: Judgement, copy: str, rows_max: int) -> None:
        """Count a URL that is disallowed now, and list it if there is room."""
        site = row["site"]
        self.urls[site] = self.urls.get(site, 0) + 1
        self.fetches[site] = self.fetches.get(site, 0) + row["requests"]
        if len(self.rows) < rows_max:
            why = {"basis": judged.basis, "rule": judged.rule, "rule_line": judged.rule_line, "robots_sha256": copy}
            self.rows.append({**row, **why})

    def join(self, other: Found, rows_max: int) -> None:
        """Take in what the next part found; parts are in order and have no site of a host in common."""
        for mine, theirs in ((self.urls, other.urls), (self.fetches, other.fetches)):
            for site, number in theirs.items():
                mine[site] = mine.get(site, 0) + number
        self.rows += other.rows[: rows_max - len(self.rows)]


def newly_disallowed(log: Log, asked: dict[str, object], as_of: datetime | None, rows_max: int) -> Found:
    """What the robots.txt of now disallows of the fetches ``asked`` for that the one of then allowed."""
    found = Found()
    for part in _parts(log.rows("reevaluation_changed", **asked, as_of=as_of)):
        bodies = read_bodies(log, {row[name] for row in part for name in ("copy_now", "copy_then")})
        listed = [row for row in part if not _same_rules(row, bodies)]
        if listed:
            judge = functools.partial(_judge_part, asked=asked, listed=listed, bodies=bodies, rows_max=rows_max)
            found.join(log.steadily(judge), rows_max)
    _date(log, found.rows, as_of)
    return found


def read_bodies(log: Log, digests: set[str]) -> Bodies:
    """The octets of the copies with these digests, as far as the log has them."""
    rows = log.rows("robots_bodies", digests=sorted(digests))
    return {row["robots_sha256"]: bytes(row["body"]) for row in rows if row["body"] is not None}


def _parts(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows in parts that fit into memory; what is about one host stays together."""
    part: list[Row] = []
    fetches = octets = 0
    for _, same in itertools.groupby(rows, key=lambda row: (row["site"], row["host"], row["port"], row["scheme"])):
        mine = list(same)
        more, size = sum(row["requests"] for row in mine), len(mine) * max(row["body_bytes"] or 0 for row in mine)
        if part and (fetches + more > _FETCHES or octets + size > _BODY_BYTES):
            yield part
            part, fetches, octets = [], 0, 0
        part += mine
        fetches, octets = fetches + more, octets + size
    if part:
        yield part


def _same_rules(row: Row, bodies: Bodies) -> bool:
    """Whether a copy says the same as the one of now to everybody: only comments and the like differ."""
    if row["requests"] < _COMPARED_FROM or row["copy_then"] not in bodies or row["copy_now"] not in bodies:
        return False
    return _said(bodies[row["copy_then"]]) == _said(bodies[row["copy_now"]])


def _said(body: bytes) -> list[tuple[list[bytes], list[tuple[object, bytes]]]]:
    return [(group.agents, [(rule.field, rule.value) for rule in group.rules]) for group in groups(body)[0]]


def _judge_part(
    connection: Any, *, asked: dict[str, object], listed: list[Row], bodies: Bodies, rows_max: int
) -> Found:
    """Judge the URLs of one part, a few thousand at a time."""
    now = {(row["scheme"], row["host"], row["port"]): row["copy_now"] for row in listed}
    names = {"sites": "site", "schemes": "scheme", "hosts": "host", "ports": "port", "tokens": "product_token"}
    lists = {many: [row[one] for row in listed] for many, one in {**names, "copies": "copy_then"}.items()}
    result = connection.execute(sql_text("reevaluation_urls"), {**asked, **lists})
    columns = [column[0] for column in result.description]
    rules = _compiler(bodies)
    found = Found()
    while rows := result.fetchmany(_ROWS):
        for values in rows:
            row = dict(zip(columns, values, strict=True))
            copy = now[row["scheme"], row["host"], row["port"]]
            judged = evaluate(RobotsOutcome.SUCCESSFUL, rules(copy, row["product_token"]), row["target"])
            if judged.verdict is Verdict.DISALLOWED:
                found.add(row, judged, copy, rows_max)
    return found


def _compiler(bodies: Bodies) -> Callable[[str, str], Rules]:
    @functools.lru_cache(maxsize=_COMPILED)
    def rules(copy: str, product_token: str) -> Rules:
        return compile_rules(bodies.get(copy, b""), tuple(product_token.split(", ")))

    return rules


def _date(log: Log, rows: list[Row], as_of: datetime | None) -> None:
    """Say of each row since when every copy on record disallows it."""
    history = _history(log, {row["host"] for row in rows}, as_of)
    for part in _of_octets(rows, history):
        wanted = {copy for row in part for _, _, copy in history.get(_scope(row), ()) if copy is not None}
        rules = _compiler(read_bodies(log, wanted))
        for row in part:
            row["since"] = _since(row, history.get(_scope(row), []), rules)


Copy = tuple[datetime, str, str | None]


def _history(log: Log, hosts: set[str], as_of: datetime | None) -> dict[tuple[str, str, int], list[Copy]]:
    """Scheme, host and port → its copies in order: when first seen, outcome, digest."""
    made: dict[tuple[str, str, int], list[Copy]] = {}
    for row in log.rows("robots_changes", hosts=sorted(hosts), as_of=as_of):
        made.setdefault(_scope(row), []).append((row["recorded_at"], row["outcome"], row["robots_sha256"]))
    return made


def _scope(row: Row) -> tuple[str, str, int]:
    return row["scheme"], row["host"], row["port"]


def _of_octets(rows: list[Row], history: dict[tuple[str, str, int], list[Copy]]) -> Iterator[list[Row]]:
    """Rows in parts whose copies fit into memory."""
    part: list[Row] = []
    copies = 0
    for scope, same in itertools.groupby(rows, key=_scope):
        part += same
        copies += len(history.get(scope, ()))
        if copies >= _COPIES:
            yield part
            part, copies = [], 0
    if part:
        yield part


def _since(row: Row, copies: list[Copy], rules: Callable[[str, str], Rules]) -> datetime | None:
    """When the first of the copies was seen that all disallow the URL, up to that of now; None: none is on record."""
    since = None
    for seen, outcome, copy in reversed(copies):
        if outcome == RobotsOutcome.UNREACHABLE:
            continue  # a server that did not answer said nothing
        if outcome != RobotsOutcome.SUCCESSFUL or copy is None:
            break
        judged = evaluate(RobotsOutcome.SUCCESSFUL, rules(copy, row["product_token"]), row["target"])
        if judged.verdict is not Verdict.DISALLOWED:
            break
        since = seen
    return since
