"""What keeps a digest of a confidential record from telling what is in it: octets that nobody outside can guess.

Counts and days are few: who knows a digest of them can try them all. So a record that is not for everybody holds a
``blind``, made of salts that only the log has, and its digest covers that too.
"""

from __future__ import annotations

import hashlib
import hmac

from crawl_audit import views
from reports.levels import Level
from reports.log import Log

_SALTS = 256
"""Salts that go into the secret: a proof that is handed out discloses the one of its own record, never all."""


def secret(log: Log) -> str | None:
    """What only who holds the log can know, in hex; None for a log without a salt: nothing can be blinded then."""
    rows = log.select(
        f"SELECT salt FROM ({views.stored_select('decision', log.files.segments_root)}) AS stored"  # noqa: S608 - our own
        f" WHERE salt IS NOT NULL ORDER BY log, seq LIMIT {_SALTS}"
    )
    if not rows:
        return None
    made = hashlib.sha256(b"crawl-audit blind\n")
    for row in rows:
        salt = row["salt"]
        made.update(salt.encode() if isinstance(salt, str) else bytes(salt))
    return made.hexdigest()


def blind(known: str | None, level: Level, content: bytes) -> str | None:
    """The blind of a record with ``content`` at ``level``: none in public, where there is nothing to hide."""
    if known is None or level is Level.PUBLIC:
        return None
    if level is Level.INTERNAL:
        return known
    # Of each record its own: one that is passed on must not open the digests of others.
    return hmac.new(bytes.fromhex(known), level.encode() + b"\n" + content, "sha256").hexdigest()
