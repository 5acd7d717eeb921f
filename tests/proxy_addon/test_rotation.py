"""A live file becomes a segment when it is old, large or idle enough, and the next one is ready before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crawl_audit.errors import LogUnavailable
from crawl_audit.records import Instant, Record
from proxy_addon import rotation as module
from proxy_addon.chain import Chain
from proxy_addon.journal import Item, Journal, encode
from proxy_addon.live import LiveFile
from proxy_addon.log_directory import LogDirectory
from proxy_addon.log_limits import Limits
from proxy_addon.publisher import Publisher
from proxy_addon.rotation import Rotation
from tests.writing import SETTINGS_SHA256, decision, incident

LOG = "node1-20261118T110640Z-00000001"


class Bench:
    """A journal with its rotation, and a clock the test turns."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, **limits: Any) -> None:
        self.directory = LogDirectory(path)
        for part in (self.directory.live, self.directory.tmp):
            part.mkdir(parents=True)
        live = LiveFile.create(self.directory.live_file(LOG, 0), self.directory.spill(LOG))
        self.journal = Journal(self.directory, Chain(LOG), live, self.directory.spill(LOG))
        self.publisher = Publisher(self.directory, lambda: None)
        self.now = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        self.rotation = Rotation(self.directory, self.journal, self.publisher, Limits(**limits))

    def write(self, *records: Record) -> None:
        self.journal.commit([Item(make=lambda _: [encode(record) for record in records])])
        self.journal.settle()

    def seal(self) -> None:
        self.journal.seal("idle", now=Instant(1), monotonic_ms=0, settings_sha256=SETTINGS_SHA256, dropped=0)

    def due(self, after_s: float, idle_s: float = 0.0) -> bool:
        self.now = 1000.0 + after_s
        return self.rotation.is_due(self.now - idle_s)

    def ready(self) -> LiveFile:
        assert self.rotation.next_live(due=True) is None
        assert self.rotation._next is not None
        self.rotation._next.exception(10)
        live = self.rotation.next_live(due=False)
        assert live is not None
        return live


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch, segment_bytes=50_000)
    yield made
    made.rotation.abandon()
    made.publisher.close()
    if made.journal.live is not None:
        made.journal.live.close()


def test_an_empty_live_file_is_never_due(bench: Bench) -> None:
    assert not bench.due(10**6, 10**6)


def test_age_and_idle_time_make_it_due(bench: Bench) -> None:
    bench.write(incident("a"))
    assert [bench.due(299), bench.due(300)] == [False, True]
    assert [bench.due(20, 14), bench.due(20, 15)] == [False, True]


def test_size_makes_it_due(bench: Bench) -> None:
    bench.write(incident("a"))
    assert not bench.due(1)
    bench.write(incident("x" * 50_000))
    assert bench.due(1)


def test_seals_alone_make_it_due_once_an_hour(bench: Bench) -> None:
    bench.seal()
    assert [bench.due(3599, 3599), bench.due(3600, 3600)] == [False, True]


def test_after_the_first_decisions_were_published_idle_time_counts_longer(bench: Bench) -> None:
    for record, idle_s in ((incident("start"), 15), (decision(0), 15), (decision(1), 60)):
        bench.write(record)
        assert [bench.due(100, idle_s - 1), bench.due(100, idle_s)] == [False, True]
        live = bench.ready()
        bench.seal()
        bench.rotation.go_over(live)


def test_going_over_takes_no_time_because_the_next_file_is_open_already(bench: Bench) -> None:
    bench.write(incident("a"))
    live = bench.ready()
    bench.seal()
    began = time.perf_counter()
    bench.rotation.go_over(live)
    assert time.perf_counter() - began < 0.05
    assert bench.journal.live is live
    assert live.path == bench.directory.live_file(LOG, 1)


def test_a_file_that_cannot_be_made_is_tried_again_a_little_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, spill: Path, wal_bytes_max: int) -> LiveFile:
        raise duckdb.IOException("no space")

    with monkeypatch.context() as patch:
        patch.setattr(LiveFile, "create", fail)
        assert bench.rotation.next_live(due=True) is None
        assert bench.rotation._next is not None
        bench.rotation._next.exception(10)
        with pytest.raises(LogUnavailable, match="no space"):
            bench.rotation.next_live(due=True)
    assert bench.rotation.next_live(due=True) is None
    assert bench.rotation._next is None, "not at once"
    bench.now += 1
    assert bench.ready().path == bench.directory.live_file(LOG, 1)


def test_a_file_opened_ahead_and_not_needed_is_removed(bench: Bench) -> None:
    path = bench.ready().path
    bench.rotation.abandon()
    assert not path.exists()
