"""Checks P1 to P3 and R6: what is gone from the evidence is on record as erased, pruned or withheld, and nothing else.

Custody records say what was done to a log after it was written, the manifest of an export what it leaves out.  What
either declares is counted and, wherever leaves are left to compare, recognised by its digest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from crawl_audit import schema
from crawl_audit.leaf_sql import leaf_select
from crawl_audit.records import Custody
from crawl_audit.seal import Verifier
from reports import erased, pruned, verify_heads
from reports.erased import Lost
from reports.evidence import Evidence
from reports.evidence_form import WITHHELD
from reports.export import FORMAT
from reports.findings import Findings, Severity

_WINDOW = 1_000_000
"""Leaves put in order at once, for the digest that ties levels together; a bound on memory."""


def check(evidence: Evidence, findings: Findings, trust: Sequence[Verifier] = ()) -> None:
    """All checks on custody over all logs; ``trust``: keys of whoever may vouch for custodians."""
    records = custody_records(evidence)
    manifest = _Manifest(evidence.manifest)
    for log in evidence.logs:
        _check_values(evidence, log, records, manifest, findings)
        _check_rows(evidence, log, records, manifest, findings)
        _check_pruned(evidence, log, records, manifest, findings)
    _check_custodians(evidence, trust, findings)
    if evidence.manifest is not None:
        _check_manifest(evidence, manifest, findings)


def custody_records(evidence: Evidence) -> list[Custody]:
    """Every custody record in the order things were done."""
    names = [column.name for column in schema.columns("custody")]
    made = []
    for values in evidence.rows("custody", columns=names, order="recorded_at, log, seq"):
        row = dict(zip(names, values, strict=True))
        row["fields"] = tuple(row["fields"] or ())
        made.append(Custody(**row))
    return made


class _Manifest:
    """What the manifest of an export declares, in counts; of anything else nothing is declared."""

    def __init__(self, body: dict[str, Any] | None) -> None:
        self.fields: Counter[tuple[str, str]] = Counter()
        self.rows: Counter[str] = Counter()
        self.given = body is not None
        items = (body or {}).get("withheld")
        for item in items if isinstance(items, list) else []:
            said = item if isinstance(item, dict) else {}
            kind, name, rows = said.get("kind"), said.get("field"), said.get("rows")
            if isinstance(kind, str) and type(rows) is int and rows > 0:
                if isinstance(name, str):
                    self.fields[kind, name] += rows
                else:
                    self.rows[kind] += rows


def _check_values(
    evidence: Evidence, log: str, records: Sequence[Custody], manifest: _Manifest, findings: Findings
) -> None:
    """Every value that is withheld is declared; every value declared erased is gone (R6, P2)."""
    by_export = {name for _, name in manifest.fields}  # counted for the export as a whole
    declared = {(kind, name) for kind in erased.KINDS for name in by_export}
    for kind in erased.KINDS:
        if not evidence.withholds(kind, log):
            declared.update((kind, column.name) for column in schema.columns(kind))
    lost = erased.lost_values(evidence.select, partial(_relation, evidence, log), declared)
    names = {name for _, name in lost} | {name for r in records if r.subject_log == log for name in r.fields}
    unclear = _prunes(records, log) or manifest.rows
    for name in sorted(names - by_export):
        answers, unclaimed = erased.resolve(lost.get((log, name), Lost()), erased.records_of(records, log, name))
        for answer in answers:
            _judge_erasure(log, name, answer, bool(unclear), findings)
        for seq in unclaimed:
            message = f"The value of {name} is withheld, and no custody record or manifest says so."
            findings.add("R6", Severity.ERROR, f"{log} {seq}", message)


def _judge_erasure(log: str, name: str, answer: erased.Answer, unclear: bool, findings: Findings) -> None:
    record = answer.record
    where = f"{log} {record.first_seq}-{record.last_seq}"
    if answer.holds:
        message = f"{record.rows} values of {name} were erased by {record.custodian}: {record.reason}."
        findings.add("R6", Severity.INFO, where, message)
    elif unclear and answer.rows < record.rows:
        message = (
            f"{record.rows} values of {name} were erased; {record.rows - answer.rows} of these records are not here."
        )
        findings.add("R6", Severity.INFO, where, message)
    elif answer.rows < record.rows:
        message = f"A custody record says that {record.rows} values of {name} were erased, {answer.rows} are gone."
        findings.add("P2", Severity.ERROR, where, message)
    else:
        message = (
            f"The {answer.rows} records without {name} are not the {record.rows} that the custody record is about."
        )
        findings.add("P2", Severity.ERROR, where, message)


def _check_rows(
    evidence: Evidence, log: str, records: Sequence[Custody], manifest: _Manifest, findings: Findings
) -> None:
    """Every record of which only the leaf is given is declared, by an export's manifest or a prune (R6)."""
    bodies = f"SELECT seq FROM {evidence.relation('robots_body', log)} WHERE body IS NULL ORDER BY seq"  # noqa: S608
    for (seq,) in evidence.select(bodies):  # a robots.txt goes with its record or not at all
        findings.add(
            "R6", Severity.ERROR, f"{log} {seq}", "The octets of this robots.txt were taken out of its record."
        )
    if manifest.given:
        return  # counted for the export as a whole
    ranges = [pruned.bounds(record) for record in _prunes(records, log)]
    inside = " OR ".join(f"seq BETWEEN {first} AND {last}" for first, last in ranges) or "false"
    sql = f"SELECT seq, kind FROM {evidence.relation(WITHHELD, log)} WHERE NOT ({inside}) ORDER BY seq"  # noqa: S608
    for seq, kind in evidence.select(sql):
        message = f"Of this {kind} only the leaf is given, and no custody record or manifest says so."
        findings.add("R6", Severity.ERROR, f"{log} {seq}", message)


