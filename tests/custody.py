"""What tests of custody share: logs to handle, roots computed here and not by what is tested, a crash at any step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crawl_audit import records, schema
from crawl_audit.seal import merkle_root
from reports import redact, rewriting, verify_custody
from reports.evidence import open_evidence
from reports.findings import Finding, Severity
from reports.matching import parse_subject
from tests import logs

SECRETS = {
    "target": "/users/jane-doe-4711",
    "user_agent": "AlphaBot/1.0 (secret-contact)",
    "client": "10.99.88.77",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}


def handled(root: Path, count: int = 24) -> logs.LogBuilder:
    """A sound log whose requests to www.example.com carry SECRETS, with a tunnel, an incident and a signal."""
    made = logs.LogBuilder(root, signing=True)
    made.start(logs.after(0))
    made.add(logs.robots_body(logs.ROBOTS, logs.after(0)))
    seqs = {
        host: made.add(logs.snapshot(host, logs.ROBOTS, logs.after(0))) for host in ("example.com", "www.example.com")
    }
    for number in range(count):
        secret = number % 3 == 1
        host = "www.example.com" if secret else "example.com"
        at = logs.after(1 + number)
        asked = SECRETS if secret else {"target": f"/page/{number}"}
        target = asked["target"]
        judged = logs.decision(host, target, at, body=logs.ROBOTS, snapshot_seq=seqs[host], robots_age_ms=number * 1000)
        changes: dict[str, Any] = {name: value for name, value in asked.items() if name != "target"}
        judged = records.Decision(
            **{**{c.name: getattr(judged, c.name) for c in schema.columns("decision")}, **changes}
        )
        seq = made.add(judged)
        made.add(logs.completion(seq, records.Instant(at + 1000)))
        if number == 4:
            made.add(_tunnel(judged, at))
            made.add(_incident(judged, at))
            made.add(_signal(judged, at))
        if number % 4 == 3:
            (made.publish if number % 8 == 7 else made.seal)()
    made.close(logs.after(count + 2))
    return made


def _tunnel(decision: records.Decision, at: records.Instant) -> records.Tunnel:
    given = {"client": decision.client, "protocol": "connect", "host": decision.host, "port": 443, "outcome": "opened"}
    return records.Tunnel(recorded_at=at, exchange_id=decision.exchange_id, crawler=None, detail=None, **given)


def _incident(decision: records.Decision, at: records.Instant) -> records.Incident:
    said = {"incident": "hook_error", "detail": "One sentence."}
    return records.Incident(
        recorded_at=at, exchange_id=decision.exchange_id, crawler=None, client=decision.client, **said
    )


def _signal(decision: records.Decision, at: records.Instant) -> records.Signal:
    said = {"protocol": "x-robots-tag", "raw": "noai", "value": "noai", "scope": None}
    return records.Signal(recorded_at=at, exchange_id=decision.exchange_id, snapshot_seq=None, **said)


def relations(place: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of a log directory, export or bundle by kind, read without any code of the readers."""
    found: dict[str, list[dict[str, Any]]] = {}
    with duckdb.connect() as connection:
        if place.is_file():
            connection.execute(f"ATTACH '{place}' AS given (READ_ONLY)")
        for kind in (*schema.KINDS, "withheld"):
            if place.is_file():
                tables = connection.execute(
                    "SELECT table_name FROM duckdb_tables() WHERE database_name = 'given'"
                ).fetchall()
                if (kind,) not in tables:
                    continue
                result = connection.execute(f"SELECT * FROM given.main.{kind}")
            else:
                if not list(place.glob(f"segments/*/*/{kind}.parquet")):
                    continue
                result = connection.execute(
                    f"SELECT * FROM read_parquet('{place}/segments/*/*/{kind}.parquet', union_by_name = true)"
                )
            names = [column[0] for column in result.description or ()]
            found[kind] = [dict(zip(names, _plain(row), strict=True)) for row in result.fetchall()]
    return found


def _plain(row: tuple[Any, ...]) -> list[Any]:
    return [_microseconds(value) if hasattr(value, "isoformat") else value for value in row]


