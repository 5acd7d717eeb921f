"""The log's shape: record ⇄ entry ⇄ typed row, and the leaf that evidence commits to.  Writer and readers share it.

*Entry*: the record as canonical JSON (RFC 8785, restricted to integers, strings, booleans, null and lists of
strings), with its kind ``k``, schema version ``v`` and, where a field is sensitive, a ``salt``.  *Leaf*: SHA-256 of
0x00 and the entry without ``salt``, where each sensitive field ``f`` is replaced by ``f_c``, a salted commitment,
and a field bound by a digest is left out.  docs/log-format.md says the same for other languages.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import typing
import zlib
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import orjson

from crawl_audit import fleet_records, records
from crawl_audit.errors import RecordError
from crawl_audit.records import Instant, Record
from crawl_audit.text import is_storable

VERSION = 1

KINDS: dict[str, type[Record]] = {
    cls.KIND: cls
    for cls in (
        records.Run,
        records.Snapshot,
        records.RobotsBody,
        records.Decision,
        records.Completion,
        records.Signal,
        records.Tunnel,
        records.Incident,
        records.Seal,
        records.Anchor,
        records.Gap,
        records.Custody,
        fleet_records.FleetNode,
        fleet_records.FleetHead,
    )
}
SALT_BYTES = 16
SALT_PATTERN = re.compile(r"[0-9a-f]{32}")
# RFC 8785 numbers are IEEE doubles: integers beyond this are not exact everywhere.
_INTEGER_MAX = 2**53 - 1
# What zlib may make of a robots.txt of the largest size we keep; a bound against hostile evidence files.
_BODY_BYTES_MAX = 4 * 1024 * 1024

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field of a record as readers see it: name, DuckDB type, meaning, and how the leaf treats it."""

    name: str
    sql_type: str
    meaning: str
    nullable: bool
    sensitive: bool
    bound: bool
    python_type: Any


_SQL_TYPES: dict[Any, str] = {
    Instant: "TIMESTAMP",
    int: "BIGINT",
    bool: "BOOLEAN",
    str: "VARCHAR",
    bytes: "BLOB",
    tuple[str, ...]: "VARCHAR[]",
}


@functools.cache
def columns(kind: str) -> tuple[Column, ...]:
    """The columns of a kind, in order, derived from the dataclass so that they cannot drift apart."""
    cls = KINDS[kind]
    hints = typing.get_type_hints(cls)
    made = []
    for item in fields(cls):
        hint = hints[item.name]
        nullable = type(None) in typing.get_args(hint)
        base = next(a for a in typing.get_args(hint) if a is not type(None)) if nullable else hint
        enum = isinstance(base, type) and issubclass(base, StrEnum)
        made.append(
            Column(
                name=item.name,
                sql_type="VARCHAR" if enum else _SQL_TYPES[base],
                meaning=item.metadata["meaning"],
                nullable=nullable,
                sensitive=item.metadata["sensitive"],
                bound=item.metadata["bound"],
                python_type=base,
            )
        )
    return tuple(made)


@functools.cache
def has_salt(kind: str) -> bool:
    """Whether entries of this kind carry a salt, because a field of theirs is sensitive."""
    return any(column.sensitive for column in columns(kind))


def canonical(value: dict[str, Any]) -> str:
    """Canonical JSON (RFC 8785 profile) of a flat object whose keys are ASCII; same bytes on every platform."""
    try:  # five times as fast as the standard library's, which it agrees with on everything a record may hold
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode("utf-8")
    except TypeError:  # a lone surrogate, an integer of more than 64 bits: to be refused with a reason
        return _encode(value)


def _encoded(column: Column, value: Any) -> Any:
    """``value`` of a record as it would stand in an entry; :func:`check` says whether it may."""
    if column.sql_type == "BLOB" and value is not None:
        if type(value) is not bytes or len(value) >= _BODY_BYTES_MAX:
            raise RecordError(f"{column.name} must be octets, fewer than {_BODY_BYTES_MAX}")
        return base64.b64encode(zlib.compress(value, 6)).decode("ascii")
    if type(value) is tuple:
        return list(value)
    return value.value if isinstance(value, StrEnum) else value


