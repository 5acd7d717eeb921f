"""Submissions and cosignatures are those of the C2SP texts, and nothing one bit away passes for them."""

from __future__ import annotations

import base64

import pytest

from crawl_audit import seal, witness
from crawl_audit.errors import LogFormatError
from crawl_audit.seal import Signer, checkpoint_text, parse_note
from crawl_audit.witness import Cosigner

# The examples in C2SP tlog-cosignature and tlog-witness; their keys are not published, so only the form is compared.
EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501
EXAMPLE_MESSAGE = """cosignature/v1
time 1679315147
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""
PROOF = [
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=",
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=",
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=",
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=",
]
REQUEST = "old 20852014\n" + "".join(f"{line}\n" for line in PROOF) + "\n" + EXAMPLE

LOG_KEY = Signer.generate("crawl-audit/x")
WITNESS = Signer.generate("witness.example/w1")
COSIGNER = Cosigner.of(WITNESS.verifier)
TEXT = checkpoint_text("crawl-audit/x", 3, bytes(32))
NOTE = LOG_KEY.sign_note(TEXT)
COSIGNED = NOTE + witness.cosign(WITNESS, TEXT, 1_795_000_000)


def test_the_message_and_the_time_are_those_of_the_published_example() -> None:
    line = parse_note(EXAMPLE).signatures[1]
    assert len(line.signature) == 72
    at_s = int.from_bytes(line.signature[:8], "big")
    assert witness.cosigned_text(parse_note(EXAMPLE).text, at_s) == EXAMPLE_MESSAGE


def test_a_cosignature_holds_for_its_text_and_gives_its_time() -> None:
    held = witness.cosignatures(COSIGNED, [COSIGNER])
    assert [(one.by, one.at_s) for one in held] == [(COSIGNER, 1_795_000_000)]
    assert seal.verify_note(COSIGNED, [LOG_KEY.verifier, COSIGNER]) == (LOG_KEY.verifier, COSIGNER)


def test_a_witness_key_is_not_the_key_of_a_log() -> None:
    assert Cosigner.parse(COSIGNER.vkey) == COSIGNER
    assert COSIGNER.key_id != WITNESS.verifier.key_id
    with pytest.raises(LogFormatError, match="not an Ed25519 key of type 4"):
        Cosigner.parse(WITNESS.verifier.vkey)
    with pytest.raises(LogFormatError, match="not an Ed25519 key of type 1"):
        seal.Verifier.parse(COSIGNER.vkey)
    plain = WITNESS.sign_note(TEXT)
    assert witness.cosignatures(plain, [COSIGNER]) == ()
    assert seal.verify_note(COSIGNED, [WITNESS.verifier]) == ()


def test_a_witness_key_of_low_order_is_refused() -> None:
    key = bytes([1, *bytes(31)])
    weak = Cosigner(name="witness.example", public_key=key)
    with pytest.raises(LogFormatError, match="low order"):
        Cosigner.parse(weak.vkey)


def test_cosignatures_by_unknown_witnesses_are_ignored() -> None:
    assert witness.cosignatures(COSIGNED, [Cosigner.of(Signer.generate("witness.example/w1").verifier)]) == ()


def test_a_time_beyond_what_posix_allows_is_refused() -> None:
    line = witness.cosign(WITNESS, TEXT, 2**63)
    with pytest.raises(LogFormatError):
        witness.cosignatures(NOTE + line, [COSIGNER])


def test_no_bit_of_a_cosigned_note_can_be_changed() -> None:
    """The log's line aside, which a witness's key says nothing about: both keys are asked for here."""
    octets = COSIGNED.encode()
    for bit in range(len(octets) * 8):
        changed = bytearray(octets)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            held = seal.verify_note(changed.decode("utf-8"), [LOG_KEY.verifier, COSIGNER])
        except (LogFormatError, UnicodeDecodeError):
            continue
        assert len(held) < 2, f"bit {bit} may be changed"


def test_the_published_request_is_read_and_made_again() -> None:
    read = witness.parse_submission(REQUEST.encode())
    assert (read.old_size, read.checkpoint.size, read.checkpoint.origin) == (
        20852014,
        20852163,
        "example.com/behind-the-sofa",
    )
    assert [base64.b64encode(node).decode() for node in read.proof] == PROOF
    assert read.note == EXAMPLE
    assert witness.submission(read.old_size, read.proof, read.note) == REQUEST.encode()


@pytest.mark.parametrize(
    "change",
    [
        ("old 20852014\n", "old 020852014\n"),
        ("old 20852014\n", "old -1\n"),
        ("old 20852014\n", "20852014\n"),
        ("old 20852014\n", "old  20852014\n"),
        ("old 20852014\n", "old 20852164\n"),
        ("old 20852014\n", "OLD 20852014\n"),
        (PROOF[0], PROOF[0][:-1]),
        (PROOF[0], PROOF[0].replace("kaw=", "kax=")),
        (PROOF[0], "AAAA"),
        ("\n\n", "\n"),
        (PROOF[0] + "\n", (PROOF[0] + "\n") * 61),
        ("20852163", "+20852163"),
        ("— example", "- example"),
        ("old", "öld"),
    ],
)
def test_a_request_in_any_other_form_is_refused(change: tuple[str, str]) -> None:
    with pytest.raises(LogFormatError):
        witness.parse_submission(REQUEST.replace(*change).encode())


def test_a_request_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(LogFormatError, match="UTF-8"):
        witness.parse_submission(b"old 0\n\n\xff\n")


def test_sixty_three_proof_lines_are_allowed() -> None:
    body = REQUEST.replace(PROOF[0] + "\n", (PROOF[0] + "\n") * 60)
    assert len(witness.parse_submission(body.encode()).proof) == 63


@pytest.mark.parametrize("text", ["", "01", "1 ", "+1", "١", "9" * 20, "1_0"])
def test_a_size_is_a_plain_decimal(text: str) -> None:
    with pytest.raises(LogFormatError):
        witness.parse_size(text)
