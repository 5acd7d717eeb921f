"""Key files are those of Go's note package, and a wrong one is refused without being repeated."""

from __future__ import annotations

import pytest

from crawl_audit.errors import LogFormatError
from crawl_audit.note_key import key_text, signer_of
from crawl_audit.seal import verify_note

# The key pair in the documentation of golang.org/x/mod/sumdb/note.
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz\n"
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_the_published_private_key_gives_the_published_public_key() -> None:
    assert signer_of(SKEY).verifier.vkey == VKEY


def test_a_key_written_and_read_again_signs_the_same() -> None:
    signer = signer_of(key_text("fleet.example", bytes(range(32))))
    note = signer.sign_note("text\n")
    assert note == signer_of(key_text("fleet.example", bytes(range(32)))).sign_note("text\n")
    assert verify_note(note, [signer.verifier]) == (signer.verifier,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        VKEY,
        SKEY.replace("PRIVATE", "PUBLIC"),
        SKEY.replace("c74f20a3", "c74f20a4"),
        SKEY.replace("+AYEK", "+AoEK"),
        SKEY.replace("KDFz", ""),
        SKEY.replace("PeterNeumann", "Peter Neumann"),
    ],
)
def test_anything_else_is_refused_and_the_secret_not_repeated(text: str) -> None:
    with pytest.raises(LogFormatError) as refused:
        signer_of(text)
    assert "EKFALV" not in str(refused.value)
