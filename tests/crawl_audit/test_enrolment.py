"""An enrolment note names one log and its key, and counts only under a key the reader trusts."""

from __future__ import annotations

import pytest

from crawl_audit.enrolment import enrolment_text, parse_enrolment, trusted_enrolment
from crawl_audit.errors import LogFormatError
from crawl_audit.seal import Signer

LOG = "node1-20261118T110640Z-00000001"
FLEET = Signer.generate("fleet.example")
LOG_KEY = Signer.generate(f"crawl-audit/{LOG}").verifier
NOTE = FLEET.sign_note(enrolment_text(LOG, LOG_KEY.vkey))


def test_an_enrolment_says_which_key_signs_a_log() -> None:
    enrolment, by = trusted_enrolment(NOTE, [Signer.generate("other.example").verifier, FLEET.verifier])
    assert (enrolment.log, enrolment.key, by) == (LOG, LOG_KEY, FLEET.verifier)
    assert parse_enrolment(NOTE) == enrolment


def test_an_enrolment_by_a_key_that_is_not_trusted_does_not_count() -> None:
    with pytest.raises(LogFormatError, match="not signed by any of the trusted keys"):
        trusted_enrolment(NOTE, [Signer.generate("fleet.example").verifier])


def test_no_bit_of_an_enrolment_can_be_changed() -> None:
    octets = NOTE.encode()
    for bit in range(len(octets) * 8):
        changed = bytearray(octets)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            text = changed.decode("utf-8")
        except UnicodeDecodeError:
            continue
        with pytest.raises(LogFormatError):
            trusted_enrolment(text, [FLEET.verifier])


@pytest.mark.parametrize(
    "text",
    [
        f"crawl-audit enrolment v2\n{LOG}\n{LOG_KEY.vkey}\n",
        f"crawl-audit enrolment v1\n\n{LOG_KEY.vkey}\n",
        f"crawl-audit enrolment v1\n{LOG}\n{LOG_KEY.vkey} \n",
        f"crawl-audit enrolment v1\n{LOG}\n{LOG_KEY.vkey}\nmore\n",
        f"crawl-audit enrolment v1\n{LOG}\nno key\n",
    ],
    ids=["version", "no log", "space", "fourth line", "no key"],
)
def test_any_other_text_is_no_enrolment(text: str) -> None:
    with pytest.raises(LogFormatError):
        trusted_enrolment(FLEET.sign_note(text), [FLEET.verifier])
