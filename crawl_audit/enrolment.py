"""Enrolment: the note by which a long-lived fleet key says which key signs the checkpoints of one log.

Logs are signed by a key of their own, by default one per process start, which nobody could know beforehand.  An
auditor who holds the fleet's public key learns from this note which keys are the operator's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crawl_audit.errors import LogFormatError
from crawl_audit.seal import Verifier, parse_note, verify_note

_HEADER = "crawl-audit enrolment v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Log ``log`` is signed by ``key``: the word of whoever signed the note."""

    log: str
    key: Verifier


def enrolment_text(log: str, vkey: str) -> str:
    """The text of an enrolment note: a header, the log's name, the key that signs its checkpoints."""
    return f"{_HEADER}\n{log}\n{vkey}\n"


def parse_enrolment(note: str) -> Enrolment:
    """What an enrolment note says, its signatures not looked at; raises LogFormatError for anything else."""
    text = parse_note(note).text
    lines = text.split("\n")
    if len(lines) != 4 or lines[0] != _HEADER or not lines[1]:
        raise LogFormatError("An enrolment note must have three lines: its header, a log and that log's key.")
    made = Enrolment(log=lines[1], key=Verifier.parse(lines[2]))
    if enrolment_text(made.log, made.key.vkey) != text:
        raise LogFormatError("An enrolment note is not in canonical form.")
    return made


def trusted_enrolment(note: str, trusted: Sequence[Verifier]) -> tuple[Enrolment, Verifier]:
    """What an enrolment note says and which of the trusted keys says so; raises LogFormatError where none does."""
    enrolment = parse_enrolment(note)
    held = verify_note(note, trusted)
    if not held:
        raise LogFormatError(f"The enrolment of {enrolment.log} is not signed by any of the trusted keys.")
    return enrolment, held[0]
