"""Closed live files become segments in order; what fails stays, is told of, and is tried again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from crawl_audit.errors import LogUnavailable
from crawl_audit.records import Incident, Instant
from proxy_addon import publisher as module
from proxy_addon.chain import Chain
from proxy_addon.journal import encode
from proxy_addon.live import LiveFile
from proxy_addon.log_directory import LogDirectory
from proxy_addon.publisher import Publisher
from tests.writing import SETTINGS_SHA256, check, incident, kinds, segments_made_here

LOG = "node1-20261118T110640Z-00000001"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[LogDirectory]:
    made = LogDirectory(tmp_path)
    with made.acquire():
        yield made


@pytest.fixture
def publisher(directory: LogDirectory) -> Iterator[Publisher]:
    made = Publisher(directory, lambda: None)
    yield made
    made.close()


def sealed(directory: LogDirectory, chain: Chain, number: int) -> LiveFile:
    """A live file with one record and its seal."""
    live = LiveFile.create(directory.live_file(LOG, number), directory.spill(LOG))
    first, bodies = chain.next_seq, []
    for record in (incident(str(number)), None):
        made = record or chain.seal("rotation", now=Instant(1), monotonic_ms=0, settings_sha256=SETTINGS_SHA256)
        body, entry = encode(made)
        chain.add(entry)
        bodies.append(body)
    live.insert(first, bodies)
    return live


def test_files_are_published_in_order_and_then_deleted(directory: LogDirectory, publisher: Publisher) -> None:
    chain = Chain(LOG)
    futures = [publisher.publish(sealed(directory, chain, number), chain.next_seq - 1) for number in range(2)]
    assert [(future.result(30).first, future.result(30).last) for future in futures] == [(0, 1), (2, 3)]
    check(directory.path)
    assert (publisher.unpublished, publisher.fault) == (0, None)
    assert sorted(path.name for path in directory.live.iterdir()) == ["lock"]


def test_what_cannot_be_published_stays_and_holds_back_what_comes_after(
    directory: LogDirectory, publisher: Publisher
) -> None:
    chain = Chain(LOG)
    first = sealed(directory, chain, 0)
    failed = publisher.publish(first, 99)  # it does not end there
    with pytest.raises(LogUnavailable, match="but 99 was durable"):
        failed.result(30)
    later = publisher.publish(sealed(directory, chain, 1), 3)
    with pytest.raises(LogUnavailable):
        later.result(30)
    assert publisher.unpublished == 2
    assert first.path.exists() and "99 was durable" in str(publisher.fault)
    publisher._pending[0].last_seq = 1
    publisher.retry()
    publisher.close()
    assert (publisher.unpublished, publisher.fault) == (0, None)
    assert kinds(directory.path) == ["incident:test", "seal:rotation"] * 2


def test_a_helper_that_dies_without_a_word_is_a_failure(
    directory: LogDirectory, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    future = publisher.publish(sealed(directory, Chain(LOG), 0), 1)
    with pytest.raises(LogUnavailable, match="the helper process ended with 1"):
        future.result(30)


def test_a_helper_that_cannot_be_started_is_a_failure(
    directory: LogDirectory, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    future = publisher.publish(sealed(directory, Chain(LOG), 0), 1)
    with pytest.raises(LogUnavailable, match="No such file"):
        future.result(30)


def test_the_next_live_file_is_opened_beside_and_its_readiness_announced(directory: LogDirectory) -> None:
    woken: list[bool] = []
    publisher = Publisher(directory, lambda: woken.append(True))
    live = publisher.prepare(directory.live_file(LOG, 7), directory.spill(LOG), 2**20).result(10)
    live.insert(0, ["a"])
    live.close()
    publisher.close()
    assert woken == [True]


def test_a_helper_imports_nothing_from_the_working_directory(
    directory: LogDirectory, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    (tmp_path / "duckdb.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert publisher.publish(sealed(directory, Chain(LOG), 0), 1).result(30).rows == 2


def test_a_helper_does_not_outlive_the_writer(directory: LogDirectory) -> None:
    """Else it would hold the live file that recovery is about to open."""
    live = sealed(directory, Chain(LOG), 0)
    live.close()
    program = (
        "import os, subprocess, sys, time\n"
        "helper = 'import time; from proxy_addon import segments; segments.end_with_parent(); time.sleep(60)'\n"
        "process = subprocess.Popen([sys.executable, '-c', helper], stdin=subprocess.PIPE, start_new_session=True)\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(0.5)\n"
        "os._exit(1)\n"
    )
    root = Path(module.__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True)
    helper, deadline = int(done.stdout), time.monotonic() + 10
    while _runs(helper):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def cut_off(directory: LogDirectory, log: str, *, harm: bool = False) -> Path:
    """A finished live file of another log."""
    path, chain = directory.live_file(log, 0), Chain(log)
    live, bodies = LiveFile.create(path, directory.spill(log)), []
    for record in (incident("x"), None):
        made = record or chain.seal("recovered", now=Instant(1), monotonic_ms=0, settings_sha256=SETTINGS_SHA256)
        body, entry = encode(made)
        chain.add(entry)
        bodies.append(body)
    live.insert(0, [bodies[0].replace("test", "tost") if harm else bodies[0], bodies[1]])
    live.close()
    return path


def test_leftovers_of_dead_logs_are_published_and_damaged_ones_put_away_and_told_of(
    directory: LogDirectory, publisher: Publisher
) -> None:
    told: list[Incident] = []
    good = cut_off(directory, "a-20261118T110640Z-00000001")
    bad = cut_off(directory, "b-20261118T110640Z-00000001", harm=True)
    publisher.adopt([bad, good], told.extend)
    own = publisher.publish(sealed(directory, Chain(LOG), 0), 1)
    assert own.result(30).rows == 2
    publisher.close()
    check(directory.path)
    assert kinds(directory.path) == ["incident:test", "seal:recovered", "incident:test", "seal:rotation"]
    assert [record.incident for record in told] == ["quarantined_file"]
    assert "does not cover the records before it" in told[0].detail
    assert sorted(path.name for path in directory.quarantine.iterdir()) == [bad.name, bad.name + ".wal"]
    assert sorted(path.name for path in directory.live.iterdir()) == ["lock"]


def test_a_damaged_leftover_stays_where_it_is_until_the_log_has_told_of_it(
    directory: LogDirectory, publisher: Publisher
) -> None:
    path, told, down = cut_off(directory, "a-20261118T110640Z-00000001", harm=True), list[Incident](), [True]

    def tell(incidents: Sequence[Incident]) -> None:
        assert path.exists()
        if down[0]:
            raise LogUnavailable("The log is closed.")
        told.extend(incidents)

    publisher.adopt([path], tell)
    publisher._converter.submit(int).result()
    assert path.exists() and not list(directory.quarantine.iterdir())
    assert "The log is closed" in str(publisher.fault)
    down[0] = False
    publisher.retry()
    publisher.close()
    assert (publisher.fault, len(told), path.exists()) == (None, 1, False)


def test_trouble_in_putting_a_file_away_is_told_and_tried_again(
    directory: LogDirectory, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cut_off(directory, "a-20261118T110640Z-00000001", harm=True)

    def fail(*_: object) -> None:
        raise module.duckdb.IOException("no descriptor is left\nmore")

    with monkeypatch.context() as patch:
        patch.setattr(module.recovery, "published_seals", fail)
        publisher.adopt([path], list)
        publisher._converter.submit(int).result()
        assert str(publisher.fault).endswith("no descriptor is left") and publisher.unpublished == 1
    publisher.retry()
    publisher.close()
    assert (publisher.fault, publisher.unpublished) == (None, 0)


def test_a_second_signal_breaks_publishing_off_and_leaves_the_file_to_the_next_start(
    directory: LogDirectory, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless, real = [sys.executable, "-c", "import time; time.sleep(1000)"], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: real(endless, **options))
    chain = Chain(LOG)
    lives = [sealed(directory, chain, number) for number in range(2)]
    futures = [publisher.publish(live, 2 * number + 1) for number, live in enumerate(lives)]
    while publisher._converting is None:
        time.sleep(0.01)
    publisher.hurry()
    publisher.close()
    for future in futures:
        assert "broken off by a second signal" in str(future.exception(1))
    assert all(live.path.exists() for live in lives)


def test_a_segment_that_vanishes_while_mergers_are_looked_for_is_no_end_of_merging(
    directory: LogDirectory, publisher: Publisher, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish(sealed(directory, Chain(LOG), 0), 1).result(30)
    monkeypatch.setattr(LogDirectory, "segments_of", lambda *_: [(0, 1, directory.segments / "gone")])
    publisher._merge()
    assert "gone" in caplog.text


def test_one_log_that_cannot_be_published_does_not_hold_back_another(
    directory: LogDirectory, publisher: Publisher
) -> None:
    publisher.publish(sealed(directory, Chain(LOG), 0), 99)
    path = cut_off(directory, "a-20261118T110640Z-00000001")
    publisher.adopt([path], lambda _: None)
    publisher.close()
    assert kinds(directory.path) == ["incident:test", "seal:recovered"]
    assert publisher.unpublished == 1 and "99 was durable" in str(publisher.fault)


def test_small_segments_are_merged_by_a_helper_process(directory: LogDirectory, publisher: Publisher) -> None:
    chain = Chain(LOG)
    with segments_made_here():
        for number in range(8):
            publisher.publish(sealed(directory, chain, number), chain.next_seq - 1).result(30)
    publisher._merge()
    assert len(directory.segments_of(LOG)) == 1
    check(directory.path)
    assert kinds(directory.path) == ["incident:test", "seal:rotation"] * 8


def test_a_log_that_has_rested_is_merged_however_little_it_is(directory: LogDirectory, publisher: Publisher) -> None:
    chain = Chain(LOG)
    with segments_made_here():
        for number in range(2):
            publisher.publish(sealed(directory, chain, number), chain.next_seq - 1).result(30)
    publisher._merge()
    assert len(directory.segments_of(LOG)) == 2
    for _, _, path in directory.segments_of(LOG):
        os.utime(path, (1, 1))
    publisher._merge()
    assert len(directory.segments_of(LOG)) == 1


@pytest.mark.parametrize("interval,merges", [(0, 0), (1000, 1), (1e-9, 3)])
def test_merging_waits_for_what_is_to_be_published_and_for_its_time(
    directory: LogDirectory, monkeypatch: pytest.MonkeyPatch, interval: float, merges: int
) -> None:
    publisher, waiting = Publisher(directory, lambda: None, merge_interval_s=interval), list[int]()
    monkeypatch.setattr(publisher, "_merge", lambda: waiting.append(publisher.unpublished))
    chain = Chain(LOG)
    for number in range(3):
        publisher.publish(sealed(directory, chain, number), chain.next_seq - 1).result(30)
        publisher._converter.submit(int).result()  # what comes after the publishing is done too
        publisher._merger.submit(int).result()
    publisher.close()
    assert waiting == [0] * merges


def test_closing_breaks_a_merge_off_and_leaves_nothing_of_it(
    directory: LogDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher, chain = Publisher(directory, lambda: None), Chain(LOG)
    for number in range(2):
        publisher.publish(sealed(directory, chain, number), chain.next_seq - 1).result(30)
    (directory.tmp / f"merge.{LOG}.1").mkdir()
    endless = [sys.executable, "-c", "import time; time.sleep(1000)"]
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: real(endless, **options))
    publisher._merger.submit(publisher._merge)
    while publisher._merging is None:
        time.sleep(0.01)
    publisher.close()
    assert not list(directory.tmp.glob("merge.*"))


def test_closing_leaves_what_another_process_is_merging(directory: LogDirectory) -> None:
    (directory.tmp / f"merge.{LOG}.1").mkdir()
    Publisher(directory, lambda: None).close()
    assert (directory.tmp / f"merge.{LOG}.1").is_dir()


def test_trouble_with_merging_is_told_once_and_is_no_fault_of_publishing(
    directory: LogDirectory, publisher: Publisher, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_run_merge", lambda *arguments: {"error": "this cannot be"})
    publisher.publish(sealed(directory, Chain(LOG), 0), 1).result(30)
    for _ in range(2):
        publisher._merge()
    assert [record.message for record in caplog.records if "merged" in record.message] == [
        f"The segments of {LOG} were not merged: this cannot be"
    ]
    assert publisher.fault is None
