"""What is shown on a terminal while a log is read: how far the query is and its name, and nothing anywhere else."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reports import output, reading_cli
from reports.log import Log, open_log
from tests import logs
from tests.reports.command import crawl_audit

ROOT = Path(__file__).parents[2]
ENDLESS = "SELECT sum(hash(i) % 1000) FROM range(1_000_000_000_000) AS numbers(i)"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("log")
    logs.mixed(made, count=40)
    return made


class _Terminal:
    """A pseudo terminal that stands for standard error, and what was written to it."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        self.stream = io.TextIOWrapper(os.fdopen(theirs, "wb", buffering=0), encoding="utf-8", write_through=True)
        self._read: list[bytes] = []
        self._reader = threading.Thread(target=self._drain)
        self._reader.start()

    def _drain(self) -> None:
        while True:
            try:
                octets = os.read(self._ours, 4096)
            except OSError:  # Linux: EIO once the other side is closed
                return
            if not octets:
                return
            self._read.append(octets)

    @property
    def so_far(self) -> str:
        return b"".join(self._read).decode()

    def close(self) -> str:
        self.stream.close()
        self._reader.join()
        os.close(self._ours)
        return self.so_far


@contextmanager
def _terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Terminal]:
    made = _Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", made.stream)
    try:
        yield made
    finally:
        monkeypatch.undo()
        made.close()


def _until(terminal: _Terminal, wanted: str) -> bool:
    """Whether a text appears; waits a minute at most, which only a broken program takes."""
    end = time.monotonic() + 60
    while wanted not in terminal.so_far and time.monotonic() < end:
        time.sleep(0.02)
    return wanted in terminal.so_far


def test_a_terminal_is_shown_the_step_and_how_far_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "percent", lambda _log: 42.0)
    with _terminal(monkeypatch) as terminal, open_log(str(root)) as opened, output.watching("Report", opened):
        opened.rows("runs", start=None, end=None)
        assert _until(terminal, "Report: runs")
        assert _until(terminal, "42%")


def test_a_step_that_cannot_tell_has_no_percentage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _terminal(monkeypatch) as terminal, open_log(str(root)) as opened, output.watching("Report", opened):
        assert opened.percent() is None
        assert _until(terminal, "Report")
        assert "%" not in terminal.so_far


def test_nothing_is_left_on_the_terminal_and_no_thread_behind(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    with _terminal(monkeypatch) as terminal:
        with open_log(str(root)) as opened, pytest.raises(KeyError), output.watching("Report", opened):
            raise KeyError
        assert _until(terminal, "\x1b[2K")  # the bar's line is erased
    assert threading.active_count() == before


def test_what_is_no_terminal_is_shown_nothing(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Log, "percent", lambda _log: pytest.fail("nobody is there to look"))
    with open_log(str(root)) as opened, output.watching("Report", opened):
        opened.rows("runs", start=None, end=None)
    assert capsys.readouterr() == ("", "")


def test_a_long_query_tells_how_far_it_is(root: Path) -> None:
    seen: list[float] = []
    ended = threading.Event()
    with open_log(str(root)) as opened:

        def look() -> None:
            while not ended.wait(0.01):
                percent = opened.percent()
                if percent is not None:
                    seen.append(percent)

        looking = threading.Thread(target=look)
        looking.start()
        rows = 1_000_000
        while not seen and rows < 10**10:  # on a machine that is too quick to be watched the query gets longer
            rows *= 4
            opened.select(f"SELECT sum(hash(i) % 1000) FROM range({rows}) AS numbers(i)")
        ended.set()
        looking.join()
    assert seen
    assert all(0 <= percent <= 100 for percent in seen)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_long_query_with_a_sentence(root: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "reports", "query", str(root), ENDLESS, "--seconds", "600"]
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, env=environment) as asked:
        os.close(theirs)
        said = b""
        while b"%" not in said:  # the query runs
            said += os.read(ours, 4096)
        asked.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # Linux: EIO once the other side is closed
            while octets := os.read(ours, 4096):
                said += octets
        out, _ = asked.communicate(timeout=60)
        os.close(ours)
    assert (asked.returncode, out) == (130, b"")
    assert b"Traceback" not in said
    assert said.endswith(b"crawl-audit: Interrupted.\r\n")


def test_a_statement_that_duckdb_says_was_interrupted_is_no_defect(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(said: str) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(reading_cli, "run", lambda *_: ends("Query interrupted"))
    assert crawl_audit("query", root, "SELECT 1") == (130, "", "crawl-audit: Interrupted.\n")
    monkeypatch.setattr(reading_cli, "run", lambda *_: ends("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        crawl_audit("query", root, "SELECT 1")


def test_what_was_asked_before_is_not_asked_again_and_is_nobody_elses_to_change(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_log(str(root)) as opened:
        first = opened.rows("runs", start=None, end=None)
        first[0]["log"] = "changed"
        monkeypatch.setattr(opened, "select", lambda *_: [])
        again = opened.rows("runs", start=None, end=None)
        assert [row["log"] for row in again] != ["changed"]
        assert len(again) == len(first) == 1
        assert opened.rows("runs", start=None, end=logs.after(0)) == []


def test_one_thing_is_shown_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with _terminal(monkeypatch) as terminal:
        with output.waiting("Reading"), output.progress("Fetching") as advance, output.steps("Compacting") as step:
            advance(1, 2)
            step("decision")
        with output.steps("Compacting") as step:
            step("completion")
            time.sleep(0.3)
        with output.progress("Fetching again") as advance:
            advance(1, 2)
    shown = terminal.so_far
    assert "Reading" in shown
    assert "Compacting: completion" in shown
    assert "Fetching again" in shown
    assert "decision" not in shown
