"""The way from the fleet's head down to one record of one sidecar, each step with the hashes that prove it.

Fleet head → record of the round that collected the sidecar's head → that head → seal → record.  Two trees are
climbed, so there are two proofs of the ordinary form, and what ties them together is compared here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from crawl_audit import proof_text
from crawl_audit.errors import LogFormatError
from crawl_audit.fleet_records import FleetHead
from crawl_audit.proof import Fault, Proof, faults
from crawl_audit.records import Instant
from crawl_audit.schema import leaf
from crawl_audit.seal import Verifier, parse_checkpoint, parse_note, verify_note
from reports import fleet_rounds, fleet_source, proof
from reports.brought import Brought
from reports.evidence import Evidence, open_evidence
from reports.findings import Result
from reports.fleet_log import name_in
from reports.fleet_verify import note_of, utc
from reports.period import UsageError

_RECORD = re.compile(r"(?P<log>[A-Za-z0-9._-]+):(?P<seq>[0-9]{1,15})")
_TOKEN = re.compile(r"(?P<size>[0-9]{12})\.(?P<authority>.+)\.tsr")


def path_of(path: str, sources: Sequence[str], row: str, brought: Brought) -> dict[str, Any]:
    """The way from the fleet log in ``path`` to the record ``row`` (LOG:SEQ), which lies in one of ``sources``."""
    root = fleet_source.local(path)
    fleet_log = name_in(Path(root))
    match = _RECORD.fullmatch(row)
    if match is None or fleet_log is None:
        raise UsageError(f"--row takes LOG:SEQ and a directory with a fleet log, not {row!r} and {path}.")
    log, seq = match["log"], int(match["seq"])
    rounds = fleet_rounds.read(root)
    head = next((one for one in rounds.best if one.subject_log == log), None)
    note = note_of(head)
    if head is None or note is None:
        raise LogFormatError(
            f"No round has collected a signed head of {log}, so the fleet says nothing of its records."
        )
    with open_evidence(_source_of(log, sources)) as evidence:
        below = proof.of_record(evidence, log, seq, note)
    with open_evidence(root) as evidence:
        stamped, stamps = _stamped(evidence, fleet_log, rounds.best_seq[log], brought)
        above = proof.of_record(evidence, fleet_log, rounds.best_seq[log], stamped)
    found = [*faults(below), *faults(above), *_ties(below, above, head)]
    trusted = [key.name for key in _signers(above.checkpoint, brought.trust)]
    result = Result.FAILED if found else Result.OK if trusted else Result.INCOMPLETE
    return {
        "result": result.value,
        "steps": _steps(below, above, stamps, trusted),
        "faults": [{"check": one.check, "where": one.where, "message": one.message} for one in found],
        "proofs": {"fleet": json.loads(proof_text.to_text(above)), "sidecar": json.loads(proof_text.to_text(below))},
    }


def _source_of(log: str, sources: Sequence[str]) -> str:
    for place in fleet_source.places(list(sources)):
        if log in (fleet_source.log_names(place) or ()):
            return fleet_source.local(place)
    raise UsageError(f"The log {log} is in none of the sources: name the log directory that holds it after FLEET.")


def _stamped(evidence: Evidence, log: str, seq: int, brought: Brought) -> tuple[str | None, list[tuple[str, Instant]]]:
    """The smallest timestamped head of the fleet that covers the record, and who says when; None: the latest head."""
    files = {file.name: file for file in evidence.anchors(log)}
    seals = [row[0] for row in evidence.rows("seal", log, ("seq",), order="seq")]
    for name in sorted(files):
        match = _TOKEN.fullmatch(name)
        if match is None or brought.authorities is None or f"{match['size']}.checkpoint" not in files:
            continue
        size, note = int(match["size"]), files[f"{match['size']}.checkpoint"]
        if size > len(seals) or seals[size - 1] < seq:
            continue
        try:
            stamp = brought.authorities.verify(files[name].content, note.content)
        except LogFormatError:
            continue  # `fleet verify` names it (T4)
        return note.read_text(), [(match["authority"], stamp.at)]
    return None, []


def _ties(below: Proof, above: Proof, head: FleetHead) -> Iterator[Fault]:
    """What ties the two proofs: the fleet's record states the very head that the sidecar's proof leads to."""
    (record,) = above.entries
    stated = parse_checkpoint(parse_note(below.checkpoint).text)
    said = record.entry
    if said["k"] != "fleet_head" or (said["subject_log"], said["size"], said["root"]) != (
        below.log,
        stated.size,
        stated.root.hex(),
    ):
        yield Fault("E8", below.log, "The fleet's record does not state the head that this record lies under.")
    if not head.log_key or not _signers(below.checkpoint, [Verifier.parse(head.log_key)]):
        yield Fault("H1", below.log, "The head that was collected is not signed by the key on record of this log.")


def _signers(note: str, keys: Sequence[Verifier]) -> tuple[Verifier, ...]:
    try:
        return verify_note(note, keys)
    except LogFormatError:
        return ()


def _steps(
    below: Proof, above: Proof, stamps: Sequence[tuple[str, Instant]], trusted: Sequence[str]
) -> list[dict[str, Any]]:
    """From the top to the bottom, as one would tell it."""
    steps: list[dict[str, Any]] = [{"step": "timestamp", "by": authority, "at": utc(at)} for authority, at in stamps]
    for name, one in (("fleet", above), ("sidecar", below)):
        head = parse_checkpoint(parse_note(one.checkpoint).text)
        (record,), (seal,) = one.entries, one.seals
        by = list(trusted) if one is above else [line.name for line in parse_note(one.checkpoint).signatures]
        steps += [
            {"step": f"{name} head", "log": one.log, "size": head.size, "root": head.root.hex(), "by": by},
            {"step": f"{name} seal", "index": seal.index, "root": seal.entry["root"], "hashes": _hex(seal.path)},
            {
                "step": f"{name} record",
                "seq": record.seq,
                "kind": record.entry["k"],
                "leaf": leaf(record.entry).hex(),
                "hashes": _hex(record.path),
                "record": record.entry,
            },
        ]
    return steps


def _hex(path: Sequence[bytes]) -> list[str]:
    return [node.hex() for node in path]
