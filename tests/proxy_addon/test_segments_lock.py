"""One at a time changes the segments, whichever process it is, and a dead holder does not keep the lock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy_addon.segments_lock import NAME, changing_segments

ROOT = Path(__file__).resolve().parent.parent.parent
HOLDER = (
    "import pathlib, sys\n"
    "from proxy_addon.segments_lock import changing_segments\n"
    "with changing_segments(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
    "    pathlib.Path(sys.argv[1], 'released').touch()\n"
)


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        holder.stdin.close()
        with changing_segments(tmp_path):
            assert (tmp_path / "released").exists(), "the lock was given before its holder let go"


def test_a_killed_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    with changing_segments(tmp_path):
        assert not (tmp_path / "released").exists()


def test_the_lock_is_let_go_where_the_change_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), changing_segments(tmp_path):
        raise ZeroDivisionError
    with changing_segments(tmp_path):
        assert (tmp_path / NAME).exists()
