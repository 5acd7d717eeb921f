"""What an answer can rest on: gaps, holes, periods without a log, records that cannot be read yet."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crawl_audit import records
from crawl_audit.records import Gap, Instant
from reports import coverage, envelope, matching
from reports.declarations import Declarations
from reports.disclaimers import TEXTS
from reports.kinds import inquiry
from reports.levels import Level
from reports.log import open_log
from reports.period import Period, parse_period
from reports.report import at_level
from tests import logs
from tests.reports.command import crawl_audit

DAY = 86_400


def two_runs(root: Path) -> Path:
    """Covered: the first hour after START, and an hour one day later; www.example.com was asked in the first."""
    for number, (log, began) in enumerate((("n-1", 0), ("n-2", DAY))):
        made = logs.LogBuilder(root, log)
        made.add(logs.run("start", logs.after(began)))
        if number == 0:
            made.add(logs.decision("www.example.com", "/", logs.after(60)))
        made.add(logs.run("stop", logs.after(began + 3600)))
        made.publish()
    return root


def covered(root: Path, period: Period) -> dict[str, object]:
    with open_log(str(root)) as log:
        return coverage.coverage(log, period)


def at(seconds: float) -> str:
    moment = datetime.fromisoformat("1970-01-01") + timedelta(microseconds=logs.after(seconds))
    return moment.isoformat() + "Z"


def test_time_between_two_runs_is_a_gap(root: Path) -> None:
    answer = covered(two_runs(root), Period())
    assert answer["gaps"] == [{"from": at(3600), "to": at(DAY)}]
    assert answer["covered"] == "part"
    assert answer["periods"] == [{"from": at(0), "to": at(3600)}, {"from": at(DAY), "to": at(DAY + 3600)}]


def test_logs_that_run_at_once_leave_no_gap(root: Path) -> None:
    for log, began in (("n-1", 0), ("n-2", 1800)):
        made = logs.LogBuilder(root, log)
        made.add(logs.run("start", logs.after(began)))
        made.add(logs.run("stop", logs.after(began + 3600)))
        made.publish()
    answer = covered(root, Period())
    assert (answer["covered"], answer["gaps"], len(answer["periods"])) == ("all", [], 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(60, 120, "all"), (-60, 120, "part"), (60, 7200, "part"), (7200, 9000, "none"), (-9000, -60, "none")],
)
def test_a_period_is_covered_whole_in_part_or_not(root: Path, start: int, end: int, expected: str) -> None:
    assert covered(two_runs(root), parse_period(at(start), at(end)))["covered"] == expected


@pytest.mark.parametrize(
    ("asked", "start", "end", "code", "result"),
    [
        ("www.example.com", None, None, 0, "requests_found"),
        ("nobody.example", None, None, 1, "no_record_in_covered_log"),
        ("www.example.com", at(120), at(180), 1, "no_record_in_covered_log"),
        ("www.example.com", at(7200), at(9000), 3, "cannot_determine"),
        ("nobody.example", "2020-01-01", "2020-01-31", 3, "cannot_determine"),
    ],
)
def test_no_record_is_said_only_of_time_that_is_covered(
    root: Path, asked: str, start: str | None, end: str | None, code: int, result: str
) -> None:
    period = [*(["--from", start] if start else []), *(["--to", end] if end else [])]
    ran = crawl_audit("inquiry", two_runs(root), asked, *period, "--format", "json")
    assert (ran.code, ran.json["result"]) == (code, result)
    text = crawl_audit("inquiry", root, asked, *period)
    assert text.code == code
    assert TEXTS["D-COVER"] in text.out


def test_a_hole_in_the_log_forbids_to_say_no_record(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    made.publish()
    made.add(logs.decision("hidden.example"))
    hole = made.publish()
    made.add(logs.decision("shown.example", at=logs.after(9)))
    made.publish()
    shutil.rmtree(hole)
    ran = crawl_audit("inquiry", root, "hidden.example", "--format", "json")
    assert (ran.code, ran.json["result"], ran.json["coverage"]["missing_records"]) == (3, "cannot_determine", 2)
    assert crawl_audit("inquiry", root, "shown.example").code == 0
    assert "Records missing from the segments: 2;" in crawl_audit("inquiry", root, "shown.example").out


def test_denied_only_is_good_and_says_so(root: Path) -> None:
    made = logs.LogBuilder(root)
    denied = {"mode": records.Mode.ENFORCE, "action": records.Action.DENIED}
    made.add(logs.decision("example.com", "/private", body=logs.ROBOTS, **denied))
    made.publish()
    ran = crawl_audit("inquiry", root, "example.com", "--format", "json")
    assert (ran.code, ran.json["result"], ran.json["denied"]) == (0, "denied_only", 1)


def test_the_last_bypass_probe_is_told_as_somebodys_word(root: Path) -> None:
    made = logs.LogBuilder(root)
    seen = {"exchange_id": None, "crawler": None, "client": None}
    words = ("egress_probe_closed", "hook_error", "egress_probe_open", "egress_probe_inconclusive")
    for second, word in enumerate(words, start=1):
        made.add(records.Incident(recorded_at=logs.after(second), incident=word, detail="Declared.", **seen))  # type: ignore[arg-type]
    made.publish()
    answer = covered(root, Period())
    assert answer["egress_probe"] == {
        "at": "2026-11-18T11:06:44Z",
        "result": "inconclusive",
        "probes": 3,
        "open": 1,
    }
    assert (
        "Attempts to get past the sidecar, as their makers declare: 3; a way was open: 1;"
        " the last at 2026-11-18T11:06:44Z: inconclusive."
    ) in coverage.summary(answer)


def test_without_a_probe_in_the_period_nothing_is_said_of_one(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.decision("example.com"))
    made.publish()
    answer = covered(root, Period())
    assert answer["egress_probe"] is None
    assert "past the sidecar" not in " ".join(coverage.summary(answer))


def test_dropped_records_incidents_and_tunnels_are_counted(root: Path) -> None:
    made = logs.LogBuilder(root)
    seen = {"exchange_id": None, "crawler": None, "client": None}
    for word in ("hook_error", "hook_error", "malformed_request"):
        made.add(records.Incident(recorded_at=logs.after(1), incident=word, detail="One sentence.", **seen))  # type: ignore[arg-type]
    for protocol, outcome in (("connect", "opened"), ("tls", "failed")):
        where = {"host": "example.com", "port": 443, "detail": None}
        made.add(
            records.Tunnel(recorded_at=logs.after(1), protocol=protocol, outcome=outcome, **seen, **where)  # type: ignore[arg-type]
        )
    made.seal(dropped=4)
    made.publish()
    answer = covered(root, Period())
    assert answer["incidents"] == {"hook_error": 2, "malformed_request": 1}
    assert answer["tunnels"] == {"tls failed": 1}
    assert answer["dropped_records"] == 4
    lines = " ".join(coverage.summary(answer))
    assert "Records that could not be written: 4;" in lines
    assert "hook_error 2" in lines


def test_a_log_that_never_stopped_covers_until_its_last_record(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    made.add(logs.decision("example.com", at=logs.after(100)))
    made.publish(Instant(logs.after(130)))
    assert covered(root, Period())["periods"] == [{"from": at(0), "to": at(130)}]


def test_a_period_that_ends_with_a_month_is_covered_until_that_month_in_public(root: Path) -> None:
    """The end is not included: 1 December, 00:00, belongs to November."""
    made = logs.LogBuilder(root)
    made.add(logs.run())
    made.add(logs.decision("example.com", at=logs.after(30 * DAY)))
    made.publish()
    ran = crawl_audit("report", "coverage", root, "--to", "2026-11-30", "--level", "public", "--format", "json")
    assert ran.json["period"]["to"] == "11/2026"
    assert ran.json["coverage"]["periods"] == [{"from": "11/2026", "to": "11/2026"}]


def test_without_any_segment_nothing_can_be_told(root: Path) -> None:
    logs.LogBuilder(root)
    ran = crawl_audit("inquiry", root, "example.com", "--format", "json")
    assert (ran.code, ran.json["result"], ran.json["coverage"]["covered"]) == (3, "cannot_determine", "none")
    text = crawl_audit("inquiry", root, "example.com")
    assert "no sealed segment" in text.out
    assert str(root) not in text.out + ran.out
    subject = matching.parse_subject("example.com")
    answer = at_level(
        inquiry.unanswered(subject, Period(), 2, Declarations(), inquiry.Asked()), inquiry.FIELDS, Level.INTERNAL
    )
    assert answer["coverage"]["live_files"] == 2
    with open_log(str(two_runs(root))) as log:
        whole = inquiry.inquiry(log, subject, Period())
        asked = (Period(), Declarations(), ("inquiry_answer", "1.0"))
        assert set(envelope.envelope(log, *asked, 0)) == set(envelope.empty(*asked, 0))
    assert set(answer) == set(whole)
    assert set(answer["coverage"]) == set(whole["coverage"])


def gap(**changes: Any) -> Gap:
    made = Gap(
        recorded_at=logs.after(50),
        cause="audit_disk_reserve",
        first_at=logs.after(10),
        last_at=logs.after(40),
        requests=5,
        kept=3,
        first_seq=None,
        last_seq=None,
        file_sha256=None,
        detail="5 requests left before their decisions were durable.",
    )
    return replace(made, **changes)


def with_gaps(root: Path, *gaps: Gap) -> Path:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    made.add(logs.decision("example.com", at=logs.after(1)))
    for one in gaps:
        made.add(one)
    made.publish()
    return root


NOTICE = "5 requests left before their record was durable (fail_open, from 2026-11-18T11:06:50"
READERS = (("inquiry", "{}", "example.com"), ("status", "{}"), ("report", "activity", "{}"), ("report", "sites", "{}"))


@pytest.mark.parametrize("form", ["text", "md"])
@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_every_answer_begins_with_what_left_unrecorded(root: Path, command: tuple[str, ...], form: str) -> None:
    with_gaps(root, gap())
    said = crawl_audit(*(part.format(root) for part in command), "--format", form).out
    assert said.splitlines()[0].replace("\\_", "_").startswith(NOTICE)
    assert crawl_audit(*(part.format(root) for part in command), "--format", "json").json["notice"].startswith(NOTICE)


def test_without_a_gap_in_the_period_nothing_is_said(root: Path) -> None:
    with_gaps(root, gap())
    for command in READERS[:1] + READERS[2:]:
        arguments = (*(part.format(root) for part in command), "--to", "2026-11-18T11:06:45", "--format", "json")
        answer = crawl_audit(*arguments).json
        assert (answer["notice"], answer["coverage"]["fail_open"]) == (None, None)


def test_gaps_add_up_and_are_no_holes_in_the_sequence(root: Path) -> None:
    with_gaps(root, gap(), gap(requests=2, kept=2, last_at=logs.after(60)))
    covered = crawl_audit("inquiry", root, "example.com", "--format", "json").json["coverage"]
    assert covered["fail_open"] == {
        "requests": 7,
        "kept": 5,
        "gap_records": 2,
        "from": "2026-11-18T11:06:50Z",
        "to": "2026-11-18T11:07:40Z",
    }
    assert covered["missing_records"] == 0


@pytest.mark.parametrize("kept,result", [(3, "cannot_determine"), (5, "no_record_in_covered_log")])
def test_a_request_of_which_nothing_is_kept_may_have_been_the_one_asked_for(root: Path, kept: int, result: str) -> None:
    with_gaps(root, gap(kept=kept))
    assert crawl_audit("inquiry", root, "other.example", "--format", "json").json["result"] == result


def test_in_public_the_notice_gives_powers_of_ten_and_months(root: Path) -> None:
    with_gaps(root, gap())
    said = crawl_audit("report", "sites", root, "--level", "public").out.splitlines()[0]
    assert said == (
        "1–9 requests left before their record was durable (fail_open, from 11/2026 to 11/2026); of these 1–9 were kept"
        " and the others are not in the log."
    )
