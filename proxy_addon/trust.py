"""What origin servers' certificates are verified with: certifi's bundle, and what the operator adds to it.

Never the operating system's bundle: Debian 12's still trusts roots that certifi has removed because their
intermediates' keys are public.  The digest of what is in force is in the run record.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi

from crawl_audit.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Trust:
    """A PEM bundle on disk and its digest."""

    bundle: Path
    sha256: str

    def context(self) -> ssl.SSLContext:
        """A client context that verifies certificate and name against the bundle and nothing else, TLS 1.2 and up."""
        context = ssl.create_default_context(cafile=str(self.bundle))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def build(extra: Path | None, place: Path) -> Trust:
    """The bundle in force; with ``extra`` a combined one is written to ``place``.  Raises ConfigurationError."""
    bundle = Path(certifi.where())
    pem = bundle.read_bytes()
    if extra is not None:
        try:
            added = extra.read_bytes()
            ssl.create_default_context(cafile=str(extra))
        except ssl.SSLError as error:
            raise ConfigurationError(f"upstream.trusted_ca: {extra} holds no certificate in PEM.") from error
        except OSError as error:
            raise ConfigurationError(f"upstream.trusted_ca: {extra} cannot be read: {error.strerror}.") from error
        pem = pem + b"\n" + added
        bundle = place
        try:
            bundle.write_bytes(pem)
        except OSError as error:
            raise ConfigurationError(f"The trust bundle {bundle} cannot be written: {error.strerror}.") from error
    return Trust(bundle, hashlib.sha256(pem).hexdigest())
