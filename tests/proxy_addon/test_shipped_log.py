"""Notes of what is shipped are durable, and of what has left this disk seals and run records stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawl_audit.errors import LogFormatError
from crawl_audit.remote_layout import ShippedFile, ShippedSegment
from proxy_addon import enrolling, recovery, shipped_log
from proxy_addon.log_directory import LogDirectory
from proxy_addon.published_log import open_in_segments, published_seals
from proxy_addon.seal_leaves import SealLeaves
from proxy_addon.shipped_log import ShippedLog
from tests.proxy_addon.shipped import directory_of

LOG = "node1-20261118T110640Z-00000001"


@pytest.fixture
def directory(tmp_path: Path) -> LogDirectory:
    return directory_of(tmp_path / "log")


def shipped(first: int, last: int) -> ShippedSegment:
    file = ShippedFile(name="seal.parquet", size=1, sha256="00" * 32)
    return ShippedSegment(log=LOG, first=first, last=last, files=(file,))


def test_a_note_is_read_back_by_a_new_process(directory: LogDirectory) -> None:
    notes = ShippedLog(directory)
    notes.keep(shipped(0, 9))
    notes.keep(shipped(10, 19))
    again = ShippedLog(directory)
    assert again.coverage(LOG).runs == [(0, 19)] and set(again.verified_at(LOG)) == {(0, 9), (10, 19)}
    assert again.read(LOG, (10, 19)) == shipped(10, 19)
    assert sorted(shipped_log.shipped_ranges(directory, LOG)) == [(0, 9), (10, 19)]
    assert shipped_log.shipped_ranges(directory, "another") == []
    assert list(directory.tmp.iterdir()) == []


def test_a_note_that_was_changed_is_refused(directory: LogDirectory) -> None:
    notes = ShippedLog(directory)
    notes.keep(shipped(0, 9))
    (path,) = (directory.path / "shipped" / LOG).iterdir()
    path.write_bytes(path.read_bytes().replace(b"seal", b"leas"))
    with pytest.raises(LogFormatError):
        notes.read(LOG, (0, 9))


def test_what_left_this_disk_is_still_there_for_recovery_witnesses_and_enrolments(directory: LogDirectory) -> None:
    seals, key = published_seals(directory, LOG), enrolling.recorded_key(directory, LOG)
    leaves = SealLeaves(directory).first(LOG, len(seals))
    notes = ShippedLog(directory)
    for first, last, _ in directory.segments_of(LOG)[:-1]:
        notes.keep(shipped(first, last))
        notes.remove_segment(LOG, (first, last))
    assert len(directory.segments_of(LOG)) == 1
    assert published_seals(directory, LOG) == seals and key is not None
    assert enrolling.recorded_key(directory, LOG) == key
    assert SealLeaves(directory).first(LOG, len(seals)) == leaves
    assert open_in_segments(directory, LOG) == []
    directory.quarantine.mkdir(exist_ok=True)
    recovered = recovery.finish(directory)
    assert (recovered.previous_log, recovered.incidents, recovered.chains) == (LOG, [], [])


def test_shipping_is_said_to_be_set_by_a_file(directory: LogDirectory) -> None:
    assert not shipped_log.is_active(directory)
    for active in (True, True, False, False):
        shipped_log.set_active(directory, active)
        assert shipped_log.is_active(directory) is active
