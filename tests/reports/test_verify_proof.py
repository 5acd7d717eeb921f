"""A proof of one decision is accepted alone, and no octet of it can be changed unnoticed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crawl_audit import proof_text
from crawl_audit.enrolment import enrolment_text
from crawl_audit.proof import Proof
from crawl_audit.records import Basis, Decision, Verdict
from crawl_audit.seal import Signer
from crawl_audit.witness import cosign
from reports import proof as making
from reports import verify_proof
from reports.evidence import open_evidence
from tests import logs

FLEET = Signer.generate("fleet.example.org/key")


def proof_of(built: logs.LogBuilder, wanted: Callable[[Decision], bool], **options: Any) -> Proof:
    """The proof of the first decision that is as wanted."""
    seq = next(i for i, r in enumerate(built.records) if isinstance(r, Decision) and wanted(r))
    with open_evidence(str(built.root)) as evidence:
        return making.make(evidence, built.log, seq, **options)


def disallowed(decision: Decision) -> bool:
    return decision.verdict is Verdict.DISALLOWED


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> logs.LogBuilder:
    """A log whose key is enrolled by the fleet's."""
    made = logs.sound(tmp_path_factory.mktemp("proof") / "audit-log")
    text = enrolment_text(made.log, made.signer.verifier.vkey)
    (made.root / "checkpoints" / f"{made.log}.enrolment").write_text(FLEET.sign_note(text))
    return made


@pytest.fixture(scope="module")
def proof(built: logs.LogBuilder) -> Proof:
    return proof_of(built, disallowed)


class Checker:
    """Writes what it is given to a file and checks that; with a key and a pin that fit unless told otherwise."""

    def __init__(self, directory: Path, built: logs.LogBuilder) -> None:
        self.file = directory / "proof.json"
        self.good: dict[str, Any] = {"pins": [built.note()], "trust": [FLEET.verifier]}

    def __call__(self, content: Proof | bytes, **outside: Any) -> dict[str, Any]:
        octets = content if isinstance(content, bytes) else proof_text.to_text(content).encode()
        self.file.write_bytes(octets)
        return verify_proof.verify(self.file, **(outside or self.good))

    def checks(self, content: Proof | bytes, **outside: Any) -> set[str]:
        """Ids of the errors."""
        answer = self(content, **outside)
        return {one["check"] for one in answer["findings"] if one["severity"] == "error"}


@pytest.fixture
def check(tmp_path: Path, built: logs.LogBuilder) -> Checker:
    return Checker(tmp_path, built)


def test_a_proof_is_accepted_alone_with_what_the_auditor_holds(check: Checker, proof: Proof) -> None:
    answer = check(proof)
    assert (answer["result"], answer["findings"]) == ("ok", [])
    assert len(answer["claims"]) == 2
    (log,) = answer["logs"]
    assert (log["replayed"], {one["level"] for one in log["levels"]}) == (1, {"A3"})
    assert [one["what"] for one in answer["not_checked"]] == ["open question", "open question"]


def test_without_pin_and_key_it_is_incomplete(check: Checker, proof: Proof) -> None:
    answer = check(proof, trust=[])
    assert answer["result"] == "incomplete"
    assert {one["check"] for one in answer["findings"]} == {"H5", "H6"}
    assert {one["level"] for one in answer["logs"][0]["levels"]} == {"A0"}


def test_a_proof_is_small_and_withholds_the_client(proof: Proof) -> None:
    text = proof_text.to_text(proof)
    assert len(text) < 12_000
    assert "10.0.0.7" not in text
    assert "AlphaBot/1.0" in text
    assert logs.SALT.hex() not in text, "the salt of the row would disclose what is withheld"


def test_more_can_be_withheld_but_only_what_is_sensitive(check: Checker, built: logs.LogBuilder) -> None:
    bare = proof_of(built, disallowed, withheld=("client", "user_agent", "target"))
    assert logs.TARGETS[1] not in json.dumps(bare.entries[0].entry)
    answer = check(bare)
    assert (answer["result"], {one["check"] for one in answer["findings"]}) == ("incomplete", {"D3"})
    with pytest.raises(making.UsageError, match="'host' cannot be withheld"):
        proof_of(built, disallowed, withheld=("host",))
    assert "10.0.0.7" in proof_text.to_text(proof_of(built, disallowed, withheld=()))


