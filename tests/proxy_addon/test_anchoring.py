"""Everybody is shown every head once; who fails is told of, asked again, and holds up nobody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawl_audit import witness
from crawl_audit.enrolment import enrolment_text
from crawl_audit.seal import Signer
from crawl_audit.timestamp_token import certificates, verify_token
from crawl_audit.witness import Cosigner
from proxy_addon import anchoring
from proxy_addon.anchor_settings import AnchorSettings
from proxy_addon.anchoring import Anchoring
from proxy_addon.log_directory import LogDirectory
from reports.witness_state import WitnessState
from tests import tsa
from tests.proxy_addon import anchored
from tests.proxy_addon.anchored import LOG, LOG_KEY
from tests.witnesses import listening

WITNESS = Signer.generate("witness.example/w1")
COSIGNER = Cosigner.of(WITNESS.verifier)
FLEET = Signer.generate("fleet.example")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tsa.Authority:
    return tsa.make(tmp_path_factory.mktemp("tsa") / "a")


@pytest.fixture
def tsa_url(authority: tsa.Authority) -> Iterator[str]:
    with tsa.served(authority) as url:
        yield url


@pytest.fixture
def witness_url(tmp_path: Path) -> Iterator[str]:
    with listening(WitnessState(tmp_path / "w", WITNESS, fleet_keys=[FLEET.verifier])) as url:
        yield url


def settings(**given: Any) -> AnchorSettings:
    return AnchorSettings.model_validate({"timeout_s": 10, **given})


def folder(path: Path) -> list[str]:
    return sorted(one.name.partition(".")[2] for one in (path / "checkpoints" / f"{LOG}.anchors").iterdir())


def test_a_head_gets_token_cosignature_and_copy(
    tmp_path: Path, authority: tsa.Authority, tsa_url: str, witness_url: str
) -> None:
    made = anchored.make(tmp_path / "log")
    directory = LogDirectory(tmp_path / "log")
    enrolment = FLEET.sign_note(enrolment_text(LOG, LOG_KEY.verifier.vkey))
    (directory.checkpoints / f"{LOG}.enrolment").write_text(enrolment)
    (tmp_path / "mount").mkdir()
    everybody = settings(
        timestamps=[{"name": "tsa", "url": tsa_url, "ca_file": authority.ca}],
        witnesses=[{"name": "w1", "url": witness_url, "vkey": COSIGNER.vkey}],
        pushes=[{"name": "bucket", "directory": tmp_path / "mount"}],
    )
    anchors = Anchoring(directory, everybody)
    outcome = anchors.show(anchored.shown(made))
    assert (outcome.failures, anchors.faults) == ({}, {})
    assert [receipt.method for receipt in outcome.receipts] == ["rfc3161", "witness", "push"]
    assert folder(tmp_path / "log") == ["bucket.push.json", "checkpoint", "tsa.tsr", "w1.cosigned"]
    kept = directory.checkpoints / f"{LOG}.anchors"
    note = (kept / "000000000003.checkpoint").read_bytes()
    token = (kept / "000000000003.tsa.tsr").read_bytes()
    assert verify_token(token, note, certificates(authority.ca.read_bytes())).at == outcome.receipts[0].stated_at
    cosigned = (kept / "000000000003.w1.cosigned").read_text()
    assert [one.by for one in witness.cosignatures(cosigned, [COSIGNER])] == [COSIGNER]

    anchored.grow(made, 4)
    again = anchors.show(anchored.shown(made))
    assert (len(again.receipts), again.failures) == (3, {}), "the witness is shown that the log has grown"
    assert again.document()["checkpoint_size"] == 7


def test_a_head_that_everybody_has_seen_is_not_shown_again(
    tmp_path: Path, authority: tsa.Authority, tsa_url: str
) -> None:
    anchored.make(tmp_path)
    anchors = Anchoring(
        LogDirectory(tmp_path), settings(timestamps=[{"name": "t", "url": tsa_url, "ca_file": authority.ca}])
    )
    assert [len(outcome.receipts) for outcome in anchors.show_others()] == [1]
    assert anchors.show_others() == []
    last = anchors.show_last(LOG)
    assert last is not None
    assert (last.receipts, last.failures) == ([], {})


def test_a_silent_authority_holds_up_nobody_and_is_asked_again(
    tmp_path: Path, authority: tsa.Authority, tsa_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchoring, "_GRACE_S", 0.0)
    anchored.make(tmp_path)
    failed: list[str] = []
    silent = threading.Event()
    with tsa.served(silent) as url:
        three = [{"name": "silent", "url": url, "ca_file": authority.ca}]
        three += [{"name": "refusing", "url": tsa_url + "none", "ca_file": tmp_path / "other.pem"}]
        (tmp_path / "other.pem").write_bytes(tsa.make(tmp_path / "other").ca.read_bytes())
        three += [{"name": "second", "url": tsa_url, "ca_file": authority.ca}]
        anchors = Anchoring(LogDirectory(tmp_path), settings(timestamps=three, timeout_s=1.5), failed.append)
        (outcome,) = anchors.show_others()
        assert [receipt.authority for receipt in outcome.receipts] == ["second"]
        assert set(outcome.failures) == set(anchors.faults) == {"silent", "refusing"}
        assert failed == ["rfc3161", "rfc3161"]
    with tsa.served(authority) as url:
        mended = [{"name": "silent", "url": url, "ca_file": authority.ca}]
        (again,) = Anchoring(LogDirectory(tmp_path), settings(timestamps=mended)).show_others()
    assert [receipt.authority for receipt in again.receipts] == ["silent"]
    assert folder(tmp_path) == ["checkpoint", "second.tsr", "silent.tsr"]


def test_the_note_that_was_shown_first_is_shown_to_whoever_comes_later(tmp_path: Path) -> None:
    """A token is over octets, so everybody is shown the same, even where a signature is made anew."""
    made = anchored.make(tmp_path / "log")
    anchors = [
        Anchoring(LogDirectory(tmp_path / "log"), settings(pushes=[{"name": name, "directory": tmp_path / name}]))
        for name in ("a", "b")
    ]
    for one, name in zip(anchors, ("a", "b"), strict=True):
        (tmp_path / name).mkdir()
        one.show(anchored.shown(made, signer=LOG_KEY if name == "a" else Signer.generate(LOG_KEY.verifier.name)))
    first, second = ((tmp_path / name / f"{LOG}.000000000003.checkpoint").read_bytes() for name in ("a", "b"))
    assert first == second == anchored.shown(made).octets


def test_a_disk_that_takes_nothing_is_a_failure_of_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anchored.make(tmp_path / "log")
    (tmp_path / "mount").mkdir()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    anchors = Anchoring(
        LogDirectory(tmp_path / "log"), settings(pushes=[{"name": "p", "directory": tmp_path / "mount"}])
    )
    with monkeypatch.context() as patch:
        patch.setattr("proxy_addon.receipts.keep", full)
        (outcome,) = anchors.show_others()
    assert "cannot be kept" in outcome.failures["p"]
    assert len(anchors.show_others()[0].receipts) == 1


def test_logs_that_were_refused_come_after_those_that_were_not(tmp_path: Path) -> None:
    for name in ("node1-20261118T110640Z-00000001", "node1-20261119T110640Z-00000002"):
        anchored.make(tmp_path / "log", 1, name)
    (tmp_path / "mount").mkdir()
    anchors = Anchoring(
        LogDirectory(tmp_path / "log"), settings(pushes=[{"name": "p", "directory": tmp_path / "mount"}])
    )
    newest = tmp_path / "mount" / "node1-20261119T110640Z-00000002.000000000001.checkpoint"
    newest.write_text("another")
    first = anchors.show_others()
    assert [outcome.shown.log[-1] for outcome in first] == ["2", "1"]
    assert [bool(outcome.failures) for outcome in first] == [True, False]
    anchored.make(tmp_path / "log", 1, "node1-20261117T110640Z-00000003")
    assert [outcome.shown.log[-1] for outcome in anchors.show_others()] == ["3", "2"]
    assert anchors.show_others(within_s=-1) == []


def test_a_checkpoint_that_is_none_is_passed_over(tmp_path: Path) -> None:
    anchored.make(tmp_path / "log")
    LogDirectory(tmp_path / "log").checkpoint(LOG).write_text("no note")
    (tmp_path / "mount").mkdir()
    anchors = Anchoring(
        LogDirectory(tmp_path / "log"), settings(pushes=[{"name": "p", "directory": tmp_path / "mount"}])
    )
    assert anchors.show_others() == []
    assert anchors.show_others(besides=LOG) == []


def test_a_log_that_another_process_shows_is_left_to_it(tmp_path: Path) -> None:
    anchored.make(tmp_path / "log")
    (tmp_path / "mount").mkdir()
    anchors = Anchoring(
        LogDirectory(tmp_path / "log"), settings(pushes=[{"name": "p", "directory": tmp_path / "mount"}])
    )
    assert anchors.show_others(ours=lambda log: log != LOG) == []
    assert [outcome.shown.log for outcome in anchors.show_others(ours=lambda log: log == LOG)] == [LOG]
