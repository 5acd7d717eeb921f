"""An entry with values withheld or erased, whose leaf, and so every proof of it, stays what it was.

A sensitive field ``f`` is in one of three states: given (``f`` with the row's ``salt``, or with ``f_s``, the salt of
this field alone), withheld (``f`` empty, its commitment ``f_c`` in place), or empty.  Once anything is withheld the
row's ``salt`` is too, because it would let the withheld values be guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from crawl_audit import schema
from crawl_audit.errors import RecordError

_DIGEST = re.compile(r"[0-9a-f]{64}")


def withhold(entry: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """``entry`` without its salt and without the values of the sensitive fields ``names``; may be applied again.

    Raises RecordError for a name that is no sensitive field of the kind.
    """
    sensitive = {column.name for column in schema.columns(entry["k"]) if column.sensitive}
    if not set(names) <= sensitive:
        raise RecordError(f"{entry['k']} has no sensitive field {min(set(names) - sensitive)}")
    reduced = dict(entry)
    salt = reduced.pop("salt", None)
    for name in sorted(sensitive):
        value = reduced[name]
        if value is None:
            continue
        derived = reduced.pop(name + "_s", "") if salt is None else schema.field_salt(bytes.fromhex(salt), name).hex()
        if name in names:
            reduced[name] = None
            reduced[name + "_c"] = schema.commitment_under(bytes.fromhex(derived), value)
        else:
            reduced[name + "_s"] = derived
    return reduced


def is_whole(entry: dict[str, Any]) -> bool:
    """Whether nothing of the entry is withheld."""
    held = any(entry.get(column.name + "_c") is not None for column in schema.columns(entry["k"]) if column.sensitive)
    return not held and all(entry.get(c.name) is not None for c in schema.columns(entry["k"]) if c.bound)


def check(entry: dict[str, Any]) -> None:
    """Raise RecordError unless an entry made from a row is one a log may hold: :func:`schema.parse_entry` for rows."""
    kind = entry["k"]
    if type(entry["v"]) is not int or entry["v"] != schema.VERSION:
        raise RecordError(f"schema version {entry['v']!r} is not one this version reads ({schema.VERSION})")
    salt = entry.get("salt")
    if salt is not None and not (isinstance(salt, str) and schema.SALT_PATTERN.fullmatch(salt)):
        raise RecordError(f"the salt of a {kind} entry is not {schema.SALT_BYTES} octets in hex")
    for column in schema.columns(kind):
        value = entry.get(column.name)
        if column.sensitive and not _is_proper(value, entry, column.name):
            raise RecordError(f"{column.name} of a {kind} entry is neither given nor withheld properly")
        if value is None and (column.bound or entry.get(column.name + "_c") is not None):
            continue  # withheld
        schema.check(column, value)


def _is_proper(value: object, entry: dict[str, Any], name: str) -> bool:
    salted = entry.get("salt") is not None
    held, derived = entry.get(name + "_c"), entry.get(name + "_s")
    if any(digest is not None and not _DIGEST.fullmatch(digest) for digest in (held, derived)):
        return False
    if value is not None:
        return held is None and salted != (derived is not None)
    return derived is None and not (held is not None and salted)
