"""``fleet verify``: an honest fleet has nothing named; whoever is removed, silent, forked or rolled back is named."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.fleet_records import FleetState
from reports import fleet_rounds, verify
from reports.fleet_log import open_fleet
from reports.key_file import read_key
from reports.steadiness import ChangedError
from tests.reports import fleets
from tests.reports.attacks import rewrite
from tests.reports.fleets import Fleet, errors, running, states


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Three sidecars, two rounds; nobody may change it."""
    fleet = Fleet.made(tmp_path_factory.mktemp("honest"))
    fleets.go_on(fleet.sidecars["n1"], 2)
    fleet.collect()
    return fleet


@pytest.fixture
def fleet(honest: Fleet, tmp_path: Path) -> Fleet:
    """A copy of it, to be attacked."""
    return honest.copy(tmp_path / "fleet")


def test_an_honest_fleet_verifies_to_every_head_and_nobody_is_named(honest: Fleet) -> None:
    ran = honest.verify()
    assert (ran.code, ran.json["result"]) == (0, "ok"), ran.json["findings"]
    assert states(ran.json) == dict.fromkeys(("n0", "n1", "n2"), "open")
    assert all(one["verified"] for one in ran.json["sidecars"])
    assert {one["node"]: one["size"] for one in ran.json["sidecars"]} == {"n0": 3, "n1": 5, "n2": 3}
    assert {one["severity"] for one in ran.json["findings"]} <= {"info"}
    assert (ran.json["fleet"]["rounds"], ran.json["fleet"]["size"]) == (2, 3)


def test_without_a_pin_of_the_fleet_the_result_is_incomplete_and_nobody_is_named(honest: Fleet) -> None:
    ran = honest.verify(pin=False)
    assert (ran.code, ran.json["result"]) == (3, "incomplete")
    assert not [one for one in ran.json["findings"] if one["check"].startswith("E")]


def test_without_sources_the_logs_of_sidecars_are_said_not_to_have_been_looked_at(honest: Fleet) -> None:
    ran = honest.verify(sources=False)
    assert ran.code == 3
    assert {one["check"] for one in ran.json["findings"] if one["severity"] == "warning"} == {"E8"}
    assert not any(one["verified"] for one in ran.json["sidecars"])
    assert {"what": "logs of sidecars", "count": 3, "why": "no source was named"} in ran.json["not_checked"]


def test_before_the_first_round_nothing_is_known(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"a": running(tmp_path / "logs" / "a", "a")})
    fleet.enrol("a", "--name", fleets.NAME)
    ran = fleet.verify()
    assert (ran.code, ran.json["sidecars"], ran.json["fleet"]["rounds"]) == (3, [], 0)
    assert "No round was made yet" in ran.out


def attack_removed(fleet: Fleet) -> None:
    shutil.rmtree(fleet.sources / "n2")


def attack_forked(fleet: Fleet) -> None:
    shutil.rmtree(fleet.sources / "n2")
    forked = running(fleet.sources / "n2", "n2", seals=2)
    fleets.go_on(forked, 3)  # the same log under the same key, with another history


def attack_rolled_back(fleet: Fleet) -> None:
    old = fleet.sidecars["n2"]
    log = fleet.sources / "n2" / "segments" / old.log
    shutil.rmtree(max(log.iterdir()))
    (fleet.sources / "n2" / "checkpoints" / f"{old.log}.checkpoint").write_text(old.note(2))


@pytest.mark.parametrize(
    "attack,state,check",
    [(attack_removed, "gone", "E3"), (attack_forked, "forked", "E1"), (attack_rolled_back, "rolled_back", "E2")],
    ids=["removed", "forked", "rolled back"],
)
@pytest.mark.parametrize("noticed_by", ["the next round", "the auditor"])
def test_an_attacked_sidecar_is_named_and_no_other(fleet: Fleet, attack, state, check, noticed_by) -> None:  # type: ignore[no-untyped-def]
    attack(fleet)
    if noticed_by == "the next round":
        assert {one["node"]: one["state"] for one in fleet.collect()["named"]} == {"n2": state}
    ran = fleet.verify()
    assert (ran.code, ran.json["result"]) == (1, "failed")
    assert states(ran.json) == {"n0": "open", "n1": "open", "n2": state}
    assert check in errors(ran.json)
    concerned = {one["where"].partition(" ")[0] for one in ran.json["findings"] if one["severity"] == "error"}
    assert concerned == {fleet.sidecars["n2"].log}
    assert {one["node"] for one in ran.json["sidecars"] if one["verified"]} == {"n0", "n1"}


