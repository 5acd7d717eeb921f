"""SQL text that withholds values of typed rows: what ``crawl_audit.withholding.withhold`` does, for many rows at once.

The leaf of a row stays what it was; the one test that matters is that both agree on every record.
"""

from __future__ import annotations

from collections.abc import Collection

from crawl_audit import schema
from crawl_audit.segment_sql import sql_quote


def names_of(kind: str) -> list[str]:
    """The columns of a file of ``kind`` in which something may be withheld, in order."""
    return [name for name, _ in (*schema.stored_columns(kind), *schema.withheld_columns(kind))]


def sensitive(kind: str) -> list[str]:
    """The columns of ``kind`` whose values can be withheld one by one."""
    return [column.name for column in schema.columns(kind) if column.sensitive]


def withheld_select(kind: str, source: str, fields: Collection[str], concerned: str = "true") -> str:
    """SELECT of every row of ``source``, in which rows where ``concerned`` holds lose their ``fields`` and salt.

    ``source`` is a relation with ``stored_columns`` and ``withheld_columns`` of the kind, and so is the result.
    """
    made = {name: name for name in names_of(kind)}
    for name in sensitive(kind):
        gone, given = name in fields, f"({concerned}) AND {name} IS NOT NULL"
        if gone:
            made[name] = f"CASE WHEN {concerned} THEN NULL ELSE {name} END"
            made[name + "_c"] = (
                f"CASE WHEN {given} THEN sha256(unhex({_derived(name)}) || encode({name})) ELSE {name}_c END"
            )
        kept = "NULL" if gone else _derived(name)
        made[name + "_s"] = f"CASE WHEN {given} THEN {kept} ELSE {name}_s END"
    if schema.has_salt(kind):
        made["salt"] = f"CASE WHEN {concerned} THEN NULL ELSE salt END"
    wanted = ", ".join(f"{expression} AS {name}" for name, expression in made.items())
    return f"SELECT {wanted} FROM {source}"  # noqa: S608 - names of the schema


def _derived(name: str) -> str:
    """The salt of one field, hex: given with the row, or made of the row's own."""
    return f"CASE WHEN salt IS NULL THEN {name}_s ELSE sha256(unhex(salt) || encode({sql_quote(name)})) END"
