"""The verification as a whole: the answer's form, progress, what is not checked, logs beside each other."""

from __future__ import annotations

from pathlib import Path

from reports.brought import Brought
from reports.verify import EXIT_CODES, verify
from tests import logs
from tests.reports.tampering import checks, files, verified


def test_the_answer_has_the_form_that_machines_rely_on(sound: logs.LogBuilder) -> None:
    answer = verify(str(sound.root), brought=Brought(trust=(sound.signer.verifier,)))
    assert answer["result"] == "incomplete"
    assert set(answer) == {
        *("result", "checks", "findings", "records", "seals", "logs", "coverage"),
        *("not_checked", "brought", "claims", "generated_at"),
    }
    (log,) = answer["logs"]
    assert (log["log"], log["first_seq"], log["last_seq"], log["closed"]) == (sound.log, 0, 74, True)
    assert (log["decisions"], log["replayed"], log["completions"]) == (30, 30, 30)
    assert log["key"] == sound.signer.verifier.vkey
    assert answer["brought"] == {"pins": 0, "trusted_keys": 1, "witnesses": 0, "tsa_roots": 0}


def test_progress_never_goes_back_and_ends_full(sound: logs.LogBuilder) -> None:
    told: list[tuple[int, int]] = []
    verify(str(sound.root), progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (150, 150)


def test_logs_are_told_apart(root: Path) -> None:
    first = logs.sound(root)
    second = logs.sound(root, "node1-20261118T110800Z-00000002", at=80, previous_log=first.log)
    files(root, "completion")[-1].unlink()
    answer = verified(root, notes=[first.note(), second.note()])
    assert "R3" in checks(answer)
    assert {finding["where"].split()[0] for finding in answer["findings"] if finding["check"] == "R3"} == {second.log}


def test_a_log_directory_without_segments_is_incomplete(root: Path) -> None:
    logs.LogBuilder(root)
    answer = verified(root)
    assert (answer["result"], answer["records"]) == ("incomplete", 0)


def test_what_could_not_be_read_is_listed_as_not_checked(sound: logs.LogBuilder) -> None:
    files(sound.root, "snapshot")[0].write_bytes(b"")
    answer = verified(sound.root)
    assert {"F5", "R3"} <= checks(answer)
    assert any("snapshot" in one["what"] for one in answer["not_checked"])


def test_exit_codes_are_the_ones_documented() -> None:
    assert {result.value: code for result, code in EXIT_CODES.items()} == {"ok": 0, "failed": 1, "incomplete": 3}
