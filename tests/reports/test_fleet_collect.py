"""The fleet's job: a round over every source, one timestamp for all, and nothing that an interruption leaves half."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crawl_audit.seal import Signer, checkpoint_text, origin
from reports import fleet_log
from reports.cli import main
from reports.key_file import make_key, read_key
from reports.log import open_log
from tests import tsa
from tests.reports import fleets
from tests.reports.attacks import rewrite
from tests.reports.command import crawl_audit, refused
from tests.reports.fleets import Fleet, errors, running


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Two sidecars and one round; nobody may change it."""
    return Fleet.made(tmp_path_factory.mktemp("fleet"), 2)


@pytest.fixture
def fleet(untouched: Fleet, tmp_path: Path) -> Fleet:
    """A copy of it."""
    return untouched.copy(tmp_path / "fleet")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tsa.Authority:
    """A timestamp authority."""
    return tsa.make(tmp_path_factory.mktemp("tsa") / "made")


class Counting(tsa.Authority):
    """An authority that counts how often it is asked."""

    asked: int = 0

    def answer(self, request: bytes) -> bytes:
        type(self).asked += 1
        return super().answer(request)


@contextmanager
def counting(made: tsa.Authority) -> Iterator[tuple[type[Counting], str, Path]]:
    Counting.asked = 0
    with tsa.served(Counting(made.directory)) as url:
        yield Counting, url, made.ca


def rows(fleet: Fleet, sql: str) -> list[dict[str, object]]:
    with open_log(str(fleet.path)) as log:
        return log.select(sql)


def test_three_hundred_sidecars_cost_one_timestamp(tmp_path: Path, authority: tsa.Authority) -> None:
    fleet = Fleet(tmp_path, {})
    fleets.many(fleet.sources, 300)
    fleet.enrol(*(f"s{node:03d}" for node in range(300)), "--name", fleets.NAME)
    with counting(authority) as (counted, url, ca):
        made = fleet.collect("--tsa", url, "--tsa-ca", ca)
        assert counted.asked == 1
        assert made["states"] == {"open": 300}
        assert len(made["timestamps"]) == 1
    ran = fleet.verify("--tsa-ca", ca, sources=False)
    levels = {one["level"]: one["last_seq"] for one in ran.json["fleet"]["levels"]}
    assert levels["A2"] == 301 + 2 + 300 - 1  # run, 300 enrolments and their seal; 300 heads: all under the timestamp


def test_a_timestamp_is_on_record_from_the_next_round_on(fleet: Fleet, authority: tsa.Authority) -> None:
    with counting(authority) as (counted, url, ca):
        for _ in range(2):
            fleet.collect("--tsa", url, "--tsa-ca", ca)
        assert counted.asked == 2
    (anchor,) = rows(fleet, "SELECT method, checkpoint_size FROM anchor")
    assert anchor == {"method": "rfc3161", "checkpoint_size": 3}
    assert fleet.verify("--tsa-ca", ca).code == 0


@pytest.mark.parametrize(
    "answer,said", [(503, "Service Unavailable"), (200, "is of no use")], ids=["refused", "nonsense"]
)
def test_an_authority_that_gives_nothing_is_said_and_the_round_is_on_record(
    fleet: Fleet, authority: tsa.Authority, answer: int, said: str
) -> None:
    with tsa.served(answer) as url:
        made = fleet.collect("--tsa", url, "--tsa-ca", authority.ca, code=3)
    assert made["round"] == 1
    assert len(made["faults"]) == 1
    assert said in made["faults"][0]
    assert fleet.collect()["round"] == 2


