"""What a source shows of its logs: heads, trees and who wrote them; directories of log directories."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from crawl_audit.seal import merkle_root
from reports import fleet_source
from reports.fleet_seen import Seen
from tests import logs
from tests.logs import after
from tests.reports.fleets import Fleet, go_on, log_name, running


def read(root: Path, seen: Mapping[str, Seen] | None = None) -> fleet_source.Source:
    """What a directory shows, where a round remembers this."""
    return fleet_source.read(str(root), seen or {}, root.parent / "cache")


def test_a_log_is_shown_with_its_head_its_seals_and_its_sidecar(sound: logs.LogBuilder) -> None:
    source = read(sound.root)
    found = source.logs[sound.log]
    assert (source.is_there, source.faults, found.fault) == (True, [], None)
    assert [seal.leaf for seal in found.seals.read] == sound.seal_leaves()
    assert found.head is not None
    assert (found.head.size, found.head.root) == (found.seals.size, merkle_root(sound.seal_leaves()))
    assert (found.node, found.log_key, found.seals.closing) == ("node1", sound.signer.verifier.vkey, "shutdown")
    assert found.signature is not None
    assert sound.note().endswith(f"\n{found.signature}\n")


def test_the_log_that_recovered_another_may_sign_its_head(root: Path) -> None:
    dead = running(root, "a")
    new = running(root, "a", number=1, previous_log=dead.log)
    dead.checkpoint(signer=new.signer)
    assert read(root).logs[dead.log].fault is None
    dead.checkpoint(signer=running(root, "b").signer)
    assert read(root).logs[dead.log].fault == "its head is signed by none of its keys"


def test_a_start_may_have_recovered_several_logs_and_signs_the_heads_of_each(root: Path) -> None:
    dead = [running(root, node) for node in ("a-w1", "a-w2")]
    new = running(root, "a", number=1, previous_log=dead[0].log)
    new.add(replace(new.records[0], event="recovered", previous_log=dead[1].log))  # type: ignore[call-arg]
    new.publish()
    for one in dead:
        one.checkpoint(signer=new.signer)
    source = read(root)
    assert source.logs[new.log].previous_logs == (dead[0].log, dead[1].log)
    assert [source.logs[one.log].fault for one in dead] == [None, None]


def test_a_fleet_log_in_a_source_is_nobodys_crawling(tmp_path: Path) -> None:
    fleet = Fleet.made(tmp_path, 1)
    (found,) = read(fleet.path).logs.values()
    assert (found.node, found.is_custodian, found.fault) == ("fleet", True, None)
    assert fleet.collect(fleet.path)["named"] == []


def test_a_log_without_a_head_and_one_without_records_say_so(root: Path) -> None:
    bare = running(root, "a")
    (root / "checkpoints" / f"{bare.log}.checkpoint").unlink()
    lonely = log_name("b", 0)
    (root / "checkpoints" / f"{lonely}.checkpoint").write_text(logs.LogBuilder(root, lonely, signing=True).note())
    found = read(root).logs
    assert found[bare.log].fault == "it has no signed head"
    assert (found[lonely].fault, found[lonely].seals.size, found[lonely].log_key) == (None, 0, None)


def test_a_seal_that_is_missing_in_the_middle_is_a_fault(root: Path) -> None:
    made = running(root, "a", seals=4)
    (_, second, *_) = sorted((root / "segments" / made.log).iterdir())
    (second / "seal.parquet").unlink()
    assert "seal 1 is missing" in (read(root).logs[made.log].fault or "")


def test_of_a_log_that_is_remembered_only_what_came_since_is_read_and_the_tree_is_the_same(root: Path) -> None:
    made = running(root, "a", seals=5)
    first = read(root).logs[made.log].remembered()
    assert first is not None
    assert first.size == 5
    go_on(made, 2)
    newer = read(root, {made.log: first}).logs[made.log]
    assert (len(newer.seals.read), newer.seals.size, newer.fault) == (2, 7, None)
    assert newer.seals.root(7) == merkle_root(made.seal_leaves())
    assert (newer.node, newer.log_key, newer.signature is None) == ("a", made.signer.verifier.vkey, False)
    whole = read(root).logs[made.log]
    assert newer.remembered() == whole.remembered()
    assert read(root, {made.log: whole.remembered()}).logs[made.log].remembered() == whole.remembered()  # type: ignore[dict-item]


def test_a_memory_does_not_stand_for_segments_that_are_not_there(root: Path) -> None:
    made = running(root, "a", seals=5)
    seen = read(root).logs[made.log].remembered()
    assert seen is not None
    (_, second, *_) = sorted((root / "segments" / made.log).iterdir())
    shutil.rmtree(second)
    found = read(root, {made.log: seen}).logs[made.log]
    assert (found.seals.seen, found.fault) == (None, "its records cannot be read: seal 1 is missing, or is another's")


def test_a_directory_of_log_directories_stands_for_them_and_links_in_it_do_not(root: Path) -> None:
    for name in ("a", "b"):
        logs.LogBuilder(root / name).start(after(0))
    (root / "c").symlink_to(root / "a")
    assert fleet_source.places([str(root)]) == [str(root / "a"), str(root / "b")]
    assert fleet_source.places([str(root / "a"), "s3://bucket/fleet", str(root / "x")]) == [
        str(root / "a"),
        "s3://bucket/fleet",
        str(root / "x"),
    ]


def test_what_is_no_log_directory_is_a_fault_of_the_source(tmp_path: Path) -> None:
    source = read(tmp_path)
    assert (source.is_there, len(source.faults)) == (False, 1)
    assert fleet_source.log_names(str(tmp_path)) is None
