"""Whatever the store and the network do, every segment lies remote once and whole, or is named as not shipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy_addon import ship_round
from proxy_addon.object_store import StoreError
from proxy_addon.shipping import ShipStatus
from tests.object_stores import Store, s3_server
from tests.proxy_addon.shipped import Shipping, check_remote, directory_of, local_files, remote_segments

LOG = "node1-20261118T110640Z-00000001"


@pytest.fixture
def remote() -> Iterator[Store]:
    with s3_server(faulty=True) as store:
        yield store


@pytest.fixture
def shipping(remote: Store, tmp_path: Path) -> Shipping:
    return Shipping(remote, directory_of(tmp_path / "log"))


def until_done(shipping: Shipping, attempts: int = 30) -> list[StoreError]:
    """Rounds of one process, as often as its loop would try; what each failure was."""
    round_, failures = shipping.round(), []
    for _ in range(attempts):
        try:
            round_.run(everything=True)
        except StoreError as error:
            failures.append(error)
        else:
            return failures
    raise AssertionError(f"not shipped after {attempts} attempts: {failures}")


def test_segments_checkpoints_and_the_empty_kinds_are_shipped_as_they_are(remote: Store, shipping: Shipping) -> None:
    anchors = shipping.directory.checkpoints / f"{LOG}.anchors"
    anchors.mkdir()
    (anchors / "000000000001.tsa.tsr").write_bytes(b"receipt")
    said: list[ShipStatus] = []
    round_ = shipping.round(say=lambda status: said.append(ShipStatus(**vars_of(status))))
    round_.run()
    check_remote(remote, shipping.directory)
    assert [one.unshipped_segments for one in said] == [3, 2, 1, 0]
    assert (round_.status.shipped_segments, round_.status.unshipped_bytes) == (3, 0)
    assert round_.status.oldest_unshipped_at is None and said[0].oldest_unshipped_at is not None
    assert round_.status.shipped_bytes == said[0].unshipped_bytes
    assert len(list((shipping.directory.path / "shipped" / LOG).iterdir())) == 3


def vars_of(status: ShipStatus) -> dict[str, object]:
    return {name: getattr(status, name) for name in ShipStatus.__slots__}


def test_the_shipped_object_of_a_segment_is_put_after_all_its_files(remote: Store, shipping: Shipping) -> None:
    shipping.round().run()
    puts = [path.partition("/logs/")[2] for method, path in remote.requests if method == "PUT"]
    for shipped in remote_segments(remote):
        files = [puts.index(shipped.file_key(file)) for file in shipped.files]
        assert max(files) < puts.index(shipped.key)


def test_a_second_round_and_a_new_process_ship_nothing_again(remote: Store, shipping: Shipping) -> None:
    round_ = shipping.round()
    round_.run()
    before = len(remote.requests)
    round_._say = pytest.fail  # type: ignore[assignment]
    round_.run()
    assert [request for request in remote.requests[before:] if request[0] == "PUT"] == []
    shipping.round().run()
    puts = [path for method, path in remote.requests[before:] if method == "PUT"]
    assert all("/segments/schema/" in path for path in puts)
    check_remote(remote, shipping.directory)


def test_what_is_published_later_is_shipped_later(remote: Store, shipping: Shipping, tmp_path: Path) -> None:
    round_ = shipping.round()
    round_.run()
    directory_of(tmp_path / "log", log="node2-20261118T110640Z-00000002")
    round_.run(everything=True)
    check_remote(remote, shipping.directory)


FAULTS = ["refused", "torn_upload", "lost_answer", "unavailable", "skewed", "denied"]


@pytest.mark.parametrize("kind", FAULTS)
def test_uploads_that_fail_are_tried_again_and_nothing_is_lost_or_doubled(
    remote: Store, shipping: Shipping, kind: str
) -> None:
    for path in (r"decision\.parquet", r"seal\.parquet", r"/shipped/", r"\.checkpoint"):
        remote.fault(kind, method="PUT", path=path, times=2)
    failures = until_done(shipping)
    assert len(failures) >= 4
    check_remote(remote, shipping.directory)


@pytest.mark.parametrize("kind", ["refused", "torn_answer", "wrong_answered", "internal", "duplicate"])
def test_readings_that_fail_are_tried_again(remote: Store, shipping: Shipping, kind: str) -> None:
    remote.fault(kind, method="GET", path=r"decision\.parquet")
    remote.fault(kind, method="GET", path="/shipped/")
    remote.fault("duplicate", method="PUT", path=r"seal\.parquet", times=3)
    until_done(shipping)
    check_remote(remote, shipping.directory)


def test_octets_stored_otherwise_are_found_told_and_not_counted_as_shipped(remote: Store, shipping: Shipping) -> None:
    remote.fault("wrong_stored", method="PUT", path=r"000000000000-.*decision\.parquet")
    round_ = shipping.round()
    round_.run()
    round_.run()
    (conflict,) = round_.status.conflicts
    assert "decision.parquet" in conflict and "holds other octets" in conflict and "nothing is overwritten" in conflict
    assert (round_.status.failures, round_.status.unshipped_segments) == ({"conflict": 1}, 1)
    assert len(remote_segments(remote)) == 2
    # Whoever has the right to takes the wrong object away; the next process ships what was missing.
    (wrong,) = [key for key in remote.keys("logs/segments/") if "000000000000-" in key and "decision" in key]
    remote.delete(wrong)
    until_done(shipping)
    check_remote(remote, shipping.directory)


def test_an_empty_kind_that_others_put_stays_and_one_that_does_not_read_back_is_told(
    remote: Store, shipping: Shipping
) -> None:
    remote.put("logs/segments/schema/v1/seal.parquet", b"of another release")
    remote.fault("wrong_stored", method="PUT", path=r"schema/v1/run\.parquet")
    round_ = shipping.round()
    round_.run()
    assert ["schema/v1/run.parquet" in said for said in round_.status.conflicts] == [True]
    assert remote.get("logs/segments/schema/v1/seal.parquet") == b"of another release"


def test_a_store_that_keeps_nothing_is_found_out(remote: Store, shipping: Shipping) -> None:
    remote.fault("no_object", method="GET", path=r"decision\.parquet", times=1000)
    with pytest.raises(StoreError, match=r"lost .*decision\.parquet at once"):
        shipping.round().run()
    assert remote_segments(remote) == []


def test_another_log_under_the_same_name_is_never_overwritten(
    remote: Store, shipping: Shipping, tmp_path: Path
) -> None:
    shipping.round().run()
    before = {key: remote.get(key) for key in remote.keys("logs/") if "checkpoints" not in key}
    forked = Shipping(remote, directory_of(tmp_path / "forked", count=60))
    round_ = forked.round()
    round_.run()
    assert {key: remote.get(key) for key in remote.keys("logs/") if "checkpoints" not in key} == before
    assert round_.status.unshipped_segments and round_.status.shipped_segments == 0
    assert "no more of this log is: this disk was rolled back" in round_.status.conflicts[-1]


def test_a_disk_rolled_back_is_told_by_its_head_and_by_its_records(remote: Store, tmp_path: Path) -> None:
    full = Shipping(remote, directory_of(tmp_path / "log", count=60))
    full.round().run()
    head = remote.get(f"logs/checkpoints/{LOG}.checkpoint")
    *_, (first, last, segment) = full.directory.segments_of(LOG)
    # Of the last segment only the beginning was on the snapshot that came back, and other records followed it.
    segment.rename(full.directory.segment(LOG, first, last - 1))
    shortened = directory_of(tmp_path / "short", count=2).checkpoint(LOG).read_bytes()
    full.directory.checkpoint(LOG).write_bytes(shortened)
    for marker in (full.directory.path / "shipped" / LOG).iterdir():
        marker.unlink()
    round_ = full.round()
    round_.run()
    said = " ".join(round_.status.conflicts)
    assert "is the head of a longer log" in said and remote.get(f"logs/checkpoints/{LOG}.checkpoint") == head
    assert round_.status.failures["conflict"] == len(round_.status.conflicts)
    assert len(remote_segments(remote)) == 3


def test_notes_of_what_is_shipped_are_made_again_where_they_are_lost(remote: Store, shipping: Shipping) -> None:
    shipping.round().run()
    notes = shipping.directory.path / "shipped" / LOG
    before = {path.name: path.read_bytes() for path in notes.iterdir()}
    for path in notes.iterdir():
        path.unlink()
    until_done(shipping)
    assert {path.name: path.read_bytes() for path in notes.iterdir()} == before


def test_a_strange_shipped_object_stops_its_log_and_no_other(remote: Store, tmp_path: Path) -> None:
    other = "node2-20261118T110640Z-00000002"
    directory_of(tmp_path / "log", log=other)
    shipping = Shipping(remote, directory_of(tmp_path / "log"))
    for number, octets in ((9, b"{}"), (8, b"")):
        remote.put(f"logs/shipped/{LOG}/000000000000-00000000000{number}.json", octets)
    round_ = shipping.round()
    round_.run()
    round_.run()
    assert ["cannot be read, so no more of it goes there" in said for said in round_.status.conflicts] == [True]
    assert (round_.status.shipped_segments, round_.status.unshipped_segments) == (3, 3)
    assert not remote.keys(f"logs/segments/{LOG}/")


def test_a_shipped_object_that_speaks_of_another_segment_is_strange_too(remote: Store, shipping: Shipping) -> None:
    shipping.round().run()
    first, second, *_ = remote.keys("logs/shipped/")
    remote.put(first, remote.get(second))
    for note in (shipping.directory.path / "shipped" / LOG).iterdir():
        note.unlink()
    round_ = shipping.round()
    round_.run()
    assert ["speaks of another segment" in said for said in round_.status.conflicts] == [True]


def test_a_file_in_a_segment_that_has_no_kind_keeps_that_segment_here(remote: Store, shipping: Shipping) -> None:
    first, *_ = shipping.directory.segments_of(LOG)
    (first[2] / "notes.txt").write_bytes(b"x")
    round_ = shipping.round()
    round_.run()
    assert ["cannot be shipped: 'notes.txt' is not a kind of record." in said for said in round_.status.conflicts] == [
        True
    ]
    assert len(remote_segments(remote)) == 2


def test_a_segment_redacted_while_it_is_shipped_is_not_called_shipped(
    remote: Store, shipping: Shipping, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = iter([{"a": (1, 1, 1)}, {"a": (2, 1, 1)}])
    first = shipping.directory.segments_of(LOG)[0][2]
    real = ship_round._files
    monkeypatch.setattr(ship_round, "_files", lambda path: next(changed, {}) if path == first else real(path))
    round_ = shipping.round()
    round_._ship(LOG, (shipping.directory.segments_of(LOG)[0][0], shipping.directory.segments_of(LOG)[0][1]))
    assert remote_segments(remote) == [] and round_.status.conflicts == []


def test_too_much_waiting_is_told_and_nothing_is_deleted(remote: Store, tmp_path: Path) -> None:
    shipping = Shipping(remote, directory_of(tmp_path / "log"), {"spool_bytes": 10})
    before = local_files(shipping.directory)
    remote.fault("unavailable", times=1000)
    round_ = shipping.round()
    with pytest.raises(StoreError):
        round_.run()
    assert "More than 0 MiB wait to be shipped" in round_.status.problems[0]
    remote.faults.clear()
    round_.run()
    assert round_.status.problems == [] and local_files(shipping.directory) == before


def test_shipped_objects_say_what_they_are_in_canonical_json(remote: Store, shipping: Shipping) -> None:
    shipping.round().run()
    (key, *_) = remote.keys("logs/shipped/")
    said = json.loads(remote.get(key))
    assert (said["k"], said["v"], said["log"], said["first"]) == ("shipped", 1, LOG, 0)
