"""The auditor's timestamp authorities: their certificates from files, and what their tokens say about checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crawl_audit.errors import LogFormatError
from crawl_audit.timestamp_token import Certificate, Timestamp, certificates, verify_token
from reports.period import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedAuthorities:
    """The certificates an auditor has brought; a token counts where it leads to one of them."""

    roots: tuple[Certificate, ...]

    def verify(self, token: bytes, document: bytes) -> Timestamp:
        """What a token says about a document; raises LogFormatError where nothing that can be relied on."""
        return verify_token(token, document, self.roots)


def trusted_authorities(files: Sequence[Path]) -> TrustedAuthorities | None:
    """The authorities of the PEM files an auditor names, None where none is named; raises UsageError."""
    found: list[Certificate] = []
    for path in files:
        try:
            found += certificates(path.read_bytes())
        except OSError as error:
            raise UsageError(f"The certificates in {path} cannot be read: {error.strerror}.") from error
        except LogFormatError as error:
            raise UsageError(f"{path} cannot be used as --tsa-ca: {error}") from error
    return TrustedAuthorities(roots=tuple(found)) if files else None
