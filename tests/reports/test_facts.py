"""Values as people read them: nothing is left blank, nothing fixed stays untranslated, no list is lost."""

from __future__ import annotations

from typing import Any

import pytest

from reports.facts import facts, said, spelt, table
from reports.fields import Field, Form, Source
from reports.words import ENGLISH, Language, Words

JAPANESE = Words(Language.JA)


def one(form: Form = Form.TEXT, **changes: Any) -> Field:
    return Field(**{"name": "one_name", "form": form, "meaning": "made up", **changes})


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        (None, one(), "not known"),
        (None, one(source=Source.DECLARED), "withheld: not supplied"),
        (None, one(source=Source.DECLARED, optional=True), "not stated"),
        (None, one(source=Source.GIVEN), "none"),
        (None, one(none=True), "none"),
        ({}, one(Form.LOCALISED, source=Source.DECLARED), "withheld: not supplied"),
        ({"en": "yes"}, one(Form.LOCALISED), "yes"),
        (True, one(Form.FLAG), "yes"),
        (False, one(Form.FLAG), "no"),
        (0, one(Form.COUNT), 0),
        ("100-999", one(Form.COUNT), "100-999"),
        ([], one(Form.TEXTS), "none"),
        ({}, one(Form.TALLY), "none"),
        (["a", "b"], one(Form.TEXTS), ["a", "b"]),
        ({"a_b": 3}, one(Form.TALLY), {"a_b": 3}),
        ({"a_b": 3}, one(Form.TALLY, words=("a_b",)), {"a b": 3}),
    ],
)
def test_a_value_is_said_and_never_blank(value: Any, field: Field, expected: Any) -> None:
    assert said(value, field, ENGLISH) == expected


def test_fixed_words_are_translated_and_a_strangers_are_not() -> None:
    assert said("yes", one(words=("yes",)), JAPANESE) == JAPANESE("yes") != "yes"
    assert said("yes", one(), JAPANESE) == "yes"
    assert spelt("newly_disallowed") == "newly disallowed"


def test_facts_are_those_the_level_sees_in_the_order_declared() -> None:
    inner = (one(name="deep"), one(name="gone"))
    fields = (one(name="b"), one(name="a", label="First"), one(Form.RECORD, name="rest", fields=inner), one(name="x"))
    rows = one(Form.RECORDS, name="rows", fields=inner)
    shown = {"a": "1", "b": "2", "rest": {"deep": "3"}, "rows": [{"deep": "4"}]}
    assert facts(shown, (*fields, rows), ENGLISH).pairs == (("B", "2"), ("First", "1"), ("Rest: Deep", "3"))
    assert facts({"rest": None}, fields, ENGLISH).pairs == (("Rest", "not known"),)


def test_a_table_has_the_columns_the_level_sees() -> None:
    fields = (one(name="a"), one(Form.COUNT, name="b", label="Number"), one(name="hidden"))
    made = table([{"a": "x", "b": 1}, {"a": None, "b": 2}], fields, ENGLISH)
    assert (made.header, made.rows) == (("A", "Number"), (("x", 1), ("not known", 2)))
    assert table([{"a": "x", "b": 1}], fields, ENGLISH, ("b", "hidden")).header == ("Number",)
    assert table([], fields, ENGLISH).header == ("A", "Number", "Hidden")
