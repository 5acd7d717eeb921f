"""A fleet whose logs lie in an object store: collected from there, shipped there, and verified at its address."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fleet_shipping import ship
from tests import object_stores
from tests.object_stores import Store
from tests.reports import fleets
from tests.reports.command import Ran, crawl_audit, refused
from tests.reports.fleets import Fleet, running


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One log directory with the logs of two sidecars; nobody may change it."""
    root = tmp_path_factory.mktemp("local") / "logs"
    for node in ("a", "b"):
        running(root, node)
    return root


@pytest.fixture
def store(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A bucket that both are shipped to."""
    monkeypatch.setenv("CRAWL_AUDIT_CACHE", str(tmp_path / "cache"))
    with object_stores.s3_server() as made:
        ship(local, made.address())
        yield made


@pytest.fixture
def fleet(store: Store, tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path, {})
    made.enrol("--from", store.address(), "--name", fleets.NAME)
    return made


def collect(fleet: Fleet, store: Store, *more: object) -> Ran:
    return crawl_audit("fleet", "collect", fleet.path, store.address(), *more, "--format", "json")


def test_a_fleet_is_collected_from_its_address_and_verified_at_its_own(fleet: Fleet, store: Store) -> None:
    published = store.address("logs/fleet")
    for index in range(2):
        ran = collect(fleet, store, "--publish", published)
        assert (ran.code, ran.json["round"], ran.json["states"]) == (0, index, {"open": 2})
    pin, trust = ("--pin", fleet.checkpoint), ("--trust", fleet.directory / "vkey")
    ran = crawl_audit("fleet", "verify", published, store.address(), *pin, *trust, "--format", "json")
    assert (ran.code, ran.json["result"], ran.json["fleet"]["rounds"]) == (0, "ok", 2), ran
    assert all(one["verified"] for one in ran.json["sidecars"])
    log = ran.json["sidecars"][0]["log"]
    assert crawl_audit("fleet", "verify", published, store.address(), "--row", f"{log}:2", *trust).code == 0


def test_only_seals_run_records_and_heads_are_fetched_and_each_once(fleet: Fleet, store: Store, local: Path) -> None:
    collect(fleet, store)
    (copy,) = (fleet.path / "tmp" / "sources").iterdir()
    names = {path.name for path in copy.glob("segments/[!s]*/*/*")}
    assert names == {"run.parquet", "seal.parquet"}
    before = {path: path.stat().st_mtime_ns for path in copy.glob("segments/[!s]*/*/*")}
    collect(fleet, store)
    assert {path: path.stat().st_mtime_ns for path in copy.glob("segments/[!s]*/*/*")} == before
    assert len(before) == len(list(local.glob("segments/[!s]*/*/seal.parquet"))) + 2  # and one run record of each log


def test_an_object_that_is_not_what_was_shipped_costs_only_its_own_sidecar(fleet: Fleet, store: Store) -> None:
    (first, *_) = [key for key in store.keys("logs/") if "/segments/a-" in key and key.endswith("seal.parquet")]
    store.put(first, b"other")
    shutil.rmtree(fleet.path / "tmp" / "sources")
    ran = collect(fleet, store)
    assert ran.code == 3
    assert [one["node"] for one in ran.json["named"]] == ["a"]
    assert any("is not what its `shipped` object says" in fault for fault in ran.json["faults"])
    assert ran.json["records"] == 2


def test_what_is_not_in_the_store_any_more_is_not_in_the_copy_either(fleet: Fleet, store: Store) -> None:
    collect(fleet, store)
    for key in [key for key in store.keys("logs/") if "/a-" in key]:
        store.delete(key)
    ran = collect(fleet, store)
    assert {one["node"]: one["state"] for one in ran.json["named"]} == {"a": "gone"}


@pytest.mark.parametrize("address,said", [("s3://no-such-bucket-here/logs", "no bucket"), ("s3://{}/no", "no log at")])
def test_a_store_that_cannot_be_read_makes_no_round(fleet: Fleet, store: Store, address: str, said: str) -> None:
    assert said in refused("fleet", "collect", fleet.path, address.format(store.bucket), code=78)
    assert collect(fleet, store).json["round"] == 0


def test_a_fleet_log_that_cannot_be_shipped_is_on_record_and_shipped_by_the_next_round(
    fleet: Fleet, store: Store
) -> None:
    ran = collect(fleet, store, "--publish", "s3://no-such-bucket-here/fleet")
    assert (ran.code, ran.json["round"]) == (3, 0)
    assert "The fleet log was not shipped" in ran.json["faults"][0]
    assert collect(fleet, store, "--publish", store.address("fleet")).code == 0
    shipped = store.keys("fleet/shipped/")
    assert len(shipped) == 3  # the enrolment and both rounds


def test_the_fleet_log_is_not_shipped_among_the_logs_it_is_about(fleet: Fleet, store: Store) -> None:
    address = store.address()
    said = refused("fleet", "collect", fleet.path, address, "--publish", f"{address}/", code=2)
    assert f"ship it to {address}/fleet" in said
