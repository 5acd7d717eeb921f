"""What leaves this disk lies remote, verified again, and what must stay for the next start stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy_addon import shipped_log
from proxy_addon.object_store import StoreError
from tests.object_stores import Store, s3_server
from tests.proxy_addon.shipped import Shipping, check_remote, directory_of

LOG = "node1-20261118T110640Z-00000001"


@pytest.fixture
def remote() -> Iterator[Store]:
    with s3_server(faulty=True) as store:
        yield store


def aged(shipping: Shipping, seconds: float) -> None:
    for note in (shipping.directory.path / "shipped" / LOG).glob("*.json"):
        at = time.time() - seconds
        os.utime(note, (at, at))


def test_segments_leave_this_disk_once_they_were_remote_for_long_enough(remote: Store, tmp_path: Path) -> None:
    shipping = Shipping(remote, directory_of(tmp_path / "log"), {"keep_local_s": 3600.0})
    shipping.round().run()
    aged(shipping, 3500)
    shipping.round().run()
    segments = shipping.directory.segments_of(LOG)
    assert len(segments) == 3
    before = {key: remote.get(key) for key in remote.keys("logs/")}
    aged(shipping, 3700)
    round_ = shipping.round()
    round_.run()
    assert shipping.directory.segments_of(LOG) == segments[-1:] and round_.status.removed_segments == 2
    assert {key: remote.get(key) for key in remote.keys("logs/")} == before
    kept = [path.parent.name for path in shipped_log.kept_files(shipping.directory, LOG, "seal")]
    assert kept == [LOG, LOG] and len(shipped_log.kept_files(shipping.directory, LOG, "run")) == 1
    again = shipping.round()
    again.run()
    assert again.status.unshipped_segments == 0 and again.status.conflicts == []
    assert list(shipping.directory.tmp.iterdir()) == []


def test_nothing_leaves_this_disk_whose_remote_copy_was_changed(remote: Store, tmp_path: Path) -> None:
    shipping = Shipping(remote, directory_of(tmp_path / "log"), {"keep_local_s": 3600.0})
    shipping.round().run()
    aged(shipping, 9999)
    (key,) = [key for key in remote.keys("logs/segments/") if "000000000000-" in key and "decision" in key]
    octets = remote.get(key)
    for other in (octets[:-1] + b"!", b""):
        remote.put(key, other)
        with pytest.raises(StoreError, match="no longer what was shipped: nothing leaves") as caught:
            shipping.round().run()
        assert caught.value.reason == "changed" and len(shipping.directory.segments_of(LOG)) == 3
    remote.delete(key)
    with pytest.raises(StoreError, match="no longer what was shipped"):
        shipping.round().run()
    remote.put(key, octets)
    shipping.round().run()
    assert len(shipping.directory.segments_of(LOG)) == 1


def test_what_is_not_locked_as_set_is_told_and_does_not_leave_this_disk(tmp_path: Path) -> None:
    with s3_server(faulty=True, object_lock=True) as remote:
        changes = {"keep_local_s": 0.0, "object_lock_mode": "compliance", "object_lock_days": 3}
        shipping = Shipping(remote, directory_of(tmp_path / "log"), changes)
        round_ = shipping.round()
        round_.run()
        assert ["does not lock" in problem for problem in round_.status.problems] == [True]
        assert len(shipping.directory.segments_of(LOG)) == 3 == round_.status.shipped_segments


def test_what_a_custodian_wrote_never_leaves_this_disk(remote: Store, tmp_path: Path) -> None:
    name = "custodian-20261118T110640Z-00000001"
    shipping = Shipping(remote, directory_of(tmp_path / "log", log=name), {"keep_local_s": 0.0})
    shipping.round().run()
    assert len(shipping.directory.segments_of(name)) == 3
    check_remote(remote, shipping.directory)