def check(column: Column, value: Any) -> None:
    """Raise RecordError unless ``value`` may stand in an entry: the assertion shared by writing and reading."""
    if value is None:
        if not column.nullable:
            raise RecordError(f"{column.name} must not be empty")
    elif column.sql_type in ("TIMESTAMP", "BIGINT"):
        if type(value) is not int or not -_INTEGER_MAX <= value <= _INTEGER_MAX:
            raise RecordError(f"{column.name} must be an integer of at most 53 bits")
    elif column.sql_type == "BOOLEAN":
        if type(value) is not bool:
            raise RecordError(f"{column.name} must be true or false")
    elif column.sql_type == "VARCHAR[]":
        if type(value) is not list or not all(type(item) is str and is_storable(item) for item in value):
            raise RecordError(f"{column.name} must be a list of strings without control characters")
    elif type(value) is not str or not is_storable(value):
        raise RecordError(f"{column.name} must be a string without control characters or lone surrogates")
    elif issubclass(column.python_type, StrEnum) and value not in column.python_type:
        raise RecordError(f"{column.name} must be one of {', '.join(column.python_type)}")


class _Convert:
    """Stands for the type of columns whose values are never taken as they are; no value is of it."""


_PLAIN: dict[str, type] = {"TIMESTAMP": int, "BIGINT": int, "BOOLEAN": bool, "VARCHAR": str}


@functools.cache
def _plan(kind: str) -> tuple[tuple[Column, str, Any, bool], ...]:
    """(column, name, type of a value that needs no conversion but an enumeration's, nullable) of every column."""
    made = []
    for column in columns(kind):
        python_type = column.python_type
        enum = isinstance(python_type, type) and issubclass(python_type, StrEnum)
        plain = python_type if enum else _PLAIN.get(column.sql_type, _Convert)
        made.append((column, column.name, plain, column.nullable))
    return tuple(made)


def to_object(record: Record, salt: bytes | None) -> dict[str, Any]:
    """The entry of ``record`` as an object; ``salt`` (16 octets) where :func:`has_salt`, else None.

    Made for every request: values of the plain type are taken at a glance, and their text looked at in one go.
    """
    kind = record.KIND
    entry: dict[str, Any] = {"k": kind, "v": VERSION}
    texts: list[str] = []
    for column, name, plain, nullable in _plan(kind):
        value: Any = getattr(record, name)
        if type(value) is not plain or (plain is int and not -_INTEGER_MAX <= value <= _INTEGER_MAX):
            if value is not None or not nullable:
                value = _encoded(column, value)
                check(column, value)
        elif plain is str:
            texts.append(value)
        elif plain is not int and plain is not bool:
            value = value.value
        entry[name] = value
    if not is_storable("".join(texts)):
        for column in columns(kind):
            check(column, entry[column.name])
    if has_salt(kind):
        if salt is None or len(salt) != SALT_BYTES:
            raise RecordError(f"a {kind} entry needs a salt of {SALT_BYTES} octets")
        entry["salt"] = salt.hex()
    return entry


def to_entry(record: Record, salt: bytes | None = None) -> str:
    """The canonical entry text of a record; raises RecordError for a value the log cannot hold."""
    return canonical(to_object(record, salt))


def field_salt(salt: bytes, name: str) -> bytes:
    """The salt of one sensitive field: giving it away discloses the field and nothing beside it."""
    return hashlib.sha256(salt + name.encode("ascii")).digest()


def commitment(salt: bytes, name: str, value: str) -> str:
    """Salted commitment to one sensitive value: SHA-256(SHA-256(salt ‖ name) ‖ value), hex."""
    return commitment_under(field_salt(salt, name), value)


def commitment_under(derived: bytes, value: str) -> str:
    """The commitment to ``value`` by the salt of its field, hex."""
    return hashlib.sha256(derived + value.encode("utf-8")).hexdigest()


def leaf(entry: dict[str, Any]) -> bytes:
    """RFC 6962 leaf hash (32 octets) of an entry object, whole or with values withheld (withholding.py)."""
    public = dict(entry)
    given = public.pop("salt", None)
    salt = None if given is None else bytes.fromhex(given)
    bound, sensitive = _not_as_it_is(entry["k"])
    for name in bound:
        public.pop(name, None)
    for name in sensitive:
        public[name + "_c"] = _commitment_of(public, name, salt)
    return hashlib.sha256(b"\x00" + canonical(public).encode("utf-8")).digest()


