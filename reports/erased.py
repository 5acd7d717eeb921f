"""Which erased values each custody record stands for, and whether that is what is gone: redaction, read backwards.

A record names one or more fields, a range of ``seq``, how many rows and the digest of their leaves, not the rows.  A
redaction makes its records so that within the range no row had lost the field before.  So the latest record stands
for every row in its range that lacks the field, the one before it for those that are left, and so on.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from crawl_audit import schema
from crawl_audit.leaf_sql import leaf_select
from crawl_audit.records import Custody

KINDS = tuple(kind for kind in schema.KINDS if schema.has_salt(kind))


@dataclass(slots=True)
class Lost:
    """The rows of one log that lack one field, by ``seq``, with their leaves (hex)."""

    seqs: list[int] = field(default_factory=list)
    leaves: list[str] = field(default_factory=list)

    def merged(self, other: Lost) -> Lost:
        """Both together."""
        pairs = sorted({*zip(self.seqs, self.leaves, strict=True), *zip(other.seqs, other.leaves, strict=True)})
        return Lost([seq for seq, _ in pairs], [leaf for _, leaf in pairs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found for one record: how many rows, and whether they are those it was made for."""

    record: Custody
    rows: int
    holds: bool


LostValues = dict[tuple[str, str], Lost]
"""(log, field) → the rows that lack it."""


class Select(Protocol):
    """Rows of SQL text with positional parameters, wherever it is run."""

    def __call__(self, sql: str, parameters: list[Any] | None = None, /) -> Iterable[tuple[Any, ...]]: ...


def leaves_sha256(leaves: Iterable[str]) -> str:
    """SHA-256 over leaves (hex) one after the other, as octets: what a custody record names its rows by."""
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(bytes.fromhex(leaf))
    return digest.hexdigest()


def lost_values(
    select: Select, relation: Callable[[str], str], declared: Collection[tuple[str, str]] = ()
) -> LostValues:
    """Every value that is withheld in ``relation(kind)``, but for the (kind, field) that are ``declared`` otherwise."""
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for kind in KINDS:
        for column in schema.columns(kind):
            if column.sensitive and (kind, column.name) not in declared:
                source = f"(SELECT * FROM {relation(kind)} WHERE {column.name}_c IS NOT NULL)"  # noqa: S608 - ours
                for log, seq, leaf in select(leaf_select(kind, source)):
                    found.setdefault((log, column.name), []).append((seq, leaf or ""))
    return {key: Lost(*map(list, zip(*sorted(rows), strict=True))) for key, rows in found.items()}


def resolve(lost: Lost, records: Sequence[Custody]) -> tuple[list[Answer], list[int]]:
    """For each of ``records`` (of one log and field, in the order made) what it stands for; and the rows of nobody."""
    claimed = bytearray(len(lost.seqs))
    answers = []
    for record in reversed(records):
        low = bisect.bisect_left(lost.seqs, record.first_seq or 0)
        high = bisect.bisect_right(lost.seqs, -1 if record.last_seq is None else record.last_seq)
        mine = [index for index in range(low, high) if not claimed[index]]
        for index in mine:
            claimed[index] = 1
        digest = leaves_sha256(lost.leaves[index] for index in mine)
        holds = (len(mine), digest) == (record.rows, record.leaves_sha256)
        answers.append(Answer(record=record, rows=len(mine), holds=holds))
    return answers[::-1], [seq for seq, taken in zip(lost.seqs, claimed, strict=True) if not taken]


def records_of(records: Iterable[Custody], log: str, name: str) -> list[Custody]:
    """The redactions of one field of one log, in the order given."""
    return [r for r in records if r.event == "redacted" and r.subject_log == log and name in r.fields]
