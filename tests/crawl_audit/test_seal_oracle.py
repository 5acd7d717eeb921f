"""Trees, proofs and notes are those of an independent implementation, whose answers are frozen in tests/golden.

tests/golden/tlog_oracle.json was computed with aics-tlog (Apache-2.0), which shares no code with this project; it needs
another release of `cryptography` than the proxy, so it is not a dependency.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crawl_audit import seal

ORACLE: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "golden" / "tlog_oracle.json").read_text(encoding="utf-8")
)
SIZES = [int(size) for size in ORACLE["sizes"]]
LEAVES = [seal.leaf_hash(f"leaf {number}".encode()) for number in range(max(SIZES))]


def digest(proofs: list[list[bytes]]) -> str:
    return hashlib.sha256(b"".join(node for proof in proofs for node in proof)).hexdigest()


@pytest.mark.parametrize("size", SIZES)
def test_the_root_of_a_tree_is_the_oracles(size: int) -> None:
    assert seal.merkle_root(LEAVES[:size]).hex() == ORACLE["sizes"][str(size)]["root"]


@pytest.mark.parametrize("size", SIZES)
def test_every_inclusion_proof_is_the_oracles(size: int) -> None:
    proofs = [seal.inclusion_proof(index, LEAVES[:size]) for index in range(size)]
    assert digest(proofs) == ORACLE["sizes"][str(size)]["inclusion_sha256"]


@pytest.mark.parametrize("size", SIZES)
def test_every_consistency_proof_is_the_oracles(size: int) -> None:
    proofs = [seal.consistency_proof(old, LEAVES[:size]) for old in range(1, size + 1)]
    assert digest(proofs) == ORACLE["sizes"][str(size)]["consistency_sha256"]


def test_a_checkpoint_is_signed_to_the_octet_as_the_oracle_signs_it() -> None:
    frozen = ORACLE["note"]
    origin = "crawl-audit/node1-20261118T110640Z-00000001"
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(frozen["private_key"]))
    signer = seal.Signer(origin, key)
    text = seal.checkpoint_text(origin, len(LEAVES), seal.merkle_root(LEAVES))
    assert signer.verifier.vkey == frozen["vkey"]
    assert signer.sign_note(text) == frozen["note"]
    assert seal.verify_note(frozen["note"], [seal.Verifier.parse(frozen["vkey"])])


def test_a_signature_by_a_witness_that_is_not_known_does_not_disturb_that_of_the_log() -> None:
    note = ORACLE["cosigned"]["note"]
    assert len(seal.parse_note(note).signatures) == 2
    (verifier,) = seal.verify_note(note, [seal.Verifier.parse(ORACLE["note"]["vkey"])])
    assert verifier.vkey == ORACLE["note"]["vkey"]
