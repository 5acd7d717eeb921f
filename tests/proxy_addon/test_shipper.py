"""The process that ships goes on whatever fails, continues where a killed one ended, and is never two."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from proxy_addon.log_directory import LogDirectory
from proxy_addon.ship_options import ShipOptions
from proxy_addon.shipper import Stop, main, run, ship_once, sole_shipper
from proxy_addon.shipping import ShipStatus
from tests.object_stores import Store, s3_server
from tests.proxy_addon.shipped import check_remote, directory_of, options_of, remote_segments


@pytest.fixture
def remote() -> Iterator[Store]:
    with s3_server(faulty=True) as store:
        yield store


@pytest.fixture
def directory(tmp_path: Path) -> LogDirectory:
    return directory_of(tmp_path / "log")


def started(directory: LogDirectory, options: ShipOptions) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "proxy_addon.shipper", str(directory.path), options.to_json(), "--with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def told(process: subprocess.Popen[str], wanted: Callable[[ShipStatus], bool]) -> ShipStatus:
    """The first status the process tells that is as wanted."""
    assert process.stdout is not None
    for line in process.stdout:
        status = ShipStatus.from_json(json.loads(line))
        if wanted(status):
            return status
    raise AssertionError(f"the process ended with {process.wait()}")


def finished(process: subprocess.Popen[str]) -> ShipStatus:
    """Ask the process to finish; the last it told."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("finish\n")
    process.stdin.flush()
    *_, last = process.stdout
    assert process.wait(20) == 0
    return ShipStatus.from_json(json.loads(last))


def test_it_ships_finishes_when_asked_and_says_how_it_is(remote: Store, directory: LogDirectory) -> None:
    with started(directory, options_of(remote)) as process:
        status = told(process, lambda status: status.shipped_segments == 3)
        directory_of(directory.path, log="node2-20261118T110640Z-00000002")
        last = finished(process)
    assert status.fault is None and last.done and last.shipped_segments == 6
    check_remote(remote, directory)


def test_faults_are_told_and_tried_again_with_pauses(remote: Store, directory: LogDirectory) -> None:
    for kind in ("refused", "unavailable", "skewed", "torn_upload", "lost_answer"):
        remote.fault(kind, method="PUT")
    with started(directory, options_of(remote)) as process:
        told(process, lambda status: status.fault is not None)
        status = told(process, lambda status: status.unshipped_segments == 0 and status.fault is None)
        finished(process)
    assert status.failures == {"unreachable": 3, "unavailable": 1, "clock": 1}
    check_remote(remote, directory)


def test_killed_at_any_upload_it_loses_nothing_and_doubles_nothing(remote: Store, directory: LogDirectory) -> None:
    options = options_of(remote)
    for number in (0, 3, 6, 4):
        remote.faults.clear()
        remote.fault("pass", method="PUT", path="/logs/(segments/node|shipped)", times=number)
        # The worst moment: the object is stored, and nobody hears of it.
        remote.fault("late_answer", method="PUT", path="/logs/(segments/node|shipped)", seconds=0.2)
        with started(directory, options) as process:
            deadline = time.monotonic() + 20
            while remote.faults[1].times and time.monotonic() < deadline:
                time.sleep(0.005)
            process.kill()
        assert remote.faults[1].times == 0
    assert len(remote_segments(remote)) < 3
    remote.faults.clear()
    with started(directory, options) as process:
        assert finished(process).done
    check_remote(remote, directory)


def test_without_its_parent_it_ends(remote: Store, directory: LogDirectory) -> None:
    with started(directory, options_of(remote)) as process:
        told(process, lambda status: status.shipped_segments == 3)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 3


def test_two_never_ship_the_same_directory(remote: Store, directory: LogDirectory) -> None:
    with sole_shipper(directory) as alone:
        assert alone
        with sole_shipper(directory) as second:
            assert not second
        with pytest.raises(ConfigurationError, match="is being shipped by its sidecar already"):
            ship_once(directory, options_of(remote))
        stop, said = Stop(), list[ShipStatus]()
        stop.finishing.set()
        run(directory, options_of(remote), stop, said.append)
        assert [(one.waiting, one.done) for one in said] == [(True, False), (True, True)]
    assert remote_segments(remote) == []
    with sole_shipper(directory) as alone:
        assert alone


def test_who_waits_takes_over(remote: Store, directory: LogDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy_addon.shipper._WAIT_S", 0.05)
    stop, shipped = Stop(), threading.Event()

    def say(status: ShipStatus) -> None:
        if status.shipped_segments == 3:
            shipped.set()

    with sole_shipper(directory):
        thread = threading.Thread(target=run, args=(directory, options_of(remote), stop, say))
        thread.start()
        assert not shipped.wait(0.3)
    assert shipped.wait(20)
    stop.finishing.set()
    thread.join()
    check_remote(remote, directory)


def test_shipping_once_ends_at_the_first_failure_and_says_it(remote: Store, directory: LogDirectory) -> None:
    remote.fault("denied", method="PUT", path="seal")
    status = ship_once(directory, options_of(remote))
    assert "lack a right" in (status.fault or "") and status.failures == {"denied": 1}
    status = ship_once(directory, options_of(remote))
    assert (status.fault, status.unshipped_segments, status.warnings) == (None, 0, [])
    check_remote(remote, directory)


def test_a_directory_that_cannot_be_read_is_told_as_such(remote: Store, tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    status = ship_once(LogDirectory(tmp_path), options_of(remote))
    assert "The log cannot be shipped: " in (status.fault or "") and status.failures == {"local": 1}


def test_what_is_no_option_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path), "{"])
    assert caught.value.code == 2 and "options" in capsys.readouterr().err
