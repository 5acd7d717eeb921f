"""A witness answers as C2SP tlog-witness says, signs one history only, and forgets nothing when it is restarted."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from crawl_audit import witness
from crawl_audit.enrolment import enrolment_text
from crawl_audit.errors import ConfigurationError
from crawl_audit.seal import (
    Signer,
    checkpoint_text,
    consistency_proof,
    leaf_hash,
    merkle_root,
    origin,
    parse_note,
    verify_note,
)
from crawl_audit.witness import Cosigner
from reports.witness_state import Reply, WitnessState

LOG = "node1-20261118T110640Z-00000001"
ORIGIN = origin(LOG)
LOG_KEY = Signer.generate(ORIGIN)
FLEET = Signer.generate("fleet.example")
WITNESS = Signer.generate("witness.example/w1")
COSIGNER = Cosigner.of(WITNESS.verifier)
LEAVES = [leaf_hash(bytes([i])) for i in range(40)]
OTHER = [*LEAVES[:3], leaf_hash(b"other"), *LEAVES[4:]]


def note(size: int, leaves: list[bytes] = LEAVES, *, by: Signer = LOG_KEY, of: str = ORIGIN) -> str:
    return by.sign_note(checkpoint_text(of, size, merkle_root(leaves[:size])))


def body(old: int, size: int, leaves: list[bytes] = LEAVES, **changes: object) -> bytes:
    return witness.submission(old, consistency_proof(old, leaves[:size]), note(size, leaves, **changes))  # type: ignore[arg-type]


@pytest.fixture
def state(tmp_path: Path) -> WitnessState:
    return opened(tmp_path)


def opened(path: Path, **changes: object) -> WitnessState:
    given = {"log_keys": [LOG_KEY.verifier], "fleet_keys": [FLEET.verifier], **changes}
    return WitnessState(path / "state", WITNESS, **given)  # type: ignore[arg-type]


def size_of(reply: Reply) -> int:
    assert reply.content_type == "text/x.tlog.size"
    assert reply.body.endswith("\n")
    return int(reply.body)


def test_a_first_head_is_signed_and_the_answer_is_a_cosignature(state: WitnessState) -> None:
    reply = state.add(body(0, 5))
    assert reply.status == 200
    held = witness.cosignatures(note(5) + reply.body, [COSIGNER])
    assert [one.by for one in held] == [COSIGNER]


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 5), (4, 8), (7, 8), (8, 9), (5, 40)])
def test_a_head_that_extends_the_last_is_signed(state: WitnessState, old: int, new: int) -> None:
    assert state.add(body(0, old)).status == 200
    assert state.add(body(old, new)).status == 200


def test_the_same_head_may_be_signed_again(state: WitnessState) -> None:
    assert [state.add(body(0, 5)).status, state.add(body(5, 5)).status] == [200, 200]


def test_an_empty_log_may_be_signed(state: WitnessState) -> None:
    assert [state.add(body(0, 0)).status, state.add(body(0, 3)).status] == [200, 200]


def test_a_request_in_another_form_is_400(state: WitnessState) -> None:
    assert state.add(b"").status == 400
    assert state.add(body(0, 5).replace(b"old 0", b"old 00")).status == 400
    assert state.add(body(0, 5).replace(b"old 0", b"old 6")).status == 400, "old size beyond the checkpoint's"


def test_a_log_that_is_not_known_is_404(state: WitnessState) -> None:
    assert state.add(body(0, 5, of="crawl-audit/another")).status == 404


@pytest.mark.parametrize("by", [Signer.generate(ORIGIN), Signer.generate("x")], ids=["same name", "other name"])
def test_a_head_no_trusted_key_has_signed_is_403(state: WitnessState, by: Signer) -> None:
    assert state.add(body(0, 5, by=by)).status == 403


def test_a_head_whose_signature_is_broken_is_403(state: WitnessState) -> None:
    forged = note(5).replace(checkpoint_text(ORIGIN, 5, merkle_root(LEAVES[:5])), checkpoint_text(ORIGIN, 4, bytes(32)))
    assert state.add(witness.submission(0, [], forged)).status == 403


def test_another_old_size_is_409_with_the_one_that_counts(state: WitnessState) -> None:
    assert size_of(state.add(body(3, 5))) == 0
    state.add(body(0, 5))
    replies = [state.add(body(old, 9)) for old in (0, 3, 6)]
    assert [(reply.status, size_of(reply)) for reply in replies] == [(409, 5)] * 3


def test_another_root_of_the_same_size_is_409(state: WitnessState) -> None:
    state.add(body(0, 5))
    reply = state.add(body(5, 5, OTHER))
    assert (reply.status, size_of(reply)) == (409, 5)


def test_a_history_that_does_not_extend_the_last_is_422_however_it_is_proven(state: WitnessState) -> None:
    """A split view: the operator has two logs of one name and wants both signed."""
    state.add(body(0, 5))
    assert state.add(body(5, 9, OTHER)).status == 422
    proof = consistency_proof(5, LEAVES[:9])
    for tried in (proof, proof[:-1], [*proof, proof[0]], [], [bytes(32)] * 3):
        assert state.add(witness.submission(5, tried, note(9, OTHER))).status == 422
    assert state.add(body(5, 9)).status == 200


def test_a_first_head_with_a_proof_is_422(state: WitnessState) -> None:
    assert state.add(witness.submission(0, [bytes(32)], note(5))).status == 422


def test_nothing_that_is_refused_changes_what_is_remembered(state: WitnessState, tmp_path: Path) -> None:
    state.add(body(0, 5))
    stored = {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()}
    for request in (b"", body(5, 9, OTHER), body(3, 9), body(5, 5, OTHER), body(5, 9, by=FLEET)):
        assert state.add(request).status != 200
    assert {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()} == stored
    assert state.add(body(5, 9)).status == 200


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    state = opened(tmp_path)
    state.add(body(0, 5))
    state.close()
    again = opened(tmp_path)
    assert size_of(again.add(body(0, 3, OTHER))) == 5
    assert again.add(body(5, 9, OTHER)).status == 422
    assert again.add(body(5, 9)).status == 200
    again.close()


def test_what_is_stored_is_a_cosigned_note_that_can_serve_as_a_pin(state: WitnessState, tmp_path: Path) -> None:
    noise = Signer.generate("noise").sign_note(parse_note(note(5)).text).rpartition("\n\n")[2]
    state.add(witness.submission(0, [], note(5) + noise))
    (path,) = (tmp_path / "state").glob("*.checkpoint")
    stored = path.read_text()
    assert verify_note(stored, [LOG_KEY.verifier, COSIGNER]) == (LOG_KEY.verifier, COSIGNER)
    assert "noise" not in stored, "signatures by unknown keys are not kept"


def test_the_signature_is_given_only_after_the_head_is_on_disk(
    state: WitnessState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append("fsync"))
    assert state.add(body(0, 5)).status == 200
    assert len(synced) == 2, "the file and its directory"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert state.add(body(5, 9)).status == 500
    monkeypatch.undo()
    assert size_of(state.add(body(9, 12))) == 5, "what was not stored was not signed"


def test_of_many_concurrent_heads_one_history_is_signed(state: WitnessState) -> None:
    """The race in C2SP tlog-witness: no answer may roll the state back, and no fork may get in between."""
    state.add(body(0, 3))
    replies: dict[int, list[Reply]] = {}
    begin = threading.Barrier(12)

    def submit(number: int) -> None:
        leaves = LEAVES if number % 2 else OTHER
        begin.wait()
        replies[number] = [state.add(body(3, size, leaves)) for size in range(4 + number, 10 + number)]

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    signed = [reply for answers in replies.values() for reply in answers if reply.status == 200]
    assert len(signed) == 1
    assert {reply.status for answers in replies.values() for reply in answers} == {200, 409}


def test_a_log_enrolled_by_the_fleet_is_known_from_then_on(tmp_path: Path) -> None:
    state = opened(tmp_path, log_keys=[])
    assert state.add(body(0, 5)).status == 404
    enrolment = FLEET.sign_note(enrolment_text(LOG, LOG_KEY.verifier.vkey)).encode()
    assert [state.enrol(enrolment).status, state.enrol(enrolment).status] == [200, 200]
    assert state.add(body(0, 5)).status == 200
    state.close()
    again = opened(tmp_path, log_keys=[])
    assert again.add(body(5, 9)).status == 200
    again.close()


def test_a_log_of_a_fleet_may_be_signed_by_the_process_that_recovered_it(tmp_path: Path) -> None:
    state = opened(tmp_path, log_keys=[])
    later = Signer.generate(f"{ORIGIN}2")
    for log, signer in ((LOG, LOG_KEY), (f"{LOG}2", later)):
        assert state.enrol(FLEET.sign_note(enrolment_text(log, signer.verifier.vkey)).encode()).status == 200
    assert state.add(body(0, 5)).status == 200
    assert state.add(body(5, 6, by=later)).status == 200
    state.close()


def test_an_enrolment_by_nobody_known_or_of_a_second_key_is_refused(state: WitnessState) -> None:
    text = enrolment_text(LOG, LOG_KEY.verifier.vkey)
    assert state.enrol(Signer.generate("fleet.example").sign_note(text).encode()).status == 403
    assert state.enrol(b"\xff").status == 400
    assert state.enrol(b"no note").status == 403
    assert state.enrol(FLEET.sign_note(text).encode()).status == 200
    second = enrolment_text(LOG, Signer.generate(ORIGIN).verifier.vkey)
    assert state.enrol(FLEET.sign_note(second).encode()).status == 409


def test_a_key_that_signs_many_logs_is_trusted_for_every_crawl_audit_log(tmp_path: Path) -> None:
    key = Signer.generate("crawl.example/logs")
    state = opened(tmp_path, log_keys=[key.verifier])
    assert state.add(body(0, 5, by=key)).status == 200
    assert state.add(body(0, 5, by=key, of="go.sum database tree")).status == 404
    state.close()


def test_two_witnesses_cannot_have_one_state(state: WitnessState, tmp_path: Path) -> None:
    assert state.vkey == COSIGNER.vkey
    with pytest.raises(ConfigurationError, match="Another witness holds"):
        opened(tmp_path)


@pytest.mark.parametrize("text", ["", note(5), note(5)[:-2]], ids=["empty", "not cosigned", "cut"])
def test_a_state_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    state = opened(tmp_path)
    state.add(body(0, 5))
    state.close()
    (path,) = (tmp_path / "state").glob("*.checkpoint")
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="restore the state directory"):
        opened(tmp_path)


def test_a_state_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        opened(tmp_path)


def test_enrolments_of_a_fleet_that_is_no_longer_configured_do_not_count(tmp_path: Path) -> None:
    state = opened(tmp_path, log_keys=[])
    state.enrol(FLEET.sign_note(enrolment_text(LOG, LOG_KEY.verifier.vkey)).encode())
    state.close()
    again = opened(tmp_path, log_keys=[], fleet_keys=[Signer.generate("f").verifier])
    assert again.add(body(0, 5)).status == 404
    again.close()
