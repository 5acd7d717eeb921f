"""What counts as a reservation of rights: the table, word by word, and that it does not overstate."""

from __future__ import annotations

import importlib.resources
import re

import pytest

from reports import reservations
from reports.log import sql_text
from reports.reservations import Use
from tests.reports.opting_out import SIGNALS
from tests.reports.oracles import opt_out as oracle


@pytest.mark.parametrize(("protocol", "value"), [(protocol, value) for protocol, value, _ in SIGNALS])
def test_a_reading_refuses_what_an_independent_reading_says(protocol: str, value: str | None) -> None:
    assert {use.value for use in reservations.refused(protocol, value)} == oracle.uses(protocol, value)


def test_a_word_counts_whole_only() -> None:
    assert reservations.refused("x-robots-tag", "noai-preview, noindexing") == frozenset()
    assert reservations.refused("content-signal", "xai-train=no") == frozenset()
    assert reservations.refused("tdmrep", "not reserved") == frozenset()


def test_a_pace_is_no_reservation() -> None:
    assert not {protocol for protocol, _, _ in reservations.table()} & set(reservations.NO_PREFERENCE)


def test_no_query_has_a_list_of_protocols_of_its_own() -> None:
    """What is a preference and what a pace is said in one place; queries are given it."""
    for file in (importlib.resources.files("reports") / "sql").iterdir():
        text = file.read_text(encoding="utf-8")
        found = [name for name in reservations.NO_PREFERENCE if f"'{name}'" in text]
        assert found == [], file.name
    asked = [
        name for name in ("activity_signals", "japan_signals", "sites_signals") if "$no_preference" in sql_text(name)
    ]
    assert len(asked) == 3


def test_a_refusal_of_any_use_is_one_of_training() -> None:
    assert set(reservations.AGAINST_TRAINING) == {Use.TRAINING, Use.ANY}


@pytest.mark.parametrize("rule", ["Disallow: /", "disallow:/", "Disallow : *", "Disalow: /*", "DISALLOW /"])
def test_a_rule_against_every_path_is_told(rule: str) -> None:
    assert re.search(reservations.BLANKET_RULE, rule)


@pytest.mark.parametrize("rule", ["Disallow: /a", "Allow: /", "Disallow:", "Disallow: /$", "Disallow: /*.pdf"])
def test_any_other_rule_is_none_against_every_path(rule: str) -> None:
    assert not re.search(reservations.BLANKET_RULE, rule)
