"""A log has one owner among the processes that write to a directory, and none once its owner is dead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy_addon.log_directory import LogDirectory
from proxy_addon.log_locks import LogLocks

HOLDER = """
import sys, pathlib
from proxy_addon.log_directory import LogDirectory
from proxy_addon.log_locks import LogLocks
locks = LogLocks(LogDirectory(pathlib.Path(sys.argv[1])))
print(locks.take(sys.argv[2]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> LogDirectory:
    made = LogDirectory(tmp_path)
    made.live.mkdir()
    return made


@contextmanager
def another(directory: LogDirectory, log: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has taken a log."""
    command = [sys.executable, "-c", HOLDER, str(directory.path), log]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_log_is_its_processs_until_that_ends(directory: LogDirectory) -> None:
    locks = LogLocks(directory)
    with another(directory, "a") as process:
        assert locks.is_anothers("a")
        assert not locks.take("a")
        assert not locks.is_held("a")
        assert locks.take("b")
        process.kill()
        process.wait()
        assert not locks.is_anothers("a")
        assert locks.take("a")
    assert locks.is_held("a")
    assert locks.take("a"), "again, as it is ours"


def test_asking_whose_a_log_is_does_not_take_it_and_leaves_nothing(directory: LogDirectory) -> None:
    assert not LogLocks(directory).is_anothers("a")
    assert list(directory.live.iterdir()) == []
    with another(directory, "a"):
        assert LogLocks(directory).is_anothers("a")


def test_what_dead_processes_left_is_removed_and_the_directorys_own_lock_stays(directory: LogDirectory) -> None:
    with another(directory, "a"):
        (directory.live / "worker-1.socket").touch()
    with directory.acquire():
        assert [path.name for path in directory.live.iterdir()] == ["lock"]
