"""A private signing key in a file that only its owner can read: made where there is none, refused where others can."""

from __future__ import annotations

import os
from pathlib import Path

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.note_key import key_text, signer_of, signer_of_file
from crawl_audit.seal import Signer

_SEED_BYTES = 32


def make_key(path: Path, name: str) -> Signer:
    """A new key under a name, kept in a new file; raises ConfigurationError."""
    try:
        text = key_text(name, os.urandom(_SEED_BYTES))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except LogFormatError as error:
        raise ConfigurationError(f"{error} Give another with --name, for example witness.example/w1.") from error
    except OSError as error:
        raise ConfigurationError(f"The key file {path} cannot be made: {error.strerror}.") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return signer_of(text)


def read_key(path: Path) -> Signer:
    """The key in a file; raises ConfigurationError."""
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The key file {path} cannot be read: {error}.") from error
    return signer_of_file(str(path), mode, text)
