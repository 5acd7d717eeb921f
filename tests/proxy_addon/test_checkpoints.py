"""The newest head is signed and kept without anybody waiting for it, and what fails is tried again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crawl_audit.errors import LogUnavailable
from crawl_audit.seal import Checkpoint, Signer, leaf_hash, origin, parse_checkpoint, parse_note, verify_note
from proxy_addon import log_directory
from proxy_addon.checkpoints import CheckpointWriter
from proxy_addon.log_directory import LogDirectory
from proxy_addon.signing import SigningError

LOG = "node1-20261118T110640Z-00000001"


class Slow(Signer):
    """Signs when it is let, and fails while it is told to."""

    def __init__(self) -> None:
        super().__init__(origin(LOG), Ed25519PrivateKey.generate())
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked = threading.Event()
        self.failing = False
        self.calls = 0

    def sign_note(self, text: str) -> str:
        self.calls += 1
        self.asked.set()
        assert self.go_on.wait(30)
        if self.failing:
            raise SigningError("The signing command ended with 1: no")
        return super().sign_note(text)


def head(size: int) -> Checkpoint:
    return Checkpoint(origin=origin(LOG), size=size, root=leaf_hash(bytes([size])))


@pytest.fixture
def directory(tmp_path: Path) -> LogDirectory:
    made = LogDirectory(tmp_path)
    with made.acquire():
        return made


@pytest.fixture
def signer() -> Slow:
    return Slow()


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def writer(directory: LogDirectory, signer: Slow, notes: list[str]) -> Iterator[CheckpointWriter]:
    made = CheckpointWriter(directory, LOG, signer, notes.append)
    yield made
    signer.go_on.set()
    made.close()


def sizes(notes: list[str]) -> list[int]:
    return [parse_checkpoint(parse_note(note).text).size for note in notes]


def test_a_head_is_signed_kept_and_told(
    writer: CheckpointWriter, directory: LogDirectory, signer: Slow, notes: list[str]
) -> None:
    writer.put(head(1))
    note = writer.settled().result(10)
    assert directory.checkpoint(LOG).read_text() == note == notes[0]
    assert verify_note(note, [signer.verifier]) == (signer.verifier,)
    assert list(directory.tmp.glob("*.checkpoint*")) == []


def test_of_heads_that_come_while_one_is_signed_the_newest_is_next(
    writer: CheckpointWriter, signer: Slow, notes: list[str]
) -> None:
    signer.go_on.clear()
    writer.put(head(1))
    assert signer.asked.wait(10)
    for size in (2, 3, 4):
        writer.put(head(size))
    signer.go_on.set()
    assert sizes([writer.settled().result(10)]) == [4]
    assert sizes(notes) == [1, 4]


def test_a_head_that_could_not_be_signed_is_shown_and_tried_again(
    writer: CheckpointWriter, signer: Slow, notes: list[str]
) -> None:
    signer.failing = True
    writer.put(head(1))
    with pytest.raises(LogUnavailable, match="ended with 1"):
        writer.settled().result(10)
    assert "ended with 1" in str(writer.fault)
    signer.failing = False
    while True:  # asking brings the next attempt forward; an answer may still be that of the attempt before
        try:
            writer.settled().result(10)
        except LogUnavailable:
            continue
        break
    assert (writer.fault, sizes(notes)) == (None, [1])


def test_a_disk_that_is_full_is_shown(
    writer: CheckpointWriter, monkeypatch: pytest.MonkeyPatch, notes: list[str]
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_directory, "fsync_path", full)
    writer.put(head(1))
    with pytest.raises(LogUnavailable, match="No space left"):
        writer.settled().result(10)
    monkeypatch.undo()
    writer.put(head(2))
    while writer.fault is not None or notes == []:
        writer.settled().exception(10)
    assert sizes(notes)[-1] == 2


def test_before_the_first_seal_there_is_no_checkpoint(writer: CheckpointWriter) -> None:
    with pytest.raises(LogUnavailable, match="Nothing is sealed yet"):
        writer.settled().result(10)


def test_closing_signs_what_was_put_and_answers_who_waits(
    directory: LogDirectory, signer: Slow, notes: list[str]
) -> None:
    writer = CheckpointWriter(directory, LOG, signer, notes.append)
    signer.go_on.clear()
    writer.put(head(1))
    waiting = writer.settled()
    writer.put(head(2))
    threading.Timer(0.05, signer.go_on.set).start()
    writer.close()
    assert sizes(notes)[-1] == 2
    assert sizes([waiting.result(0)]) == [2]
    assert sizes([writer.settled().result(0)]) == [2], "and who asks afterwards"


def test_closing_gives_up_after_two_attempts(directory: LogDirectory, signer: Slow, notes: list[str]) -> None:
    writer = CheckpointWriter(directory, LOG, signer, notes.append)
    signer.failing = True
    signer.go_on.clear()
    writer.put(head(1))
    assert signer.asked.wait(10)
    threading.Timer(0.05, signer.go_on.set).start()
    writer.close()
    assert notes == []
    assert signer.calls <= 3
    with pytest.raises(LogUnavailable):
        writer.settled().result(0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_programming_error_ends_the_thread_loudly_and_leaves_nobody_waiting(directory: LogDirectory) -> None:
    class Broken(Slow):
        def sign_note(self, text: str) -> str:
            raise ZeroDivisionError

    writer = CheckpointWriter(directory, LOG, Broken(), str)
    writer.put(head(1))
    with pytest.raises(LogUnavailable, match="programming error"):
        writer.settled().result(10)
    with pytest.raises(LogUnavailable, match="programming error"):
        writer.settled().result(10)
    writer.close()
    assert writer.fault is not None
