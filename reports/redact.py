"""Erasing values for good: the value leaves every published file, its commitment stays, and so does every proof.

First the custody records are published, which say which values of which records will be gone; then the files are
replaced one by one.  After a crash at any moment the same command finishes the work without a second record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crawl_audit.errors import LogFormatError
from crawl_audit.records import Custody, Instant
from crawl_audit.segment_sql import sql_quote
from crawl_audit.text import storable
from reports import erased, holds, pruned, selecting
from reports.custody import Published, history, next_instant, publish
from reports.erased import Lost, LostValues
from reports.matching import Subject
from reports.period import Period, UsageError
from reports.rewriting import Bench, leaves_of, relation
from reports.withholding_sql import sensitive, withheld_select

FIELDS = ("target", "user_agent", "client", "trace_id")
_TOGETHER = {"target": ("target", "target_b64")}  # the same octets, written twice
_KINDS = ("decision", "tunnel", "incident")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Whose values are to be erased: exactly one of these."""

    exchange: str | None = None
    subject: Subject | None = None
    record: tuple[str, int] | None = None

    @property
    def scope(self) -> str | None:
        """The selection as it may stand on record: a URL may not, it is what is being erased."""
        if self.subject is not None:
            return None if self.subject.target is not None else self.subject.normalised
        return self.exchange if self.record is None else f"{self.record[0]}:{self.record[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Values of one field of one log that one custody record stands for."""

    log: str
    field: str
    first_seq: int
    last_seq: int
    rows: int
    leaves_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a redaction will do: ``erasures`` to put on record, ``values`` by field, in how many ``records``."""

    erasures: tuple[Erasure, ...]
    values: dict[str, int]
    records: int
    files: tuple[tuple[str, str], ...]  # (kind, path)
    on_record: bool  # an earlier run put it on record and did not finish


def parse_fields(text: str) -> tuple[str, ...]:
    """The fields of ``--field``; raises UsageError for others."""
    named = [name.strip() for name in text.split(",") if name.strip()]
    if not named or any(name not in FIELDS for name in named):
        raise UsageError(f"--field takes {', '.join(FIELDS)}, separated by commas, not {text!r}.")
    return tuple(part for name in dict.fromkeys(named) for part in _TOGETHER.get(name, (name,)))


def plan(bench: Bench, selector: Selector, fields: Sequence[str]) -> Plan:
    """What erasing ``fields`` of the selected records means; raises UsageError where a legal hold forbids it."""
    held = {hold.id: hold for hold in holds.gather(bench)}
    _choose(bench, selector)
    _gather_values(bench, fields)
    under = bench.rows("SELECT hold, count(*) FROM held JOIN erase USING (log, seq) GROUP BY hold ORDER BY hold")
    if under:
        hold = held[under[0][0]]
        raise UsageError(
            f"The legal hold {hold.id} on {hold.scope} ({hold.reason}) covers {under[0][1]} of these values, so nothing"
            " was erased: choose other records, or wait until the hold is released."
        )
    lost = erased.lost_values(bench.rows, str)
    wanted = _wanted(bench)
    return Plan(
        erasures=tuple(e for key, values in wanted.items() for e in erasures(key, values, lost.get(key, Lost()))),
        values=dict(bench.rows("SELECT field, count(*) FROM erase GROUP BY 1 ORDER BY 1")),
        records=bench.rows("SELECT count(*) FROM (SELECT DISTINCT log, seq FROM erase)")[0][0],
        files=tuple((kind, file) for kind, file in bench.rows("SELECT DISTINCT kind, file FROM erase ORDER BY ALL")),
        on_record=_is_on_record(bench, lost, wanted),
    )


def _choose(bench: Bench, selector: Selector) -> None:
    if selector.record is not None:
        selecting.choose_record(bench, *selector.record)
    elif selector.subject is not None:
        selecting.choose(bench, selector.subject, Period())
    else:
        assert selector.exchange is not None, "a selector selects something"
        selecting.choose_exchange(bench, selector.exchange)


def _gather_values(bench: Bench, fields: Sequence[str]) -> None:
    """Fill ``erase(log, seq, kind, field, file)``: one row per value that is there to be erased."""
    bench.connection.execute(
        "CREATE OR REPLACE TEMP TABLE erase (log VARCHAR, seq BIGINT, kind VARCHAR, field VARCHAR, file VARCHAR)"
    )
    for kind in _KINDS:
        for name in sensitive(kind):
            if name in fields:
                bench.connection.execute(
                    f"INSERT INTO erase SELECT r.log, r.seq, c.kind, '{name}', r.file FROM {kind} AS r"  # noqa: S608
                    f" JOIN chosen AS c ON c.log = r.log AND c.seq = r.seq AND c.kind = '{kind}'"
                    f" WHERE r.{name} IS NOT NULL"
                )


def _wanted(bench: Bench) -> LostValues:
    """The values to erase, as they will be found missing."""
    found: LostValues = {}
    for kind in _KINDS:
        source = f"(SELECT * FROM {kind} SEMI JOIN erase USING (log, seq))"  # noqa: S608 - our own names
        leaves = f"SELECT e.log, e.field, e.seq, l.leaf FROM erase AS e JOIN ({leaves_of(kind, source)}) AS l"  # noqa: S608
        for log, name, seq, leaf in bench.rows(f"{leaves} ON l.log = e.log AND l.seq = e.seq ORDER BY e.seq"):
            values = found.setdefault((log, name), Lost())
            found[log, name] = values
            values.seqs.append(seq)
            values.leaves.append(leaf)
    return {key: values.merged(Lost()) for key, values in sorted(found.items())}


def erasures(key: tuple[str, str], values: Lost, lost: Lost) -> Iterator[Erasure]:
    """The values as ranges within which no row lost the field before (see reports/erased.py)."""
    gone = [(seq, None) for seq in lost.seqs]
    run: list[tuple[int, str]] = []
    for seq, leaf in sorted([*gone, *zip(values.seqs, values.leaves, strict=True)], key=lambda pair: pair[0]):
        if leaf is not None:
            run.append((seq, leaf))
        elif run:
            yield _erasure(key, run)
            run = []
    if run:
        yield _erasure(key, run)


def _erasure(key: tuple[str, str], run: list[tuple[int, str]]) -> Erasure:
    digest = erased.leaves_sha256(leaf for _, leaf in run)
    first, last = run[0][0], run[-1][0]
    return Erasure(log=key[0], field=key[1], first_seq=first, last_seq=last, rows=len(run), leaves_sha256=digest)


def _is_on_record(bench: Bench, lost: LostValues, wanted: LostValues) -> bool:
    """Whether an unfinished redaction on record means just these values; refuses to begin beside another one."""
    records = [entry.record for entry in history(bench)]
    unfinished = _unfinished(records, lost)
    if not unfinished:
        return False
    after = {key: lost.get(key, Lost()).merged(wanted.get(key, Lost())) for key in lost.keys() | wanted.keys()}
    still = _unfinished(records, after)
    if not still:
        return True
    record = still[0]
    raise LogFormatError(
        f"The redaction of {', '.join(record.fields)} by {record.custodian} ({record.reason}) is on record and was not"
        f" carried out to the end; give the same command again first (its scope: {record.scope or 'a URL'})."
    )


def _unfinished(records: Sequence[Custody], lost: LostValues) -> list[Custody]:
    keys = {(r.subject_log or "", name) for r in records if r.event == "redacted" for name in r.fields}
    found = []
    for log, name in sorted(keys):
        answers, _ = erased.resolve(lost.get((log, name), Lost()), erased.records_of(records, log, name))
        short = [answer.record for answer in answers if answer.rows < answer.record.rows]
        found += [record for record in short if not pruned.touches(records, record)]
    return found


def apply(bench: Bench, planned: Plan, selector: Selector, reason: str, by: str) -> Published | None:
    """Put the plan on record and carry it out; None where an earlier run put it on record already."""
    published = None
    if not planned.on_record:
        at = next_instant(bench)
        published = publish(bench, [_custody(erasure, selector, at, reason, by) for erasure in planned.erasures])
    for kind, path in planned.files:
        rewrite(bench, kind, Path(path))
    bench.refresh()
    return published


def rewrite(bench: Bench, kind: str, file: Path) -> None:
    """Erase from one file what the table ``erase`` says."""
    where = f"file = {sql_quote(str(file))}"
    fields = [name for (name,) in bench.rows(f"SELECT DISTINCT field FROM erase WHERE {where} ORDER BY 1")]  # noqa: S608
    source = f"({relation(kind, [file])})"
    concerned = f"seq IN (SELECT seq FROM erase WHERE {where})"  # noqa: S608 - quoted
    bench.replace(file, kind, withheld_select(kind, source, fields, concerned), leaves_of(kind, source))


def _custody(erasure: Erasure, selector: Selector, at: Instant, reason: str, by: str) -> Custody:
    return Custody(
        recorded_at=at,
        event="redacted",
        hold=None,
        subject_log=erasure.log,
        first_seq=erasure.first_seq,
        last_seq=erasure.last_seq,
        rows=erasure.rows,
        fields=(erasure.field,),
        leaves_sha256=erasure.leaves_sha256,
        scope=selector.scope,
        reason=storable(reason, 2000),
        custodian=storable(by, 200),
    )