def _check_pruned(
    evidence: Evidence, log: str, records: Sequence[Custody], manifest: _Manifest, findings: Findings
) -> None:
    """Ranges of which nothing is left are on record; what is on record as pruned is gone (P1, P2)."""
    prunes = _prunes(records, log)
    for first, last in _empty_ranges(evidence, log):
        covering = [record for record in prunes if _covers(record, first, last)]
        if covering:
            continue
        message = "No record of this sealed range is left, and no custody record says that it was pruned."
        findings.add("P1", Severity.ERROR, f"{log} {first}-{last}", message)
    for record in prunes:
        rest = pruned.remains(evidence.select, partial(_relation, evidence, log), log, record)
        where = f"{log} {record.first_seq}-{record.last_seq}"
        if (not rest.is_carried_out and not manifest.rows) or rest.gone < record.rows:
            message = f"A custody record says that {record.rows} records were pruned, {rest.gone} are not here."
            findings.add("P2", Severity.ERROR, where, message)
        elif rest.holds is False and not manifest.rows:
            message = "The leaves left of pruned records are not those the custody record names by their digest."
            findings.add("P2", Severity.ERROR, where, message)
        else:
            stay = rest.gone == len(rest.leaves)
            kept = "their leaves stay" if stay else "their roots cannot be computed again"
            message = f"{record.rows} records were pruned by {record.custodian} ({record.reason}); {kept}."
            findings.add("P1", Severity.INFO if stay else Severity.WARNING, where, message)


def _relation(evidence: Evidence, log: str, kind: str) -> str:
    return evidence.relation(kind, log)


def _prunes(records: Sequence[Custody], log: str) -> list[Custody]:
    return [record for record in records if record.event == "pruned" and record.subject_log == log]


def _covers(record: Custody, first: int, last: int) -> bool:
    low, high = pruned.bounds(record)
    return low <= first and last <= high


def _empty_ranges(evidence: Evidence, log: str) -> Iterator[tuple[Any, ...]]:
    """Sealed ranges of which not one record is given, not even as a leaf."""
    present = " UNION ALL ".join(
        f"SELECT seq FROM {evidence.relation(kind, log)}"  # noqa: S608 - our own names
        for kind in evidence.kinds(log)
        if kind != "seal"
    )
    present = present or "SELECT NULL::BIGINT AS seq WHERE false"
    seal = evidence.relation("seal", log)
    sql = f"""SELECT s.first_seq, s.first_seq + s.rows - 1 FROM {seal} AS s
        ANTI JOIN (SELECT DISTINCT n.first_seq FROM ({present}) AS p
                   ASOF JOIN (SELECT first_seq, rows FROM {seal} WHERE rows > 0) AS n ON p.seq >= n.first_seq
                   WHERE p.seq < n.first_seq + n.rows) AS f ON f.first_seq = s.first_seq
        WHERE s.rows > 0 ORDER BY 1"""  # noqa: S608 - our own names
    yield from evidence.select(sql)


