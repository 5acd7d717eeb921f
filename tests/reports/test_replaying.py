"""A decision that rests on declarations is made again with those recorded, and a false one is found out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Action, Basis, Decision, Mode, Verdict
from reports.declared import Declared
from tests import logs
from tests.reports.command import crawl_audit
from tests.reports.test_exemptions import DEAL, settings

HOST = "example.com"
BODY = b"User-agent: *\nContent-Signal: ai-train=no\nDisallow: /private\n"
DENY = {"signals": {"policy": {"content-signal": {"training": "deny", "search": "record", "user": "record"}}}}
EXEMPT = {"exemption": "deal-7", "verdict": Verdict.ALLOWED, "basis": Basis.EXEMPTION}
BY_SIGNAL = {
    "verdict": Verdict.DISALLOWED,
    "basis": Basis.SIGNAL,
    "action": Action.DENIED,
    "mode": Mode.ENFORCE,
    "detail": "content-signal refuses the use for training: line 2: Content-Signal: ai-train=no.",
}


def explained(root: Path, target: str, said: str | None, **changes: Any) -> dict[str, Any]:
    """`explain` of one decision, as JSON; ``said``: the settings of the log, None for a log without its run."""
    made = logs.LogBuilder(root)
    if said is not None:
        made.add(logs.run(settings=said))
    made.add(logs.robots_body(BODY))
    judged: Decision = replace(logs.decision(HOST, target, logs.after(5), body=BODY), **changes)
    made.add(replace(judged, snapshot_seq=made.add(logs.snapshot(HOST, BODY))))
    made.publish()
    answer = crawl_audit("explain", root, judged.exchange_id, "--format", "json").json
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(
    "target,said,changes",
    [
        ("/private", settings(DEAL), EXEMPT),
        ("/", settings(DEAL), {"exemption": "deal-7"}),
        ("/", settings(**DENY), BY_SIGNAL),
        ("/", settings(DEAL, **DENY), {**EXEMPT, "detail": "x"}),
        ("/private", settings(**DENY), {}),
        ("/", settings(), {}),
        ("/", settings(), {"basis": Basis.CRAWL_DELAY, "verdict": Verdict.DISALLOWED, "action": Action.DENIED}),
    ],
)
def test_what_was_decided_with_what_was_declared_is_decided_so_again(
    root: Path, target: str, said: str, changes: dict[str, Any]
) -> None:
    assert explained(root, target, said, **changes)["replay"]["result"] == "same"


@pytest.mark.parametrize(
    "target,said,changes",
    [
        ("/private", settings(), EXEMPT),  # declared nowhere
        ("/private", settings({**DEAL, "until": "2020-01-01T00:00:00Z"}), EXEMPT),  # over
        ("/private", settings({**DEAL, "sites": ["other.example"]}), EXEMPT),
        ("/private", settings({**DEAL, "crawlers": ["beta"]}), EXEMPT),
        ("/private", settings(DEAL), {}),  # covered, and not named
        ("/", settings(), BY_SIGNAL),  # no policy
        ("/private", settings(**DENY), BY_SIGNAL),  # a rule disallows, not a signal
        ("/", settings(**DENY), {}),  # the policy denies, the record says allowed
        ("/", settings(), {"basis": Basis.CRAWL_DELAY, "rule": "Disallow: /", "rule_line": 9}),
    ],
)
def test_what_the_declarations_do_not_bear_out_differs(
    root: Path, target: str, said: str, changes: dict[str, Any]
) -> None:
    assert explained(root, target, said, **changes)["replay"]["result"] == "differs"


def test_without_the_settings_what_rests_on_them_cannot_be_decided_again(root: Path) -> None:
    answer = explained(root, "/private", None, **EXEMPT)
    assert answer["replay"]["result"] == "not_possible"
    assert answer["exemption"] == {"exemption": "deal-7", "declared": False}


def test_an_exemption_is_shown_with_its_grounds(root: Path) -> None:
    answer = explained(root, "/private", settings(DEAL), **EXEMPT)
    assert answer["exemption"]["reference"] == "contract 2026-7"
    out = crawl_audit("explain", root, answer["decision"]["exchange_id"]).out
    assert "deal-7: licence, contract 2026-7, approved by legal@example.org, until 2027-07-01" in out
    assert "line 3: Disallow: /private" in out, "the site's rule is still to be seen"


def test_an_exemption_that_is_not_declared_is_said_to_be_so(root: Path) -> None:
    answer = explained(root, "/private", settings(), **EXEMPT)
    assert "do not declare it" in crawl_audit("explain", root, answer["decision"]["exchange_id"]).out


def test_a_reservation_in_tdmrep_json_is_left_to_the_signals(root: Path) -> None:
    detail = "tdmrep refuses the use for training: tdmrep.json reserves /."
    answer = explained(root, "/", settings(), **{**BY_SIGNAL, "detail": detail})
    assert (answer["replay"]["result"], "signals of the snapshot" in answer["replay"]["reason"]) == ("same", True)


def test_the_pace_asked_and_kept_is_shown(root: Path) -> None:
    changes = {"crawl_delay_ms": 2000, "request_interval_ms": 3000, "since_previous_ms": 3010, "held_ms": 700}
    answer = explained(root, "/", settings(), **changes)
    out = crawl_audit("explain", root, answer["decision"]["exchange_id"]).out
    assert "3000 ms between requests asked; 3010 ms after the previous, held for 700 ms" in out


@pytest.mark.parametrize(
    "settings_found",
    [
        {},
        {"exemptions": 1, "signals": 2, "crawlers": 3},
        {"exemptions": [DEAL | {"until": "soon"}, DEAL | {"until": "2027-01-01"}, {}], "signals": {"policy": [1]}},
        {"signals": {"policy": {"content-signal": 3}}},
        {"signals": {"policy": {"content-signal": {"eating": "deny"}}}},
        {"signals": {"policy": {"content-signal": {"training": ["deny"]}}}},
    ],
)
def test_settings_that_are_none_declare_nothing(settings_found: dict[str, Any]) -> None:
    assert not Declared.by(settings_found)
