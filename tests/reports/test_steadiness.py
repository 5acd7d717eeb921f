"""A verification of a log that is written meanwhile finds what it finds in the log at rest, or says that it cannot."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy_addon import merging
from proxy_addon.log_directory import LogDirectory
from reports import steadiness, verify, verify_records, verify_seals
from reports.evidence import open_evidence
from reports.steadiness import ChangedError
from tests import logs
from tests.reports.command import crawl_audit

Meddle = Callable[[], object]


def errors(answer: dict[str, Any]) -> list[str]:
    return [f"{one['check']} {one['message']}" for one in answer["findings"] if one["severity"] == "error"]


def meddling(monkeypatch: pytest.MonkeyPatch, meddle: Meddle, *, times: int = 1) -> list[int]:
    """Let ``meddle`` happen in the middle of a verification, at most so often; one item for each attempt."""
    attempts: list[int] = []
    check = verify_seals.check

    def meddled(*given: Any) -> None:
        if len(attempts) < times:
            meddle()
        attempts.append(1)
        check(*given)

    monkeypatch.setattr(verify_seals, "check", meddled)
    return attempts


def merge(root: Path, log: str) -> None:
    (root / "tmp").mkdir(exist_ok=True)
    assert merging.merge(LogDirectory(root), log, least=2).after == 1


def test_a_merge_in_the_middle_makes_it_start_again(sound: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = meddling(monkeypatch, lambda: merge(sound.root, sound.log))
    assert errors(verify.verify(str(sound.root))) == []
    assert len(attempts) == 2


def test_files_that_vanish_between_two_checks_are_no_missing_records(
    sound: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records are read after the seals: every one of them would be missing."""
    read_tree = verify_records.read_tree
    meddled: list[int] = []

    def then_merged(*given: Any) -> Any:
        tree = read_tree(*given)
        if not meddled:
            meddled.append(1)
            merge(sound.root, sound.log)
        return tree

    monkeypatch.setattr(verify_records, "read_tree", then_merged)
    assert errors(verify.verify(str(sound.root))) == []


def test_a_log_that_is_changed_in_every_attempt_is_told_of_in_one_sentence(
    sound: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = next((sound.root / "segments" / sound.log).iterdir())
    attempts = meddling(monkeypatch, lambda: os.utime(place, ns=(1, len(attempts))), times=9)
    with pytest.raises(ChangedError, match="changed while it was read: run the command again, or copy"):
        verify.verify(str(sound.root))
    assert len(attempts) == 3


def test_the_command_says_so_without_a_result(sound: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steadiness.Listed, "is_unchanged", lambda _: False)
    ran = crawl_audit("verify", sound.root)
    assert (ran.code, ran.out) == (3, "")
    assert "changed while it was read" in ran.err


def test_what_is_published_meanwhile_is_no_part_of_the_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer checkpoint than the segments that were listed is none that the log falls short of."""
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.publish()

    def publish() -> None:
        made.add(logs.snapshot("www.example", None))
        made.publish()

    attempts = meddling(monkeypatch, publish)
    answer = verify.verify(str(root))
    assert errors(answer) == []
    assert len(attempts) == 1
    assert answer["seals"] == 1


def test_an_error_counts_only_if_it_comes_again_in_a_log_that_is_being_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.publish()
    note = root / "checkpoints" / f"{made.log}.checkpoint"
    signed = note.read_bytes()
    note.write_bytes(signed.replace(b"\n1\n", b"\n7\n"))
    attempts = meddling(monkeypatch, lambda: note.write_bytes(signed))
    assert errors(verify.verify(str(root))) == []
    assert len(attempts) == 2


def test_an_error_in_a_log_at_rest_is_found_at_once(sound: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    note = sound.root / "checkpoints" / f"{sound.log}.checkpoint"
    note.write_text("no note")
    attempts = meddling(monkeypatch, lambda: None)
    assert verify.verify(str(sound.root))["result"] == "failed"
    assert len(attempts) == 1


def test_an_error_while_a_custodian_is_at_work_does_not_count(
    sound: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a custody record says is gone may be there still."""
    (sound.root / "checkpoints" / f"{sound.log}.checkpoint").write_text("no note")
    monkeypatch.setattr(verify, "_CUSTODIAN_S", 0.0)
    held = os.open(sound.root / "segments", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with pytest.raises(ChangedError):
            verify.verify(str(sound.root))
    finally:
        os.close(held)
    assert verify.verify(str(sound.root))["result"] == "failed"


@pytest.mark.parametrize("what", ["file replaced", "file gone", "file added", "segment gone", "custodian log"])
def test_every_change_to_what_was_listed_shows(sound: logs.LogBuilder, what: str) -> None:
    segment = min((sound.root / "segments" / sound.log).iterdir())
    file = segment / "seal.parquet"
    with open_evidence(str(sound.root)) as evidence:
        assert evidence.listed is not None
        assert evidence.listed.is_unchanged()
        if what == "file replaced":
            copy = sound.root / "copy"
            copy.write_bytes(file.read_bytes())
            copy.replace(file)
        elif what == "file gone":
            file.unlink()
        elif what == "file added":
            (segment / "withheld.parquet").touch()
        elif what == "segment gone":
            segment.rename(sound.root / "elsewhere")
        else:
            (sound.root / "segments" / "custodian-20261121T000000Z-00000000").mkdir()
        assert not evidence.listed.is_unchanged()


def test_a_directory_that_vanishes_while_it_is_listed_is_a_change(
    sound: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reports import evidence_form

    def vanish(*_: object) -> object:
        raise FileNotFoundError

    monkeypatch.setattr(evidence_form, "walk", vanish)
    with pytest.raises(ChangedError), open_evidence(str(sound.root)):
        pass


def test_nothing_false_is_found_while_segments_are_published_and_merged(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.publish()
    (root / "tmp").mkdir()
    stop, merges = threading.Event(), []

    def grow() -> None:
        while not stop.is_set():
            for _ in range(2):
                made.add(logs.snapshot("www.example", None))
                made.publish()
            merges.append(merging.merge(LogDirectory(root), made.log, least=2))
            stop.wait(0.5)

    grower = threading.Thread(target=grow)
    grower.start()
    answers: list[dict[str, Any]] = []
    try:
        while len(answers) < 4 or len(merges) < 3:
            try:
                answers.append(verify.verify(str(root)))
            except ChangedError:
                continue
    finally:
        stop.set()
        grower.join()
    assert [errors(answer) for answer in answers] == [[]] * len(answers)
    assert answers[-1]["seals"] > 1
