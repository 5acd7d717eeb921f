"""A proof of one decision, checked by itself: every path, the signature, the robots.txt and the decision made again.

It shows that these records are in the tree whose head was signed.  It cannot show that the tree is the only one, that
no record is left out, or that no later robots.txt was in force: what is not shown is listed as not checked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crawl_audit.enrolment import parse_enrolment
from crawl_audit.errors import LogFormatError
from crawl_audit.proof import Proof, faults
from crawl_audit.proof_text import BYTES_MAX, parse
from crawl_audit.seal import Verifier, origin, parse_checkpoint, parse_note, verify_note
from crawl_audit.witness import Cosigner, cosignatures
from reports import disclaimers
from reports.findings import Findings, Result, Severity, Tally
from reports.period import iso, now
from reports.proof import DISCLAIMERS
from reports.proved_decision import ProvedDecision

_INCLUDED = "The records shown are part of the log whose head is shown, unchanged since that head was signed."
_REPLAYED = "The decision, made again from the robots.txt shown, is the same."
_DUCKDB_MARK = b"DUCK"
_DUCKDB_MARK_AT = 8  # octets, after the check sum of the first block
_LIMITS = (
    (
        1,
        "That this log is the only one, or that it has no other records: a proof shows what is there, not what is not.",
    ),
    (2, "That no later robots.txt was in force when the decision was made: that takes the whole log."),
)


def is_proof(path: str | os.PathLike[str]) -> bool:
    """Whether a file is to be checked as a proof: a regular file that begins like a JSON object.

    A DuckDB file begins with a check sum, of which one in 256 has the first octet ``{``; its mark comes after that.
    """
    file = Path(path)
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        start = stream.read(64)
    return start.lstrip()[:1] == b"{" and not start.startswith(_DUCKDB_MARK, _DUCKDB_MARK_AT)


def verify(
    path: str | os.PathLike[str],
    *,
    pins: Sequence[str] = (),
    trust: Sequence[Verifier] = (),
    witnesses: Sequence[Verifier] = (),
) -> dict[str, Any]:
    """Check the proof in a file; the answer has the form of that on a log.

    ``pins`` are signed notes of heads the auditor holds, ``trust`` keys that may enrol logs or sign heads.
    """
    findings = Findings()
    with Path(path).open("rb") as stream:
        octets = stream.read(BYTES_MAX + 1)
    name = Path(path).name
    tally = Tally("")
    claims: list[str] = []
    if len(octets) > BYTES_MAX:
        findings.add("F4", Severity.ERROR, name, f"The file is larger than any proof ({BYTES_MAX} octets).")
    else:
        try:
            proof = parse(octets)
        except LogFormatError as error:
            findings.add("F3", Severity.ERROR, name, str(error))
        else:
            tally.log = proof.log
            same = _Check(proof, findings, tally).all(pins, trust, [Cosigner.of(key) for key in witnesses])
            if findings.result is not Result.FAILED:
                claims = [_INCLUDED, _REPLAYED] if same else [_INCLUDED]
    return _answer(findings, tally, claims)


def _answer(findings: Findings, tally: Tally, said: Sequence[str]) -> dict[str, Any]:
    log = asdict(tally)
    del log["not_checked"]
    return {
        "result": findings.result.value,
        "checks": findings.counts,
        "findings": [{**asdict(one), "severity": one.severity.value} for one in findings.listed()],
        "records": tally.records,
        "seals": tally.seals,
        "logs": [log] if tally.log else [],
        "not_checked": [asdict(one) for one in tally.not_checked],
        "claims": list(said),
        "disclaimers": [*disclaimers.chosen(*DISCLAIMERS), *({"id": f"D-PROOF-{n}", "text": t} for n, t in _LIMITS)],
        "generated_at": iso(now()),
    }


class _Check:
    """The checks on one parsed proof."""

    def __init__(self, proof: Proof, findings: Findings, tally: Tally) -> None:
        self._proof = proof
        self._findings = findings
        self._tally = tally

    def all(self, pins: Sequence[str], trust: Sequence[Verifier], witnesses: Sequence[Cosigner]) -> bool:
        """Everything that can be checked of it; whether the decision was made again and is the same."""
        tally, entries = self._tally, self._proof.entries
        tally.records, tally.seals = len(entries), len(self._proof.seals)
        tally.first_seq = min((one.seq for one in entries), default=None)
        tally.last_seq = max((one.seq for one in entries), default=None)
        if self._proof.disclaimers != tuple((one["id"], one["text"]) for one in disclaimers.chosen(*DISCLAIMERS)):
            # They prove nothing, and a later version may word them otherwise: no contradiction, and not passed over.
            message = "The limits in the file are worded otherwise than by this version; those shown here count."
            self._warn("F3", "disclaimers", message)
        for fault in faults(self._proof):
            self._findings.add(fault.check, Severity.ERROR, fault.where, fault.message)
        key = _signing_key(self._proof, self._findings)
        tally.key = None if key is None else key.vkey
        self._check_enrolment(key, trust)
        self._check_outside(pins, [*trust, *_named_keys(self._proof)], witnesses)
        return ProvedDecision(self._proof, self._findings, self._tally).check()

    def _error(self, check: str, place: str, message: str) -> None:
        self._findings.add(check, Severity.ERROR, f"{self._proof.log} {place}", message)

    def _warn(self, check: str, place: str, message: str) -> None:
        self._findings.add(check, Severity.WARNING, f"{self._proof.log} {place}", message)

    # --- whose head it is ---------------------------------------------------------------------------------------

    def _check_enrolment(self, key: Verifier | None, trust: Sequence[Verifier]) -> None:
        """H6: that the key is the operator's is the log's own word unless somebody trusted says so."""
        signer = self._proof
        while signer.signed_by is not None:
            if signer.enrolment is not None:
                self._error("H1", "enrolment", "It is of a key that did not sign the head.")
            signer = signer.signed_by
        note = signer.enrolment
        if note is not None:
            try:
                enrolled = parse_enrolment(note)
                if enrolled.log != signer.log or (key is not None and enrolled.key != key):
                    self._error("H1", "enrolment", "It enrols another log or another key than that of the proof.")
                    return
                if verify_note(note, trust):
                    return
            except LogFormatError as error:
                self._error("H1", "enrolment", str(error))
                return
        if key is not None and key in trust:
            return
        why = "no --trust key was given" if not trust else "none of the --trust keys enrols it"
        self._warn("H6", "checkpoint", f"Only the log itself says that the key is its own: {why}.")

    def _check_outside(self, pins: Sequence[str], keys: Sequence[Verifier], witnesses: Sequence[Cosigner]) -> None:
        """H1, H4, H5: what others have seen of the same log."""
        try:
            head = parse_checkpoint(parse_note(self._proof.checkpoint).text)
            held = cosignatures(self._proof.checkpoint, witnesses)
        except LogFormatError as error:
            self._error("H1", "checkpoint", str(error))
            return
        by = [f"witness {one.by.name}" for one in held]
        other_sizes: list[int] = []
        for note in pins:
            try:
                pin = parse_checkpoint(parse_note(note).text)
                signed = verify_note(note, keys)
            except LogFormatError as error:
                self._findings.add("H1", Severity.ERROR, "pin", str(error))
                continue
            if pin.origin != origin(self._proof.log):
                self._findings.add("H7", Severity.INFO, "pin", f"A pin is of {pin.origin}, which this proof is not of.")
            elif not signed:
                self._findings.add("H1", Severity.ERROR, "pin", "The pin is not signed by the key that the log names.")
            elif pin.size != head.size:
                other_sizes.append(pin.size)
            elif pin.root != head.root:
                self._error("H4", "pin", f"The pin of {pin.size} seals has another root: the log was rewritten.")
            else:
                by.append("pin")
        if other_sizes and not by:
            why = "a proof of one decision has no way to compare heads of different sizes: verify the log"
            self._warn("H5", "pin", f"Pins are of {max(other_sizes)} seals, the proof is of {head.size}; {why}.")
        if not by:
            self._warn("H5", "checkpoint", "No pin and no witness confirms the head: another one may have been shown.")
        for one in self._proof.entries:
            self._tally.reached("A3" if by else "A0", one.seq, one.seq, ", ".join(by) or "the log's own signature")


def _named_keys(proof: Proof) -> list[Verifier]:
    """The keys that the starts in a proof name, as far as they are keys."""
    run, found = proof.of("run"), [] if proof.signed_by is None else _named_keys(proof.signed_by)
    with suppress(LogFormatError):
        found += [] if run is None else [Verifier.parse(run.entry["checkpoint_key"])]
    return found


def _signing_key(proof: Proof, findings: Findings) -> Verifier | None:
    """H1, S5: the key whose signature on the head holds, which is that of the log's start or of its successor's."""
    run = proof.of("run")
    if run is None:
        findings.add("F3", Severity.ERROR, f"{proof.log} entries", "The proof lacks the start, which names the key.")
        return None
    signer = run
    if proof.signed_by is not None:
        inner = proof.signed_by
        for fault in faults(inner):
            findings.add(fault.check, Severity.ERROR, fault.where, fault.message)
        key = _signing_key(inner, findings)
        successor = inner.of("run")
        if key is None or successor is None:
            return None
        if successor.entry["previous_log"] != proof.log or inner.robots_txt is not None or len(inner.entries) != 1:
            findings.add("S5", Severity.ERROR, f"{inner.log} entries", f"It is no start after the log {proof.log}.")
        signer = successor
    try:
        key = Verifier.parse(signer.entry["checkpoint_key"])
        held = verify_note(proof.checkpoint, [key])
    except LogFormatError as error:
        findings.add("H1", Severity.ERROR, f"{proof.log} checkpoint", str(error))
        return None
    if not held:
        why = f"It is not signed by {key.name}, the key that the log names."
        findings.add("S5", Severity.ERROR, f"{proof.log} checkpoint", why)
        return None
    return key
