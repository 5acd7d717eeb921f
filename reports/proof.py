"""The proof of one decision, made from a log: the records it takes, each tied to the head of the log that was signed.

What one hands to a rights holder: small, complete in itself, and checked by `crawl-audit verify` without the log.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from crawl_audit import schema, withholding
from crawl_audit.errors import LogFormatError, RecordError
from crawl_audit.proof import Proof, ProvedEntry, ProvedSeal
from crawl_audit.seal import inclusion_proof, parse_checkpoint, parse_note
from reports import disclaimers
from reports.evidence import Evidence
from reports.evidence_form import WITHHELD
from reports.period import UsageError

DISCLAIMERS = ("D-ROBOTS", "D-COLLECT")
WITHHELD_BY_DEFAULT = ("client",)
_RECOVERED_MAX = 16


class NoProofError(LogFormatError):
    """The log does not hold what a proof needs."""


def make(evidence: Evidence, log: str, seq: int, withheld: Collection[str] = WITHHELD_BY_DEFAULT) -> Proof:
    """The proof of the decision ``seq`` of ``log``, without the values of the fields ``withheld``.

    Raises NoProofError where its place in the tree cannot be shown, UsageError for a field that cannot be withheld.
    """
    source = _Log(evidence, log)
    decision = source.entry("decision", f"seq = {seq:d}")
    if decision is None:
        raise NoProofError(f"The log {log} has no decision {seq} that can be read.")
    chosen = [decision]
    if (completion := source.entry("completion", f"decision_seq = {seq:d}")) is not None:
        chosen.append(completion)
    body = None
    named = decision[1]["snapshot_seq"]
    snapshot = None if named is None else source.entry("snapshot", f"seq = {named:d}")
    if snapshot is not None:
        chosen.append(snapshot)
        digest = snapshot[1]["robots_sha256"]
        if digest is not None and (kept := source.body(digest)) is not None:
            chosen.append(kept[:2])
            body = kept[2]
    chosen.append(source.start())
    return source.proof(
        chosen,
        withheld,
        robots_txt=body,
        disclaimed=tuple((one["id"], one["text"]) for one in disclaimers.chosen(*DISCLAIMERS)),
    )


def of_record(evidence: Evidence, log: str, seq: int, note: str | None = None) -> Proof:
    """The proof of the record ``seq`` of ``log`` alone, of whatever kind, under the head ``note`` where one is given.

    Raises NoProofError where its place in the tree cannot be shown.
    """
    source = _Log(evidence, log)
    kinds = (kind for kind in schema.KINDS if kind != "seal")
    found = next((one for kind in kinds if (one := source.entry(kind, f"seq = {seq:d}")) is not None), None)
    if found is None:
        raise NoProofError(f"The log {log} has no record {seq} under a seal that can be read.")
    return source.proof([found], (), under=note)


type _Numbered = tuple[int, dict[str, Any]]


class _Log:
    """One log, as far as a proof needs it."""

    def __init__(self, evidence: Evidence, log: str) -> None:
        self._evidence = evidence
        self._log = log
        self._seals = list(self._entries("seal", None))

    def _entries(self, kind: str, where: str | None) -> Iterator[_Numbered]:
        stored = [name for name, _ in (*schema.stored_columns(kind), *schema.withheld_columns(kind))]
        for values in self._evidence.rows(kind, self._log, stored, where, "seq"):
            row = dict(zip(stored, values, strict=True))
            yield row["seq"], schema.from_row(kind, row)

    def entry(self, kind: str, where: str) -> _Numbered | None:
        """The first entry of a kind that is such."""
        return next(self._entries(kind, where), None)

    def body(self, digest: str) -> tuple[int, dict[str, Any], bytes] | None:
        """The first robots_body under a digest whose octets are here: as an entry without them, and they."""
        where = f"robots_sha256 = '{digest.replace("'", "''")}' AND body IS NOT NULL"
        for values in self._evidence.rows("robots_body", self._log, ("seq", "body"), where, "seq"):
            found = self.entry("robots_body", f"seq = {values[0]:d}")
            if found is not None:
                return found[0], {**found[1], "body": None}, bytes(values[1])
        return None

    def start(self) -> _Numbered:
        """The record that names the key and the settings."""
        found = self.entry("run", "event IN ('start', 'fleet')")
        if found is None:
            raise NoProofError(f"The log {self._log} has no record of its start, which names its key.")
        return found

    def proof(
        self,
        chosen: list[_Numbered],
        withheld: Collection[str],
        *,
        robots_txt: bytes | None = None,
        disclaimed: tuple[tuple[str, str], ...] = (),
        depth: int = 0,
        under: str | None = None,
    ) -> Proof:
        """The proof of these entries, under the head ``under`` where one is given."""
        proved = [self._proved(seq, _reduced(entry, withheld)) for seq, entry in chosen]
        note, size = self._head(max(one.seal for one in proved), under)
        leaves = [schema.leaf(entry) for _, entry in self._seals[:size]]
        seals = [
            ProvedSeal(seq=seq, entry=entry, index=index, path=tuple(inclusion_proof(index, leaves)))
            for index, (seq, entry) in enumerate(self._seals[:size])
            if index in {one.seal for one in proved}
        ]
        successor = self._successor(note, depth)
        return Proof(
            log=self._log,
            entries=tuple(proved),
            seals=tuple(seals),
            robots_txt=robots_txt,
            checkpoint=note,
            tree_size=size,
            signed_by=successor,
            enrolment=self._evidence.enrolment(self._log) if successor is None else None,
            disclaimers=disclaimed,
        )

    def _proved(self, seq: int, entry: dict[str, Any]) -> ProvedEntry:
        for index, (_, seal) in enumerate(self._seals):
            first, rows = seal["first_seq"], seal["rows"]
            if not first <= seq < first + rows:
                continue
            leaves = self._leaves(first, rows)
            if len(leaves) != rows:
                raise NoProofError(
                    f"Of the {rows} records under seal {index} of {self._log} only {len(leaves)} are here: the place of"
                    f" record {seq} under it cannot be shown."
                )
            path = inclusion_proof(seq - first, leaves)
            return ProvedEntry(
                seq=seq, entry=entry, leaf_index=seq - first, seal_size=rows, path=tuple(path), seal=index
            )
        raise NoProofError(f"No seal of {self._log} covers the record {seq}: publish it with `crawl-audit-proxy seal`.")

    def _leaves(self, first: int, rows: int) -> list[bytes]:
        """The leaves of a range, in order, of rows and of those of which only the leaf is here."""
        where = f"seq BETWEEN {first:d} AND {first + rows - 1:d}"
        found = {seq: schema.leaf(entry) for kind in schema.KINDS for seq, entry in self._entries(kind, where)}
        for seq, leaf in self._evidence.rows(WITHHELD, self._log, ("seq", "leaf"), where):
            found.setdefault(seq, bytes.fromhex(leaf))
        return [found[seq] for seq in sorted(found)]

    def _head(self, index: int, under: str | None) -> tuple[str, int]:
        """The signed head that covers seal ``index`` and no seal that is not here: most signatures first, then size."""
        notes = [self._evidence.checkpoint(self._log) if under is None else under]
        anchors = self._evidence.anchors(self._log) if under is None else ()
        notes += [file.read_text() for file in anchors if file.name.endswith((".checkpoint", ".cosigned"))]
        known = [(len(parse_note(n).signatures), parse_checkpoint(parse_note(n).text).size, n) for n in notes if n]
        fitting = [one for one in known if index < one[1] <= len(self._seals)]
        if not fitting:
            covered = ", ".join(str(size) for _, size, _ in known) or "none"
            raise NoProofError(
                f"The log {self._log} has {len(self._seals)} seals here, and signed heads of {covered}: a proof needs a"
                " head that covers the record and nothing unpublished, so let `crawl-audit-proxy seal` publish first."
            )
        _, size, note = max(fitting)
        return note, size

    def _successor(self, note: str, depth: int) -> Proof | None:
        """Where another key than this log's signed: the start of the log that recovered it."""
        names = {(line.name, line.key_id) for line in parse_note(note).signatures}
        key = self.start()[1]["checkpoint_key"]
        if any(key.startswith(f"{name}+{key_id.hex()}+") for name, key_id in names) or depth >= _RECOVERED_MAX:
            return None
        for other in self._evidence.logs:
            source = _Log(self._evidence, other)
            named = f"event IN ('start', 'recovered') AND previous_log = '{self._log.replace("'", "''")}'"
            start = source.entry("run", named)
            if other != self._log and start is not None:
                return source.proof([start], (), depth=depth + 1)
        return None


def _reduced(entry: dict[str, Any], withheld: Collection[str]) -> dict[str, Any]:
    sensitive = {column.name for column in schema.columns(entry["k"]) if column.sensitive}
    names = set(withheld) | ({"target_b64"} if "target" in withheld else set())  # the same in another spelling
    if entry["k"] == "decision" and (strange := names - sensitive):
        raise UsageError(f"{min(strange)!r} cannot be withheld: of a decision {', '.join(sorted(sensitive))} can.")
    if not sensitive:
        return entry
    try:
        # Also where nothing is withheld: the salt of the row is not to be given away, only those of its fields.
        return withholding.withhold(entry, sensitive & names)
    except RecordError as error:
        raise NoProofError(f"The record cannot be reduced: {error}.") from error