def _check_custodians(evidence: Evidence, trust: Sequence[Verifier], findings: Findings) -> None:
    """Custodian logs follow each other without a hole (P1), and somebody the auditor trusts vouches for them (P3)."""
    untrusted, custodians = [], set()
    for log, vkey, previous in evidence.rows(
        "run", columns=("log", "checkpoint_key", "previous_log"), where="event = 'custody'", order="log"
    ):
        if previous is not None and previous not in evidence.logs:
            message = f"The custodian log before this one, {previous}, is not here: what it says was done is unknown."
            findings.add("P1", Severity.ERROR, log, message)
        if not verify_heads.vouches(evidence, log, vkey, trust):
            untrusted.append(log)
        if evidence.checkpoint(log) is None:
            message = "This custodian log has no checkpoint, so nobody stands for what it says was done."
            findings.add("P2", Severity.ERROR, log, message)
        if strange := set(evidence.kinds(log)) - {"run", "custody", "seal", WITHHELD}:
            message = (
                f"A custodian log says what was done to others and nothing else; this one has {min(strange)} records."
            )
            findings.add("P2", Severity.ERROR, log, message)
        custodians.add(log)
    for log in evidence.logs:
        if log not in custodians and "custody" in evidence.kinds(log):
            message = "It has custody records and is no custodian's log: what they say was done counts for nothing."
            findings.add("P2", Severity.ERROR, log, message)
    if untrusted:
        several = "custodian logs are" if len(untrusted) > 1 else "custodian log is"
        message = f"{len(untrusted)} {several} signed with keys that nobody you trust vouches for."
        findings.add("P3", Severity.WARNING, untrusted[0], message)


def _check_manifest(evidence: Evidence, manifest: _Manifest, findings: Findings) -> None:
    """An export leaves out exactly what its manifest says, and is of the logs whose digest it states (R6, P2)."""
    body = evidence.manifest or {}
    level = body.get("level")
    actual = _withheld_fields(evidence)
    for (kind, name), rows in sorted(manifest.fields.items()):
        if name != "salt":
            _declared(f"values of {name} of {kind} records", rows, actual.pop((kind, name), 0), level, findings)
    for (kind, name), rows in sorted(actual.items()):  # a field of which custody records alone tell is not meant here
        if name in {declared for _, declared in manifest.fields}:
            _declared(f"values of {name} of {kind} records", 0, rows, level, findings)
    counted = f"SELECT kind, count(*) FROM {evidence.relation(WITHHELD)} GROUP BY kind ORDER BY kind"  # noqa: S608
    withheld = dict(evidence.select(counted))
    for kind in sorted({*manifest.rows, *withheld}):
        _declared(f"{kind} records", manifest.rows[kind], withheld.get(kind, 0), level, findings)
    if body.get("format") != FORMAT:
        message = f"It is not the manifest of an export ({FORMAT}): what it declares withheld is nobody's word."
        findings.add("F3", Severity.ERROR, "manifest", message)
    if body.get("levels_digest") != levels_digest(evidence):
        message = "The leaves in this export do not have the digest that its manifest states."
        findings.add("P2", Severity.ERROR, "manifest", message)


def _declared(what: str, said: int, found: int, level: object, findings: Findings) -> None:
    if said != found:
        message = f"The manifest says that {said} {what} are withheld, {found} are."
        findings.add("R6", Severity.ERROR, "manifest", message)
    elif found:
        message = f"{found} {what} are withheld by the export (level {level}); their commitments and leaves are given."
        findings.add("R6", Severity.WARNING, "manifest", message)


def _withheld_fields(evidence: Evidence) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for kind in erased.KINDS:
        names = [column.name for column in schema.columns(kind) if column.sensitive]
        counts = ", ".join(f"count({name}_c)" for name in names)
        for row in evidence.select(f"SELECT {counts} FROM {evidence.relation(kind)}"):  # noqa: S608 - our own names
            found.update({(kind, name): number for name, number in zip(names, row, strict=True)})
    return found


def levels_digest(evidence: Evidence) -> str:
    """SHA-256 over the leaves of all records, given or withheld, by (log, seq)."""
    digest = hashlib.sha256()
    for log in evidence.logs:
        last = max((segment.last for segment in evidence.segments(log) if segment.files), default=-1)
        for first in range(0, last + 1, _WINDOW):
            parts = [_leaf_select(evidence, kind, log, first, first + _WINDOW - 1) for kind in evidence.kinds(log)]
            leaves = " UNION ALL ".join(parts)
            for (leaf,) in evidence.select(f"SELECT leaf FROM ({leaves}) ORDER BY seq"):  # noqa: S608 - our own names
                digest.update(_octets(leaf))
    return digest.hexdigest()


def _leaf_select(evidence: Evidence, kind: str, log: str, first: int, last: int) -> str:
    """SELECT of the leaves of ``kind`` from ``first`` to ``last``, cut out before any is computed."""
    segments = [s for s in evidence.segments(log) if s.first <= last and first <= s.last]
    rows = f"(SELECT * FROM {evidence.relation(kind, log, segments=segments)} WHERE seq BETWEEN {first} AND {last})"  # noqa: S608
    return f"SELECT log, seq, leaf FROM {rows}" if kind == WITHHELD else leaf_select(kind, rows)  # noqa: S608


def _octets(leaf: str | None) -> bytes:
    """Octets of a leaf; what is none counts as nothing, and so makes another digest."""
    try:
        return bytes.fromhex(leaf or "")
    except ValueError:
        return b""
