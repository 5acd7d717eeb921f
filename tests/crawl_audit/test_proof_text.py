"""A proof as a file has one form; everything else is refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from crawl_audit.errors import LogFormatError
from crawl_audit.proof import Proof
from crawl_audit.proof_text import BYTES_MAX, parse, to_text
from tests.crawl_audit.test_proof import made

PROOF = replace(made(), robots_txt=b"User-agent: *\n", disclaimers=(("D-X", "A sentence."),))


def test_what_is_written_is_read_again() -> None:
    nested = replace(PROOF, signed_by=replace(made(), signed_by=made(2)))
    assert parse(to_text(PROOF).encode()) == PROOF
    assert parse(to_text(nested).encode()) == nested


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(to_text(PROOF))
    change(value)
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "change,says",
    [
        (lambda p: p.update(format="crawl-audit proof v2"), "not of the format"),
        (lambda p: p.update(more=1), "exactly the names"),
        (lambda p: p.pop("enrolment"), "exactly the names"),
        (lambda p: p.update(entries={}), "entries must be a list"),
        (lambda p: p.update(entries=[p["entries"][0]] * 65), "at most 64"),
        (lambda p: p.update(entries=[p["entries"][0]] * 2), "same kind"),
        (lambda p: p["entries"][0].update(seq=True), "seq must be a number"),
        (lambda p: p["entries"][0].update(seq=-1), "seq must be a number"),
        (lambda p: p["entries"][0].update(seq=2**53), "seq must be a number"),
        (lambda p: p["entries"][0].update(seq=1.0), "not an integer"),
        (lambda p: p["entries"][0].update(seq=float("nan")), "not an integer"),
        (lambda p: p["entries"][0].update(path=["AB" * 32]), "lower-case hexadecimal"),
        (lambda p: p["entries"][0].update(path=["ab"]), "lower-case hexadecimal"),
        (lambda p: p["entries"][0].update(path=[1]), "lower-case hexadecimal"),
        (lambda p: p["entries"][0]["entry"].update(k="tunnel"), "not of the kinds"),
        (lambda p: p["entries"][0]["entry"].update(k=[]), "not of the kinds"),
        (lambda p: p["entries"][0]["entry"].update(more=1), "other fields"),
        (lambda p: p["entries"][0]["entry"].pop("node"), "other fields"),
        (lambda p: p["entries"][0]["entry"].update(mode="off"), "no log can hold"),
        (lambda p: p["entries"][0]["entry"].update(v=2), "no log can hold"),
        (lambda p: p["entries"][0]["entry"].update(node="a\nb"), "no log can hold"),
        (lambda p: p["entries"][0]["entry"].update(recorded_at="1"), "no log can hold"),
        (lambda p: p["entries"][1]["entry"].update(client_c=None), "not of their types"),
        (lambda p: p["entries"][1]["entry"].update(client_c="0" * 64), "no log can hold"),
        (lambda p: p["entries"][1]["entry"].update(client=None, client_s="0" * 64), "no log can hold"),
        (lambda p: p["entries"][1]["entry"].update(salt="x"), "no log can hold"),
        (lambda p: p["seals"][0]["entry"].update(k="run"), "not of the kinds"),
        (lambda p: p.update(robots_txt="QQ"), "canonical base64"),
        (lambda p: p.update(robots_txt="QR=="), "canonical base64"),
        (lambda p: p.update(robots_txt="Q Q="), "canonical base64"),
        (lambda p: p.update(robots_txt=7), "canonical base64"),
        (lambda p: p.update(log="a\ud800"), "without control characters"),
        (lambda p: p.update(checkpoint="a\x00"), "signed note"),
        (lambda p: p.update(checkpoint=None), "signed note"),
        (lambda p: p.update(disclaimers=["x"]), "a disclaimer"),
        (lambda p: p.update(signed_by=[]), "exactly the names"),
    ],
)
def test_any_other_form_is_refused(change: Callable[[dict[str, Any]], object], says: str) -> None:
    with pytest.raises(LogFormatError, match=says):
        parse(changed(change))


@pytest.mark.parametrize(
    "octets",
    [b"", b"[]", b"\xff{}", b"{", b"[" * 100_000, b'{"format": 1e9}', b"1" * 10_000, b" " * (BYTES_MAX + 1)],
)
def test_what_is_no_proof_at_all_is_refused(octets: bytes) -> None:
    with pytest.raises(LogFormatError, match=r"he proof"):
        parse(octets)


def test_a_name_twice_is_refused_at_any_depth() -> None:
    text = to_text(PROOF)
    for name in ("log", "seq", "node", "seal_index"):
        with pytest.raises(LogFormatError, match="the same name twice"):
            parse(text.replace(f'"{name}":', f'"{name}": 0, "{name}":', 1).encode())


def test_nesting_has_an_end() -> None:
    deep: Proof | None = None
    for _ in range(20):
        deep = replace(made(2), signed_by=deep)
    assert deep is not None
    with pytest.raises(LogFormatError, match="nested too deeply"):
        parse(to_text(deep).encode())