@functools.cache
def _not_as_it_is(kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the fields that a leaf leaves out, and of those it has commitments to."""
    bound = tuple(column.name for column in columns(kind) if column.bound)
    return bound, tuple(column.name for column in columns(kind) if column.sensitive)


def _commitment_of(public: dict[str, Any], name: str, salt: bytes | None) -> str | None:
    """Take the value of a sensitive field out of ``public`` and give what the leaf has in its place."""
    value, derived = public.pop(name, None), public.pop(name + "_s", None)
    if value is None:
        withheld: str | None = public.pop(name + "_c", None)
        return withheld
    if salt is not None:
        return commitment(salt, name, value)
    if derived is None:
        raise RecordError(f"{name} is given without the salt that its commitment needs")
    return commitment_under(bytes.fromhex(derived), value)


def parse_entry(body: str) -> dict[str, Any]:
    """An entry object from its text, re-asserting what the writer asserted; raises RecordError otherwise."""
    try:
        entry = json.loads(body)
        is_canonical = isinstance(entry, dict) and canonical(entry) == body
    except (ValueError, RecursionError) as error:
        raise RecordError(f"an entry is not JSON: {error}") from error
    if not is_canonical:
        raise RecordError("an entry is not in canonical form")
    kind, version = entry.get("k"), entry.get("v")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RecordError(f"unknown kind of record {kind!r}")
    if type(version) is not int or version != VERSION:
        raise RecordError(f"schema version {version!r} is not one this version reads ({VERSION})")
    expected = {"k", "v", *(column.name for column in columns(kind))} | ({"salt"} if has_salt(kind) else set())
    if set(entry) != expected:
        raise RecordError(f"a {kind} entry has other fields than its schema: {sorted(set(entry) ^ expected)}")
    for column in columns(kind):
        check(column, entry[column.name])
    if has_salt(kind) and not (isinstance(entry["salt"], str) and SALT_PATTERN.fullmatch(entry["salt"])):
        raise RecordError(f"the salt of a {kind} entry is not {SALT_BYTES} octets in hex")
    return typing.cast("dict[str, Any]", entry)


def inflate(text: str) -> bytes:
    """The octets of a ``bound`` field of an entry, refusing more than a robots.txt can have."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(base64.b64decode(text, validate=True), _BODY_BYTES_MAX)
    except (zlib.error, ValueError) as error:
        raise RecordError(f"a stored body cannot be read: {error}") from error
    if inflater.unconsumed_tail or not inflater.eof:
        raise RecordError("a stored body is cut short or larger than any that is kept")
    return data


def to_record(entry: dict[str, Any]) -> Record:
    """The record of an entry object that :func:`parse_entry` accepted."""
    cls = KINDS[entry["k"]]
    values: dict[str, Any] = {}
    for column in columns(entry["k"]):
        value = entry[column.name]
        if value is not None:
            if column.sql_type == "BLOB":
                value = inflate(value)
            elif column.sql_type == "VARCHAR[]":
                value = tuple(value)
            elif column.sql_type == "VARCHAR" and issubclass(column.python_type, StrEnum):
                value = column.python_type(value)
        values[column.name] = value
    return cls(**values)


def stored_columns(kind: str) -> tuple[tuple[str, str], ...]:
    """(name, DuckDB type) of a segment's Parquet file of this kind: identity, the record, and the salt."""
    salt = (("salt", "VARCHAR"),) if has_salt(kind) else ()
    return (
        ("log", "VARCHAR"),
        ("seq", "BIGINT"),
        ("v", "INTEGER"),
        *((column.name, column.sql_type) for column in columns(kind)),
        *salt,
    )


def withheld_columns(kind: str) -> tuple[tuple[str, str], ...]:
    """(name, DuckDB type) of what a file has beside ``stored_columns`` once values in it are withheld.

    For each sensitive field ``f``: ``f_c``, the commitment of a withheld value, and ``f_s``, the salt of a disclosed
    one where the row's own salt is withheld.
    """
    names = [column.name for column in columns(kind) if column.sensitive]
    return tuple((name + suffix, "VARCHAR") for name in names for suffix in ("_c", "_s"))


WITHHELD_ROW = (("log", "VARCHAR"), ("seq", "BIGINT"), ("kind", "VARCHAR"), ("leaf", "VARCHAR"))
"""(name, DuckDB type) of ``withheld.parquet``: records of which a segment keeps the leaf (hex) alone."""


def from_row(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """The entry object of one row of a segment (as ``stored_columns`` names it; TIMESTAMP given as integer µs).

    ``leaf(from_row(...))`` of a stored row equals the leaf of the entry it was made from; so it does where the row
    has ``withheld_columns`` too.
    """
    entry: dict[str, Any] = {"k": kind, "v": row["v"]}
    for column in columns(kind):
        value = row[column.name]
        if value is not None:
            if column.sql_type == "BLOB":
                value = base64.b64encode(zlib.compress(bytes(value), 6)).decode("ascii")
            elif column.sql_type == "VARCHAR[]":
                value = list(value)
        entry[column.name] = value
    if has_salt(kind):
        entry["salt"] = row["salt"]
        for name, _ in withheld_columns(kind):
            if row.get(name) is not None:
                entry[name] = row[name]
    return entry
