"""The front: a frame is there whole or not at all, and whoever opens the live file next has every row once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.errors import LogFormatError
from proxy_addon.front import CAPACITY_BYTES, Front, frame_of, front_of, missing_rows
from proxy_addon.live import InDoubtError, LiveFile, RolledBackError

ROOT = Path(__file__).resolve().parent.parent.parent
BATCHES = st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4), max_size=6)


def test_frames_are_read_as_they_were_written(tmp_path: Path) -> None:
    front = Front.create(tmp_path / "a.front")
    front.append(frame_of(7, ["a", "ü\n"]))
    front.append(frame_of(9, ["", "d"]))
    assert missing_rows(front.path, None) == [(7, "a"), (8, "ü\n"), (9, ""), (10, "d")]
    assert missing_rows(front.path, 9) == [(10, "d")]
    assert missing_rows(front.path, 10) == missing_rows(tmp_path / "none", 3) == []
    front.close()


@given(batches=BATCHES, cut=st.integers(0, 400), bit=st.integers(0, 7))
def test_whatever_happens_to_the_end_the_rows_before_it_are_read(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]], cut: int, bit: int
) -> None:
    octets, expected, complete, seq = b"", list[tuple[int, str]](), 0, 0
    for batch in batches:
        frame = frame_of(seq, batch)
        octets += frame
        if len(octets) <= cut:
            complete += len(batch)
        expected += [(seq + place, body) for place, body in enumerate(batch)]
        seq += len(batch)
    path = tmp_path_factory.mktemp("front") / "a.front"
    path.write_bytes(octets[:cut])
    assert missing_rows(path, None) == expected[:complete]
    if cut < len(octets):
        damaged = bytearray(octets)
        damaged[cut] ^= 1 << bit
        path.write_bytes(damaged)
        assert missing_rows(path, None) == expected[:complete]


@given(rounds=st.lists(BATCHES, min_size=1, max_size=4))
def test_what_is_left_of_an_earlier_round_is_never_taken_for_this_one(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[list[str]]]
) -> None:
    front = Front.create(tmp_path_factory.mktemp("front") / "a.front")
    seq = moved = 0
    for batches in rounds:
        front.start_over()
        moved, expected = seq - 1, list[tuple[int, str]]()
        for batch in batches:
            front.append(frame_of(seq, batch))
            expected += [(seq + place, body) for place, body in enumerate(batch)]
            seq += len(batch)
    assert missing_rows(front.path, moved) == expected
    front.close()


def test_rows_that_the_live_file_lost_are_told_of_and_not_passed_over(tmp_path: Path) -> None:
    front = Front.create(tmp_path / "a.front")
    front.append(frame_of(7, ["a"]))
    front.close()
    with pytest.raises(LogFormatError, match="ends with record 4, but its front goes on with 7"):
        missing_rows(front.path, 4)


def test_the_space_is_taken_at_the_start_and_never_grows(tmp_path: Path) -> None:
    front = Front.create(tmp_path / "a.front")
    assert front.path.stat().st_size == CAPACITY_BYTES
    frame = frame_of(0, ["x" * 1_000_000])
    while front.has_room(frame):
        front.append(frame)
    assert front.path.stat().st_size == CAPACITY_BYTES
    front.close()


def opened(tmp_path: Path) -> LiveFile:
    return LiveFile.create(tmp_path / "a.000000.duckdb", tmp_path / "spill")


def bodies(tmp_path: Path) -> list[str]:
    live = LiveFile.open(tmp_path / "a.000000.duckdb", tmp_path / "spill")
    found = list(live.entries())
    live.close()
    return found


@pytest.mark.parametrize("moved", range(4))
def test_a_kill_before_or_after_a_move_loses_and_doubles_nothing(tmp_path: Path, moved: int) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from proxy_addon.live import LiveFile\n"
        "live = LiveFile.create(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "for number in range(4):\n"
        "    live.insert(number, [str(number)])\n"
        f"    if number == {moved}: live.move()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "a.000000.duckdb"
    assert subprocess.run([sys.executable, "-c", program, path, tmp_path / "spill"], cwd=ROOT).returncode == -9
    assert front_of(path).exists()
    assert bodies(tmp_path) == ["0", "1", "2", "3"]
    assert not front_of(path).exists()
    assert bodies(tmp_path) == ["0", "1", "2", "3"]


def test_more_than_a_round_goes_on_after_a_move(tmp_path: Path) -> None:
    live, text = opened(tmp_path), "x" * 900_000
    for number in range(12):
        live.insert(number, [f"{number}{text}"])
    assert 0 < live.waiting < 12
    live.close()
    assert [body.removesuffix(text) for body in bodies(tmp_path)] == [str(number) for number in range(12)]


def test_a_batch_larger_than_the_front_goes_to_duckdb_at_once(tmp_path: Path) -> None:
    live = opened(tmp_path)
    live.insert(0, ["small"])
    live.insert(1, ["x" * (CAPACITY_BYTES + 1)])
    assert live.waiting == 0
    live.insert(2, ["small again"])
    live.close()
    assert [len(body) for body in bodies(tmp_path)] == [5, CAPACITY_BYTES + 1, 11]


def test_what_duckdb_cannot_take_stays_in_the_front_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(live, "_connection", _Full())
        live.insert(0, ["a"])
        with pytest.raises(RolledBackError):
            live.move()
        live.insert(1, ["b"])
        assert live.waiting == 2
    live.move()
    assert live.waiting == 0
    live.close()
    assert bodies(tmp_path) == ["a", "b"]


def test_a_file_closed_while_duckdb_could_not_take_the_rest_keeps_its_front(tmp_path: Path) -> None:
    live = opened(tmp_path)
    live.insert(0, ["a"])
    real, live._connection = live._connection, _Full()  # type: ignore[assignment]
    live.close()
    real.close()
    assert front_of(live.path).exists()
    assert bodies(tmp_path) == ["a"]


def test_a_move_in_doubt_is_not_repeated_at_the_close(tmp_path: Path) -> None:
    """DuckDB may have the rows although it said otherwise: a second attempt would write them twice."""
    live = opened(tmp_path)
    live.insert(0, ["a"])
    real = live._connection
    live._connection = _Doubtful(real)  # type: ignore[assignment]
    with pytest.raises(InDoubtError):
        live.move()
    live.close()
    real.close()
    assert bodies(tmp_path) == ["a"]


def test_a_full_disk_and_a_failing_one_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", _raising(errno.ENOSPC))
        with pytest.raises(RolledBackError):
            live.insert(0, ["a"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _raising(errno.EIO))
        with pytest.raises(InDoubtError):
            live.insert(0, ["a"])
    live.close()
    assert bodies(tmp_path) == []


def test_no_half_of_a_front_stays_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", _raising(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        Front.create(tmp_path / "a.front")
    assert list(tmp_path.iterdir()) == []


def _raising(number: int) -> object:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


class _Full:
    def execute(self, *_: object) -> None:
        raise duckdb.TransactionException("No space left on device")

    def close(self) -> None:
        pass


class _Doubtful:
    def __init__(self, real: duckdb.DuckDBPyConnection) -> None:
        self._real = real

    def execute(self, *arguments: object) -> None:
        self._real.execute(*arguments)  # type: ignore[arg-type]
        raise duckdb.FatalException("fsync failed")

    def close(self) -> None:
        pass