def test_what_was_found_wrong_in_a_round_stays_found_when_the_log_is_put_back(fleet: Fleet) -> None:
    shutil.move(fleet.sources / "n2", fleet.directory / "aside")
    fleet.collect()
    shutil.move(fleet.directory / "aside", fleet.sources / "n2")
    assert fleet.collect()["named"] == []
    ran = fleet.verify()
    assert (ran.code, errors(ran.json)) == (1, {"E3"})
    assert states(ran.json)["n2"] == "open"
    assert "it looks otherwise now" in ran.out


def test_a_silenced_sidecar_is_named(fleet: Fleet) -> None:
    quiet = running(fleet.sources / "quiet", "quiet", since_s=4_000, idle_s=60)
    fleet.enrol("quiet")
    assert {one["log"]: one["state"] for one in fleet.collect()["named"]} == {quiet.log: "silent"}
    ran = fleet.verify()
    assert (ran.code, ran.json["result"]) == (3, "incomplete")
    (finding,) = [one for one in ran.json["findings"] if one["check"] == "E5"]
    assert finding["where"] == quiet.log
    assert "no new head for" in finding["message"]


def test_a_sidecar_nobody_enrolled_and_one_that_was_never_seen_are_named(fleet: Fleet) -> None:
    stranger = running(fleet.sources / "stranger", "stranger")
    fleet.enrol("awaited")
    named = {one["node"]: one["state"] for one in fleet.collect()["named"]}
    assert named == {"stranger": "not_enrolled", "awaited": "never_seen"}
    ran = fleet.verify()
    found = {one["where"] for one in ran.json["findings"] if one["check"] == "E6"}
    assert (ran.code, found) == (3, {stranger.log, "awaited sidecar"})


def test_a_source_that_changes_all_the_time_is_said_and_the_others_are_looked_at(
    honest: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verify.verify

    def restless(path: str, **given: Any) -> dict[str, Any]:
        if path.endswith("n1"):
            raise ChangedError(path)
        return whole(path, **given)

    monkeypatch.setattr(verify, "verify", restless)
    ran = honest.verify()
    assert ran.code == 3
    assert [one["node"] for one in ran.json["sidecars"] if not one["verified"]] == ["n1"]
    assert "changed while it was read" in ran.out


def test_a_changed_record_under_a_collected_head_fails(fleet: Fleet) -> None:
    (first, *_) = sorted((fleet.sources / "n1" / "segments" / fleet.sidecars["n1"].log).glob("*/snapshot.parquet"))
    rewrite(first, "SELECT * REPLACE ('other.example' AS host) FROM r")
    ran = fleet.verify()
    assert (ran.code, errors(ran.json)) == (1, {"R4"})
    assert [one["node"] for one in ran.json["sidecars"] if not one["verified"]] == ["n1"]


def test_a_round_that_leaves_an_enrolled_sidecar_out_is_found(fleet: Fleet) -> None:
    log = next(iter(fleet_rounds.read(str(fleet.path)).last))
    with open_fleet(str(fleet.path), read_key(fleet.directory / "fleet.key")) as opened:
        opened.append([replace(log, round_index=2)], opened.next_instant())
    ran = fleet.verify()
    assert (ran.code, errors(ran.json)) == (1, {"E7"})
    assert "Round 2 says nothing of n1, which was enrolled." in ran.out


def test_a_row_of_the_fleet_log_that_was_changed_is_found(fleet: Fleet) -> None:
    (last, *_) = sorted((fleet.path / "segments").glob("fleet-*/*/fleet_head.parquet"), reverse=True)
    rewrite(last, "SELECT * REPLACE ('silent' AS state) FROM r")
    ran = fleet.verify()
    assert ran.code == 1
    assert "R4" in errors(ran.json)


def test_a_fleet_log_with_its_last_round_cut_off_does_not_fit_the_pin(fleet: Fleet) -> None:
    pin = fleet.checkpoint.read_text()
    before = max((fleet.path / "segments").glob("fleet-*/*"))
    shutil.rmtree(before)
    (fleet.directory / "pin").write_text(pin)
    ran = fleet.verify("--pin", fleet.directory / "pin", pin=False)
    assert ran.code == 1
    assert "H3" in errors(ran.json)


def test_every_check_and_every_state_of_a_fleet_is_explained() -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "fleet.md").read_text(encoding="utf-8")
    modules = [path.read_text(encoding="utf-8") for path in (root / "reports").glob("fleet_*.py")]
    given = {name for module in modules for name in re.findall(r"\"(E[0-9])\"", module)}
    assert given == {f"E{number}" for number in range(1, 9)}
    assert {name for name in given if not re.search(rf"\b{name}\b", text)} == set()
    assert {state.value for state in FleetState if f"| `{state.value}` |" not in text} == set()
