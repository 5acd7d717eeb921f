"""What recorded settings do about refusals, read from a log that may be hostile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Mode
from reports.log import open_log
from reports.opt_out_policy import DENIED, RECORDED, VIOLATION, Runs
from reports.period import Period, parse_period
from tests import logs


def runs(root: Path, *settings: Any, mode: Mode = Mode.ENFORCE, period: Period | None = None) -> Runs:
    """The runs of a log with these settings each."""
    for number, said in enumerate(settings):
        made = logs.LogBuilder(root, f"node1-20261118T110640Z-0000000{number}")
        text = said if isinstance(said, str) else json.dumps(said)
        made.add(logs.run(at=logs.after(86_400 * number), mode=mode, settings=text))
        made.publish()
    with open_log(str(root)) as log:
        return Runs(log, period or Period())


def policy(**words: Any) -> dict[str, Any]:
    return {"signals": {"policy": {name.replace("_", "-"): said for name, said in words.items()}}}


def test_a_refusal_is_denied_where_the_policy_denies_the_use(root: Path) -> None:
    found = runs(root, policy(content_signal={"training": "deny", "search": "record", "user": "record"}))
    assert found.policy("content-signal", "training") == [DENIED]
    assert found.policy("content-signal", "search") == [RECORDED]
    assert found.policy("content-usage", "training") == [RECORDED]
    assert found.policy("content-signal", None) == []


def test_in_audit_mode_it_is_a_violation_on_record(root: Path) -> None:
    found = runs(root, policy(content_signal="deny"), mode=Mode.AUDIT)
    assert found.policy("content-signal", "training") == [VIOLATION]
    assert found.policy("robots.txt", "any") == [VIOLATION]
    assert found.modes() == {"audit": 1}


def test_a_refusal_of_any_use_is_denied_only_where_every_purpose_is(root: Path) -> None:
    assert runs(root, policy(tdmrep={"training": "deny"})).policy("tdmrep", "any") == [RECORDED]
    assert runs(root / "other", policy(tdmrep="deny")).policy("tdmrep", "any") == [DENIED]


def test_what_only_an_answer_can_say_is_never_denied(root: Path) -> None:
    assert runs(root, policy(x_robots_tag="deny")).policy("x-robots-tag", "training") == [RECORDED]


def test_only_runs_that_reach_into_the_period_count(root: Path) -> None:
    said = (policy(content_signal="deny"), policy())
    assert runs(root, *said).policy("content-signal", "training") == [DENIED, RECORDED]
    first_day = parse_period(None, "2026-11-18")
    assert runs(root / "other", *said, period=first_day).policy("content-signal", "training") == [DENIED]


@pytest.mark.parametrize("hostile", ["[]", "{", '{"signals": 5, "robots": []}', '{"signals": {"policy": [1]}}'])
def test_settings_that_are_no_settings_deny_nothing(root: Path, hostile: str) -> None:
    found = runs(root, hostile)
    assert found.policy("content-signal", "training") == [RECORDED]
    assert found.last_good_copy_s() == ["0"]
    assert found.treat_429_as_unreachable() == ["yes"]


def test_what_is_done_while_the_file_is_unreachable_is_told(root: Path) -> None:
    found = runs(root, {"robots": {"last_good_copy_s": 3600, "treat_429_as_unreachable": False}}, {})
    assert found.last_good_copy_s() == ["0", "3600"]
    assert found.treat_429_as_unreachable() == ["no", "yes"]
