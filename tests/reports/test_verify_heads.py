"""Heads: every bit of a checkpoint, truncation, rebuilding with the same and with another key, old copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from crawl_audit.enrolment import enrolment_text
from crawl_audit.seal import Signer, Verifier, checkpoint_text, merkle_root, origin
from reports import verify_heads, verify_records
from reports.brought import Brought, Pin
from reports.evidence import EvidenceFile, open_evidence
from reports.findings import Findings, Result, Tally
from reports.verify import verify
from tests import logs
from tests.reports.tampering import checks, copied, files, pin, verified


def checkpoint_of(made: logs.LogBuilder) -> Path:
    return made.root / "checkpoints" / f"{made.log}.checkpoint"


def drop_segment(root: Path, number: int) -> None:
    directory = files(root, "seal")[number].parent
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()


def test_with_a_pin_of_the_whole_and_a_trusted_key_a_sound_log_is_ok(sound: logs.LogBuilder) -> None:
    answer = verified(sound.root, notes=[sound.note()], trust=[sound.signer.verifier])
    assert (answer["result"], answer["findings"]) == ("ok", [])
    assert [(one["level"], one["last_seq"]) for one in answer["logs"][0]["levels"]] == [("A0", 74), ("A3", 74)]


def test_with_the_operators_key_alone_it_is_never_ok(sound: logs.LogBuilder) -> None:
    assert checks(verified(sound.root), "warning") == {"H5", "H6"}
    answer = verified(sound.root, trust=[sound.signer.verifier])
    assert (answer["result"], checks(answer, "warning")) == ("incomplete", {"H5"})


def test_what_comes_after_the_pin_is_named(sound: logs.LogBuilder) -> None:
    answer = verified(sound.root, notes=[sound.note(4)], trust=[sound.signer.verifier])
    (finding,) = answer["findings"]
    assert (answer["result"], finding["check"]) == ("incomplete", "H5")
    assert "Records 52 to 74 (seals 4 to 5)" in finding["message"]


def results_of_checkpoints(made: logs.LogBuilder, contents: Iterable[bytes]) -> Iterator[Findings]:
    """What is found with each of these octets in place of the checkpoint."""
    name = f"{made.log}.checkpoint"
    with open_evidence(str(made.root)) as evidence:
        tree, keys = verify_records.read_tree(evidence, made.log), verify_heads.Keys(evidence, Findings())
        for content in contents:
            evidence._small[name] = EvidenceFile(name=name, content=content)
            evidence.findings = Findings()
            verify_heads.check(evidence, tree, keys, Brought(), evidence.findings, Tally(log=made.log))
            yield evidence.findings


def test_every_bit_of_a_checkpoint_counts(sound: logs.LogBuilder) -> None:
    content = checkpoint_of(sound).read_bytes()
    whole = int.from_bytes(content)
    flipped = ((whole ^ 1 << bit).to_bytes(len(content)) for bit in range(8 * len(content)))
    for bit, findings in enumerate(results_of_checkpoints(sound, flipped)):
        assert findings.result is Result.FAILED, f"bit {bit} of {content!r}"
        assert set(findings.counts) & {"H1", "S5"}, findings.listed()


def test_a_checkpoint_cut_off_anywhere_is_found(sound: logs.LogBuilder) -> None:
    content = checkpoint_of(sound).read_bytes()
    for findings in results_of_checkpoints(sound, (content[:end] for end in range(len(content)))):
        assert (findings.result, "H1" in findings.counts) == (Result.FAILED, True)


def test_without_checkpoint_nobody_signed(sound: logs.LogBuilder) -> None:
    checkpoint_of(sound).unlink()
    answer = verified(sound.root, trust=[sound.signer.verifier])
    assert "H1" in checks(answer, "warning")
    assert answer["result"] == "incomplete"


def test_a_checkpoint_of_another_log_is_refused(sound: logs.LogBuilder) -> None:
    leaves = sound.seal_leaves()
    text = checkpoint_text(origin("other-20261118T110640Z-00000001"), len(leaves), merkle_root(leaves))
    checkpoint_of(sound).write_text(sound.signer.sign_note(text), encoding="utf-8")
    assert "H1" in checks(verified(sound.root))


def test_the_end_cut_off_with_its_checkpoint_is_known_only_by_a_pin(sound: logs.LogBuilder) -> None:
    whole = sound.note()
    drop_segment(sound.root, 2)
    checkpoint_of(sound).write_text(sound.note(4), encoding="utf-8")
    alone = verified(sound.root, trust=[sound.signer.verifier])
    assert (alone["result"], checks(alone, "warning")) == ("incomplete", {"S6", "H5"})
    assert "H3" in checks(verified(sound.root, notes=[whole]))


def test_the_end_cut_off_is_known_by_the_checkpoint_left_behind(sound: logs.LogBuilder) -> None:
    drop_segment(sound.root, 2)
    assert "H3" in checks(verified(sound.root))


def test_a_log_that_is_still_written_may_be_ahead_of_its_segments(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.publish()
    made.seal(logs.after(1))
    made.checkpoint()
    (root / "live").mkdir()
    (root / "live" / f"{made.log}.000002.duckdb").write_bytes(b"")
    answer = verified(root)
    assert checks(answer) == set()
    assert {"H3", "S6", "C3"} <= checks(answer, "warning")


def test_a_log_rebuilt_with_the_same_key_is_known_by_a_pin_alone(sound: logs.LogBuilder, tmp_path: Path) -> None:
    rebuilt = logs.sound(tmp_path / "rebuilt", count=29)
    alone = verified(rebuilt.root, trust=[sound.signer.verifier])
    assert (alone["result"], checks(alone, "warning")) == ("incomplete", {"H5"})
    pinned = verified(rebuilt.root, notes=[sound.note(5)], trust=[sound.signer.verifier])
    assert checks(pinned) == {"H4"}


def test_a_log_rebuilt_with_another_key_is_known_by_what_was_trusted(sound: logs.LogBuilder, tmp_path: Path) -> None:
    rebuilt = logs.LogBuilder(tmp_path / "rebuilt", sound.log, signing=True, key_seed="another")
    rebuilt.start()
    rebuilt.publish()
    rebuilt.close()
    assert {"H4", "H1"} & checks(verified(rebuilt.root, notes=[sound.note(2)]))
    assert "H6" in checks(verified(rebuilt.root, trust=[sound.signer.verifier]), "warning")


def test_a_checkpoint_by_a_key_that_no_run_record_names_is_found(sound: logs.LogBuilder) -> None:
    sound.checkpoint(Signer.generate(origin(sound.log)))
    assert checks(verified(sound.root)) == {"S5"}


def test_an_old_copy_restored_is_known_by_a_later_pin(root: Path, tmp_path: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.publish()
    old = copied(root, tmp_path / "old")
    made.close(logs.after(10))
    assert checks(verified(old, notes=[made.note()])) == {"H3"}


def test_a_pin_of_a_log_that_is_not_here_is_found(sound: logs.LogBuilder, tmp_path: Path) -> None:
    other = logs.sound(tmp_path / "other", "node1-20261118T120000Z-00000002")
    assert checks(verified(sound.root, notes=[other.note()])) == {"H7"}


def test_a_log_removed_whole_is_known_by_its_checkpoint(sound: logs.LogBuilder) -> None:
    other = logs.sound(sound.root, "node1-20261118T120000Z-00000002", at=60)
    for number in (5, 4, 3):
        drop_segment(sound.root, number)
    answer = verified(sound.root)
    assert "H3" in checks(answer)
    assert any(finding["where"] == other.log for finding in answer["findings"])


def test_a_malformed_pin_is_a_finding(sound: logs.LogBuilder) -> None:
    bad = Pin(name="x", note="", head=None, fault="It is empty.")
    answer = verify(str(sound.root), brought=Brought(pins=(bad,)), replay=False)
    assert checks(answer) == {"H1"}


def test_a_pin_with_a_broken_signature_is_found(sound: logs.LogBuilder) -> None:
    note = sound.note(2)
    at = note.rindex("=") - 10
    broken = note[:at] + ("A" if note[at] != "A" else "B") + note[at + 1 :]
    assert "H1" in checks(verified(sound.root, notes=[broken]))
    assert pin(broken).head == pin(note).head


def test_a_fleet_key_vouches_for_the_key_it_enrolled(sound: logs.LogBuilder) -> None:
    fleet = Signer.generate("fleet.example")
    note = fleet.sign_note(enrolment_text(sound.log, sound.signer.verifier.vkey))
    (sound.root / "checkpoints" / f"{sound.log}.enrolment").write_text(note, encoding="utf-8")
    assert checks(verified(sound.root, trust=[fleet.verifier]), "warning") == {"H5"}
    assert "H6" in checks(verified(sound.root), "warning")
    assert "H6" in checks(verified(sound.root, trust=[Signer.generate("fleet.example").verifier]), "warning")


def test_a_key_other_than_the_enrolled_one_is_found(sound: logs.LogBuilder) -> None:
    fleet, other = Signer.generate("fleet.example"), Signer.generate(origin(sound.log))
    note = fleet.sign_note(enrolment_text(sound.log, other.verifier.vkey))
    (sound.root / "checkpoints" / f"{sound.log}.enrolment").write_text(note, encoding="utf-8")
    assert "H6" in checks(verified(sound.root, trust=[fleet.verifier]))


def test_a_recovered_log_is_signed_by_the_log_that_recovered_it(root: Path) -> None:
    dead = logs.LogBuilder(root, "node1-20261118T110640Z-00000001", signing=True)
    dead.start()
    dead.seal(reason="recovered")
    dead.publish()
    later = logs.sound(root, "node1-20261118T110700Z-00000002", at=20, previous_log=dead.log)
    dead.checkpoint(later.signer)
    assert checks(verified(root)) == set()
    dead.checkpoint(Signer.generate(origin(later.log)))
    assert "S5" in checks(verified(root))


def test_a_low_order_key_in_a_run_record_is_refused(root: Path) -> None:
    weak = Verifier(name="weak", public_key=bytes([1]) + bytes(31))
    made = logs.LogBuilder(root, signing=True)
    made.add(logs.run(checkpoint_key=weak.vkey))
    made.close()
    assert {"H1", "S5"} <= checks(verified(root))


def test_seals_that_the_checkpoint_does_not_reach_are_signed_by_nobody(sound: logs.LogBuilder) -> None:
    checkpoint_of(sound).write_text(sound.note(3), encoding="utf-8")
    assert "H2" in checks(verified(sound.root))
