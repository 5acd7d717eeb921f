"""From the fleet's head down to one record: every step is there, and a changed record breaks the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawl_audit import schema
from crawl_audit.seal import verify_inclusion
from tests import tsa
from tests.reports.attacks import rewrite
from tests.reports.command import Ran, crawl_audit, refused
from tests.reports.fleets import Fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.made(tmp_path_factory.mktemp("fleet"), 3)


def way(fleet: Fleet, row: str, *more: object) -> Ran:
    given = (fleet.path, fleet.sources, "--row", row, "--format", "json")
    return crawl_audit("fleet", "verify", *given, *more)


def climbed(leaf: bytes, step: dict[str, Any], index: int, size: int, root: str) -> bool:
    proof = [bytes.fromhex(node) for node in step["hashes"]]
    return verify_inclusion(leaf, index, size, proof, bytes.fromhex(root))


def test_every_step_leads_to_the_next_by_its_own_hashes(fleet: Fleet) -> None:
    log = fleet.sidecars["n1"].log
    ran = way(fleet, f"{log}:2", "--trust", fleet.directory / "vkey")
    assert (ran.code, ran.json["result"], ran.json["faults"]) == (0, "ok", [])
    steps = {one["step"]: one for one in ran.json["steps"]}
    assert list(steps) == [f"{tree} {step}" for tree in ("fleet", "sidecar") for step in ("head", "seal", "record")]
    assert steps["sidecar record"]["record"]["host"] == "h1.example"
    for tree in ("fleet", "sidecar"):
        (proved,), (seal,) = ran.json["proofs"][tree]["entries"], ran.json["proofs"][tree]["seals"]
        record, sealed, head = (steps[f"{tree} {step}"] for step in ("record", "seal", "head"))
        leaf = schema.leaf(proved["entry"])
        assert climbed(leaf, record, proved["leaf_index"], proved["seal_size"], sealed["root"])
        assert climbed(schema.leaf(seal["entry"]), sealed, sealed["index"], head["size"], head["root"])
    said = steps["fleet record"]["record"]
    assert (said["subject_log"], said["size"], said["root"]) == (
        log,
        steps["sidecar head"]["size"],
        steps["sidecar head"]["root"],
    )


def test_the_way_begins_at_a_timestamp_where_one_covers_the_round(fleet: Fleet, tmp_path: Path) -> None:
    stamped = fleet.copy(tmp_path / "fleet")
    authority = tsa.make(tmp_path / "tsa")
    with tsa.served(authority) as url:
        stamped.collect("--tsa", url, "--tsa-ca", authority.ca)
    ran = way(stamped, f"{fleet.sidecars['n1'].log}:2", "--tsa-ca", authority.ca)
    assert ran.code == 3  # nobody said whose key the fleet's is
    assert ran.json["steps"][0]["step"] == "timestamp"
    assert ran.json["steps"][1] | {"by": []} == {**ran.json["steps"][1], "size": 3}


def test_a_record_that_was_changed_leads_nowhere(fleet: Fleet, tmp_path: Path) -> None:
    changed = fleet.copy(tmp_path / "fleet")
    log = fleet.sidecars["n1"].log
    (_, second, _) = sorted((changed.sources / "n1" / "segments" / log).glob("*/"))
    rewrite(second / "snapshot.parquet", "SELECT * REPLACE ('other.example' AS host) FROM r")
    ran = way(changed, f"{log}:2", "--trust", fleet.directory / "vkey")
    assert (ran.code, ran.json["result"]) == (1, "failed")
    assert {fault["check"] for fault in ran.json["faults"]} == {"R4"}


def test_people_are_shown_the_same_way(fleet: Fleet) -> None:
    ran = crawl_audit("fleet", "verify", fleet.path, fleet.sources, "--row", f"{fleet.sidecars['n0'].log}:0")
    assert ran.code == 3
    assert "From the fleet's head to one record" in ran.out
    assert "sidecar record" in ran.out


@pytest.mark.parametrize(
    "row,code,said",
    [
        ("nonsense", 2, "LOG:SEQ"),
        ("other-20261118T110640Z-00000001:0", 3, "No round has collected"),
        ("LOG:999", 3, "no record 999"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(fleet: Fleet, row: str, code: int, said: str) -> None:
    row = row.replace("LOG:", f"{fleet.sidecars['n0'].log}:")
    assert said in refused("fleet", "verify", fleet.path, fleet.sources, "--row", row, code=code)


def test_a_log_that_lies_in_no_source_is_one_sentence(fleet: Fleet) -> None:
    row = f"{fleet.sidecars['n0'].log}:0"
    said = refused("fleet", "verify", fleet.path, fleet.sources / "n1", "--row", row, code=2)
    assert "is in none of the sources" in said