def test_every_round_has_a_record_of_every_enrolled_sidecar_whether_changed_or_not(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.collect()
    found = rows(fleet, "SELECT round_index, list(node ORDER BY node) AS nodes FROM fleet_head GROUP BY 1 ORDER BY 1")
    assert found == [{"round_index": index, "nodes": ["n0", "n1"]} for index in range(3)]


def test_a_sidecar_that_restarts_in_order_many_times_is_not_gone_and_old_logs_cost_no_records(fleet: Fleet) -> None:
    before = fleet.sidecars["n0"]
    for number in range(1, 3):
        before.close(fleets.ago(20))
        after = running(fleet.sources / "n0", "n0", number=number, previous_log=before.log)
        assert fleet.collect()["named"] == []
        before = after
    found = rows(
        fleet,
        "SELECT list(state ORDER BY seq) AS states FROM fleet_head WHERE node = 'n0' GROUP BY subject_log"
        " ORDER BY subject_log",
    )
    assert [row["states"] for row in found] == [["open", "closed"]] * 2 + [["open"]]
    ran = fleet.verify()
    assert {one["state"] for one in ran.json["sidecars"]} == {"open", "closed"}
    assert not [one for one in ran.json["findings"] if one["check"].startswith("E")]


def test_a_log_that_another_names_and_that_was_never_found_is_named_as_gone(fleet: Fleet) -> None:
    hidden = fleets.log_name("n0", 1)
    fleet.sidecars["n0"].close(fleets.ago(20))
    running(fleet.sources / "n0", "n0", number=2, previous_log=hidden)
    assert {one["log"]: one["state"] for one in fleet.collect()["named"]} == {hidden: "gone"}


def test_an_open_log_beside_a_newer_one_of_its_sidecar_is_silent(fleet: Fleet) -> None:
    old = fleet.sidecars["n0"].log
    running(fleet.sources / "n0", "n0", number=1)  # a new volume, so it names no log before it
    (named,) = fleet.collect()["named"]
    assert (named["log"], named["state"]) == (old, "silent")
    assert fleet.collect()["named"] == []  # said once; it is not the sidecar's newest log


def test_a_retired_sidecar_is_no_longer_missed(fleet: Fleet) -> None:
    fleet.enrol("n1", "--retire", "--reason", "scaled down")
    shutil.rmtree(fleet.sources / "n1")
    made = fleet.collect()
    assert [one["state"] for one in made["named"]] == ["gone"]  # its log is evidence all the same
    assert fleet.collect()["records"] == 1


def test_a_key_other_than_the_enrolled_one_makes_a_log_a_strangers(fleet: Fleet) -> None:
    fleet.enrol("n1", "--log-key", fleet.sidecars["n0"].signer.verifier.vkey)
    (named,) = fleet.collect()["named"]
    assert (named["node"], named["state"]) == ("n1", "not_enrolled")
    assert "another key" in named["detail"]


@pytest.mark.parametrize("step", ["_put", "rename", "_show"])
def test_a_round_that_is_killed_leaves_the_fleet_log_whole(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(*((Path, "rename") if step == "rename" else (fleet_log, step)), killed)
        with pytest.raises(KilledError):
            main(["fleet", "collect", str(fleet.path), str(fleet.sources)])
    assert crawl_audit("verify", fleet.path, "--format", "json").json["result"] == "incomplete"
    assert fleet.collect()["round"] == (2 if step == "_show" else 1)
    ran = fleet.verify(sources=False)
    assert (errors(ran.json), ran.json["fleet"]["rounds"]) == (set(), 3 if step == "_show" else 2)


@pytest.mark.parametrize("spoilt", ["[]", '{"LOG": {"size": 2, "peaks": ["00"]}}', "other"])
def test_a_memory_that_is_spoilt_accuses_nobody(fleet: Fleet, spoilt: str) -> None:
    memory = fleet.path / "tmp" / "heads.json"
    stored = json.loads(memory.read_text())
    if spoilt == "other":
        stored[fleet.sidecars["n0"].log]["peaks"] = ["00" * 32] * len(stored[fleet.sidecars["n0"].log]["peaks"])
    memory.write_text(json.dumps(stored) if spoilt == "other" else spoilt.replace("LOG", fleet.sidecars["n0"].log))
    fleets.go_on(fleet.sidecars["n0"], 1)
    assert fleet.collect()["named"] == []


def test_a_fleet_log_that_was_changed_is_not_gone_on_with(fleet: Fleet) -> None:
    fleet.collect()
    shutil.rmtree(max((fleet.path / "segments").glob("fleet-*/*")))
    said = refused("fleet", "collect", fleet.path, fleet.sources, code=3)
    assert "is not that of its seals" in said


def test_another_key_does_not_sign_the_fleet_log(fleet: Fleet, tmp_path: Path) -> None:
    make_key(tmp_path / "other.key", "other.example/fleet")
    said = refused("fleet", "collect", fleet.path, fleet.sources, "--key", tmp_path / "other.key", code=78)
    assert "is not that of the fleet log" in said


def test_where_no_source_is_there_no_round_is_made(fleet: Fleet) -> None:
    said = refused("fleet", "collect", fleet.path, fleet.directory / "unmounted", code=78)
    assert "no round was made" in said
    assert rows(fleet, "SELECT max(round_index) AS last FROM fleet_head") == [{"last": 0}]


def test_two_jobs_at_once_are_one_too_many(fleet: Fleet) -> None:
    with fleet_log.open_fleet(str(fleet.path), read_key(fleet.directory / "fleet.key")):
        said = refused("fleet", "collect", fleet.path, fleet.sources, code=78)
    assert "Another job is at work" in said


def hostile_link(root: Path, log: str) -> None:
    shutil.move(root / "segments" / log, root.parent / "aside")
    (root / "segments" / log).symlink_to(root.parent / "aside")


def hostile_note_link(root: Path, log: str) -> None:
    note = root / "checkpoints" / f"{log}.checkpoint"
    shutil.move(note, root.parent / "note")
    note.symlink_to(root.parent / "note")


def hostile_huge_note(root: Path, log: str) -> None:
    (root / "checkpoints" / f"{log}.checkpoint").write_text("x" * 1_000_000)


def hostile_note(root: Path, log: str) -> None:
    (root / "checkpoints" / f"{log}.checkpoint").write_text(f"crawl-audit/{log}\n99999999999999999999\n\x1b[2Jboo\n")


def hostile_size(root: Path, log: str) -> None:
    note = Signer.generate(origin(log)).sign_note(checkpoint_text(origin(log), 10**19, bytes(32)))
    (root / "checkpoints" / f"{log}.checkpoint").write_text(note)


def hostile_node(root: Path, log: str) -> None:
    (first, *_) = sorted((root / "segments" / log).glob("*/run.parquet"))
    rewrite(first, "SELECT * REPLACE ('a' || chr(27) || '[2J' AS node) FROM r")


@pytest.mark.parametrize(
    "attack,state",
    [
        (hostile_link, "rolled_back"),
        (hostile_note_link, "invalid"),
        (hostile_huge_note, "invalid"),
        (hostile_note, "invalid"),
        (hostile_size, "invalid"),
        (hostile_node, "invalid"),
    ],
    ids=["linked segments", "linked note", "huge note", "malformed note", "impossible size", "hostile name"],
)
def test_a_hostile_source_costs_its_sidecar_a_sentence_and_nobody_else_anything(
    fleet: Fleet,
    attack,
    state: str,  # type: ignore[no-untyped-def]
) -> None:
    (fleet.path / "tmp" / "heads.json").unlink()  # the source is read from its first record on
    attack(fleet.sources / "n1", fleet.sidecars["n1"].log)
    ran = crawl_audit("fleet", "collect", fleet.path, fleet.sources, "--format", "json")
    assert ran.code in (0, 3)
    assert {one["log"]: one["state"] for one in ran.json["named"]} == {fleet.sidecars["n1"].log: state}
    assert "\x1b" not in ran.out
    assert all("\n" not in fault for fault in ran.json["faults"])
    assert os.path.lexists(fleet.path)


def test_nobody_is_asked_for_a_token_without_certificates_to_check_it_with(fleet: Fleet) -> None:
    said = refused("fleet", "collect", fleet.path, fleet.sources, "--tsa", "http://127.0.0.1:9/", code=2)
    assert "--tsa-ca" in said
