"""Trees and notes give the published vectors, and refuse everything that is one bit away."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import seal
from crawl_audit.errors import LogFormatError

# The eight inputs and roots used by Certificate Transparency implementations since the first of them.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
LEAVES = [seal.leaf_hash(bytes([i])) for i in range(40)]


def _naive(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 2.1 word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = max(2**i for i in range(10) if 2**i < len(leaves))
    return hashlib.sha256(b"\x01" + _naive(leaves[:k]) + _naive(leaves[k:])).digest()


def test_roots_are_the_published_ones() -> None:
    leaves = [seal.leaf_hash(bytes.fromhex(text)) for text in INPUTS]
    assert [seal.merkle_root(leaves[: n + 1]).hex() for n in range(len(leaves))] == ROOTS
    assert seal.merkle_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70))
def test_the_frontier_agrees_with_the_definition_after_every_leaf(leaves: list[bytes]) -> None:
    frontier = seal.Frontier()
    for count, leaf in enumerate(leaves):
        assert frontier.root() == _naive(leaves[:count])
        frontier.append(leaf)
    assert frontier.size == len(leaves)
    assert frontier.root() == _naive(leaves) == seal.merkle_root(leaves)


@pytest.mark.parametrize("size", range(1, 18))
def test_every_leaf_can_be_proven_and_only_where_it_is(size: int) -> None:
    root = seal.merkle_root(LEAVES[:size])
    for index in range(size):
        proof = seal.inclusion_proof(index, LEAVES[:size])
        assert seal.verify_inclusion(LEAVES[index], index, size, proof, root)
        for other in range(-1, size + 2):
            assert other == index or not seal.verify_inclusion(LEAVES[index], other, size, proof, root)
        assert not seal.verify_inclusion(LEAVES[index + 1], index, size, proof, root)
        assert not seal.verify_inclusion(LEAVES[index], index, size, [*proof, root], root)
        assert not proof or not seal.verify_inclusion(LEAVES[index], index, size, proof[:-1], root)
        for place in range(len(proof)):
            bent = [*proof[:place], bytes(32), *proof[place + 1 :]]
            assert not seal.verify_inclusion(LEAVES[index], index, size, bent, root)


@pytest.mark.parametrize("new", range(18))
def test_every_prefix_is_consistent_and_no_other_tree(new: int) -> None:
    root = seal.merkle_root(LEAVES[:new])
    for old in range(new + 1):
        old_root = seal.merkle_root(LEAVES[:old])
        proof = seal.consistency_proof(old, LEAVES[:new])
        assert seal.verify_consistency(old, new, old_root, root, proof)
        assert not seal.verify_consistency(old, new, bytes(32), root, proof)
        assert not seal.verify_consistency(old, new, old_root, root, [*proof, root])
        assert old in (0, new) or not seal.verify_consistency(old, new, old_root, bytes(32), proof)
        assert not proof or not seal.verify_consistency(old, new, old_root, root, proof[:-1])
        for place in range(len(proof)):
            bent = [*proof[:place], bytes(32), *proof[place + 1 :]]
            assert not seal.verify_consistency(old, new, old_root, root, bent)


def test_a_smaller_tree_never_extends_a_larger_one() -> None:
    assert not seal.verify_consistency(2, 1, LEAVES[0], LEAVES[0], [])
    assert not seal.verify_consistency(0, 0, bytes(32), bytes(32), [])
    with pytest.raises(ValueError, match="does not extend"):
        seal.consistency_proof(3, LEAVES[:2])
    with pytest.raises(ValueError, match="has no leaf 2"):
        seal.inclusion_proof(2, LEAVES[:2])


def test_the_published_note_verifies() -> None:
    verifier = seal.Verifier.parse(VKEY)
    assert verifier.vkey == VKEY
    assert seal.verify_note(NOTE, [verifier]) == (verifier,)


def test_no_note_one_bit_away_verifies() -> None:
    verifier = seal.Verifier.parse(VKEY)
    octets = NOTE.encode()
    for place in range(len(octets)):
        for bit in range(8):
            changed = bytearray(octets)
            changed[place] ^= 1 << bit
            try:
                assert seal.verify_note(changed.decode(), [verifier]) == ()
            except (LogFormatError, UnicodeDecodeError):
                continue


def test_a_checkpoint_survives_signing_and_parsing() -> None:
    signer = seal.Signer.generate(seal.origin("node-1"))
    note = signer.sign_note(seal.checkpoint_text(seal.origin("node-1"), 12, LEAVES[0]))
    verifier = seal.Verifier.parse(signer.verifier.vkey)
    assert seal.verify_note(note, [verifier]) == (verifier,)
    assert seal.verify_note(note, []) == ()
    head = seal.parse_checkpoint(seal.parse_note(note).text)
    assert head == seal.Checkpoint(origin="crawl-audit/node-1", size=12, root=LEAVES[0])


def test_another_key_of_the_same_name_does_not_count() -> None:
    first, second = seal.Signer.generate("a"), seal.Signer.generate("a")
    assert seal.verify_note(first.sign_note("text\n"), [second.verifier]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        "a\n01\nAA==\n",
        "\n1\n" + "A" * 43 + "=\n",
        "a\n-1\n" + "A" * 43 + "=\n",
        "a\n1\nAA==\n",
        "a\n²\nAA==\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(LogFormatError):
        seal.parse_checkpoint(text)


@pytest.mark.parametrize("y", sorted(seal._LOW_ORDER_Y))
@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("add", [0, 2**255 - 19])
def test_a_key_of_low_order_is_refused(y: int, sign: int, add: int) -> None:
    if y + add >= 2**255:
        add = 0  # only the smallest y have a second encoding
    key = (y + add | sign << 255).to_bytes(32, "little")
    with pytest.raises(LogFormatError, match="low order"):
        seal.Verifier.parse(seal.Verifier(name="a", public_key=key).vkey)


def test_without_that_refusal_anything_would_verify() -> None:
    identity = (1).to_bytes(32, "little")
    Ed25519PublicKey.from_public_bytes(identity).verify(
        identity + bytes(32), b"anything"
    )  # no error: the danger is real


@pytest.mark.parametrize(
    "vkey", ["", "a", "a+00000000+AA==", "a b+00000000+AA==", VKEY.replace("c74f", "c74e"), VKEY[:-1] + "X"]
)
def test_a_malformed_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(LogFormatError):
        seal.Verifier.parse(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb"])
def test_a_key_name_no_note_can_hold_is_refused(name: str) -> None:
    with pytest.raises(LogFormatError):
        seal.Signer(name, Ed25519PrivateKey.generate())


# --- beside an independent implementation ----------------------------------------------------------------------------

# Computed with aics-tlog (Apache-2.0), which shares no code with this project.  It needs another release of
# `cryptography` than the proxy and so is no dependency; its answers are frozen.
ORACLE: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "golden" / "tlog_oracle.json").read_text(encoding="utf-8")
)
ORACLE_SIZES = [int(size) for size in ORACLE["sizes"]]
ORACLE_LEAVES = [seal.leaf_hash(f"leaf {number}".encode()) for number in range(max(ORACLE_SIZES))]


def digest_of(proofs: list[list[bytes]]) -> str:
    return hashlib.sha256(b"".join(node for proof in proofs for node in proof)).hexdigest()


@pytest.mark.parametrize("size", ORACLE_SIZES)
def test_the_root_of_a_tree_is_the_oracles(size: int) -> None:
    assert seal.merkle_root(ORACLE_LEAVES[:size]).hex() == ORACLE["sizes"][str(size)]["root"]


@pytest.mark.parametrize("size", ORACLE_SIZES)
def test_every_inclusion_proof_is_the_oracles(size: int) -> None:
    proofs = [seal.inclusion_proof(index, ORACLE_LEAVES[:size]) for index in range(size)]
    assert digest_of(proofs) == ORACLE["sizes"][str(size)]["inclusion_sha256"]


@pytest.mark.parametrize("size", ORACLE_SIZES)
def test_every_consistency_proof_is_the_oracles(size: int) -> None:
    proofs = [seal.consistency_proof(old, ORACLE_LEAVES[:size]) for old in range(1, size + 1)]
    assert digest_of(proofs) == ORACLE["sizes"][str(size)]["consistency_sha256"]


def test_a_checkpoint_is_signed_to_the_octet_as_the_oracle_signs_it() -> None:
    frozen = ORACLE["note"]
    origin = "crawl-audit/node1-20261118T110640Z-00000001"
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(frozen["private_key"]))
    signer = seal.Signer(origin, key)
    text = seal.checkpoint_text(origin, len(ORACLE_LEAVES), seal.merkle_root(ORACLE_LEAVES))
    assert signer.verifier.vkey == frozen["vkey"]
    assert signer.sign_note(text) == frozen["note"]
    assert seal.verify_note(frozen["note"], [seal.Verifier.parse(frozen["vkey"])])


def test_a_signature_by_a_witness_that_is_not_known_does_not_disturb_that_of_the_log() -> None:
    note = ORACLE["cosigned"]["note"]
    assert len(seal.parse_note(note).signatures) == 2
    (verifier,) = seal.verify_note(note, [seal.Verifier.parse(ORACLE["note"]["vkey"])])
    assert verifier.vkey == ORACLE["note"]["vkey"]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 21])
def test_a_tree_goes_on_from_the_roots_of_its_perfect_subtrees(size: int) -> None:
    leaves = [seal.leaf_hash(bytes([number])) for number in range(size + 5)]
    begun = seal.Frontier()
    for leaf in leaves[:size]:
        begun.append(leaf)
    resumed = seal.Frontier.of(size, begun.peaks)
    assert (resumed.size, resumed.root()) == (size, seal.merkle_root(leaves[:size]))
    for leaf in leaves[size:]:
        resumed.append(leaf)
    assert resumed.root() == seal.merkle_root(leaves)
    with pytest.raises(ValueError, match="perfect subtrees"):
        seal.Frontier.of(size, [*begun.peaks, bytes(32)])
