"""The emergency file is bounded, holds nobody up, survives a full disk, and is readable after a crash at any moment."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy_addon import emergency
from proxy_addon.emergency import EmergencyFile, line_of, read, uncounted_line

DECISION = '{"exchange_id":"%s","k":"decision","recorded_at":5}'


def opened(path: Path, bytes_max: int = 4096) -> EmergencyFile:
    path.mkdir(exist_ok=True)
    made = EmergencyFile(emergency.emergency_file(path, "log-1"), "log-1", bytes_max)
    made.open()
    return made


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def put(file: EmergencyFile, text: str) -> None:
    written = threading.Event()
    assert file.put(text, written.set)
    assert written.wait(10)


def test_what_was_put_is_on_disk_with_its_digest_and_can_be_read(tmp_path: Path) -> None:
    file = opened(tmp_path)
    put(file, line_of(1, DECISION % "a"))
    put(file, line_of(1, '{"decision_seq":-1,"k":"completion"}'))
    put(file, line_of(2, DECISION % "b"))
    file.put_always(uncounted_line(4))
    until(lambda: b"not_kept" in file.path.read_bytes())
    left = read(file.path)
    assert left is not None
    assert [name for name, _ in left.decisions] == ["a", "b"]
    assert (left.log, left.not_kept) == ("log-1", 4)
    used = file.path.read_bytes().partition(b"\0")[0]
    until(lambda: file.sha256() == left.sha256 == hashlib.sha256(used).hexdigest())
    file.close(empty=False)
    assert file.path.exists()


def test_there_is_no_more_room_than_was_set_aside(tmp_path: Path) -> None:
    file = opened(tmp_path, 1000)
    assert file.path.stat().st_size == 1000
    results = [file.put(line_of(number, DECISION % number)) for number in range(30)]
    assert results == sorted(results, reverse=True) and 5 < sum(results) < 20
    file.close(empty=False)
    assert file.path.stat().st_size == 1000


def test_what_is_in_the_log_is_forgotten_and_an_empty_file_goes(tmp_path: Path) -> None:
    file = opened(tmp_path)
    put(file, line_of(1, DECISION % "a"))
    file.clear()
    until(lambda: file.sha256() is None)
    assert read(file.path) is None
    put(file, line_of(2, DECISION % "b"))
    left = read(file.path)
    assert left is not None and [name for name, _ in left.decisions] == ["b"]
    file.clear()
    file.close(empty=True)
    assert not file.path.exists()


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.ndjson"
    text = emergency.header_of("log-1") + line_of(1, DECISION % "a") + line_of(2, DECISION % "b")
    path.write_bytes(text.encode()[:-cut] + bytes(100))
    left = read(path)
    assert left is not None
    assert [name for name, _ in left.decisions] == (["a", "b"] if cut == 1 else ["a"])


@pytest.mark.parametrize("content", [b"", bytes(100), emergency.header_of("log-1").encode() + bytes(9), b"[1]\n"])
def test_a_file_in_which_nothing_left_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.ndjson"
    path.write_bytes(content)
    assert read(path) is None


def test_a_write_that_fails_is_done_again_without_half_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emergency, "_RETRY_S", 0.05)
    real, failing = os.pwrite, [True]

    def write(descriptor: int, octets: bytes, offset: int) -> int:
        if failing[0]:
            real(descriptor, octets[:7], offset)
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, octets, offset)

    monkeypatch.setattr(emergency.os, "pwrite", write)
    file, written = opened(tmp_path), threading.Event()
    assert file.put(line_of(1, DECISION % "a"), written.set)
    until(lambda: file.fault is not None)
    assert "Input/output error" in str(file.fault) and not written.is_set()
    failing[0] = False
    assert written.wait(10)
    until(lambda: file.fault is None)
    left = read(file.path)
    assert left is not None and [name for name, _ in left.decisions] == ["a"]
    file.close(empty=False)


def test_a_file_that_cannot_be_made_at_first_is_made_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "_RETRY_S", 0.05)
    (tmp_path / "emergency").write_text("in the way")
    file, written = opened(tmp_path), threading.Event()
    assert file.fault is not None
    assert file.put(line_of(1, DECISION % "a"), written.set)
    assert not written.wait(0.2)
    (tmp_path / "emergency").unlink()
    assert written.wait(10)
    file.close(empty=True)


def test_a_disk_that_hangs_holds_up_neither_put_nor_close_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "_STOP_S", 0.1)
    release, real = threading.Event(), os.fdatasync

    def hang(descriptor: int) -> None:
        assert release.wait(20)
        real(descriptor)

    monkeypatch.setattr(emergency.os, "fdatasync", hang)
    file = opened(tmp_path)
    began = time.monotonic()
    assert file.put(line_of(1, DECISION % "a"))
    file.close(empty=True)
    assert time.monotonic() - began < 5
    assert file.path.exists(), "what may still be written to is not removed"
    release.set()
    file._thread.join(10)


def test_lines_that_are_not_what_they_should_be_do_not_forbid_a_start(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    odd = ['{"log":7}', '{"not_kept":"many"}', '{"number":1,"entry":{"k":"decision"}}', '{"entry":7}', "{", "\xff"]
    path.write_bytes("\n".join([*odd, line_of(2, DECISION % "a"), ""]).encode("latin-1") + bytes(9))
    left = read(path)
    assert left is not None
    assert (left.log, [name for name, _ in left.decisions], left.not_kept) == ("", ["a"], 0)


def test_reading_a_large_file_takes_the_memory_of_a_small_one(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_text(emergency.header_of("log-1") + line_of(1, DECISION % "a"))
    os.truncate(path, 2**36)  # all of it unused room, and none of it on the disk
    left = read(path)
    assert left is not None and len(left.decisions) == 1
