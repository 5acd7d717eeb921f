"""A proof is made by the command, from what the log has, and is refused where it could not be checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crawl_audit.records import Decision
from reports import proof
from reports.evidence import open_evidence
from tests import logs
from tests.reports.command import crawl_audit, refused


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> logs.LogBuilder:
    """A log in order."""
    return logs.sound(tmp_path_factory.mktemp("made") / "audit-log")


def exchange(built: logs.LogBuilder, number: int = 2) -> tuple[int, Decision]:
    """(seq, decision) of one exchange."""
    return [(seq, record) for seq, record in enumerate(built.records) if isinstance(record, Decision)][number]


def test_the_command_writes_a_proof_that_the_command_accepts(built: logs.LogBuilder, tmp_path: Path) -> None:
    _, decision = exchange(built)
    file = tmp_path / "proof.json"
    ran = crawl_audit("explain", built.root, decision.exchange_id, "--proof", file)
    assert ran.code == 0
    assert "Signed head" in ran.out
    assert crawl_audit("verify", file).code == 3, "nothing is held against it"
    pin, key = tmp_path / "pin", tmp_path / "key"
    pin.write_text(built.note())
    key.write_text(built.signer.verifier.vkey + "\n")
    assert crawl_audit("verify", file, "--pin", pin, "--trust", key).code == 0
    file.write_text(file.read_text().replace('"verdict": "', '"verdict": "dis', 1))
    assert crawl_audit("verify", file, "--pin", pin, "--trust", key).code == 1


def test_what_to_leave_out_is_named_on_the_command_line(built: logs.LogBuilder, tmp_path: Path) -> None:
    _, decision = exchange(built)
    file = tmp_path / "proof.json"
    crawl_audit("explain", built.root, decision.exchange_id, "--proof", file, "--withhold", "client, user_agent")
    entry = json.loads(file.read_text())["entries"][0]["entry"]
    assert (entry["client"], entry["user_agent"], entry["target"]) == (None, None, decision.target)
    asked = ("explain", built.root, decision.exchange_id, "--proof", file, "--withhold", "host")
    assert "'host' cannot be withheld" in refused(*asked, code=2)


def test_a_record_under_no_head_gives_no_proof(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "log")
    made.add(logs.run())
    seq = made.add(logs.decision("example.com"))
    made.publish()
    with open_evidence(str(made.root)) as evidence:
        with pytest.raises(proof.NoProofError, match="signed heads of none"):
            proof.make(evidence, made.log, seq)
        with pytest.raises(proof.NoProofError, match="no decision 0"):
            proof.make(evidence, made.log, 0)


def test_a_range_of_which_records_are_missing_gives_no_proof(tmp_path: Path) -> None:
    made = logs.sound(tmp_path / "log", count=6)
    seq, _ = exchange(made, 0)
    next((made.root / "segments" / made.log).glob("000000000000-*/snapshot.parquet")).unlink()
    with open_evidence(str(made.root)) as evidence, pytest.raises(proof.NoProofError, match=r"only \d+ are here"):
        proof.make(evidence, made.log, seq)
