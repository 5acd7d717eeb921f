"""Closed live files become segments in order; what fails stays, is told of, and is tried again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from crawl_audit.errors import LogUnavailable
from crawl_audit.records import Instant
from proxy_addon import publisher as module
from proxy_addon.chain import Chain
from proxy_addon.journal import encode
from proxy_addon.live import LiveFile
from proxy_addon.log_directory import LogDirectory
from proxy_addon.publisher import Publisher
from tests.writing import SETTINGS_SHA256, check, incident, kinds

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
    publisher._pending[0] = (first, 1, Future())
    publisher.retry()
    publisher.close()
    assert (publisher.unpublished, publisher.fault) == (0, None)
    assert kinds(directory.path) == ["incident:test", "seal:rotation"] * 2


def test_a_helper_that_dies_without_a_word_is_a_failure(
    directory: LogDirectory, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    future = publisher.publish(sealed(directory, Chain(LOG), 0), 1)
    with pytest.raises(LogUnavailable, match="the helper process ended with 1"):
        future.result(30)


def test_a_helper_that_cannot_be_started_is_a_failure(
    directory: LogDirectory, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.sys, "executable", "/nowhere/python")
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
        "helper = 'import time; from proxy_addon import segments; segments._end_with_parent(); time.sleep(60)'\n"
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
