"""Leaves of many stored rows at once: canonical text and commitments by DuckDB, the hash over them by OpenSSL.

The text is that of ``crawl_audit.leaf_sql``; DuckDB's own SHA-256 over it would take three times as long.  Beside it
SQL says of every row whether its values are ones a log may hold, and Python looks for control characters where the
text shows there may be any, so that a row costs some microseconds.  Where anything is doubtful the slow and sure way
is taken: ``withholding.check`` and ``schema.leaf``, row by row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from hashlib import sha256
from typing import Any

from crawl_audit import schema, withholding
from crawl_audit.errors import RecordError
from crawl_audit.leaf_sql import leaf_text
from crawl_audit.records import Action
from crawl_audit.segment_sql import sql_quote
from crawl_audit.text import is_storable
from reports.evidence import Evidence
from reports.evidence_form import WITHHELD

BAD = 7
"""Code of a row whose values a log may not hold; the other codes say what it is, and 0 that there is none."""
DENIED, FORWARDED, COMPLETION, SEAL, OTHER, LEAF_ONLY = 1, 2, 3, 4, 5, 6

TEXT_BYTES_MAX = 4 * 1024 * 1024
"""No entry's text is longer: what a robots.txt may have at most, and nothing else comes near."""
_INTEGER_MAX = 2**53 - 1
# What is_storable() refuses as it stands in JSON: DEL and C1 as they are, C0 escaped.
_REFUSED = re.compile(rb"\x7f|\xc2[\x80-\x9f]|(?<!\\)(?:\\\\)*\\[bfnrtu]")
_CODES = {"completion": COMPLETION, "seal": SEAL}

Leaf = tuple[int, int, bytes]
"""(seq, code, leaf hash) of one row; the hash of a BAD row is of what is there."""
Fault = tuple[str, str]
"""The check that a row fails, and what is wrong with it."""


def fast_leaves(evidence: Evidence, kind: str, relation: str, log: str) -> Iterator[list[Leaf]]:
    """The leaves of all rows of ``relation``, many at once, in no order; raises DamagedError where SQL fails."""
    if kind == WITHHELD:
        yield list(_given(evidence, relation, log))
        return
    sensitive = [column.name for column in schema.columns(kind) if column.sensitive]
    plain = f"concat({', '.join(sensitive)})" if sensitive else "NULL"
    sql = (
        f"SELECT coalesce(seq, -1), {_code(kind, log)},"  # noqa: S608 - names of ours, the log's is quoted
        f" '\\x00'::BLOB || encode(coalesce({leaf_text(kind)}, '\\')), {plain} FROM {relation} AS evidence"
    )
    for chunk in evidence.chunks(sql):
        texts = b"".join([row[2] for row in chunk])
        shown = "".join([row[3] for row in chunk]) if sensitive else ""
        longest = max(len(row[2]) for row in chunk) if len(texts) > TEXT_BYTES_MAX else 0
        # Nearly always nothing in thousands of rows needs a second look: the question is asked of all at once.
        if (
            texts.isascii()
            and b"\\" not in texts
            and b"\x7f" not in texts
            and shown.isascii()
            and shown.isprintable()
            and longest <= TEXT_BYTES_MAX
        ):
            yield [(seq, code, sha256(text).digest()) for seq, code, text, _ in chunk]
        else:
            yield [(seq, _looked_at(code, text, plain), sha256(text).digest()) for seq, code, text, plain in chunk]


def _looked_at(code: int, text: bytes, plain: str | None) -> int:
    """``code``, or BAD where the text or the sensitive values beside it hold what no entry may."""
    fine = len(text) <= TEXT_BYTES_MAX and not _REFUSED.search(text) and (plain is None or is_storable(plain))
    return code if fine else BAD


def _given(evidence: Evidence, relation: str, log: str) -> Iterator[Leaf]:
    kinds = ", ".join(sql_quote(kind) for kind in schema.KINDS)
    proper = (
        f"coalesce(log = {sql_quote(log)} AND seq >= 0 AND kind IN ({kinds})"
        " AND regexp_full_match(leaf, '[0-9a-f]{64}'), false)"
    )
    sql = (
        f"SELECT coalesce(seq, -1), CASE WHEN {proper} THEN {LEAF_ONLY} ELSE {BAD} END,"  # noqa: S608 - the same
        f" CASE WHEN {proper} THEN unhex(leaf) END FROM {relation} AS evidence"
    )
    for seq, code, leaf in evidence.select(sql):
        yield seq, code, leaf or bytes(32)


def _code(kind: str, log: str) -> str:
    """SQL of the code of a row."""
    code = f"CASE action WHEN '{Action.FORWARDED}' THEN {FORWARDED} ELSE {DENIED} END" if kind == "decision" else ""
    faults = " OR ".join(_faults(kind, log))
    return f"CASE WHEN {faults} THEN {BAD} ELSE {code or _CODES.get(kind, OTHER)} END"


