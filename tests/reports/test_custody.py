"""Custodian logs and holds: sound logs of their own, one after the other, that no report takes for crawling."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crawl_audit.records import Custody, Instant
from crawl_audit.seal import Verifier, parse_checkpoint, parse_note, verify_note
from reports import custody as custody_logs
from reports import custody_cli, holds, own_log, rewriting
from reports.custody import Entry, history
from reports.evidence_form import LOG_NAME
from reports.log import open_log
from reports.period import Period, UsageError
from tests import custody
from tests.custody import check_roots, leaves, relations
from tests.reports.command import crawl_audit, refused

BY = ("--reason", "case 7", "--by", "legal")


@pytest.fixture
def log(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return custody.copied(root, tmp_path_factory.getbasetemp() / "handled")


def test_a_custodian_log_is_sealed_and_signed_by_the_key_it_names(log: Path) -> None:
    ran = crawl_audit("hold", "place", log, "example.com", *BY, "--format", "json")
    name = ran.json["custodian_log"]
    assert LOG_NAME.fullmatch(name) and re.fullmatch(r"custodian-\d{8}T\d{6}Z-[0-9a-f]{8}", name)
    found = relations(log)
    (run,) = [row for row in found["run"] if row["log"] == name]
    (seal,) = [row for row in found["seal"] if row["log"] == name]
    assert (run["event"], run["seq"], seal["reason"], seal["first_seq"], seal["rows"]) == (
        "custody",
        0,
        "shutdown",
        0,
        2,
    )
    note = (log / "checkpoints" / f"{name}.checkpoint").read_text()
    verifier = Verifier.parse(run["checkpoint_key"])
    assert verify_note(note, [verifier]) == (verifier,)
    head = parse_checkpoint(parse_note(note).text)
    assert (head.origin, head.size, head.root) == (f"crawl-audit/{name}", 1, leaves(log)[name, seal["seq"]])
    check_roots(log, leaves(log))
    assert ran.json["checkpoint"] == note


def test_custodian_logs_follow_each_other_even_if_the_clock_goes_back(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for second in (3, 2, 1):
        monkeypatch.setattr(own_log, "now_us", lambda second=second: Instant(1_900_000_000_000_000 + second))
        crawl_audit("hold", "place", log, "all", *BY)
    with rewriting.open_to_look(str(log)) as bench:
        entries = history(bench)
    assert [entry.record.recorded_at for entry in entries] == [1_900_000_000_000_000 + n for n in (3, 4, 5)]
    runs = {row["log"]: row["previous_log"] for row in relations(log)["run"] if row["event"] == "custody"}
    assert [runs[entry.log] for entry in entries] == [None, entries[0].log, entries[1].log]


def test_holds_are_placed_listed_and_released(log: Path) -> None:
    assert "No hold" in crawl_audit("hold", "list", log).out
    placed = [
        crawl_audit("hold", "place", log, *scope, *BY, "--format", "json").json["hold"]
        for scope in (["example.com", "--from", "2026-11-01", "--to", "2026-11-30"], ["all"], ["http://a.example/b c"])
    ]
    listed = crawl_audit("hold", "list", log, "--format", "json").json["holds"]
    assert [(hold["id"], hold["scope"]) for hold in listed] == [
        (placed[0], "example.com from 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z"),
        (placed[1], "all"),
        (placed[2], "http://a.example/b%20c"),
    ]
    assert crawl_audit("hold", "release", log, placed[1], *BY).code == 0
    assert placed[1] in refused("hold", "release", log, placed[1], *BY, code=2)
    text = crawl_audit("hold", "list", log).out
    assert placed[0] in text and placed[1] not in text and "case 7" in text
    assert "neither a domain nor a URL" in refused("hold", "place", log, "???", *BY, code=2)


@pytest.mark.parametrize("scope", ["example.com", "https://example.com/a?b=1", "[::1]", "example.com:8080", "all"])
def test_a_scope_reads_back_as_it_was_given(scope: str) -> None:
    period = Period(start=custody_logs.moment_of(Instant(1_795_000_000_000_000)))
    text, subject = holds.scope_text(scope, period)
    (hold,) = holds.in_force([entry(text)])
    assert (hold.subject is None) == (scope == "all")
    assert hold.period == period
    if subject is not None and hold.subject is not None:
        assert (hold.subject.host, hold.subject.target) == (subject.host, subject.target)


@pytest.mark.parametrize("scope", [None, "", "??? from nowhere", "a b c", "example.com from xZ"])
def test_a_scope_that_cannot_be_read_holds_everything(scope: str | None) -> None:
    (hold,) = holds.in_force([entry(scope)])
    assert hold.subject is None
    assert hold.period == Period()


def entry(scope: str | None) -> Entry:
    nothing = dict.fromkeys(("subject_log", "first_seq", "last_seq", "leaves_sha256"))
    said = {"event": "hold_placed", "hold": "hold-1", "rows": 0, "fields": (), "reason": "r", "custodian": "c"}
    return Entry(log="custodian-x", seq=1, record=Custody(recorded_at=Instant(0), scope=scope, **nothing, **said))  # type: ignore[arg-type]


def test_no_report_takes_a_custodian_log_for_crawling(log: Path) -> None:
    def seen() -> object:
        with open_log(str(log)) as opened:
            from reports.coverage import coverage

            return coverage(opened, Period())

    before = seen()
    crawl_audit("hold", "place", log, "all", *BY)
    assert seen() == before
    answer = crawl_audit("status", log, "--format", "json").json
    assert len(answer["logs"]) == 1
    assert [one["custody_records"] for one in answer["custodian_logs"]] == [1]
    assert answer["period"]["to"] < "2026-11-19"
    assert "Done to these logs afterwards" in crawl_audit("status", log).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--field", "target"], "exactly one"),
        (["--field", "target", "--domain", "a.example", "--exchange", "x"], "exactly one"),
        (["--field", "host", "--domain", "a.example"], "--field takes"),
        (["--field", "", "--domain", "a.example"], "--field takes"),
        (["--field", "target", "--seq", "log"], "LOG:N"),
        (["--field", "target", "--url", "a.example"], "with its path"),
        (["--field", "target", "--domain", "http://a.example/x"], "with its path"),
        (["--field", "target", "--domain", "www.example.com"], "--yes"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(log: Path, arguments: list[str], said: str) -> None:
    assert said in refused("redact", log, *arguments, "--reason", "r", "--by", "b", code=2)


def test_nothing_to_erase_is_said(log: Path) -> None:
    ran = crawl_audit("redact", log, "--domain", "nobody.example", "--field", "client", *BY)
    assert (ran.code, "nothing to erase" in ran.out) == (0, True)


def test_no_person_is_asked_where_there_is_none() -> None:
    with pytest.raises(UsageError, match="--yes"):
        custody_cli._confirm(False, "Really?")
