"""The C2SP witness protocol as text: what is submitted (tlog-witness) and what comes back (tlog-cosignature).

A witness signs only heads that extend the last one it signed for the same log, so whoever trusts it need not fear a
second history.  It says nothing about the entries themselves.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from crawl_audit.errors import LogFormatError
from crawl_audit.seal import Checkpoint, Signer, Verifier, lines_by, parse_checkpoint, parse_note

SIZE_CONTENT_TYPE = "text/x.tlog.size"
"""Content-Type of a 409, whose body is the size of the last tree the witness signed."""
PROOF_LINES_MAX = 63
_TIMESTAMP_BYTES = 8


def cosigned_text(text: str, at_s: int) -> str:
    """What a cosignature signs: two lines for the purpose and the time, then the checkpoint's text."""
    return f"cosignature/v1\ntime {at_s}\n{text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigner(Verifier):
    """A witness's public key; its signatures carry the time at which they were made."""

    ALGORITHM: ClassVar[int] = 0x04  # C2SP tlog-cosignature: Ed25519 cosignature/v1

    @classmethod
    def of(cls, verifier: Verifier) -> Self:
        """The same key in the part of a witness."""
        return cls(name=verifier.name, public_key=verifier.public_key)

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether the cosignature over a checkpoint's text is by this key."""
        if len(signature) != _TIMESTAMP_BYTES + 64 or signature[0] & 0x80:  # the time must not exceed 2^63 - 1
            return False
        return Verifier.verifies(self, cosigned_text(text, _stated_s(signature)), signature[_TIMESTAMP_BYTES:])


def _stated_s(signature: bytes) -> int:
    return int.from_bytes(signature[:_TIMESTAMP_BYTES], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """One cosignature that holds: whose, and the POSIX time it states, in seconds."""

    by: Cosigner
    at_s: int


def cosignatures(note: str, cosigners: Sequence[Cosigner]) -> tuple[Cosignature, ...]:
    """The cosignatures on a note by the given witnesses; raises LogFormatError where one of theirs does not hold."""
    parsed = parse_note(note)
    held = []
    for cosigner, line in lines_by(parsed, cosigners):
        if not cosigner.verifies(parsed.text, line.signature):
            raise LogFormatError(f"The cosignature of {line.name} on a checkpoint does not hold.")
        held.append(Cosignature(by=cosigner, at_s=_stated_s(line.signature)))
    return tuple(held)


def cosign(signer: Signer, text: str, at_s: int) -> str:
    """The signature line, with its newline, by which a witness confirms a checkpoint's text."""
    cosigner = Cosigner.of(signer.verifier)
    signature = at_s.to_bytes(_TIMESTAMP_BYTES, "big") + signer.sign(cosigned_text(text, at_s))
    return f"— {cosigner.name} {base64.b64encode(cosigner.key_id + signature).decode('ascii')}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One add-checkpoint request taken apart; nothing of it is verified yet."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str
    checkpoint: Checkpoint


def submission(old_size: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body of an add-checkpoint request."""
    lines = [f"old {old_size}", *(base64.b64encode(node).decode("ascii") for node in proof)]
    return ("\n".join(lines) + "\n\n" + note).encode("utf-8")


def parse_submission(body: bytes) -> Submission:
    """The parts of an add-checkpoint request; raises LogFormatError for anything but its canonical form."""
    try:
        head, separator, note = body.decode("utf-8").partition("\n\n")
    except UnicodeDecodeError as error:
        raise LogFormatError("The request is not UTF-8.") from error
    lines = head.split("\n")
    if not separator or not head.startswith("old ") or len(lines) - 1 > PROOF_LINES_MAX:
        raise LogFormatError(
            f"A request has an old size line, at most {PROOF_LINES_MAX} proof lines, an empty line and a checkpoint."
        )
    made = Submission(
        old_size=parse_size(lines[0].removeprefix("old ")),
        proof=tuple(_node(line) for line in lines[1:]),
        note=note,
        checkpoint=parse_checkpoint(parse_note(note).text),
    )
    if made.old_size > made.checkpoint.size:
        raise LogFormatError("The old size is larger than the checkpoint's.")
    return made


def parse_size(text: str) -> int:
    """A tree size in decimal without leading zeroes; raises LogFormatError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and str(int(text)) == text):
        raise LogFormatError("A tree size must be a decimal number without leading zeroes.")
    return int(text)


def _node(line: str) -> bytes:
    try:
        octets = base64.b64decode(line, validate=True)
    except ValueError as error:
        raise LogFormatError("A proof line is not base64.") from error
    if len(octets) != 32 or base64.b64encode(octets).decode("ascii") != line:
        raise LogFormatError("A proof line is not a hash in canonical base64.")
    return octets
