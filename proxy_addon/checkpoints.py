"""Signing and keeping the head of a log's tree, in a thread of its own, so that no commit waits for a signature.

A signature may come from a command that asks another machine.  Only the newest head matters: one that came while
another was being signed takes its place, and one that could not be signed or written is tried again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from crawl_audit.errors import CrawlAuditError, LogUnavailable
from crawl_audit.records import Instant
from crawl_audit.seal import Checkpoint, checkpoint_text
from proxy_addon.clock import now_us
from proxy_addon.log_directory import LogDirectory, write_whole
from proxy_addon.operational_log import about
from proxy_addon.signing import NoteSigner

logger = logging.getLogger("crawl_audit.log")

_RETRY_S = 5.0


def store(directory: LogDirectory, log: str, head: Checkpoint, signer: NoteSigner) -> str:
    """Sign a head and make the note durable as the log's checkpoint, whole or not at all; the note.

    Raises OSError, and CrawlAuditError where nothing is signed.
    """
    note = signer.sign_note(checkpoint_text(head.origin, head.size, head.root))
    keep(directory, directory.checkpoint(log), note.encode("utf-8"))
    return note


def keep(directory: LogDirectory, target: Path, octets: bytes) -> None:
    """Write a file in the log directory, whole or not at all; durable on return.  Raises OSError."""
    write_whole(target, octets, directory.tmp / f"{target.name}.{os.getpid()}.{threading.get_ident()}")


class CheckpointWriter:
    """The thread that signs the heads of one log; ``put``, ``settled`` and ``close`` are for other threads."""

    def __init__(
        self, directory: LogDirectory, log: str, signer: NoteSigner, on_checkpoint: Callable[[str], object]
    ) -> None:
        self.fault: str | None = None
        self.kept_at: Instant | None = None
        self._directory = directory
        self._log = log
        self._signer = signer
        self._on_checkpoint = on_checkpoint
        self._note: str | None = None
        self._condition = threading.Condition()  # guards the next four
        self._head: Checkpoint | None = None  # not yet signed
        self._waiting: list[Future[str]] = []
        self._closing = self._ended = False
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def put(self, head: Checkpoint) -> None:
        """Have a head signed and kept; returns at once."""
        with self._condition:
            self._head = head
            self._condition.notify()

    def settled(self) -> Future[str]:
        """The newest checkpoint once all that was put before is signed and kept; LogUnavailable where it cannot be."""
        future: Future[str] = Future()
        with self._condition:
            self._waiting.append(future)
            if self._ended:
                self._answer()
            self._condition.notify()
        return future

    def close(self) -> None:
        """Sign and keep what was put, with two attempts, and end."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        whole = False
        try:
            self._sign_all()
            whole = True
        finally:
            if not whole:
                self.fault = "The checkpoints' thread ended with a programming error; no head is signed any more."
            with self._condition:
                self._ended = True
                self._answer()

    def _sign_all(self) -> None:
        closing = False
        while not closing:
            head, closing = self._next()
            if head is None or self._sign(head):
                continue  # a newer head may have come: who waits is answered when there is none
            self._answer()
            if closing:
                self._sign(head)
                break
            with self._condition:
                self._head = self._head or head
                if not self._closing:
                    self._condition.wait(_RETRY_S)  # or until a newer head comes, or somebody asks

    def _next(self) -> tuple[Checkpoint | None, bool]:
        """The head to sign, where there is one, and whether it is the last."""
        with self._condition:
            while not (self._head or self._waiting or self._closing):
                self._condition.wait()
            head, self._head = self._head, None
            if head is None:
                self._answer()
            return head, self._closing

    def _sign(self, head: Checkpoint) -> bool:
        try:
            note = store(self._directory, self._log, head, self._signer)
        except (OSError, CrawlAuditError) as error:  # the seal is in the log; the next checkpoint covers it
            self.fault = f"The checkpoint could not be written: {error}"
            logger.warning("%s", self.fault, extra=about("checkpoint_failed"))
            return False
        self.fault, self._note = None, note
        self.kept_at = now_us()
        self._on_checkpoint(note)
        return True

    def _answer(self) -> None:
        with self._condition:
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            if self.fault is None and self._note is not None:
                future.set_result(self._note)
            else:
                future.set_exception(LogUnavailable(self.fault or "Nothing is sealed yet.", reason="no_checkpoint"))
