"""Attacks by somebody with a key of their own and the right to write: what another key says excuses nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import records
from crawl_audit.records import Instant
from crawl_audit.seal import EMPTY_ROOT, checkpoint_text, origin
from tests import logs
from tests.logs import ROBOTS, LogBuilder, after
from tests.reports.tampering import checks, files, rewrite, verified

HOST = "a.example.com"


def custody(log: str, seq: int) -> records.Custody:
    return records.Custody(
        recorded_at=after(1000),
        event="pruned",
        hold=None,
        subject_log=log,
        first_seq=seq,
        last_seq=seq,
        rows=1,
        fields=(),
        leaves_sha256="0" * 64,
        scope=None,
        reason="policy",
        custodian="dpo",
    )


def other_log(root: Path, name: str, event: str, *said: records.Record) -> LogBuilder:
    """A log of somebody else's in the same directory."""
    made = LogBuilder(root, f"{name}-20261119T000000Z-0000000c", signing=True)
    made.add(logs.run(event, after(1000), checkpoint_key=made.signer.verifier.vkey))
    for record in said:
        made.add(record)
    made.close(after(1001))
    return made


def without_a_completion(sound: LogBuilder) -> int:
    """Take the first completion away; its number."""
    file = files(sound.root, "completion")[0]
    with duckdb.connect() as connection:
        ((seq,),) = connection.execute("SELECT min(seq) FROM read_parquet(?)", [str(file)]).fetchall()
    rewrite(file, f"SELECT * FROM t WHERE seq <> {seq}")
    return int(seq)


def test_one_pruned_record_does_not_hide_a_change_of_its_neighbour(sound: LogBuilder) -> None:
    note = sound.note()
    gone = without_a_completion(sound)
    rewrite(files(sound.root, "decision")[0], "SELECT * REPLACE ('other' AS crawler) FROM t")
    other_log(sound.root, "custodian", "custody", custody(sound.log, gone))
    assert "R3" in checks(verified(sound.root, notes=[note]))


def test_custody_in_a_log_that_is_no_custodians_counts_for_nothing(sound: LogBuilder) -> None:
    gone = without_a_completion(sound)
    other_log(sound.root, "node2", "start", custody(sound.log, gone))
    assert "P2" in checks(verified(sound.root))


def test_a_custodian_log_holds_no_requests(sound: LogBuilder) -> None:
    made = other_log(sound.root, "custodian", "custody", logs.robots_body(ROBOTS, after(1000)))
    assert checks(verified(sound.root)) == {"P2"}, made.log


def test_a_custodian_log_that_nobody_signed_counts_for_nothing(sound: LogBuilder) -> None:
    made = other_log(sound.root, "custodian", "custody")
    (sound.root / "checkpoints" / f"{made.log}.checkpoint").unlink()
    assert "P2" in checks(verified(sound.root))


def rewritten(sound: LogBuilder) -> dict[str, Any]:
    """A log written anew, and signed with the key of a later log, both by somebody without the key of the first."""
    shutil.rmtree(sound.root)
    made = logs.sound(sound.root, sound.log, count=10)
    later = LogBuilder(sound.root, "node1-20261119T000000Z-0000000f", signing=True)
    later.start(after(500), previous_log=made.log)
    later.close(after(501))
    made.checkpoint(signer=later.signer)
    return verified(sound.root, trust=[made.signer.verifier])


def test_a_later_log_signs_for_none_but_one_that_it_recovered(sound: LogBuilder) -> None:
    assert checks(rewritten(sound)) == {"S5"}


def test_the_key_of_the_log_that_recovered_another_needs_a_word_too(root: Path) -> None:
    made = LogBuilder(root, signing=True)
    made.start(after(0))
    made.seal(after(1), reason="recovered")
    made.publish(after(1))
    later = LogBuilder(root, "node1-20261119T000000Z-0000000f", signing=True)
    later.start(after(500), previous_log=made.log)
    later.close(after(501))
    made.checkpoint(signer=later.signer)
    answer = verified(root, trust=[made.signer.verifier])
    assert (f"{made.log} checkpoint", "H6") in {(one["where"], one["check"]) for one in answer["findings"]}
    sure = verified(root, trust=[made.signer.verifier, later.signer.verifier])
    assert "H6" not in checks(sure, "warning")


def test_a_pin_of_nothing_vouches_for_no_key(sound: LogBuilder) -> None:
    pin = sound.signer.sign_note(checkpoint_text(origin(sound.log), 0, EMPTY_ROOT))
    assert {"H5", "H6"} <= checks(verified(sound.root, notes=[pin]), "warning")


def test_a_size_of_thousands_of_digits_is_a_finding(sound: LogBuilder) -> None:
    file = sound.root / "checkpoints" / f"{sound.log}.checkpoint"
    lines = file.read_text(encoding="utf-8").split("\n")
    file.write_text("\n".join([lines[0], "9" * 5000, *lines[2:]]), encoding="utf-8")
    assert checks(verified(sound.root)) == {"H1"}


def test_a_gap_in_which_nothing_left_excuses_nothing(root: Path) -> None:
    made = LogBuilder(root, signing=True)
    made.start(after(0))
    made.add(
        records.Gap(
            recorded_at=after(41),
            cause="disk_full",
            first_at=Instant(0),
            last_at=after(40),
            requests=0,
            kept=0,
            first_seq=None,
            last_seq=None,
            file_sha256=None,
            detail="x",
        )
    )
    made.close(after(42))
    assert checks(verified(root)) == {"G2"}


def test_a_manifest_that_is_none_of_an_export_declares_nothing(sound: LogBuilder) -> None:
    (sound.root / "manifest.json").write_text('{"withheld": []}', encoding="utf-8")
    assert "F3" in checks(verified(sound.root))
