"""What the commands really ask of a log: every query with its parameters, heard while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import reports
from crawl_audit import records
from reports.kinds.registry import KINDS
from reports.log import Log, open_log
from tests import logs, realistic, realistic_sites
from tests.reports.command import crawl_audit

QUERIES = {path.stem: path.read_text() for path in sorted((Path(reports.__file__).parent / "sql").glob("*.sql"))}
NO_QUESTION = {"verify"}
"""Not asked by a command: a script of many statements, for DuckDB's own shell."""

Asked = dict[str, list[dict[str, Any]]]


class _Heard:
    """A connection that keeps what it is asked."""

    def __init__(self, connection: Any, asked: Asked) -> None:
        self._connection = connection
        self._asked = asked

    def execute(self, sql: str, parameters: dict[str, Any] | None = None) -> Any:
        given = dict(parameters or {})
        for name, text in QUERIES.items():
            if sql == text and given not in self._asked.setdefault(name, []):
                self._asked[name].append(given)
        return self._connection.execute(sql, given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextmanager
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """The queries that are asked of DuckDB meanwhile."""
    asked: Asked = {}
    guarded: Callable[..., Any] = Log.guarded

    @contextmanager
    def listening(self: Log, *, own_sql: bool = True) -> Iterator[Any]:
        with guarded(self, own_sql=own_sql) as connection:
            yield _Heard(connection, asked)

    with monkeypatch.context() as patched:
        patched.setattr(Log, "guarded", listening)
        yield asked


def log_of_everything(root: Path) -> None:
    """A month of two sidecars and a log of odd things; some of it pruned, some of it with values erased."""
    realistic.generate(root, 5_000, sites=150, verifiable=True, at_once=1_500)
    odd = logs.LogBuilder(root, log="odd-20261118T110640Z-00000002")
    odd.add(logs.run())
    odd.add(logs.robots_body(logs.ROBOTS))
    copy = odd.add(logs.snapshot("example.com", logs.ROBOTS))
    for number, target in enumerate(
        (*logs.TARGETS, "/caf\u00e9", "/caf%c3%a9", "/%ff", "/100%", "/a+b", "/a%20b", "/\u2028%7e")
    ):
        for host in ("example.com", "2001:db8::1"):
            asked = logs.decision(host, target, logs.after(number), body=logs.ROBOTS, snapshot_seq=copy)
            odd.add(logs.completion(odd.add(asked), logs.after(number), status=None if number == 3 else 200))
    for number, word in enumerate(("egress_probe_open", "egress_probe_closed", "hook_error")):
        said = {"exchange_id": None, "crawler": None, "client": None, "detail": "One sentence."}
        odd.add(records.Incident(recorded_at=logs.after(40 + number), incident=word, **said))
    odd.add(_tunnel(logs.after(50)))
    odd.add(_gap(logs.after(51)))
    odd.seal()
    odd.add(_anchor(logs.after(60)))
    odd.publish()
    for word, *options in (
        ("prune", "--before", "2026-10-11"),
        ("redact", "--domain", realistic_sites.site_name(2), "--field", "target,user_agent"),
    ):
        ran = crawl_audit(word, root, *options, "--reason", "a test", "--by", "dpo", "--yes")
        assert ran.code == 0, ran


def _tunnel(at: records.Instant) -> records.Tunnel:
    said = {"protocol": "websocket", "host": "example.com", "port": 443, "outcome": "opened", "detail": None}
    return records.Tunnel(recorded_at=at, exchange_id=None, crawler=None, client=None, **said)


def _gap(at: records.Instant) -> records.Gap:
    said = {"cause": "disk_full", "detail": "One sentence.", "file_sha256": None}
    return records.Gap(
        recorded_at=at,
        first_at=logs.after(2),
        last_at=logs.after(4),
        requests=9,
        kept=3,
        first_seq=9,
        last_seq=13,
        **said,
    )


def _anchor(at: records.Instant) -> records.Anchor:
    return records.Anchor(
        recorded_at=at,
        method="witness",
        authority="witness.example",
        checkpoint_size=1,
        checkpoint_root="ab" * 32,
        stated_at=None,
        receipt_sha256="cd" * 32,
    )


def everything(root: Path, scratch: Path) -> None:
    """Every command that asks a log anything, of all of it and of a part of it."""
    part = ("--from", "2026-10-09", "--to", "2026-10-20T12:00:00Z")
    first = realistic_sites.site_name(1)
    with open_log(str(root)) as log:
        (some,) = log.select(
            "SELECT exchange_id, url FROM exchange WHERE body_sha256 IS NOT NULL AND url NOT LIKE '%robots.txt'"
            " AND snapshot_seq IS NOT NULL ORDER BY recorded_at DESC LIMIT 1"
        )
        kept = log.select(
            "SELECT DISTINCT body_sha256 FROM completion WHERE body_sha256 IS NOT NULL ORDER BY ALL LIMIT 50"
        )
        (late,) = log.select(
            "SELECT exchange_id FROM decision AS d JOIN gap AS g"
            " ON g.log = d.log AND d.seq BETWEEN g.first_seq AND g.last_seq ORDER BY d.seq LIMIT 1"
        )
    manifest = scratch / "manifest.txt"
    manifest.write_text("\n".join([*(row["body_sha256"] for row in kept), "not a digest"]))
    for kind in KINDS:
        limited = ("--site", f"www.{first}") if "site" in kind.takes else ()
        for options in ((), (*part, *limited)):
            ran = crawl_audit("report", kind.name, root, "--format", "json", *options)
            assert ran.code == 0, ran.err
    subjects = (first, f"www.{first}", some["url"], "http://example.com/caf%C3%A9", "http://example.com/%FF")
    for subject, options in ((first, ()), *((subject, part) for subject in subjects)):
        ran = crawl_audit("inquiry", root, subject, "--format", "json", *options)
        assert ran.code in (0, 1, 3), ran.err
    for wanted in ("http://example.com/a?b=1", some["exchange_id"], late["exchange_id"]):
        ran = crawl_audit("explain", root, wanted)
        assert ran.code in (0, 1), ran.err
    for words in (
        ("report", "init", root, "-o", scratch / "operator.toml"),
        ("status", root),
        ("lineage", root, "--manifest", manifest),
        ("lineage", root, "--manifest", manifest, *part, "--site", first),
        ("judge", "--log", root, first),
        ("judge", "--log", root, some["url"]),
    ):
        ran = crawl_audit(*words)
        assert ran.code in (0, 1, 3), ran.err