@pytest.mark.parametrize(
    "wanted",
    [
        lambda d: d.basis is Basis.ROBOTS_TXT,
        lambda d: d.basis is Basis.UNAVAILABLE,
        lambda d: d.basis is Basis.NO_RULE,
        lambda d: d.basis is Basis.RULE and d.verdict is Verdict.ALLOWED,
    ],
)
def test_every_kind_of_verdict_can_be_proved(
    check: Checker, built: logs.LogBuilder, wanted: Callable[[Decision], bool]
) -> None:
    assert check(proof_of(built, wanted))["result"] == "ok"


def flipped(value: Any) -> Iterator[Any]:
    """Every value that differs from ``value`` in one octet of text, one number or one truth."""
    if isinstance(value, dict):
        for name in value:
            yield from ({**value, name: other} for other in flipped(value[name]))
            yield from (
                {**{k: v for k, v in value.items() if k != name}, other: value[name]} for other in flipped(name)
            )
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from ([*value[:index], other, *value[index + 1 :]] for other in flipped(item))
            if not isinstance(item, dict):  # a completion may be left out; test_parts_left_out_are_missed
                yield value[:index] + value[index + 1 :]
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, str(value), float(value))
    elif isinstance(value, str):
        for index, character in enumerate(value):
            yield value[:index] + chr(ord(character) ^ 1) + value[index + 1 :]
    else:
        yield from ("", 0)


def test_no_octet_of_it_can_be_changed(check: Checker, proof: Proof) -> None:
    whole = json.loads(proof_text.to_text(proof))
    assert check(json.dumps(whole).encode())["result"] == "ok", "white space says nothing"
    changed = 0
    for number, other in enumerate(flipped(whole)):
        if number % 5:  # all of them take a minute; every fifth, from another start each, meets every field
            continue
        changed += 1
        answer = check(json.dumps(other).encode())
        if answer["result"] != "failed":
            found = [one["check"] for one in answer["findings"]]
            if other["enrolment"] != whole["enrolment"]:
                assert found == ["H6"], "the name of whoever enrolled: then nobody the auditor trusts has"
            else:
                assert other["disclaimers"] != whole["disclaimers"], "nothing else is worded as one likes"
                assert found == ["F3"]
            assert answer["result"] == "incomplete"
    assert changed > 1000


def test_a_database_whose_check_sum_begins_like_a_proof_is_a_database(tmp_path: Path) -> None:
    path = tmp_path / "bundle.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t (i INTEGER)")
    octets = path.read_bytes()
    for start in (b"{", b" {", b"\n\t{"):
        path.write_bytes(start + octets[len(start) :])
        assert not verify_proof.is_proof(path)


def test_cut_off_anywhere_it_is_refused(check: Checker, proof: Proof) -> None:
    octets = proof_text.to_text(proof).rstrip().encode()
    for length in range(0, len(octets), 53):
        assert check.checks(octets[:length]) == {"F3"}


def test_a_key_twice_is_refused(check: Checker, proof: Proof) -> None:
    text = proof_text.to_text(proof)
    twice = text.replace('"tree_size":', '"tree_size": 1, "tree_size":', 1)
    assert check.checks(twice.encode()) == {"F3"}
    inside = text.replace('"host":', '"host": "other.example", "host":', 1)
    assert check.checks(inside.encode()) == {"F3"}


def test_a_file_that_is_too_large_is_not_read(check: Checker) -> None:
    assert check.checks(b"{" + b" " * proof_text.BYTES_MAX) == {"F4"}
    assert check.checks(b"[" * 100_000) == {"F3"}


def test_another_history_than_that_of_a_pin_is_found(check: Checker, proof: Proof, built: logs.LogBuilder) -> None:
    lines = built.note().split("\n")
    lines[2] = base64.b64encode(bytes(32)).decode()
    other = built.signer.sign_note("\n".join(lines[:3]) + "\n")
    assert check.checks(proof, pins=[other]) == {"H4"}
    answer = check(proof, pins=[built.note(1)], trust=[FLEET.verifier])
    assert (answer["result"], [one["check"] for one in answer["findings"]]) == ("incomplete", ["H5", "H5"])
    assert check.checks(proof, pins=["no note"]) == {"H1"}
    stranger = Signer.generate(built.note().split("\n")[0])
    assert check.checks(proof, pins=[built.note(signer=stranger)]) == {"H1"}