def _faults(kind: str, log: str) -> list[str]:
    """SQL conditions, never NULL, of which one is true for a row that ``withholding.check`` refuses."""
    made = [
        f"log IS DISTINCT FROM {sql_quote(log)}",
        "seq IS NULL OR seq < 0",
        f"v IS DISTINCT FROM {schema.VERSION}",
    ]
    for column in schema.columns(kind):
        name = column.name
        if not column.nullable and not column.bound:
            made.append(f"({name} IS NULL{f' AND {name}_c IS NULL' if column.sensitive else ''})")
        if column.sql_type in ("BIGINT", "TIMESTAMP"):
            number = f"epoch_us({name})" if column.sql_type == "TIMESTAMP" else name
            made.append(f"coalesce({number} NOT BETWEEN {-_INTEGER_MAX} AND {_INTEGER_MAX}, {name} IS NOT NULL)")
        elif column.sql_type == "VARCHAR[]":
            made.append(f"coalesce(list_count({name}) <> len({name}), false)")
        elif isinstance(column.python_type, type) and issubclass(column.python_type, StrEnum):
            values = ", ".join(sql_quote(value) for value in column.python_type)
            made.append(f"coalesce({name} NOT IN ({values}), false)")
        if column.sensitive:
            made.extend(_withholding_faults(name))
    if schema.has_salt(kind):
        # Digits other than hexadecimal ones make unhex() fail, and with it the fast way.
        made.append("coalesce(strlen(salt) <> 32 OR salt <> lower(salt), false)")
    return made


def _withholding_faults(name: str) -> list[str]:
    """A sensitive value is given with one salt, or withheld with its commitment, or neither (withholding.py)."""
    given = f"({name}_c IS NOT NULL OR (salt IS NULL) = ({name}_s IS NULL))"
    held = f"({name}_s IS NOT NULL OR ({name}_c IS NOT NULL AND salt IS NOT NULL))"
    digits = f"coalesce(NOT regexp_full_match({name}%s, '[0-9a-f]{{64}}'), false)"
    return [f"CASE WHEN {name} IS NOT NULL THEN {given} ELSE {held} END", digits % "_c", digits % "_s"]


def sure_leaves(evidence: Evidence, kind: str, relation: str, log: str) -> Iterator[tuple[Leaf, Fault | None]]:
    """The leaves of all rows one by one, each with what is wrong with it; raises DamagedError where SQL fails."""
    if kind == WITHHELD:
        for item in _given(evidence, relation, log):
            yield item, ("F3", "log, seq, kind and leaf are not what they must be") if item[1] == BAD else None
        return
    types = (*schema.stored_columns(kind), *schema.withheld_columns(kind))
    wanted = ", ".join(f"epoch_us({name}) AS {name}" if kind_ == "TIMESTAMP" else name for name, kind_ in types)
    names = [name for name, _ in types]
    for values in evidence.select(f"SELECT {wanted} FROM {relation} AS evidence"):  # noqa: S608 - our own names
        yield _sure(kind, dict(zip(names, values, strict=True)), log)


def _sure(kind: str, row: dict[str, Any], log: str) -> tuple[Leaf, Fault | None]:
    seq = row["seq"] if row["seq"] is not None else -1
    try:
        if row["log"] != log or seq < 0:
            raise RecordError("its log or seq is not that of the place where it lies")
        if any(isinstance(value, str | bytes) and len(value) > TEXT_BYTES_MAX for value in row.values()):
            return (seq, BAD, bytes(32)), ("F4", f"a value is longer than {TEXT_BYTES_MAX} octets")
        entry = schema.from_row(kind, row)
        withholding.check(entry)
        made = schema.leaf(entry)
    except (RecordError, ValueError) as error:
        return (seq, BAD, bytes(32)), ("F3", str(error))
    if kind == "decision":
        return (seq, FORWARDED if row["action"] == Action.FORWARDED else DENIED, made), None
    return (seq, _CODES.get(kind, OTHER), made), None


def root_of(leaves: bytes | bytearray | memoryview) -> bytes:
    """RFC 6962 tree hash over leaves of 32 octets one after the other: level by level, an odd last node goes up as is.

    The same as ``seal.merkle_root``, which takes them one by one.
    """
    level = bytes(leaves)
    if not level:
        return sha256(b"").digest()
    while len(level) > 32:
        paired = len(level) // 64 * 64
        nodes = [sha256(b"\x01" + level[at : at + 64]).digest() for at in range(0, paired, 64)]
        level = b"".join(nodes) + level[paired:]
    return level
