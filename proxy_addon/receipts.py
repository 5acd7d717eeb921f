"""Receipts of anchoring as files: the note that was shown, and beside it what each authority gave for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crawl_audit.records import Anchor, Instant
from crawl_audit.seal import Checkpoint, parse_checkpoint, parse_note
from proxy_addon.checkpoints import keep
from proxy_addon.log_directory import LogDirectory

_RECEIPT = re.compile(r"(?P<size>[0-9]{12})\.(?P<authority>.+)\.(?:tsr|cosigned|push\.json)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A signed head that is to be shown: of which log, the note, and what it states."""

    log: str
    note: str
    head: Checkpoint

    @classmethod
    def of(cls, log: str, note: str) -> Shown:
        """Of a log's note; raises LogFormatError where it is none."""
        return cls(log=log, note=note, head=parse_checkpoint(parse_note(note).text))

    @property
    def octets(self) -> bytes:
        """The note's bytes, which tokens are over."""
        return self.note.encode("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an authority gave, verified: how its file ends, its octets, and the time it states."""

    method: str
    authority: str
    suffix: str
    octets: bytes
    stated_at: Instant | None

    def record(self, shown: Shown, now: Instant) -> Anchor:
        """The record of it in the log."""
        return Anchor(
            recorded_at=now,
            method=self.method,
            authority=self.authority,
            checkpoint_size=shown.head.size,
            checkpoint_root=shown.head.root.hex(),
            receipt_sha256=hashlib.sha256(self.octets).hexdigest(),
            stated_at=self.stated_at,
        )


Ask = Callable[[Shown], Receipt]
"""How one authority is asked; raises AnchorError."""


class Receipts:
    """The receipts of one log directory."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory

    def folder(self, log: str) -> Path:
        """Where the receipts of a log lie."""
        return self._directory.checkpoints / f"{log}.anchors"

    def known(self, log: str) -> dict[str, int]:
        """The largest size of the log's tree that each authority has given a receipt for."""
        sizes: dict[str, int] = {}
        folder = self.folder(log)
        for path in folder.iterdir() if folder.is_dir() else ():
            match = _RECEIPT.fullmatch(path.name)
            if match:
                sizes[match["authority"]] = max(int(match["size"]), sizes.get(match["authority"], 0))
        return sizes

    def keep_note(self, shown: Shown) -> None:
        """Keep the note that is shown, byte for byte.  Raises OSError."""
        path = self.folder(shown.log) / f"{shown.head.size:012d}.checkpoint"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            keep(self._directory, path, shown.octets)

    def note(self, log: str, size: int) -> str | None:
        """The note that was shown for a tree of this size, where one was.

        Signatures by a key file are the same each time; those by a command need not be, and a token is over the
        octets of one of them.
        """
        path = self.folder(log) / f"{size:012d}.checkpoint"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def keep(self, shown: Shown, receipt: Receipt) -> None:
        """Keep a receipt beside its note.  Raises OSError."""
        name = f"{shown.head.size:012d}.{receipt.authority}.{receipt.suffix}"
        keep(self._directory, self.folder(shown.log) / name, receipt.octets)