def test_a_witness_confirms_a_head(check: Checker, proof: Proof) -> None:
    witness = Signer.generate("witness.example.net/w1")
    line = cosign(witness, proof.checkpoint.partition("\n\n")[0] + "\n", 1_795_000_100)
    answer = check(
        replace(proof, checkpoint=proof.checkpoint + line), witnesses=[witness.verifier], trust=[FLEET.verifier]
    )
    assert answer["result"] == "ok"
    assert answer["logs"][0]["levels"][0]["by"] == "witness witness.example.net/w1"


def test_a_head_signed_by_another_key_is_refused(check: Checker, proof: Proof) -> None:
    text = proof.checkpoint.partition("\n\n")[0] + "\n"
    stranger = Signer.generate(text.split("\n")[0])
    assert check.checks(replace(proof, checkpoint=stranger.sign_note(text))) == {"S5"}


def test_an_enrolment_by_a_stranger_or_of_another_log_is_refused(
    check: Checker, proof: Proof, built: logs.LogBuilder
) -> None:
    stranger = Signer.generate("stranger.example/key")
    vkey = built.signer.verifier.vkey
    by_stranger = stranger.sign_note(enrolment_text(proof.log, vkey))
    answer = check(replace(proof, enrolment=by_stranger))
    assert (answer["result"], [one["check"] for one in answer["findings"]]) == ("incomplete", ["H6"])
    other_log = FLEET.sign_note(enrolment_text("node2-20261118T110640Z-00000001", vkey))
    assert check.checks(replace(proof, enrolment=other_log)) == {"H1"}
    assert check(replace(proof, enrolment=None))["result"] == "incomplete"
    assert check(replace(proof, enrolment=None), pins=[built.note()], trust=[built.signer.verifier])["result"] == "ok"


def test_parts_left_out_are_missed(check: Checker, proof: Proof) -> None:
    def without(kind: str) -> Proof:
        return replace(proof, entries=tuple(one for one in proof.entries if one.entry["k"] != kind))

    assert check.checks(without("decision")) == {"F3"}
    assert "F3" in check.checks(without("run"))
    assert check.checks(without("robots_body")) == {"B3"}
    assert check(replace(without("robots_body"), robots_txt=None))["result"] == "incomplete"
    assert check.checks(without("snapshot")) == {"B2"}
    left_out = check(without("completion"))
    assert "completion" in {one["what"] for one in left_out["not_checked"]}


def test_a_log_finished_after_a_crash_is_proved_with_its_successor(tmp_path: Path, check: Checker) -> None:
    root = tmp_path / "log"
    dead = logs.sound(root, count=6)
    heir = logs.LogBuilder(root, "node1-20261118T120000Z-00000002", signing=True)
    heir.start(previous_log=dead.log)
    heir.close()
    dead.checkpoint(heir.signer)
    made = proof_of(dead, disallowed)
    assert made.signed_by is not None
    assert check(made, pins=[dead.note()], trust=[heir.signer.verifier])["result"] == "ok"
    assert check.checks(replace(made, signed_by=None), trust=[]) == {"S5"}
    stranger = logs.sound(tmp_path / "other", "node3-20261118T120000Z-00000003", count=6)
    assert "S5" in check.checks(replace(made, signed_by=proof_of(stranger, disallowed)), trust=[])


def test_a_head_that_covers_unpublished_seals_gives_no_proof(tmp_path: Path) -> None:
    made = logs.sound(tmp_path / "log", count=6)
    made.seal()
    made.checkpoint()
    with pytest.raises(making.NoProofError, match="let `crawl-audit-proxy seal` publish first"):
        proof_of(made, disallowed)
    anchors = made.root / "checkpoints" / f"{made.log}.anchors"
    anchors.mkdir()
    size = made.seals - 1
    (anchors / f"{size:012d}.checkpoint").write_text(made.note(size))
    assert proof_of(made, disallowed).tree_size == size


def test_what_is_a_proof_is_told_by_its_first_octet(tmp_path: Path, check: Checker, proof: Proof) -> None:
    check(proof)
    assert verify_proof.is_proof(check.file)
    assert not verify_proof.is_proof(tmp_path)
    other = tmp_path / "bundle.duckdb"
    other.write_bytes(b"\x00DUCK{")
    assert not verify_proof.is_proof(other)
