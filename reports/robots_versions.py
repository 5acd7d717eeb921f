"""The copies of a robots.txt on record, put together into versions: the same answer fetched again is one version.

What was in force until when is told by in_force.py, log by log, because each start of a sidecar knows only what it
fetched itself.  Between two fetches the state of the site is not known.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from crawl_audit.records import RobotsOutcome
from reports.in_force import Allowances, Shot, steps
from reports.log import Row

Authority = tuple[str, str, int]
"""Scheme, host and port."""
_Copy = tuple[Row, bool, datetime]
"""A snapshot, whether it came into force, and until when it was."""

# Pairs of equal lines that a comparison may have to look at; files made to hurt have millions.
_PAIRS_MAX = 200_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as DuckDB's TIMESTAMP is


@dataclass(slots=True, kw_only=True)
class Version:
    """One answer, from its first fetch to the last before another one came back."""

    authority: Authority
    first: Row  # the snapshot that was the first of it
    last_at: datetime  # its last fetch
    in_force: bool  # whether it came into force; what only a crawler saw may not have
    fetches: int = 0
    until: datetime | None = None  # when another answer came back; None: none did
    in_force_until: datetime | None = None
    snapshots: list[tuple[str, int]] = field(default_factory=list)  # (log, seq)

    @property
    def digest(self) -> str | None:
        """SHA-256 of the file; None where there was none."""
        digest: str | None = self.first["robots_sha256"]
        return digest


class Difference(NamedTuple):
    """How one file differs from another, line by line; ``diff`` in the unified format."""

    added: int
    removed: int
    diff: list[str]


def versions(rows: Iterable[Row], granted: dict[str, Allowances], default: Allowances) -> list[Version]:
    """The versions of each authority in the order of their first fetch.

    ``rows`` are snapshots ordered by log, scheme, host, port and seq; ``granted`` what each log's settings allow.
    """
    copies: list[_Copy] = []
    for log, of_log in groupby(rows, key=itemgetter("log")):
        copies += _copies(list(of_log), granted.get(log, default))
    copies.sort(key=lambda one: (_authority(one[0]), one[0]["recorded_at"], one[0]["log"], one[0]["seq"]))
    made: list[Version] = []
    for authority, of_authority in groupby(copies, key=lambda one: _authority(one[0])):
        found = list(of_authority)
        ruling = _together(authority, [one for one in found if one[1]])
        made += sorted(ruling + _together(authority, [one for one in found if not one[1]]), key=_order)
    return made


def _copies(rows: list[Row], granted: Allowances) -> Iterator[_Copy]:
    """The snapshots of one log; one that was not replaced is in force to the end of its term."""
    by_seq = {row["seq"]: row for row in rows}
    until = {row["seq"]: row["valid_until"] for row in rows}
    ruling = {}
    for shot, came, caused in steps(map(_shot, rows), granted):
        ruling[shot.seq] = came
        for event in caused:
            end = event.by_at if event.until is None else event.until
            until[event.seq] = _EPOCH + timedelta(microseconds=end)
    return ((by_seq[seq], came, until[seq]) for seq, came in ruling.items())


def _shot(row: Row) -> Shot:
    return Shot(
        row["scheme"],
        row["host"],
        row["port"],
        row["seq"],
        _us(row["recorded_at"]),
        row["source"],
        row["outcome"],
        _us(row["valid_until"]),
        row["fetch_ms"] * 1000,
        None if row["fetched_at"] is None else _us(row["fetched_at"]),
    )


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _authority(row: Row) -> Authority:
    return (row["scheme"], row["host"], row["port"])


def _order(version: Version) -> tuple[Any, ...]:
    return (version.first["recorded_at"], version.first["log"], version.first["seq"])


def _together(authority: Authority, copies: list[_Copy]) -> list[Version]:
    """Copies in a row that are the same answer, as versions."""
    made: list[Version] = []
    for _, group in groupby(copies, key=lambda one: _answer(one[0])):
        same = list(group)
        first, came, _ = same[0]
        made.append(
            Version(
                authority=authority,
                first=first,
                last_at=same[-1][0]["recorded_at"],
                in_force=came,
                fetches=len(same),
                in_force_until=max(until for _, _, until in same) if came else None,
                snapshots=[(row["log"], row["seq"]) for row, _, _ in same],
            )
        )
    for one, following in pairwise(made):
        one.until = following.first["recorded_at"]
    return made


def _answer(row: Row) -> tuple[Any, ...]:
    """What tells answers apart: the file, or where there is none how the fetch ended. A 304 is the same file."""
    if row["outcome"] == RobotsOutcome.SUCCESSFUL:
        return (row["outcome"], row["robots_sha256"])
    return (row["outcome"], row["status"], (row["error"] or "").split(":")[0].split(" ")[0])


def difference(before: bytes, after: bytes, *, lines_max: int) -> Difference | None:
    """What changed from one file to another, of the diff at most ``lines_max`` lines; None: too much to compare."""
    old, new = before.decode("utf-8", "replace").splitlines(), after.decode("utf-8", "replace").splitlines()
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    counts: dict[str, int] = {}
    for line in middle_new:
        counts[line] = counts.get(line, 0) + 1
    if sum(counts.get(line, 0) for line in middle_old) > _PAIRS_MAX:
        return None
    codes = difflib.SequenceMatcher(None, middle_old, middle_new, autojunk=False).get_opcodes()
    changed = [code for code in codes if code[0] != "equal"]
    diff: list[str] = []
    for _, old_from, old_to, new_from, new_to in changed:
        if len(diff) >= lines_max:
            break
        diff.append(f"@@ -{_range(head + old_from, head + old_to)} +{_range(head + new_from, head + new_to)} @@")
        diff += [f"-{line}" for line in middle_old[old_from : min(old_to, old_from + lines_max)]]
        diff += [f"+{line}" for line in middle_new[new_from : min(new_to, new_from + lines_max)]]
    return Difference(
        added=sum(code[4] - code[3] for code in changed),
        removed=sum(code[2] - code[1] for code in changed),
        diff=diff[:lines_max],
    )


def _range(start: int, end: int) -> str:
    """Lines as a unified diff names them: from 1, an empty range by the line before it."""
    length = end - start
    return f"{start + 1 if length else start},{length}"
