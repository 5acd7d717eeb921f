"""Rewrites the frozen vectors from today's schema: ``python tests/golden/update.py``; a diff is a change of the format.

A diff without a new ``schema.VERSION`` breaks every log that is already written.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from crawl_audit import schema  # noqa: E402 - the repository is on the path only now
from crawl_audit.records import Record  # noqa: E402

SALT = bytes(range(schema.SALT_BYTES))
ENTRIES = HERE / f"entries_v{schema.VERSION}.jsonl"
SCHEMA = HERE / f"schema_v{schema.VERSION}.txt"
# One value of each type; the text has what encoders disagree on: quotes, a slash, a line separator, an astral sign.
_TEXT = 'é/"\\\u2028\U0001f577 <&> '
_INTEGER = 1_793_000_000_000_000


def _value(column: schema.Column, position: int) -> Any:
    if isinstance(column.python_type, type) and issubclass(column.python_type, StrEnum):
        return list(column.python_type)[-1]
    if column.nullable and position % 5 == 4:
        return None
    by_type = {
        "TIMESTAMP": _INTEGER + position,
        "BIGINT": 2**53 - 1 - position,
        "BOOLEAN": position % 2 == 0,
        "VARCHAR": _TEXT + column.name,
        "VARCHAR[]": (column.name, _TEXT),
        "BLOB": b"User-agent: *\nDisallow: /\xff\x00\n",
    }
    return by_type[column.sql_type]


def sample(kind: str) -> Record:
    """The record of a kind that the frozen vector is made from."""
    values = {column.name: _value(column, position) for position, column in enumerate(schema.columns(kind))}
    return schema.KINDS[kind](**values)


def vectors() -> str:
    """A line for each kind: the entry as text, and its leaf in hex."""
    lines = []
    for kind in schema.KINDS:
        entry = schema.to_entry(sample(kind), SALT if schema.has_salt(kind) else None)
        leaf = schema.leaf(schema.parse_entry(entry)).hex()
        lines.append(json.dumps({"kind": kind, "leaf": leaf, "entry": entry}, ensure_ascii=True))
    return "\n".join(lines) + "\n"


def description() -> str:
    """Every column of every kind with its type and what the leaf does to it."""
    lines = [f"version {schema.VERSION}"]
    for kind in schema.KINDS:
        lines += ["", kind]
        for column in schema.columns(kind):
            traits = [name for name in ("nullable", "sensitive", "bound") if getattr(column, name)]
            python_type = column.python_type
            if isinstance(python_type, type) and issubclass(python_type, StrEnum):
                traits.append("one of " + " ".join(python_type))
            lines.append("  ".join([f"    {column.name}", column.sql_type, *traits]))
        lines.append(f"    stored: {' '.join(name for name, _ in schema.stored_columns(kind))}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    ENTRIES.write_text(vectors(), encoding="utf-8")
    SCHEMA.write_text(description(), encoding="utf-8")
