"""Every number and hash of a proof is held against the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crawl_audit import schema
from crawl_audit.proof import Proof, ProvedEntry, ProvedSeal, faults
from crawl_audit.seal import Signer, checkpoint_text, inclusion_proof, merkle_root, origin
from tests import logs

LOG = "node1-20261118T110640Z-00000001"
SIGNER = Signer.generate(origin(LOG))


def made(count: int = 5) -> Proof:
    """A proof of the run and a decision in a log of ``count`` records under one seal, the second of three."""
    entries = [schema.parse_entry(logs.entry(logs.run()))]
    entries += [schema.parse_entry(logs.entry(logs.decision("example.com", f"/{n}"))) for n in range(count - 1)]
    leaves = [schema.leaf(entry) for entry in entries]
    builder_seal = schema.parse_entry(
        logs.entry(
            logs.records.Seal(
                recorded_at=logs.START,
                seal_index=1,
                first_seq=10,
                rows=count,
                root=merkle_root(leaves).hex(),
                reason="demand",
                decisions=0,
                forwarded=0,
                completions=0,
                dropped=0,
                in_flight=0,
                monotonic_ms=0,
                settings_sha256="0" * 64,
            )
        )
    )
    tree = [bytes(32), schema.leaf(builder_seal), b"\x01" * 32]
    note = SIGNER.sign_note(checkpoint_text(origin(LOG), 3, merkle_root(tree)))
    proved = tuple(
        ProvedEntry(
            seq=10 + n,
            entry=entries[n],
            leaf_index=n,
            seal_size=count,
            path=tuple(inclusion_proof(n, leaves)),
            seal=1,
        )
        for n in (0, count - 1)
    )
    seal = ProvedSeal(seq=10 + count, entry=builder_seal, index=1, path=tuple(inclusion_proof(1, tree)))
    return Proof(log=LOG, entries=proved, seals=(seal,), robots_txt=None, checkpoint=note, tree_size=3)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 9])
def test_a_proof_that_holds_has_no_faults(count: int) -> None:
    assert list(faults(made(count))) == []
    decision = made(count).of("decision")
    assert decision is not None
    assert decision.seq == 9 + count
    assert made(count).of("tunnel") is None


def found(proof: Proof) -> set[str]:
    return {fault.check for fault in faults(proof)}


def test_an_entry_in_another_place_is_found() -> None:
    proof = made()
    first, last = proof.entries
    for other in (
        replace(last, seq=13),
        replace(last, leaf_index=3),
        replace(last, seal_size=6),
        replace(last, entry={**last.entry, "verdict": "disallowed"}),
        replace(last, path=(*last.path[::-1], bytes(32))),
        replace(last, seal=2),
    ):
        assert found(replace(proof, entries=(first, other))) & {"R2", "R4"}, other
    assert "R1" in found(replace(proof, entries=(first, first)))


def test_a_seal_in_another_place_is_found() -> None:
    proof = made()
    (seal,) = proof.seals
    assert found(replace(proof, seals=(replace(seal, seq=14),))) == {"S2"}
    assert found(replace(proof, seals=(replace(seal, index=0),))) >= {"S1", "H2"}
    assert found(replace(proof, seals=(replace(seal, path=seal.path[:1]),))) == {"H2"}
    assert found(replace(proof, seals=(replace(seal, entry={**seal.entry, "dropped": 1}),))) == {"H2"}
    assert found(replace(proof, seals=(seal, seal))) == {"F3"}
    assert "R4" in found(replace(proof, seals=(replace(seal, entry={**seal.entry, "root": "zz"}),)))


def test_a_head_of_something_else_is_found() -> None:
    proof = made()
    other = checkpoint_text(origin("node2"), 3, bytes(32))
    assert found(replace(proof, checkpoint=Signer.generate("x").sign_note(other))) == {"H1", "H2"}
    assert found(replace(proof, tree_size=4)) == {"H2"}
    assert found(replace(proof, checkpoint="no note")) == {"H1"}
