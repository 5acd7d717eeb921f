"""Redaction: the value is gone for good, every proof holds, a hold wins, a crash at any step is finished later."""

from __future__ import annotations

import threading
from pathlib import Path

import duckdb
import pytest

from crawl_audit.errors import LogFormatError
from reports import holds, redact, rewriting, selecting
from reports.findings import Severity
from reports.matching import parse_subject
from reports.period import Period, UsageError, parse_period
from tests import custody
from tests.custody import SECRETS, check_roots, erase, errors, findings, leaves, octets, relations
from tests.reports.command import crawl_audit

URL = "https://www.example.com" + SECRETS["target"]
FIELDS = "target,user_agent,client,trace_id"


@pytest.fixture
def log(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return custody.copied(root, tmp_path_factory.getbasetemp() / "handled")


def test_erased_values_are_gone_from_every_file_and_every_root_holds(log: Path) -> None:
    whole = leaves(log)
    before = octets(log)
    assert all(secret.encode() in before for secret in SECRETS.values())
    planned = erase(log, "www.example.com", FIELDS)
    assert planned.values == {"client": 10, "target": 8, "trace_id": 8, "user_agent": 8}
    after = octets(log)
    assert [secret for secret in SECRETS.values() if secret.encode() in after] == []
    assert check_roots(log, whole) > 5
    assert errors(log) == set()
    told = [f for f in findings(log) if f.check == "R6"]
    assert {f.severity for f in told} == {Severity.INFO}
    assert len(told) == 4


def test_the_salt_of_an_erased_row_is_gone_and_other_fields_keep_theirs(log: Path) -> None:
    erase(log, "www.example.com", "client")
    rows = [row for row in relations(log)["decision"] if row["host"] == "www.example.com"]
    assert rows and all(row["salt"] is None and row["client"] is None and row["client_c"] for row in rows)
    assert all(row["target"] == SECRETS["target"] and row["target_s"] and row["client_s"] is None for row in rows)
    others = [row for row in relations(log)["decision"] if row["host"] == "example.com"]
    assert others and all(row["salt"] and row["client"] and row["client_c"] is None for row in others)


def test_a_url_is_not_on_record_and_neither_are_its_octets(log: Path) -> None:
    erase(log, "http://www.example.com" + SECRETS["target"], "target")
    assert SECRETS["target"].encode() not in octets(log)
    assert {row["scope"] for row in relations(log)["custody"]} == {None}
    assert {tuple(row["fields"]) for row in relations(log)["custody"]} == {("target",)}


def test_redactions_that_interleave_are_all_recognised(log: Path) -> None:
    whole = leaves(log)
    first = relations(log)["decision"][5]["exchange_id"]
    for arguments in (
        ["--exchange", first, "--field", "client"],
        ["--domain", "example.com", "--field", "client,user_agent"],
        ["--seq", f"{relations(log)['seal'][0]['log']}:4", "--field", "target"],
        ["--domain", "www.example.com", "--field", "target"],
    ):
        ran = crawl_audit("redact", log, *arguments, "--reason", "r", "--by", "b", "--yes")
        assert ran.code == 0, ran
    assert errors(log) == set()
    check_roots(log, whole)


def test_there_is_nothing_to_erase_twice(log: Path) -> None:
    erase(log, "www.example.com", FIELDS)
    written = len(relations(log)["custody"])
    assert erase(log, "www.example.com", FIELDS).values == {}
    assert len(relations(log)["custody"]) == written


@pytest.mark.parametrize(
    ("scope", "start", "refused"),
    [
        ("example.com", None, True),
        ("all", None, True),
        ("http://www.example.com" + SECRETS["target"], None, True),
        ("http://www.example.com/other", None, False),
        ("other.example", None, False),
        ("example.com", "2030-01-01", False),
    ],
)
def test_a_hold_over_the_rows_refuses_and_is_named(log: Path, scope: str, start: str | None, refused: bool) -> None:
    with rewriting.open_bench(str(log)) as bench:
        name, _ = holds.place(bench, scope, parse_period(start, None), "case 7", "legal")
    before = leaves(log)
    if refused:
        with pytest.raises(UsageError, match=name):
            erase(log, "www.example.com", "target")
        assert leaves(log) == before
        assert SECRETS["target"].encode() in octets(log)
        crawl_audit("hold", "release", log, name, "--reason", "over", "--by", "legal")
    assert erase(log, "www.example.com", "target").values


def test_a_hold_on_a_url_covers_rows_whose_target_is_erased_already(log: Path) -> None:
    erase(log, "www.example.com", "target")
    with rewriting.open_bench(str(log)) as bench:
        holds.place(bench, "http://www.example.com/users/somebody", Period(), "case 8", "legal")
    with pytest.raises(UsageError, match="case 8"):
        erase(log, "www.example.com", "client")


@pytest.mark.parametrize("step", range(9))
def test_after_a_crash_at_any_step_the_same_command_finishes(
    log: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole = leaves(log)
    try:
        with custody.crash_at(monkeypatch, step) as done:
            erase(log, "www.example.com", FIELDS)
        assert len(done) <= step
    except custody.Crashed:
        check_roots(log, whole)
    assert errors(log) <= {"P2"}  # on record and not all carried out
    erase(log, "www.example.com", FIELDS)
    assert [secret for secret in SECRETS.values() if secret.encode() in octets(log)] == []
    check_roots(log, whole)
    assert errors(log) == set()
    assert len(relations(log)["custody"]) == 4
    checkpoints = {path.name.removesuffix(".checkpoint") for path in (log / "checkpoints").iterdir()}
    assert checkpoints == {path.name for path in (log / "segments").iterdir()} - {"schema"}


def test_another_redaction_does_not_begin_beside_an_unfinished_one(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(custody.Crashed), custody.crash_at(monkeypatch, 3):
        erase(log, "www.example.com", FIELDS)
    with pytest.raises(LogFormatError, match="not carried out to the end"):
        erase(log, "example.com", "target")
    erase(log, "www.example.com", FIELDS)
    erase(log, "example.com", "target")
    assert errors(log) == set()


def test_readers_in_the_middle_never_see_wrong_numbers(log: Path) -> None:
    query = (
        "SELECT count(*), sum(seq), count(DISTINCT exchange_id), min(host)"
        f" FROM read_parquet('{log}/segments/*/*/decision.parquet', union_by_name = true)"
    )
    stop, seen, unreadable = threading.Event(), [], []

    def read() -> None:
        with duckdb.connect() as connection:
            connection.execute("SET parquet_metadata_cache = true")
            while not stop.is_set():
                try:
                    seen.append(connection.execute(query).fetchone())
                except duckdb.Error as error:  # DuckDB opens a file twice in a query: it may say no, never lie
                    unreadable.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for fields in ("client", "user_agent", "target"):
        erase(log, "www.example.com", fields)
        erase(log, "example.com", fields)
    stop.set()
    thread.join()
    assert len(set(seen)) == 1
    assert len(seen) > len(unreadable)


def test_a_selector_without_a_record_finds_nothing(log: Path) -> None:
    for selector in (redact.Selector(exchange="none"), redact.Selector(record=("nobody", 1))):
        with rewriting.open_to_look(str(log)) as bench:
            assert redact.plan(bench, selector, ("client",)).values == {}


def test_choosing_takes_what_belongs_to_a_decision(log: Path) -> None:
    with rewriting.open_to_look(str(log)) as bench:
        selecting.choose(bench, parse_subject("www.example.com"), Period())
        chosen = dict(bench.rows("SELECT kind, count(*) FROM chosen GROUP BY kind"))
    assert chosen == {
        "decision": 8, "completion": 8, "snapshot": 1, "robots_body": 1, "tunnel": 1, "incident": 1, "signal": 1
    }  # fmt: skip
