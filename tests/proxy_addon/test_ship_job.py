"""The sidecar hears what the process that ships says, starts it again where it ends, and waits for it only so long."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawl_audit.records import Incident
from proxy_addon import ship_job, shipped_log
from proxy_addon.log_directory import LogDirectory
from proxy_addon.ship_job import ShipJob
from proxy_addon.shipper import sole_shipper
from tests.object_stores import Store, s3_server
from tests.proxy_addon.shipped import check_remote, directory_of, options_of


@pytest.fixture
def remote() -> Iterator[Store]:
    with s3_server(faulty=True) as store:
        yield store


@pytest.fixture
def directory(tmp_path: Path) -> LogDirectory:
    return directory_of(tmp_path / "log")


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def nothing(_: Incident) -> None:
    """Incidents that a test does not look at."""


def test_what_is_there_is_shipped_until_the_stop_and_at_it(remote: Store, directory: LogDirectory) -> None:
    job = ShipJob(directory, options_of(remote), drain_s=20)
    job.start(nothing)
    eventually(lambda: job.status.shipped_segments == 3)
    directory_of(directory.path, log="node2-20261118T110640Z-00000002")
    job.finish()
    assert job.status.done and job.warnings == []
    check_remote(remote, directory)


def test_without_an_object_store_nothing_is_started(tmp_path: Path) -> None:
    job = ShipJob(LogDirectory(tmp_path), None, drain_s=20)
    job.start(nothing)
    job.finish()
    assert (job.starts, job.warnings, list(tmp_path.iterdir())) == (0, [], [])


def test_what_is_not_shipped_is_not_merged_while_shipping_is_set(remote: Store, directory: LogDirectory) -> None:
    ShipJob(directory, options_of(remote), drain_s=20, runs_here=False)
    assert shipped_log.is_active(directory)
    ShipJob(directory, None, drain_s=20)
    assert not shipped_log.is_active(directory)


def test_a_process_that_is_killed_is_started_again(
    remote: Store, directory: LogDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    remote.fault("slow", method="PUT", seconds=30, times=1)
    job = ShipJob(directory, options_of(remote), drain_s=20)
    job.start(nothing)
    eventually(lambda: any(method == "PUT" for method, _ in remote.requests))
    with caplog.at_level(logging.ERROR):
        assert job._process is not None
        os.kill(job._process.pid, signal.SIGKILL)
        eventually(lambda: job.status.shipped_segments == 3)
    assert "The process that ships ended with -9; it is started again in 1 s." in caplog.text
    job.finish()
    assert job.starts == 2 and job.warnings == []
    check_remote(remote, directory)


def test_a_fault_is_a_warning_until_it_is_over(
    remote: Store, directory: LogDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    remote.fault("bad_key", times=10_000)
    job = ShipJob(directory, options_of(remote), drain_s=20)
    with caplog.at_level(logging.WARNING):
        job.start(nothing)
        eventually(lambda: job.status.failures.get("credentials", 0) > 2)
    (sentence,) = job.warnings
    assert "does not accept the credentials (InvalidAccessKeyId)" in sentence
    assert [record.getMessage() for record in caplog.records] == [sentence]
    remote.faults.clear()
    job.finish()
    assert job.warnings == []
    check_remote(remote, directory)


def test_a_conflict_is_recorded_once_and_warned_of(remote: Store, directory: LogDirectory) -> None:
    remote.fault("wrong_stored", method="PUT", path=r"000000000000-.*decision\.parquet")
    recorded: list[Incident] = []
    job = ShipJob(directory, options_of(remote), drain_s=20)
    job.start(recorded.append)
    eventually(lambda: recorded and job.status.shipped_segments == 2)
    job.finish()
    (incident,) = recorded
    assert incident.incident == "ship_conflict" and "holds other octets" in incident.detail
    assert job.warnings == [incident.detail]


def test_a_stop_waits_only_so_long_and_says_what_is_left(
    remote: Store, directory: LogDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    remote.fault("slow", method="PUT", seconds=30, times=1000)
    job = ShipJob(directory, options_of(remote, request_timeout_s=60), drain_s=0.3)
    job.start(nothing)
    eventually(lambda: job.status.unshipped_segments == 3)
    began = time.monotonic()
    job.finish()
    assert time.monotonic() - began < 10
    assert "3 segments are left for the next start" in caplog.text
    remote.faults.clear()
    ship_job.finish(directory, options_of(remote), drain_s=20)
    check_remote(remote, directory)


def test_a_stop_in_a_hurry_waits_for_nothing(remote: Store, directory: LogDirectory) -> None:
    remote.fault("slow", method="PUT", seconds=30, times=1000)
    job = ShipJob(directory, options_of(remote, request_timeout_s=60), drain_s=600)
    job.start(nothing)
    eventually(lambda: job.status.unshipped_segments == 3)
    job.finish(hurried=True)
    assert not job.status.done


def test_where_another_process_ships_this_one_waits_and_warns_of_nothing(
    remote: Store, directory: LogDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    with sole_shipper(directory) as alone:
        assert alone
        job = ShipJob(directory, options_of(remote), drain_s=20)
        job.start(nothing)
        eventually(lambda: job.status.waiting)
        job.finish()
    assert job.warnings == [] and "left for the next start" not in caplog.text


def test_what_is_no_status_is_told_and_does_no_harm(
    remote: Store, directory: LogDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    job = ShipJob(directory, options_of(remote), drain_s=20)
    for line in ("thread panicked", "[1]", "{}x", '{"other": 1}', "null"):
        job._hear(line)
    assert len(caplog.records) == 5 and job.warnings == []
