"""The live file: there whole or not at all, durable on return, and honest about what it does not know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from proxy_addon.live import Extent, InDoubtError, LiveFile, RefusedError, RolledBackError, remove

ROOT = Path(__file__).resolve().parent.parent.parent


def test_rows_are_there_after_reopening(tmp_path: Path) -> None:
    live = LiveFile.create(tmp_path / "a.000000.duckdb", tmp_path / "spill")
    assert live.extent() == Extent(rows=0, first=None, last=None)
    live.insert(5, ["a", "ü\u2028"])
    live.insert(7, ["c"])
    assert live.wal_bytes() > 0
    live.close()
    again = LiveFile.open(tmp_path / "a.000000.duckdb", tmp_path / "spill")
    assert again.extent() == Extent(rows=3, first=5, last=7)
    assert list(again.entries()) == ["a", "ü\u2028", "c"]
    again.flush()
    again.close()
    remove(again.path)
    assert [path.name for path in tmp_path.iterdir()] == ["spill"]


def test_a_file_half_made_by_a_dead_process_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.000000.duckdb"
    path.with_name(path.name + ".new").write_bytes(b"half")
    LiveFile.create(path, tmp_path / "spill").close()
    LiveFile.open(path, tmp_path / "spill").close()


@pytest.mark.parametrize("when", range(1, 6))
def test_a_kill_at_any_rename_or_sync_of_the_creation_leaves_nothing_or_a_file_that_opens(
    tmp_path: Path, when: int
) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from proxy_addon import live\n"
        "count = 0\n"
        "def fatal(real):\n"
        "    def step(*arguments):\n"
        "        global count\n"
        "        count += 1\n"
        f"        if count == {when}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        done = real(*arguments)\n"
        "        return done\n"
        "    return step\n"
        "live.fsync_path = fatal(live.fsync_path)\n"
        "pathlib.Path.rename = fatal(pathlib.Path.rename)\n"
        "file = live.LiveFile.create(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "file.insert(0, ['a'])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "a.000000.duckdb"
    done = subprocess.run([sys.executable, "-c", program, str(path), str(tmp_path / "spill")], cwd=ROOT)
    assert done.returncode == -9
    if path.exists():
        live = LiveFile.open(path, tmp_path / "spill")
        assert live.extent().rows == (1 if when >= 5 else 0)
        live.close()
    else:
        assert when <= 2


def test_a_value_duckdb_refuses_is_told_apart_and_harms_nothing(tmp_path: Path) -> None:
    live = LiveFile.create(tmp_path / "a.000000.duckdb", tmp_path / "spill")
    with pytest.raises(RefusedError):
        live.insert(0, ["fine", "\ud800"])
    live.insert(0, ["fine"])
    assert live.extent().rows == 1
    live.close()


@pytest.mark.parametrize(
    "error,expected",
    [
        (duckdb.TransactionException("No space left on device"), RolledBackError),
        (duckdb.OutOfMemoryException("out of memory"), RolledBackError),
        (duckdb.FatalException("fsync failed"), InDoubtError),
        (duckdb.InternalException("assertion"), InDoubtError),
        (duckdb.IOException("disk"), InDoubtError),
        (duckdb.ConversionException("value"), InDoubtError),
    ],
)
def test_every_class_of_error_says_what_is_known(
    tmp_path: Path, error: duckdb.Error, expected: type[Exception]
) -> None:
    class Broken:
        def execute(self, *arguments: object) -> None:
            raise error

    live = LiveFile(tmp_path / "a.000000.duckdb", Broken())  # type: ignore[arg-type]
    live.insert(0, ["a"])
    with pytest.raises(expected):
        live.move()
    assert live.waiting == 1, "durable in the front all the same"


def test_a_directory_that_cannot_be_synced_leaves_in_doubt_what_duckdb_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = LiveFile.create(tmp_path / "a.000000.duckdb", tmp_path / "spill")

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("proxy_addon.live.fsync_path", fail)
    live.insert(0, ["a"])
    with pytest.raises(InDoubtError):
        live.move()
    live.close()


def test_a_live_file_takes_long_values_up_to_its_size_and_comes_back_with_them(tmp_path: Path) -> None:
    """DuckDB's memory limit would make commits fail long before the disk is full: it must never be what ends a log."""
    live = LiveFile.create(tmp_path / "a.000000.duckdb", tmp_path / "spill", 64 * 2**20)
    text, rows = "x" * 140_000, 0  # a little over half a block: the size that takes most memory for its length
    while live.wal_bytes() < 64 * 2**20:
        live.insert(rows, [f"{row}{text}" for row in range(50)])
        rows += 50
    live.close()
    again = LiveFile.open(live.path, tmp_path / "spill")
    again.flush()
    assert again.extent().rows == rows
    again.close()


@pytest.mark.parametrize("what", ["create", "open"])
def test_too_few_descriptors_are_an_error_and_not_the_end_of_the_process(tmp_path: Path, what: str) -> None:
    """In a process of its own: without the check DuckDB would end it."""
    LiveFile.create(tmp_path / "a.000000.duckdb", tmp_path / "spill").close()
    program = f"""
import os, resource
from pathlib import Path
from proxy_addon.live import LiveFile
limit = len(os.listdir("/proc/self/fd")) + 20
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
try:
    LiveFile.{what}(Path({str(tmp_path)!r}) / "a.000000.duckdb", Path({str(tmp_path / "spill")!r}))
except OSError as error:
    print(error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "Too many open files"), done.stderr
