"""What a witness remembers, and its one rule: it signs a log's head only where that extends the last it signed.

Checking, storing and signing are one step under one lock, and what is stored is on disk before the signature is given
(C2SP tlog-witness).  The files are cosigned notes and can be given to ``crawl-audit verify`` as pins.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crawl_audit import witness
from crawl_audit.enrolment import trusted_enrolment
from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.seal import (
    EMPTY_ROOT,
    Checkpoint,
    Signer,
    Verifier,
    origin,
    parse_checkpoint,
    parse_note,
    verify_consistency,
    verify_note,
)
from crawl_audit.witness import Cosigner

_NEVER = Checkpoint(origin="", size=0, root=EMPTY_ROOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: str
    content_type: str = "text/plain; charset=utf-8"


def _now_s() -> int:
    return int(time.time())


class WitnessState:
    """A state directory, held by one process at a time; :meth:`add` and :meth:`enrol` are for any thread."""

    def __init__(
        self,
        directory: Path,
        signer: Signer,
        *,
        log_keys: Sequence[Verifier] = (),
        fleet_keys: Sequence[Verifier] = (),
        now_s: Callable[[], int] = _now_s,
    ) -> None:
        """Read what was stored; raises ConfigurationError where the directory cannot be used or was tampered with.

        A log key whose name is a log's origin signs that log, any other every log.
        """
        self._directory = directory
        self._signer = signer
        self._cosigner = Cosigner.of(signer.verifier)
        self._of_any_log = [key for key in log_keys if not key.name.startswith(origin(""))]
        self._of_one_log = {key.name: key for key in log_keys if key.name.startswith(origin(""))}
        self._fleet_keys = list(fleet_keys)
        self._now_s = now_s
        self._lock = threading.Lock()  # guards the next two and the files
        self._heads: dict[str, Checkpoint] = {}
        self._enrolled: dict[str, tuple[Verifier, Verifier]] = {}  # by origin: the log's key, the fleet's
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._held = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load()
        except BlockingIOError as error:
            raise ConfigurationError(f"Another witness holds {directory}: stop it, or give --state another.") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The state in {directory} cannot be used: {error}.") from error

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._held)

    @property
    def vkey(self) -> str:
        """The witness's public key."""
        return self._cosigner.vkey

    def add(self, body: bytes) -> Reply:
        """Answer an add-checkpoint request (C2SP tlog-witness)."""
        try:
            asked = witness.parse_submission(body)
        except LogFormatError as error:
            return Reply(status=400, body=f"{error}\n")
        with self._lock:
            return self._add(asked)

    def _add(self, asked: witness.Submission) -> Reply:
        head = asked.checkpoint
        keys = self._keys_of(head.origin)
        if not keys:
            return Reply(status=404, body="This log is not known here.\n")
        try:
            signed_by = verify_note(asked.note, keys)
        except LogFormatError as error:
            return Reply(status=403, body=f"{error}\n")
        if not signed_by:
            return Reply(status=403, body="No key that is trusted for this log has signed the checkpoint.\n")
        last = self._heads.get(head.origin, _NEVER)
        same_size = asked.old_size == head.size
        if asked.old_size != last.size or (same_size and head.root != last.root):
            return Reply(status=409, body=f"{last.size}\n", content_type=witness.SIZE_CONTENT_TYPE)
        if not verify_consistency(last.size, head.size, last.root, head.root, asked.proof):
            return Reply(status=422, body="The proof does not show that this head extends the last one.\n")
        text = parse_note(asked.note).text
        line = witness.cosign(self._signer, text, self._now_s())
        try:
            self._store(head.origin, "checkpoint", _lines_of(asked.note, signed_by) + line)
        except OSError as error:
            return Reply(status=500, body=f"The checkpoint cannot be stored: {error.strerror}\n")
        self._heads[head.origin] = head
        return Reply(status=200, body=line)

    def enrol(self, body: bytes) -> Reply:
        """Take an enrolment note (an extension of ours): a key of a log, vouched for by a configured fleet key."""
        try:
            note = body.decode("utf-8")
            enrolment, fleet = trusted_enrolment(note, self._fleet_keys)
        except UnicodeDecodeError:
            return Reply(status=400, body="The request is not UTF-8.\n")
        except LogFormatError as error:
            return Reply(status=403, body=f"{error}\n")
        of = origin(enrolment.log)
        with self._lock:
            known = self._enrolled.get(of)
            if known is not None and known[0] != enrolment.key:
                return Reply(status=409, body="This log is enrolled with another key.\n")
            try:
                self._store(of, "enrolment", note)
            except OSError as error:
                return Reply(status=500, body=f"The enrolment cannot be stored: {error.strerror}\n")
            self._enrolled[of] = (enrolment.key, fleet)
        return Reply(status=200, body="enrolled\n")

    def _keys_of(self, log_origin: str) -> list[Verifier]:
        """Whose signature counts for a log; none where the log is unknown.

        The head of a log whose process was killed is signed by the next process, so of a fleet's logs every key
        that the fleet has enrolled counts.
        """
        keys = [*self._of_any_log] if log_origin.startswith(origin("")) else []
        if log_origin in self._of_one_log:
            keys.append(self._of_one_log[log_origin])
        if log_origin in self._enrolled:
            fleet = self._enrolled[log_origin][1]
            keys += [key for key, by in self._enrolled.values() if by == fleet]
        return keys

    def _store(self, log_origin: str, suffix: str, text: str) -> None:
        """Write a file whole or not at all; on disk on return."""
        target = self._directory / f"{hashlib.sha256(log_origin.encode('utf-8')).hexdigest()}.{suffix}"
        made = target.with_name(f"{target.name}.new")
        with made.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        made.rename(target)
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _load(self) -> None:
        for path in sorted(self._directory.glob("*.enrolment")):
            try:
                enrolment, fleet = trusted_enrolment(path.read_text(encoding="utf-8"), self._fleet_keys)
            except LogFormatError:
                continue  # by a fleet that is no longer configured
            self._enrolled[origin(enrolment.log)] = (enrolment.key, fleet)
        for path in sorted(self._directory.glob("*.checkpoint")):
            note = path.read_text(encoding="utf-8")
            try:
                if not witness.cosignatures(note, [self._cosigner]):
                    raise LogFormatError("this witness has not signed it")
                head = parse_checkpoint(parse_note(note).text)
            except LogFormatError as error:
                raise ConfigurationError(
                    f"The stored checkpoint {path} is not ours ({error}): restore the state directory, for a witness"
                    " that forgets what it signed is none."
                ) from error
            self._heads[head.origin] = head


def _lines_of(note: str, keys: Sequence[Verifier]) -> str:
    """The note with the signature lines of the given keys only."""
    text, _, tail = note.rpartition("\n\n")
    wanted = {(key.name, key.key_id) for key in keys}
    lines = zip(tail[:-1].split("\n"), parse_note(note).signatures, strict=True)
    kept = [line for line, signature in lines if (signature.name, signature.key_id) in wanted]
    return f"{text}\n\n" + "".join(f"{line}\n" for line in kept)
