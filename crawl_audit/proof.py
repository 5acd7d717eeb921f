"""The proof of a few records as a value: each entry's path to its seal's root, each seal's to the head that was signed.

Made by whoever holds a log and checked by whoever trusts nobody; proof_text.py is its form as a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.seal import Checkpoint, origin, parse_checkpoint, parse_note, verify_inclusion

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedEntry:
    """One entry, perhaps with values withheld, and its place under the seal of index ``seal``."""

    seq: int
    entry: dict[str, Any]
    leaf_index: int
    seal_size: int
    path: tuple[bytes, ...]
    seal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedSeal:
    """One seal and its place in the tree of seals."""

    seq: int
    entry: dict[str, Any]
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A few records of one log, and what ties them to a signed head of it."""

    log: str
    entries: tuple[ProvedEntry, ...]
    seals: tuple[ProvedSeal, ...]
    robots_txt: bytes | None
    checkpoint: str
    tree_size: int
    signed_by: Proof | None = None
    """Where the log was recovered after a crash: the start of the log whose key signed the head instead."""
    enrolment: str | None = None
    disclaimers: tuple[tuple[str, str], ...] = ()  # (id, text)

    def of(self, kind: str) -> ProvedEntry | None:
        """The entry of a kind, if there is one."""
        return next((one for one in self.entries if one.entry["k"] == kind), None)


class Fault(NamedTuple):
    """Something that does not hold: the id of the check, the place, a sentence."""

    check: str
    where: str
    message: str


def faults(proof: Proof) -> Iterator[Fault]:
    """Every hash and number in a proof that does not hold; signatures are another matter."""
    try:
        head = parse_checkpoint(parse_note(proof.checkpoint).text)
    except LogFormatError as error:
        yield Fault("H1", f"{proof.log} checkpoint", str(error))
        return
    if head.origin != origin(proof.log):
        yield Fault("H1", f"{proof.log} checkpoint", f"It is of {head.origin}, not of {origin(proof.log)}.")
    if head.size != proof.tree_size:
        yield Fault("H2", f"{proof.log} checkpoint", f"It is of {head.size} seals, the proof of {proof.tree_size}.")
    for seal in proof.seals:
        yield from _seal_faults(proof.log, seal, head)
    seals = {seal.index: seal for seal in proof.seals}
    for one in proof.entries:
        yield from _entry_faults(proof.log, one, seals.get(one.seal))
    if {one.seal for one in proof.entries} != set(seals) or len(seals) != len(proof.seals):
        yield Fault("F3", proof.log, "The proof has a seal twice, or one that no entry of it lies under.")
    if len({one.seq for one in proof.entries}) != len(proof.entries):
        yield Fault("R1", proof.log, "Two entries of the proof have the same seq.")


def _seal_faults(log: str, seal: ProvedSeal, head: Checkpoint) -> Iterator[Fault]:
    where, said = f"{log} seal {seal.index}", seal.entry
    if said["seal_index"] != seal.index:
        yield Fault("S1", where, f"The record says that it is seal {said['seal_index']}.")
    if said["first_seq"] + said["rows"] != seal.seq:
        yield Fault("S2", where, f"Its seq is {seal.seq}, its range ends before {said['first_seq'] + said['rows']}.")
    if not verify_inclusion(schema.leaf(said), seal.index, head.size, seal.path, head.root):
        yield Fault("H2", where, "Its path does not lead to the root of the checkpoint.")


def _entry_faults(log: str, one: ProvedEntry, seal: ProvedSeal | None) -> Iterator[Fault]:
    where = f"{log} seq {one.seq}"
    if seal is None:
        yield Fault("R2", where, f"It is said to lie under seal {one.seal}, which the proof does not have.")
        return
    said = seal.entry
    if one.leaf_index != one.seq - said["first_seq"] or one.seal_size != said["rows"]:
        yield Fault("R2", where, f"Its place does not agree with the range of seal {one.seal}.")
    root = said["root"]
    if not _HASH.fullmatch(root) or not verify_inclusion(
        schema.leaf(one.entry), one.leaf_index, one.seal_size, one.path, bytes.fromhex(root)
    ):
        yield Fault(
            "R4", where, f"Its path does not lead to the root of seal {one.seal}: it was changed, or is no part."
        )