def _microseconds(moment: Any) -> int:
    since = moment - type(moment)(1970, 1, 1)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds  # type: ignore[no-any-return]


def leaves(place: Path) -> dict[tuple[str, int], bytes]:
    """The leaf of every record in a place, by (log, seq); one that is there twice fails."""
    found: dict[tuple[str, int], bytes] = {}
    for kind, rows in relations(place).items():
        for row in rows:
            key = (row["log"], row["seq"])
            assert key not in found, f"{key} is there twice"
            found[key] = bytes.fromhex(row["leaf"]) if kind == "withheld" else schema.leaf(schema.from_row(kind, row))
    return found


def check_roots(place: Path, whole: dict[tuple[str, int], bytes], *, pruned: bool = False) -> int:
    """Every leaf there is what it was, every root what its seal says; how many roots could be computed."""
    given = leaves(place)
    assert all(leaf == whole[key] for key, leaf in given.items() if key in whole)
    computed = 0
    for seal in relations(place)["seal"]:
        seqs = range(seal["first_seq"], seal["first_seq"] + seal["rows"])
        mine = [given.get((seal["log"], seq)) for seq in seqs]
        if pruned and mine and all(leaf is None for leaf in mine):
            continue
        assert all(leaf is not None for leaf in mine), f"a sealed range has holes: {seal}"
        assert merkle_root([leaf for leaf in mine if leaf is not None]).hex() == seal["root"]
        computed += 1
    return computed


def findings(place: Path) -> list[Finding]:
    """What the checks on custody find."""
    with open_evidence(str(place)) as evidence:
        verify_custody.check(evidence, evidence.findings)
        return evidence.findings.listed()


def errors(place: Path) -> set[str]:
    """The checks that fail."""
    return {finding.check for finding in findings(place) if finding.severity is Severity.ERROR}


def erase(root: Path, what: str, fields: str) -> redact.Plan:
    """Redact ``fields`` of everything on a domain or URL."""
    selector = redact.Selector(subject=parse_subject(what))
    with rewriting.open_bench(str(root)) as bench:
        planned = redact.plan(bench, selector, redact.parse_fields(fields))
        if planned.values:
            redact.apply(bench, planned, selector, "a reason", "dpo")
        return planned


_BUILT: list[Path] = []


def copied(root: Path, scratch: Path) -> Path:
    """A copy of the log :func:`handled` makes, built once under ``scratch``."""
    if not _BUILT or not _BUILT[0].exists():
        handled(scratch)
        _BUILT[:] = [scratch]
    shutil.copytree(_BUILT[0], root)
    return root


class Crashed(BaseException):
    """The process was killed here."""


@contextmanager
def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[list[str]]:
    """Die at the ``step``-th change of a name in the file system (rename, replace, unlink), before it happens."""
    done: list[str] = []
    real_rename, real_replace, real_unlink = os.rename, os.replace, Path.unlink

    def dying(what: str, real: Any) -> Any:
        def step_of(*arguments: Any, **named: Any) -> Any:
            if str(arguments[0]).endswith(("spill",)):
                return real(*arguments, **named)
            if len(done) == step:
                raise Crashed
            done.append(what)
            return real(*arguments, **named)

        return step_of

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", dying("rename", real_rename))
        patch.setattr(os, "replace", dying("replace", real_replace))
        patch.setattr(Path, "unlink", dying("unlink", real_unlink))
        patch.setattr("shutil.rmtree", lambda *_, **__: None)  # the dead clean nothing up
        yield done


def octets(root: Path) -> bytes:
    """All octets of the segments of a log directory, and every value in them in plain (pages are compressed)."""
    parts = [path.read_bytes() for path in sorted((root / "segments").rglob("*.parquet"))]
    with duckdb.connect() as connection:
        found = f"SELECT * FROM read_parquet('{root}/segments/*/*/{{}}.parquet', union_by_name = true)"
        present = {path.stem for path in (root / "segments").glob("*/*/*.parquet")}
        parts.extend(repr(connection.execute(found.format(kind)).fetchall()).encode() for kind in sorted(present))
    return b"".join(parts)
