"""What outside receipts prove of a log, and how each contradiction with them is found."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit import records, schema, witness
from crawl_audit.records import Instant, Seal
from crawl_audit.seal import Frontier, Signer, checkpoint_text, origin
from crawl_audit.timestamp_token import request
from crawl_audit.witness import Cosigner
from reports import verify_anchors
from reports.evidence import open_evidence
from reports.findings import Finding, Findings, Severity, Tally
from reports.timestamps import TrustedAuthorities, trusted_authorities
from reports.verify_records import read_tree
from tests import tsa
from tests.logs import SECOND, LogBuilder, entry, run

LOG = "node1-20261118T110640Z-00000001"
LOG_KEY = Signer.generate(origin(LOG))
WITNESS = Signer.generate("witness.example/w1")
COSIGNER = Cosigner.of(WITNESS.verifier)
MINUTE = 60 * SECOND


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tsa.Authority:
    return tsa.make(tmp_path_factory.mktemp("tsa") / "a")


@dataclass
class Anchored:
    """A log whose seals are minutes apart, the last of them at the present, and receipts for it."""

    root: Path
    now: Instant = field(default_factory=lambda: Instant(time.time_ns() // 1000))
    log: LogBuilder = field(init=False)

    def __post_init__(self) -> None:
        self.log = LogBuilder(self.root, LOG)
        self.log.add(run(at=self.at(-3), checkpoint_key=LOG_KEY.verifier.vkey))
        for minute in (-3, -2, -1):
            self.log.seal(self.at(minute))

    def at(self, minutes: float) -> Instant:
        return Instant(self.now + int(minutes * MINUTE))

    def note(self, size: int, log: str = LOG) -> str:
        frontier = Frontier()
        for record in [record for record in self.log.records if isinstance(record, Seal)][:size]:
            frontier.append(schema.leaf(schema.parse_entry(entry(record))))
        return LOG_KEY.sign_note(checkpoint_text(origin(log), size, frontier.root()))

    def keep(self, name: str, octets: bytes | str) -> bytes:
        folder = self.root / "checkpoints" / f"{LOG}.anchors"
        folder.mkdir(parents=True, exist_ok=True)
        made = octets.encode() if isinstance(octets, str) else octets
        (folder / name).write_bytes(made)
        return made

    def stamp(self, authority: tsa.Authority, size: int = 3) -> bytes:
        note = self.keep(f"{size:012d}.checkpoint", self.note(size))
        return self.keep(f"{size:012d}.tsa.tsr", authority.answer(request(note)[0]))

    def cosign(self, size: int = 3, minutes: float = 0, note: str | None = None) -> bytes:
        made = note or self.note(size)
        text = made.rpartition("\n\n")[0] + "\n"
        return self.keep(f"{size:012d}.w1.cosigned", made + witness.cosign(WITNESS, text, self.at(minutes) // SECOND))

    def record(self, receipt: bytes, size: int = 3, minutes: float = 0, **changes: Any) -> None:
        """The anchor record of a receipt, as the sidecar would have made it."""
        note = self.note(size)
        made = records.Anchor(
            recorded_at=self.at(minutes),
            method="witness",
            authority="w1",
            checkpoint_size=size,
            checkpoint_root=base64.b64decode(note.split("\n")[2]).hex(),
            receipt_sha256=hashlib.sha256(receipt).hexdigest(),
            stated_at=Instant(self.at(minutes) // SECOND * SECOND),
        )
        self.log.add(replace(made, **changes))


@pytest.fixture
def log(tmp_path: Path) -> Anchored:
    return Anchored(tmp_path / "log")


Checked = tuple[list[Finding], Tally]


def checked(log: Anchored, ca: Path | None = None, witnesses: list[Cosigner] | None = None) -> Checked:
    if log.log.published < len(log.log.records):
        log.log.publish()
    authorities: TrustedAuthorities | None = trusted_authorities([ca] if ca else [])
    with open_evidence(str(log.root)) as evidence:
        findings, tally = Findings(), Tally(log=LOG)
        tree = read_tree(evidence, LOG)
        verify_anchors.check(evidence, tree, findings, tally, authorities=authorities, witnesses=witnesses or [])
    return findings.listed(), tally


def ids(found: Checked) -> list[tuple[str, Severity]]:
    return [(finding.check, finding.severity) for finding in found[0]]


def levels(found: Checked) -> list[tuple[str, int, int]]:
    return [(one.level, one.first_seq, one.last_seq) for one in found[1].levels]


def test_a_timestamp_gives_a2_and_says_what_it_does_not_prove(log: Anchored, authority: tsa.Authority) -> None:
    log.stamp(authority)
    found = checked(log, authority.ca)
    assert (ids(found), levels(found)) == ([("H5", Severity.INFO)], [("A2", 0, 3)])
    assert "not that they are the only history" in found[0][0].message
    assert found[1].levels[0].by.startswith("tsa at 20")
    log.cosign()
    assert ids(checked(log, authority.ca, [COSIGNER])) == []


def test_a_cosignature_of_a_witness_the_auditor_knows_gives_a3(log: Anchored) -> None:
    log.cosign(2)
    found = checked(log, witnesses=[COSIGNER])
    assert (ids(found), levels(found)) == ([], [("A3", 0, 2)])


def test_receipts_nobody_brought_a_key_for_are_counted_and_not_believed(
    log: Anchored, authority: tsa.Authority
) -> None:
    log.stamp(authority)
    log.cosign()
    found = checked(log, witnesses=[Cosigner.of(Signer.generate("witness.example/w1").verifier)])
    assert (ids(found), levels(found)) == ([("T5", Severity.INFO)], [])
    assert [(one.what, one.count) for one in found[1].not_checked] == [
        ("timestamp tokens", 1),
        ("cosigned checkpoints", 1),
    ]


def test_an_authority_of_the_same_name_with_another_ca_does_not_count(
    log: Anchored, authority: tsa.Authority, tmp_path: Path
) -> None:
    log.stamp(authority)
    found = checked(log, tsa.make(tmp_path / "other").ca)
    assert (ids(found), levels(found)) == ([("T4", Severity.ERROR)], [])


def test_a_token_for_other_bytes_is_found(log: Anchored, authority: tsa.Authority) -> None:
    log.stamp(authority)
    log.keep("000000000003.checkpoint", log.note(3) + "— x AAAAAAA=\n")
    assert ids(checked(log, authority.ca)) == [("T4", Severity.ERROR)]
    log.keep(
        "000000000002.tsa.tsr", (log.root / "checkpoints" / f"{LOG}.anchors" / "000000000003.tsa.tsr").read_bytes()
    )
    assert ids(checked(log, authority.ca)) == [("T4", Severity.ERROR)] * 2, "and one whose note is gone"


def test_no_bit_of_a_token_gives_another_level_or_time(log: Anchored, authority: tsa.Authority) -> None:
    token = log.stamp(authority)
    log.log.publish()
    said = checked(log, authority.ca)[1].levels
    with open_evidence(str(log.root)) as evidence:
        tree, trusted = read_tree(evidence, LOG), trusted_authorities([authority.ca])
        folder = f"{LOG}.anchors/000000000003.tsa.tsr"
        file = evidence.file(folder)
        assert file is not None
        for position in range(0, len(token), 8):
            changed = bytearray(token)
            changed[position] ^= 1 << (position // 8) % 8
            evidence._small[folder] = replace(file, content=bytes(changed))
            findings, tally = Findings(), Tally(log=LOG)
            verify_anchors.check(evidence, tree, findings, tally, authorities=trusted, witnesses=[])
            assert (tally.levels == said) != (findings.counts.get("T4") == 1), position


def test_no_bit_of_a_cosigned_note_gives_a_level(log: Anchored) -> None:
    """Without the witness's line changed the note itself is what it signed, so every bit of the text counts."""
    octets = log.cosign()
    log.log.publish()
    text_end = octets.index("\n\n— ".encode())
    line_start = octets.rindex("\n— ".encode())
    with open_evidence(str(log.root)) as evidence:
        tree = read_tree(evidence, LOG)
        name = f"{LOG}.anchors/000000000003.w1.cosigned"
        file = evidence.file(name)
        assert file is not None
        for position in range(len(octets)):  # every bit: tests/crawl_audit/test_witness.py
            if text_end + 1 < position <= line_start:
                continue  # the log's own signature, which is checked with the other heads
            changed = bytearray(octets)
            changed[position] ^= 1 << position % 8
            evidence._small[name] = replace(file, content=bytes(changed))
            findings, tally = Findings(), Tally(log=LOG)
            verify_anchors.check(evidence, tree, findings, tally, authorities=None, witnesses=[COSIGNER])
            assert tally.levels == [], position


