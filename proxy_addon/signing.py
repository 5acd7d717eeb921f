"""Where the key that signs checkpoints comes from: memory, a file of its owner's alone, or a command that signs.

By default a key is made at each start and forgotten at the stop, so that nobody can go on with a finished log.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from crawl_audit.errors import ConfigurationError, CrawlAuditError, LogFormatError
from crawl_audit.note_key import key_text, signer_of, signer_of_file
from crawl_audit.seal import Signer, Verifier, origin, verify_note
from proxy_addon.anchor_settings import SigningSettings
from proxy_addon.log_directory import fsync_path

_SEED_BYTES = 32
_SHOWN_CHARACTERS = 200


class SigningError(CrawlAuditError):
    """A checkpoint could not be signed; the log goes on and the next checkpoint covers what this one would have."""


class NoteSigner(Protocol):
    """What signs notes under one key."""

    verifier: Verifier

    def sign_note(self, text: str) -> str:
        """``text`` as a C2SP signed note; raises SigningError."""


def signer_for(settings: SigningSettings, log: str) -> NoteSigner:
    """The signer of a log's checkpoints as configured; raises ConfigurationError where its key cannot be used."""
    if settings.command:
        assert settings.vkey is not None, "the settings ask for it"
        return CommandSigner(settings.command, Verifier.parse(settings.vkey), settings.timeout_s)
    if settings.key_file is not None:
        return read_key(settings.key_file)
    return in_memory(log)


def in_memory(log: str) -> NoteSigner:
    """A key of this process alone, under the name of its log."""
    return Signer.generate(origin(log))


def create_key(path: Path, name: str) -> Signer:
    """Make a key file that only its owner can read; ConfigurationError where there is a file already."""
    try:
        text = key_text(name, os.urandom(_SEED_BYTES))
    except LogFormatError as error:
        raise ConfigurationError(f"{error} Give another with --name, for example crawl.example/fleet.") from error
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} exists and is not overwritten: name another file.") from error
    except OSError as error:
        raise ConfigurationError(f"The key file {path} cannot be made: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fsync_path(path.absolute().parent)
    except OSError as error:
        path.unlink()  # half a key is no key, and would be in the way of the next attempt
        raise ConfigurationError(f"The key file {path} cannot be written: {error.strerror}.") from error
    return signer_of(text)


def read_key(path: Path) -> Signer:
    """The signer of a key file; ConfigurationError where it cannot be read or others than its owner can read it."""
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The key file {path} cannot be read: {error}.") from error
    return signer_of_file(str(path), mode, text)


class CommandSigner:
    """An external command that is given a note's text and prints the signature, or the whole signed note.

    What it prints counts only where it verifies under the configured key.
    """

    def __init__(self, command: Sequence[str], verifier: Verifier, timeout_s: float) -> None:
        self.verifier = verifier
        self._command = tuple(command)
        self._timeout_s = timeout_s

    def sign_note(self, text: str) -> str:
        """``text`` as a signed note; raises SigningError."""
        printed = self._run(text)
        try:
            note = self._note(text, printed)
            held = verify_note(note, [self.verifier])
        except (LogFormatError, ValueError) as error:
            raise SigningError(f"The signing command printed no signature that holds: {error}") from error
        if not held:
            raise SigningError(f"The signing command did not sign with the configured key {self.verifier.name}.")
        return note

    def _note(self, text: str, printed: str) -> str:
        if printed.startswith(text + "\n— "):
            return printed
        if printed.startswith("— "):
            return f"{text}\n{printed.rstrip()}\n"
        line = base64.b64encode(self.verifier.key_id + base64.b64decode(printed.strip(), validate=True)).decode("ascii")
        return f"{text}\n— {self.verifier.name} {line}\n"

    def _run(self, text: str) -> str:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a time-out ends what the command started, too
            )
        except OSError as error:
            raise SigningError(f"The signing command {self._command[0]} cannot be run: {error.strerror}.") from error
        with process:
            try:
                printed, complaint = process.communicate(text.encode("utf-8"), self._timeout_s)
            except subprocess.TimeoutExpired as error:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise SigningError(f"The signing command did not answer within {self._timeout_s:g} s.") from error
        if process.returncode:
            said = complaint.decode("utf-8", "replace").strip()[:_SHOWN_CHARACTERS]
            raise SigningError(f"The signing command ended with {process.returncode}: {said or 'it said nothing'}")
        return printed.decode("utf-8", "replace")
