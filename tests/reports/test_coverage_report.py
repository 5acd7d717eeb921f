"""The report of coverage: runs, what lies between them, what changed, and what made the log less than complete."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crawl_audit import records
from crawl_audit.records import Mode
from reports.kinds import coverage_report
from reports.levels import Level
from reports.log import open_log
from reports.period import Period, iso, parse_period
from reports.projection import project
from reports.report import Question
from reports.words import ENGLISH
from tests import logs
from tests.frames import frames
from tests.logs import after
from tests.reports.command import crawl_audit
from tests.reports.oracles.coverage_report import expected

DAY = 86_400


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sidecars: one restarted into another mode, killed, recovered; one that was silent for ten minutes."""
    root = tmp_path_factory.mktemp("month") / "audit-log"
    first = logs.LogBuilder(root, "n1-20261118T110640Z-00000001")
    first.add(logs.run(at=after(0), node="n1"))
    for minute in range(5):
        first.seal(after(60 * minute))
    anchor = records.Anchor(
        recorded_at=after(250),
        method="witness",
        authority="w.example",
        checkpoint_size=3,
        checkpoint_root="00" * 32,
        receipt_sha256="11" * 32,
        stated_at=after(249),
    )
    first.add(anchor)
    first.add(logs.run("stop", after(300), node="n1"))
    first.seal(after(300), reason="shutdown")
    first.publish()
    second = logs.LogBuilder(root, "n1-20261119T110640Z-00000002")
    changed = {"node": "n1", "mode": Mode.ENFORCE, "settings_sha256": "ab" * 32, "previous_log": first.log}
    second.add(logs.run(at=after(DAY), **changed))
    seen = {"exchange_id": None, "crawler": None, "client": None}
    for at, word in ((DAY + 5, "hook_error"), (DAY + 6, "hook_error"), (DAY + 70, "malformed_request")):
        second.add(records.Incident(recorded_at=after(at), incident=word, detail="One sentence.", **seen))  # type: ignore[arg-type]
    second.seal(after(DAY + 100), reason="recovered", dropped=2)
    second.publish()
    other = logs.LogBuilder(root, "n2-20261118T110640Z-00000003")
    other.add(logs.run(at=after(30), node="n2", previous_log="n2-gone"))
    other.seal(after(60))
    other.add(
        records.Gap(
            recorded_at=after(661),
            cause="audit_disk_reserve",
            first_at=after(600),
            last_at=after(650),
            requests=5,
            kept=3,
            first_seq=None,
            last_seq=None,
            file_sha256=None,
            detail="One sentence.",
        )
    )
    other.seal(after(665))
    other.publish()
    return root


def made(root: Path, period: Period) -> dict[str, Any]:
    with open_log(str(root)) as log:
        return coverage_report.make(Question(log=log, period=period))


def at(seconds: float) -> str:
    return str(iso(datetime.fromtimestamp(after(seconds) / 1e6, UTC)))


PERIODS = [(None, None), (after(100), after(DAY + 50)), (after(200), after(400)), (after(2 * DAY), after(3 * DAY))]


@pytest.mark.parametrize(("start", "end"), PERIODS)
def test_every_number_equals_an_independent_computation(month: Path, start: int | None, end: int | None) -> None:
    period = parse_period(*(None if one is None else at((one - logs.START) / 1e6) for one in (start, end)))
    answer, wanted = made(month, period), expected(frames(month), period)
    for name in ("sidecars", "starts", "orderly_stops", "seconds_between", "minutes_without_seal", "modes"):
        assert answer[name] == wanted[name], name
    assert {(r["log"], r["started_at"], r["ended_at"], r["seals"]) for r in answer["runs"]} == wanted["runs"]
    assert {(gap["node"], gap["from"], gap["to"]) for gap in answer["between"]} == wanted["between"]
    assert {(one["log"], one["from"], one["to"]) for one in answer["silences"]} == wanted["silences"]
    named = {"mode": "mode", "settings": "settings_sha256"}
    changes = {(c["node"], c["changed_at"], named[c["what"]], c["before"], c["after"]) for c in answer["changes"]}
    assert changes == wanted["changes"]
    assert [tuple(one.values()) for one in answer["incidents_by_day"]] == wanted["incidents_by_day"]
    anchors = {(one["log"], one["method"], one["authority"], one["receipts"]) for one in answer["anchors"]}
    assert anchors == wanted["anchors"]


def test_a_month_is_told_as_it_was(month: Path) -> None:
    answer = made(month, Period())
    assert (answer["sidecars"], answer["starts"], answer["orderly_stops"]) == (2, 3, 1)
    assert [run["end"] for run in answer["runs"]] == ["stopped in order", "closed by recovery", "no end on record"]
    assert [run["previous_here"] for run in answer["runs"]] == [True, True, False]
    assert (answer["seconds_between"], answer["between"][0]["end"]) == (DAY - 300, "stopped in order")
    assert [change["what"] for change in answer["changes"]] == ["mode", "settings"]
    assert answer["minutes_without_seal"] == 10
    assert answer["incidents_by_day"][0] == {"day": "2026-11-19", "incident": "hook_error", "count": 2}
    assert [(one["requests"], one["kept"]) for one in answer["unrecorded"]] == [(5, 3)]
    assert [(one["seals_seen"], one["seals"]) for one in answer["anchors"]] == [(3, 6)]
    assert answer["runs"][1]["dropped_records"] == 2


def test_people_see_a_time_line_inside_and_none_in_public(month: Path) -> None:
    answer = made(month, Period())
    inside, public = (
        project(answer, coverage_report.RECORD.fields, level).shown for level in (Level.INTERNAL, Level.PUBLIC)
    )
    charts = [block for block in coverage_report.body(inside, ENGLISH)[0].blocks if hasattr(block, "says")]
    assert [len(chart.table.rows) for chart in charts] == [5, 2]
    assert "3" in charts[0].says
    assert [hasattr(block, "says") for block in coverage_report.body(public, ENGLISH)[0].blocks] == [False]
    assert coverage_report.rows(public).rows == ()


def test_the_command_names_no_machine_in_public(month: Path) -> None:
    ran = crawl_audit("report", "coverage", month, "--level", "public", "--format", "json")
    assert (ran.code, ran.json["starts"], ran.json["sidecars"]) == (0, "1-9", 2)
    assert not any(name in ran.out for name in ("n1-", "n2-", "hook_error", "w.example"))