@pytest.mark.parametrize("kind", ["token", "witness"])
def test_a_log_cut_off_behind_what_was_shown_is_found(log: Anchored, authority: tsa.Authority, kind: str) -> None:
    longer = Anchored(log.root.parent / "longer", now=log.now)
    longer.log.seal(longer.at(0))
    for name, octets in _receipts(longer, authority, kind, 4):
        log.keep(name, octets)
    found = checked(log, authority.ca, [COSIGNER])
    assert {check for check, _ in ids(found)} == {"H3"}
    assert levels(found) == []


@pytest.mark.parametrize(("kind", "check"), [("token", "H2"), ("witness", "H4")])
def test_a_log_rewritten_since_it_was_shown_is_found(
    log: Anchored, authority: tsa.Authority, kind: str, check: str
) -> None:
    other = Anchored(log.root.parent / "other", now=Instant(log.now - 5))
    for name, octets in _receipts(other, authority, kind, 3):
        log.keep(name, octets)
    found = checked(log, authority.ca, [COSIGNER])
    assert {found_check for found_check, _ in ids(found)} == {check}
    assert levels(found) == []


def _receipts(log: Anchored, authority: tsa.Authority, kind: str, size: int) -> list[tuple[str, bytes]]:
    if kind == "token":
        log.stamp(authority, size)
    else:
        log.cosign(size)
    return [(path.name, path.read_bytes()) for path in (log.root / "checkpoints" / f"{LOG}.anchors").iterdir()]


