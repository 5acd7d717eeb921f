"""The thread of the log: never dead in silence, never writing what nobody waits for, always ending."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crawl_audit.errors import LogUnavailable
from crawl_audit.records import Record
from crawl_audit.seal import Signer
from proxy_addon import log_thread
from proxy_addon.chain import Chain
from proxy_addon.journal import Journal, encode
from proxy_addon.live import InDoubtError, LiveFile, RolledBackError
from proxy_addon.log_directory import LogDirectory
from proxy_addon.log_limits import Limits
from proxy_addon.log_thread import LogThread
from proxy_addon.queued import Queued, Report
from tests.writing import QUIET, SETTINGS_SHA256, check, incident, kinds, now

LOG = "node1-20261118T110640Z-00000001"


class HangingSigner(Signer):
    """Signs when it is told to."""

    def __init__(self) -> None:
        super().__init__("a", Ed25519PrivateKey.generate())
        self.go_on = threading.Event()

    def sign_note(self, text: str) -> str:
        assert self.go_on.wait(30)
        return super().sign_note(text)


class Bench:
    """A thread and what it reported."""

    def __init__(self, path: Path, signer: Signer | None = None, **limits: Any) -> None:
        self.signer: Any = signer or Signer.generate("a")
        self.directory = LogDirectory(path)
        self.holding = self.directory.acquire()
        self.holding.__enter__()
        live = LiveFile.create(self.directory.live_file(LOG, 0), self.directory.spill(LOG))
        self.reports: list[Report] = []
        self.notes: list[str] = []
        self.thread = LogThread(
            self.directory,
            Journal(self.directory, Chain(LOG), live, self.directory.spill(LOG)),
            self.signer,
            settings_sha256=SETTINGS_SHA256,
            limits=Limits(**{**QUIET, **limits}),
            clock=now,
            report=self.reports.extend,
            on_checkpoint=self.notes.append,
            on_commit=lambda seconds, items, fault: None,
        )

    def put(self, record: Record, *, keep: bool = False) -> Queued:
        item = Queued(make=lambda _: [encode(record)], keep=keep)
        self.thread.put(item)
        return item

    def of(self, item: Queued) -> list[Report]:
        return [report for report in self.reports if report.item is item]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    if not made.thread._thread.ident:
        made.thread.start()
    made.thread.stop()
    made.thread.join()
    made.holding.__exit__(None, None, None)


def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_what_queued_before_the_start_is_one_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, real = [], LiveFile.insert

    def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        sizes.append(len(bodies))
        real(live, first_seq, bodies)

    monkeypatch.setattr(LiveFile, "insert", insert)
    for number in range(700):
        bench.put(incident(str(number)))
    bench.thread.start()
    until(lambda: len(bench.reports) == 700)
    assert [report.first for report in bench.reports] == list(range(700))
    assert sizes == [512, 188]


def test_what_nobody_waits_for_any_more_is_not_written(bench: Bench) -> None:
    bench.put(incident("gone")).abandoned = True
    wanted = bench.put(incident("wanted"))
    bench.thread.start()
    until(lambda: bench.of(wanted))
    assert (bench.of(wanted)[0].first, bench.thread.dropped) == (0, 1)


def test_stopping_writes_what_is_queued_and_answers_who_waits_for_a_rotation(bench: Bench, tmp_path: Path) -> None:
    bench.thread.start()
    items = [bench.put(incident(str(number))) for number in range(50)]
    asked = bench.thread.rotate()
    bench.thread.stop()
    bench.thread.join()
    assert all(bench.of(item)[0].error is None for item in items)
    assert asked.result(1).rows >= 50
    assert bench.thread.ended == "the log is closed"
    assert kinds(tmp_path)[-1] == "seal:shutdown"
    check(tmp_path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_programming_error_ends_the_thread_loudly_and_fails_everyone(bench: Bench) -> None:
    def broken(base: int) -> list[Any]:
        raise ZeroDivisionError

    faulty = Queued(make=broken)
    bench.thread.put(faulty)
    after = [bench.put(incident("x"), keep=True) for _ in range(600)]
    bench.thread.start()
    until(lambda: bench.of(after[-1]))
    assert "programming error" in str(bench.thread.ended)
    for item in (faulty, after[0], after[-1]):
        error = bench.of(item)[0].error
        assert isinstance(error, LogUnavailable)
        assert error.reason == "audit_log_closed"


def test_stopping_with_a_disk_that_never_comes_back_ends_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        raise RolledBackError("No space left on device")

    monkeypatch.setattr(LiveFile, "insert", fail)
    monkeypatch.setattr(log_thread, "_DRAIN_S", 0.3)
    bench.thread.start()
    kept = bench.put(incident("kept"), keep=True)
    until(lambda: bench.thread.suspension)
    bench.thread.stop()
    bench.thread.join()
    assert bench.thread.last_segment is None
    assert isinstance(bench.of(kept)[0].error, LogUnavailable)


def test_every_seal_has_its_head_signed_before_the_thread_is_joined(bench: Bench) -> None:
    bench.thread.start()
    bench.thread.rotate().result(30)
    bench.thread.stop()
    bench.thread.join()
    assert "\n2\n" in bench.notes[-1]
    assert bench.directory.checkpoint(LOG).read_text() == bench.notes[-1]


def test_a_signer_that_hangs_delays_neither_commits_nor_segments(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HangingSigner())
    bench.thread.start()
    item = bench.put(incident("a"))
    bench.thread.rotate().result(30)
    assert bench.of(item)[0].error is None
    assert bench.notes == []
    bench.signer.go_on.set()
    bench.thread.stop()
    bench.thread.join()
    assert "\n2\n" in bench.notes[-1]
    bench.holding.__exit__(None, None, None)


def test_an_idle_thread_shows_that_it_lives(bench: Bench) -> None:
    bench.thread.start()
    first = bench.thread.heartbeat_monotonic
    until(lambda: bench.thread.heartbeat_monotonic > first + 0.05, 2)
    assert threading.main_thread().is_alive()


def test_who_asks_for_a_rotation_after_the_end_is_answered(bench: Bench) -> None:
    bench.thread.start()
    bench.thread.stop()
    bench.thread.join()
    with pytest.raises(LogUnavailable, match="the log is closed"):
        bench.thread.rotate().result(1)


def test_a_last_seal_that_fails_is_not_taken_for_the_segment_before_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.thread.start()
    bench.put(incident("a"))
    bench.thread.rotate().result(30)

    def fail(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        raise RolledBackError("No space left on device")

    monkeypatch.setattr(LiveFile, "insert", fail)
    bench.thread.stop()
    bench.thread.join()
    assert bench.thread.last_segment is None


def test_a_seal_that_was_in_doubt_and_not_there_is_no_dropped_request(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = LiveFile.insert, [InDoubtError("fsync"), InDoubtError("fsync")]

    def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        if failures and '"k":"seal"' in bodies[0]:
            raise failures.pop()
        real(live, first_seq, bodies)

    monkeypatch.setattr(LiveFile, "insert", insert)
    opening, closed = LiveFile.open, [True]

    def reopen(path: Path, spill: Path) -> LiveFile:
        if closed[0]:
            raise OSError("Input/output error")
        return opening(path, spill)

    monkeypatch.setattr(LiveFile, "open", reopen)
    bench.thread.start()
    item = bench.put(incident("a"))
    until(lambda: bench.of(item))
    with pytest.raises(LogUnavailable):
        bench.thread.rotate().result(30)
    until(lambda: bench.thread.suspension)
    closed[0] = False
    until(lambda: bench.thread.suspension is None)
    assert bench.thread.dropped == 0
