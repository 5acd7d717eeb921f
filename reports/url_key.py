"""The key of the keyed hashes that stand for URLs: whoever has it can test a URL, nobody else can list any."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from crawl_audit.errors import ConfigurationError

OCTETS = 32


def read_url_key(path: str) -> bytes:
    """The key in the file ``path``, base64 of 32 octets; raises ConfigurationError where it is none, or open to all."""
    try:
        file = Path(path)
        rights = file.stat().st_mode
        text = file.read_text(encoding="ascii").strip()
        key = base64.b64decode(text, validate=True)
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise ConfigurationError(f"The URL key {path} cannot be read: {error}.") from error
    if len(key) != OCTETS:
        raise ConfigurationError(
            f"The URL key {path} is not base64 of {OCTETS} octets: `crawl-audit report url-key FILE` makes one."
        )
    if rights & 0o077:
        raise ConfigurationError(f"The URL key {path} can be read by others: `chmod 600 {path}` first.")
    return key


def make_url_key(path: str) -> None:
    """Write a new key to a file that does not exist yet, readable by its owner alone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} exists: a new key would make every earlier hash useless.") from error
    except OSError as error:
        raise ConfigurationError(f"The URL key cannot be written to {path}: {error.strerror}.") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(base64.b64encode(secrets.token_bytes(OCTETS)).decode() + "\n")
