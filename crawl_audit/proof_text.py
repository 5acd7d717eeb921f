"""A proof as a JSON file: exactly one form, so that a changed octet is either refused or changes a hash.

Refused are names that are missing, unknown or there twice, numbers that are no integers, base64 and hexadecimal that
are not canonical, and files of a size that no proof has.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection
from typing import Any

from crawl_audit import schema, withholding
from crawl_audit.errors import LogFormatError, RecordError
from crawl_audit.proof import Proof, ProvedEntry, ProvedSeal
from crawl_audit.text import is_storable

FORMAT = "crawl-audit proof v1"
BYTES_MAX = 8 * 1024 * 1024
"""A larger file is not read: the largest robots.txt that is kept is 4 MiB, in base64 less than 6."""
KINDS = ("decision", "completion", "snapshot", "robots_body", "run")
"""Kinds of record a proof may hold, one of each at most."""

_HASH = re.compile(r"[0-9a-f]{64}")
_PATH_MAX = 64
_SEQ_MAX = 2**53 - 1
_DEPTH_MAX = 16  # logs recovered one after the other
_KEYS = ("format", "log", "entries", "seals", "robots_txt", "checkpoint", "tree_size", "signed_by", "enrolment")
_ENTRY_KEYS = ("seq", "entry", "leaf_index", "seal_size", "path", "seal")
_SEAL_KEYS = ("seq", "entry", "index", "path")


def to_text(proof: Proof) -> str:
    """The JSON of a proof."""
    return json.dumps(_object(proof, disclaimed=True), ensure_ascii=False, indent=1) + "\n"


def _object(proof: Proof, *, disclaimed: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "format": FORMAT,
        "log": proof.log,
        "entries": [
            {
                "seq": one.seq,
                "entry": one.entry,
                "leaf_index": one.leaf_index,
                "seal_size": one.seal_size,
                "path": [node.hex() for node in one.path],
                "seal": one.seal,
            }
            for one in proof.entries
        ],
        "seals": [
            {"seq": one.seq, "entry": one.entry, "index": one.index, "path": [node.hex() for node in one.path]}
            for one in proof.seals
        ],
        "robots_txt": None if proof.robots_txt is None else base64.b64encode(proof.robots_txt).decode("ascii"),
        "checkpoint": proof.checkpoint,
        "tree_size": proof.tree_size,
        "signed_by": None if proof.signed_by is None else _object(proof.signed_by, disclaimed=False),
        "enrolment": proof.enrolment,
    }
    if disclaimed:
        made["disclaimers"] = [{"id": name, "text": text} for name, text in proof.disclaimers]
    return made


def parse(octets: bytes) -> Proof:
    """The proof in a file; raises LogFormatError for anything but JSON of exactly this form."""
    if len(octets) > BYTES_MAX:
        raise LogFormatError(f"The proof is larger than {BYTES_MAX} octets.")
    try:
        value = json.loads(
            octets.decode("utf-8"), object_pairs_hook=_distinct, parse_float=_no_number, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise LogFormatError(f"The proof is not JSON as it must be: {str(error)[:200]}.") from error
    return _proof(value, (*_KEYS, "disclaimers"), 0)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has the same name twice")
    return made


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:40]} is not an integer")


def _proof(value: Any, keys: Collection[str], depth: int) -> Proof:
    table = _table(value, keys, "the proof")
    if table["format"] != FORMAT:
        raise LogFormatError(f"The proof is not of the format {FORMAT!r}.")
    if depth > _DEPTH_MAX:
        raise LogFormatError("The proof is nested too deeply.")
    entries = tuple(_entry(one) for one in _list(table["entries"], "entries"))
    kinds = [one.entry["k"] for one in entries]
    if len(set(kinds)) != len(kinds):
        raise LogFormatError("The proof has two entries of the same kind.")
    said = [_table(one, ("id", "text"), "a disclaimer") for one in _list(table.get("disclaimers", []), "disclaimers")]
    inner, note = table["signed_by"], table["enrolment"]
    return Proof(
        log=_text(table["log"], "log"),
        entries=entries,
        seals=tuple(_seal(one) for one in _list(table["seals"], "seals")),
        robots_txt=None if table["robots_txt"] is None else _octets(table["robots_txt"]),
        checkpoint=_note(table["checkpoint"], "checkpoint"),
        tree_size=_number(table["tree_size"], "tree_size"),
        signed_by=None if inner is None else _proof(inner, _KEYS, depth + 1),
        enrolment=None if note is None else _note(note, "enrolment"),
        disclaimers=tuple((_text(one["id"], "id"), _text(one["text"], "text")) for one in said),
    )


def _entry(value: Any) -> ProvedEntry:
    table = _table(value, _ENTRY_KEYS, "an entry of the proof")
    return ProvedEntry(
        seq=_number(table["seq"], "seq"),
        entry=_record(table["entry"], KINDS),
        leaf_index=_number(table["leaf_index"], "leaf_index"),
        seal_size=_number(table["seal_size"], "seal_size"),
        path=_path(table["path"]),
        seal=_number(table["seal"], "seal"),
    )


def _seal(value: Any) -> ProvedSeal:
    table = _table(value, _SEAL_KEYS, "a seal of the proof")
    return ProvedSeal(
        seq=_number(table["seq"], "seq"),
        entry=_record(table["entry"], ("seal",)),
        index=_number(table["index"], "index"),
        path=_path(table["path"]),
    )


def _record(value: Any, kinds: Collection[str]) -> dict[str, Any]:
    """An entry object as the leaf takes it, whole or with values withheld, with no field that is not of its kind."""
    if not isinstance(value, dict) or value.get("k") not in kinds:
        raise LogFormatError(f"The proof has a record that is not of the kinds {', '.join(kinds)}.")
    columns = schema.columns(value["k"])
    always = {"k", "v", *(column.name for column in columns)}
    hidden = {column.name + suffix for column in columns if column.sensitive for suffix in ("_c", "_s")}
    extra = set(value) - always
    if always - set(value) or extra - hidden - ({"salt"} if hidden else set()):
        raise LogFormatError(f"The proof has a {value['k']} with other fields than its kind has.")
    if any(type(value[name]) is not str for name in extra) or any(
        value[column.name] is not None for column in columns if column.bound
    ):
        raise LogFormatError(f"The proof has a {value['k']} whose fields are not of their types.")
    try:
        withholding.check(value)
    except RecordError as error:
        raise LogFormatError(f"The proof has a record that no log can hold: {error}.") from error
    return value


def _table(value: Any, keys: Collection[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise LogFormatError(f"In the proof, {what} must have exactly the names {', '.join(keys)}.")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > _PATH_MAX:
        raise LogFormatError(f"In the proof, {name} must be a list of at most {_PATH_MAX}.")
    return value


def _number(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value <= _SEQ_MAX:
        raise LogFormatError(f"In the proof, {name} must be a number from 0.")
    return value


def _text(value: Any, name: str) -> str:
    if type(value) is not str or not is_storable(value):
        raise LogFormatError(f"In the proof, {name} must be text without control characters.")
    return value


def _note(value: Any, name: str) -> str:
    if type(value) is not str or not is_storable(value.replace("\n", "")):
        raise LogFormatError(f"In the proof, {name} must be a signed note.")
    return value


def _path(value: Any) -> tuple[bytes, ...]:
    nodes = _list(value, "path")
    if not all(type(node) is str and _HASH.fullmatch(node) for node in nodes):
        raise LogFormatError("In the proof, a path must be a list of hashes in lower-case hexadecimal.")
    return tuple(bytes.fromhex(node) for node in nodes)


def _octets(value: Any) -> bytes:
    try:
        octets = base64.b64decode(value, validate=True) if type(value) is str else None
    except (binascii.Error, ValueError):
        octets = None
    # Python's decoder lets non-zero trailing bits pass, so it is encoded again.
    if octets is None or base64.b64encode(octets).decode("ascii") != value:
        raise LogFormatError("In the proof, robots_txt must be canonical base64.")
    return octets
