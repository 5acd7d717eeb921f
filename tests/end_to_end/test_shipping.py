"""A sidecar ships what it publishes; whatever becomes of it or of the store, the remote copy is one whole log."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy_addon.log_directory import LogDirectory
from tests.end_to_end.harness import Sidecar
from tests.end_to_end.origin import Farm
from tests.object_stores import Store, s3_server
from tests.proxy_addon.shipped import check_remote, remote_segments


@pytest.fixture
def remote() -> Iterator[Store]:
    with s3_server(faulty=True) as store:
        yield store


def settings(remote: Store, **changes: object) -> str:
    given = {"url": remote.address(), "retry_longest_s": 1, "checkpoint_interval_s": 1} | changes
    return 'node = "node1"\n[ship]\n' + "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items())


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(sidecar: Sidecar, url: str, count: int = 3) -> None:
    with sidecar.client() as client:
        assert {client.get(f"{url}/{number}").status_code for number in range(count)} == {200}


def admin(sidecar: Sidecar, path: str) -> str:
    return httpx.get(f"http://{sidecar.ready['admin']}{path}", trust_env=False).text


def metric(sidecar: Sidecar, name: str) -> float:
    (line,) = [line for line in admin(sidecar, "/metrics").splitlines() if line.startswith(name)]
    return float(line.rpartition(" ")[2])


def verified(remote: Store, copy: Path) -> dict[str, Any]:
    """What ``crawl-audit verify`` says of the remote copy, taken as the log directory it is."""
    for key in remote.keys("logs/"):
        target = copy / key.removeprefix("logs/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(remote.get(key))
    command = [sys.executable, "-m", "reports", "verify", str(copy), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def errors(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in said["findings"] if finding["severity"] == "error"]


def test_what_is_sealed_is_shipped_while_it_runs_and_the_rest_at_its_stop(
    remote: Store, sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path
) -> None:
    origin = sites.start()
    started = sidecar(settings=settings(remote))
    ask(started, origin.url)
    started.seal()
    eventually(lambda: len(remote_segments(remote)) == 1)
    eventually(lambda: metric(started, "crawl_audit_ship_segments_total") == 1)
    assert metric(started, "crawl_audit_ship_waiting_segments") == 0
    assert json.loads(admin(started, "/readyz"))["warnings"] == []
    ask(started, origin.url)
    assert started.stop() == 0
    check_remote(remote, LogDirectory(started.log))
    said = verified(remote, tmp_path / "copy")
    assert errors(said) == [] and len(remote_segments(remote)) == 2


def test_without_a_store_it_serves_records_and_warns_and_ships_when_there_is_one(
    remote: Store, sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    origin = sites.start()
    remote.fault("no_bucket", times=100_000)
    started = sidecar(settings=settings(remote))
    ask(started, origin.url)
    started.seal()
    eventually(lambda: "there is no bucket" in admin(started, "/readyz"))
    assert started.ready_status() == 200
    assert metric(started, 'crawl_audit_ship_failures_total{reason="no_bucket"}') > 0
    eventually(lambda: metric(started, "crawl_audit_ship_waiting_segments") == 1)
    assert "there is no bucket" in started.stderr.read_text()
    remote.faults.clear()
    eventually(lambda: len(remote_segments(remote)) == 1)
    eventually(lambda: "there is no bucket" not in admin(started, "/readyz"))
    assert started.stop() == 0
    check_remote(remote, LogDirectory(started.log))


def test_killed_in_the_middle_of_an_upload_it_goes_on_at_the_next_start(
    remote: Store, sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path
) -> None:
    origin = sites.start()
    started = sidecar(settings=settings(remote))
    ask(started, origin.url)
    remote.fault("late_answer", method="PUT", path="/segments/node1", seconds=3, times=2)
    started.seal()
    eventually(lambda: remote.faults[0].times == 0)
    assert started.process is not None
    started.process.kill()
    started.process.wait()
    assert remote_segments(remote) == []
    started.start()
    ask(started, origin.url)
    assert started.stop() == 0
    check_remote(remote, LogDirectory(started.log))
    assert errors(verified(remote, tmp_path / "copy")) == []


def test_a_conflict_is_an_incident_in_the_log_that_is_written(
    remote: Store, sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    origin = sites.start()
    started = sidecar(settings=settings(remote))
    ask(started, origin.url)
    remote.fault("wrong_stored", method="PUT", path=r"segments/node1.*decision\.parquet")
    started.seal()
    eventually(lambda: "holds other octets" in admin(started, "/readyz"))
    rows = started.sealed_rows("SELECT detail FROM incident WHERE incident = 'ship_conflict'")
    assert ["holds other octets" in row["detail"] for row in rows] == [True]
    assert started.stop() == 0


def test_the_logs_of_several_workers_are_shipped_by_one_process(
    remote: Store, sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    origin = sites.start()
    started = sidecar(settings="workers = 2\n" + settings(remote))
    for _ in range(4):
        ask(started, origin.url)
    started.seal()
    eventually(lambda: len(remote_segments(remote)) >= 2)
    ask(started, origin.url)
    assert started.stop() == 0
    check_remote(remote, LogDirectory(started.log))
    assert len({one.log for one in remote_segments(remote)}) == 2