def test_a_receipt_of_another_log_is_found(log: Anchored) -> None:
    log.cosign(note=log.note(3, "another"))
    assert ids(checked(log, witnesses=[COSIGNER])) == [("H1", Severity.ERROR)]


def test_what_is_no_note_is_found(log: Anchored) -> None:
    log.keep("000000000003.checkpoint", b"\xff")
    log.keep("000000000003.w1.cosigned", "no note")
    assert ids(checked(log)) == [("H1", Severity.ERROR)] * 2


def test_a_seal_dated_after_a_receipt_that_covers_it_is_found(log: Anchored) -> None:
    log.log.seal(log.at(5))
    log.cosign(4)
    found = checked(log, witnesses=[COSIGNER])
    assert ids(found) == [("T3", Severity.ERROR)]
    assert "1 seal records" in found[0][0].message


def test_a_record_dated_after_a_receipt_that_covers_it_is_found(log: Anchored) -> None:
    log.log.add(run("stop", at=log.at(60)))
    log.log.seal(log.at(0))
    log.log.seal(log.at(90))  # not covered by the receipt
    log.cosign(4)
    found = checked(log, witnesses=[COSIGNER])
    assert [(finding.check, finding.where) for finding in found[0]] == [("T3", f"{LOG} 4")]


def test_of_two_receipts_the_earlier_binds_what_it_covers(log: Anchored) -> None:
    log.log.seal(log.at(0))
    log.cosign(2, minutes=-2.5)  # the second seal says -2
    log.cosign(4)
    found = checked(log, witnesses=[COSIGNER])
    assert [(finding.check, finding.where) for finding in found[0]] == [("T3", f"{LOG} 2")]
    assert levels(found) == [("A3", 0, 4)]


def test_a_clock_that_is_a_little_off_is_no_contradiction(log: Anchored) -> None:
    log.log.seal(Instant(log.now + verify_anchors.TOLERANCE_US))
    log.cosign(4)
    assert ids(checked(log, witnesses=[COSIGNER])) == []


def test_records_that_follow_a_receipt_cannot_be_dated_before_it(log: Anchored) -> None:
    """Back-dating: the log itself says that the receipt was there when they were written."""
    log.record(log.cosign())
    log.log.add(run("stop", at=log.at(-30)))
    log.log.seal(log.at(1))
    found = checked(log, witnesses=[COSIGNER])
    assert [(finding.check, finding.where) for finding in found[0]] == [("T3", f"{LOG} 5")]
    assert "dated before" in found[0][0].message


def test_records_entered_late_keep_their_own_time(log: Anchored) -> None:
    log.record(log.cosign())
    late = log.log.add(run("stop", at=log.at(-30)))
    gap = records.Gap(
        recorded_at=log.at(0),
        cause="x",
        first_at=log.at(-31),
        last_at=log.at(-29),
        requests=1,
        kept=1,
        first_seq=late,
        last_seq=late,
        file_sha256=None,
        detail="x",
    )
    log.log.add(gap)
    assert ids(checked(log, witnesses=[COSIGNER])) == []


@pytest.mark.parametrize(
    ("change", "check", "severity"),
    [
        ({"receipt_sha256": "00" * 32}, "T4", Severity.WARNING),
        ({"stated_at": Instant(5)}, "T4", Severity.ERROR),
        ({"checkpoint_root": "00" * 32}, "H2", Severity.ERROR),
        ({"checkpoint_size": 900}, "H2", Severity.ERROR),
        ({"checkpoint_size": 2}, "H2", Severity.ERROR),
    ],
)
def test_an_anchor_record_that_contradicts_its_receipt_is_found(
    log: Anchored, change: dict[str, Any], check: str, severity: Severity
) -> None:
    log.record(log.cosign(), **change)
    assert ids(checked(log, witnesses=[COSIGNER])) == [(check, severity)]


def test_a_receipt_that_was_taken_away_is_missed(log: Anchored, authority: tsa.Authority) -> None:
    """Otherwise a token that convicts the log could be deleted unnoticed."""
    log.record(log.stamp(authority), method="rfc3161", authority="tsa")
    (log.root / "checkpoints" / f"{LOG}.anchors" / "000000000003.tsa.tsr").unlink()
    assert ids(checked(log, authority.ca)) == [("T4", Severity.WARNING)]
