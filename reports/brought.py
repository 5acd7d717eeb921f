"""What the auditor brings to a verification, never the evidence: pins, keys to trust, witnesses, roots of TSAs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crawl_audit.errors import LogFormatError
from crawl_audit.seal import Checkpoint, Verifier, parse_checkpoint, parse_note
from crawl_audit.witness import Cosigner
from reports.period import UsageError
from reports.timestamps import TrustedAuthorities, trusted_authorities

_FILE_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A signed note the auditor kept: the head of a log's tree as it was once shown; ``fault``: why it is none."""

    name: str
    note: str
    head: Checkpoint | None
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """Everything the auditor brought."""

    pins: tuple[Pin, ...] = ()
    trust: tuple[Verifier, ...] = ()
    witnesses: tuple[Cosigner, ...] = ()
    authorities: TrustedAuthorities | None = None


def read(
    *, pins: Sequence[str] = (), trust: Sequence[str] = (), witnesses: Sequence[str] = (), tsa_ca: Sequence[str] = ()
) -> Brought:
    """The files of these names; raises UsageError for one that cannot be read or is no list of keys.

    A malformed pin is a finding, not an error: somebody may have given it to the auditor as one.
    """
    return Brought(
        pins=tuple(pin for path in pins for pin in _pins(path)),
        trust=tuple(key for path in trust for key in _keys(path, Verifier.parse)),
        witnesses=tuple(key for path in witnesses for key in _keys(path, _cosigner)),
        authorities=trusted_authorities([Path(path) for path in tsa_ca]),
    )


def _octets(path: str) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"The file {path} cannot be read: {error.strerror}.") from error
    if len(content) > _FILE_BYTES_MAX:
        raise UsageError(f"The file {path} is larger than {_FILE_BYTES_MAX} octets: name a note, key or CA file.")
    return content


def _cosigner(vkey: str) -> Cosigner:
    """A witness's key; it may be written as a cosignature key or as a plain Ed25519 one (C2SP signed-note)."""
    try:
        return Cosigner.parse(vkey)
    except LogFormatError:
        return Cosigner.of(Verifier.parse(vkey))


def _keys[K: Verifier](path: str, parse: Callable[[str], K]) -> list[K]:
    """The verifier keys of a file, one a line; empty lines and lines with ``#`` are left out."""
    try:
        lines = _octets(path).decode("utf-8").splitlines()
        keys = [parse(line) for line in lines if line.strip() and not line.startswith("#")]
    except (UnicodeDecodeError, LogFormatError) as error:
        raise UsageError(f"The file {path} holds no verifier keys (name+id+base64, one a line): {error}") from error
    if not keys:
        raise UsageError(f"The file {path} holds no verifier key: one a line is expected.")
    return keys


def _pins(path: str) -> list[Pin]:
    """The note in a file; or those among lines of a sidecar's standard output, as a log collector has them."""
    try:
        text = _octets(path).decode("utf-8")
    except UnicodeDecodeError:
        return [Pin(name=path, note="", head=None, fault="It is not UTF-8 text.")]
    if not text.startswith("{"):
        return [_pin(path, text)]
    notes = [note for line in text.splitlines() if (note := _printed(line)) is not None]
    made = [_pin(f"{path} {number}", note) for number, note in enumerate(notes, 1)]
    return made or [Pin(name=path, note="", head=None, fault="None of its lines holds a checkpoint.")]


def _printed(line: str) -> str | None:
    """The note in a line ``{"checkpoint": …}``, None where there is none."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    note = said.get("checkpoint") if isinstance(said, dict) else None
    return note if isinstance(note, str) else None


def _pin(name: str, note: str) -> Pin:
    try:
        return Pin(name=name, note=note, head=parse_checkpoint(parse_note(note).text))
    except LogFormatError as error:
        return Pin(name=name, note=note, head=None, fault=str(error))
