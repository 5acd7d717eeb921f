"""Preferences deny only where the operator says so, for the purposes it says, and only what is refused."""

from __future__ import annotations

import itertools
import json

import pytest

from crawl_audit import robots, tdmrep
from crawl_audit.signal_policy import PROTOCOLS, SignalPolicy
from crawl_audit.wishes import NONE, Wishes

LINES = {
    ("content-signal", "training"): "Content-Signal: ai-train=no",
    ("content-signal", "search"): "Content-Signal: search=no",
    ("content-signal", "user"): "Content-Signal: ai-input=no",
    ("content-usage", "training"): "Content-Usage: train-ai=n",
    ("content-usage", "search"): "Content-Usage: search=n",
}
DECLARED = {"training": "training", "search": "search", "user": "user_fetch"}


def stated(*lines: str) -> Wishes:
    body = "\n".join(["User-agent: *", *lines, "Allow: /", ""])
    return robots.compile_rules(body.encode(), ("ExampleBot",)).wishes


def reserved(location: str, value: int = 1) -> tuple[tdmrep.TdmrepEntry, ...]:
    return tdmrep.parse(json.dumps([{"location": location, "tdm-reservation": value}]).encode()) or ()


@pytest.mark.parametrize(
    "words", [None, {}, dict.fromkeys(PROTOCOLS, "record"), {"content-signal": {"search": "record"}}]
)
def test_nothing_is_denied_unless_the_operator_says_so(words: dict[str, str] | None) -> None:
    policy = SignalPolicy(words)
    assert not policy
    assert policy.refusal("training", "/", stated(*LINES.values()), reserved("/")) is None


@pytest.mark.parametrize("line,policy,crawler", list(itertools.product(LINES, LINES, DECLARED)))
def test_a_line_denies_the_purpose_it_refuses_to_the_crawler_of_that_purpose(
    line: tuple[str, str], policy: tuple[str, str], crawler: str
) -> None:
    refusal = SignalPolicy({policy[0]: {policy[1]: "deny"}}).refusal(DECLARED[crawler], "/", stated(LINES[line]))
    assert (refusal is not None) == (line == policy and line[1] == crawler)
    if refusal:
        assert refusal == f"{line[0]} refuses the use for {line[1]}: line 2: {LINES[line]}."


@pytest.mark.parametrize("purpose", [None, "", "research", "other", "Training"])
@pytest.mark.parametrize("line", LINES)
def test_a_purpose_that_is_not_declared_counts_as_each_of_them(purpose: str | None, line: tuple[str, str]) -> None:
    assert SignalPolicy({line[0]: "deny"}).refusal(purpose, "/", stated(LINES[line])) is not None


def test_a_content_usage_is_for_its_path() -> None:
    policy, wishes = SignalPolicy({"content-usage": "deny"}), stated("Content-Usage: /art/ train-ai=n")
    assert policy.refusal("training", "/art/1", wishes) is not None
    assert policy.refusal("training", "/artist", wishes) is None


@pytest.mark.parametrize("purpose", [*DECLARED.values(), None])
def test_tdmrep_reserves_whatever_the_purpose(purpose: str | None) -> None:
    policy = SignalPolicy({"tdmrep": "deny"})
    assert policy.refusal(purpose, "/a/b", NONE, reserved("/a*")) is not None
    assert policy.refusal(purpose, "/b", NONE, reserved("/a*")) is None
    assert policy.refusal(purpose, "/a/b", NONE, reserved("/a*", 0)) is None
    assert policy.refusal(purpose, "/a/b", NONE) is None


def test_tdmrep_denies_only_the_purposes_that_the_policy_names() -> None:
    policy = SignalPolicy({"tdmrep": {"training": "deny", "search": "record"}})
    assert policy.refusal("training", "/a", NONE, reserved("/")) is not None
    assert policy.refusal("search", "/a", NONE, reserved("/")) is None


def test_protocols_that_only_answers_carry_deny_nothing() -> None:
    assert not SignalPolicy({"x-robots-tag": "deny", "rsl": "deny"})
