"""That a level sees what the declaration allows and nothing else, whatever is declared and whatever a record holds."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl_audit.errors import LogFormatError
from reports.fields import NOT_SUPPLIED, OTHER_WORDS, Field, Form, Show, Source
from reports.levels import Level
from reports.projection import NO_KEY, OWN_WORDS, keyed, project
from tests.reports.declared_records import SECRET, declarations, records

KEY = bytes(range(32))
KEYS = st.sampled_from([None, KEY])
NUMBER = re.compile(SECRET + r"-(\d{3})-")


@st.composite
def trees(draw: st.DrawFn) -> tuple[tuple[Field, ...], dict[str, Any]]:
    fields = draw(declarations())
    return fields, draw(records(fields))


def secrets(value: Any, fields: tuple[Field, ...], level: Level, hidden: bool = False) -> Iterator[str]:
    """The numbers of the texts that ``level`` must not see, told from declaration and record without projecting."""
    for field in fields:
        inner, gone = value[field.name], hidden or field.show(level) in (Show.WITHHELD, Show.KEYED)
        for one in inner if isinstance(inner, list) and field.form is Form.RECORDS else [inner]:
            if field.fields and one is not None:
                yield from secrets(one, field.fields, level, gone)
            elif gone:
                yield from NUMBER.findall(json.dumps(one, default=str))


def as_json(projected: Any) -> str:
    return json.dumps([projected.shown, list(projected.withheld)])


@settings(max_examples=300, deadline=None)
@given(tree=trees(), level=st.sampled_from(Level), key=KEYS)
def test_nothing_withheld_appears_anywhere(
    tree: tuple[tuple[Field, ...], dict[str, Any]], level: Level, key: bytes | None
) -> None:
    fields, record = tree
    shown = as_json(project(record, fields, level, key))
    assert set(secrets(record, fields, level)) & set(NUMBER.findall(shown)) == set()


@settings(max_examples=200, deadline=None)
@given(tree=trees(), key=KEYS)
def test_public_sees_no_text_that_regulators_do_not_see(
    tree: tuple[tuple[Field, ...], dict[str, Any]], key: bytes | None
) -> None:
    fields, record = tree
    public, regulator, internal = (set(NUMBER.findall(as_json(project(record, fields, level, key)))) for level in Level)
    assert public <= regulator <= internal


@settings(max_examples=200, deadline=None)
@given(tree=trees(), level=st.sampled_from([Level.PUBLIC, Level.REGULATOR]), key=KEYS)
def test_what_is_missing_is_named_and_what_is_named_is_missing(
    tree: tuple[tuple[Field, ...], dict[str, Any]], level: Level, key: bytes | None
) -> None:
    fields, record = tree
    projected = project(record, fields, level, key)
    gone = {one["field"] for one in projected.withheld if one["reason_code"] != NOT_SUPPLIED}
    assert {field.name for field in fields} - set(projected.shown) == {path for path in gone if "." not in path}


@settings(max_examples=100, deadline=None)
@given(tree=trees(), data=st.data(), level=st.sampled_from(Level))
def test_a_field_that_is_not_declared_or_not_there_is_an_error(
    tree: tuple[tuple[Field, ...], dict[str, Any]], data: st.DataObject, level: Level
) -> None:
    fields, record = tree
    with pytest.raises(ValueError, match="differ in another"):
        project({**record, "another": "secret"}, fields, level)
    name = data.draw(st.sampled_from(sorted(record)))
    with pytest.raises(ValueError, match=f"differ in {name}"):
        project({key: value for key, value in record.items() if key != name}, fields, level)


def one(form: Form = Form.TEXT, **changes: Any) -> Field:
    return Field(**{"name": "one", "form": form, "meaning": "made up", **changes})


def shown(field: Field, value: Any, level: Level = Level.INTERNAL, key: bytes | None = None) -> Any:
    return project({field.name: value}, (field,), level, key).shown.get(field.name, "left out")


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Form.TEXT, {"secret": "in an object"}),
        (Form.TEXT, ["secret"]),
        (Form.TEXT, 7),
        (Form.COUNT, "7"),
        (Form.COUNT, True),
        (Form.COUNT, 0.5),
        (Form.COUNT, -7),
        (Form.TALLY, {"a": -7}),
        (Form.FLAG, 1),
        (Form.INSTANT, "secret"),
        (Form.INSTANT, 20261118),
        (Form.TEXTS, "secret"),
        (Form.TEXTS, ["a", {"secret": 1}]),
        (Form.TALLY, {"a": {"secret": 1}}),
        (Form.TALLY, {None: 1}),
        (Form.LOCALISED, {"en": {"secret": 1}}),
        (Form.LOCALISED, "secret"),
    ],
)
@pytest.mark.parametrize("level", Level)
def test_a_value_of_another_form_is_never_shown(form: Form, value: Any, level: Level) -> None:
    with pytest.raises(LogFormatError, match="something else than"):
        project({"one": value}, (one(form),), level)


def test_what_is_never_null_is_not() -> None:
    with pytest.raises(ValueError, match="declared never to be"):
        project({"one": None}, (one(nullable=False),), Level.INTERNAL)


def test_zero_empty_and_not_known_stay_three_things() -> None:
    assert [shown(one(Form.COUNT), value, Level.PUBLIC) for value in (0, None)] == [0, None]
    assert [shown(one(Form.TEXTS), value) for value in ([], None)] == [[], None]
    assert [shown(one(Form.TALLY), value, Level.PUBLIC) for value in ({}, None)] == [{}, None]


def test_an_instant_is_exact_a_day_or_a_month_and_an_end_belongs_to_the_month_before() -> None:
    at = datetime.fromisoformat("2026-12-01T00:00:00")
    assert [shown(one(Form.INSTANT), at, level) for level in Level] == [
        "12/2026",
        "2026-12-01",
        "2026-12-01T00:00:00Z",
    ]
    end = one(Form.INSTANT, public=Show.LAST_MONTH)
    assert shown(end, at, Level.PUBLIC) == "11/2026"
    assert shown(end, "2026-12-01T00:00:00.000001Z", Level.PUBLIC) == "12/2026"
    assert shown(end, datetime.fromisoformat("0001-01-01"), Level.PUBLIC) == "01/0001"


def test_a_keyed_hash_is_the_hmac_of_the_text_and_nothing_without_the_key() -> None:
    url = one(regulator=Show.KEYED, reason="trade_secret")
    address = "https://example.com/caf%C3%A9?a=1"
    expected = "hmac-sha256:" + hmac.new(KEY, address.encode(), "sha256").hexdigest()
    assert shown(url, address, Level.REGULATOR, KEY) == expected == keyed(address, KEY)
    assert shown(url, address, Level.PUBLIC, KEY) == "left out"
    projected = project({"one": address}, (url,), Level.REGULATOR)
    assert projected.shown == {}
    assert projected.withheld == ({"field": "one", "reason_code": "trade_secret", "note": NO_KEY},)


def ground(form: Form = Form.TEXT) -> Field:
    return one(form, words=("licence", "research"), open=True, reason="trade_secret")


def test_what_is_said_in_other_than_fixed_words_is_named_and_not_shown_in_public() -> None:
    assert shown(ground(), "licence", Level.PUBLIC) == "licence"
    assert shown(ground(), "deal with jane@example.com", Level.PUBLIC) == OTHER_WORDS
    assert shown(ground(), "deal with jane@example.com", Level.REGULATOR) == "deal with jane@example.com"
    assert shown(ground(Form.TEXTS), ["x", "licence", "y"], Level.PUBLIC) == [OTHER_WORDS, "licence"]
    projected = project({"one": "x"}, (ground(),), Level.PUBLIC)
    assert projected.withheld == ({"field": "one", "reason_code": "trade_secret", "note": OWN_WORDS},)
    assert project({"one": "licence"}, (ground(),), Level.PUBLIC).withheld == ()
    with pytest.raises(LogFormatError):
        shown(ground(), ["licence"], Level.PUBLIC)


def test_open_words_need_fixed_ones_beside_them() -> None:
    for changes in ({"open": True}, {"public": Show.FIXED}, {"public": Show.FIXED, "words": ("a",)}):
        with pytest.raises(ValueError, match="no fixed words"):
            one(**changes)


def test_what_is_asked_of_some_only_is_not_missing_of_the_others() -> None:
    fields = (
        Field(name="country", form=Form.TEXT, meaning="declared", source=Source.DECLARED),
        Field(
            name="agent",
            form=Form.TEXT,
            meaning="declared",
            source=Source.DECLARED,
            asked_of=lambda record: record["country"] == "JP",
        ),
    )
    left = {
        country: [one["field"] for one in project({"country": country, "agent": None}, fields, Level.PUBLIC).withheld]
        for country in ("JP", "FR")
    }
    assert left == {"JP": ["agent"], "FR": []}


def test_the_order_of_keyed_hashes_says_nothing_of_the_texts() -> None:
    urls = one(Form.TEXTS, regulator=Show.KEYED)
    made = shown(urls, [f"https://example.com/{number}" for number in range(50)], Level.REGULATOR, KEY)
    assert made == sorted(made)
    assert len(set(made)) == 50


def test_any_text_can_be_hashed() -> None:
    assert keyed("\ud800\udcff", KEY).startswith("hmac-sha256:")


def sites(name: Show | None, says: Show | None = None) -> Field:
    said = Field(name="says", form=Form.TEXT, meaning="declared", source=Source.DECLARED)
    inner = (Field(name="site", form=Form.TEXT, meaning="whose", public=name), said)
    return Field(name="sites", form=Form.RECORDS, meaning="made up", key="site", fields=inner, public=says)


def paths(field: Field, names: list[str], level: Level) -> list[str]:
    record = {"sites": [{"site": name, "says": None} for name in names]}
    return [left["field"] for left in project(record, (field,), level).withheld]


def test_what_is_not_supplied_is_named_by_object_only_where_its_name_is_seen() -> None:
    assert paths(sites(None), ["a.example", "b[0].x"], Level.PUBLIC) == ["sites[a.example].says", "sites[b(0).x].says"]
    assert paths(sites(Show.WITHHELD), ["a.example"], Level.PUBLIC) == ["sites[].site", "sites[].says"]
    assert paths(sites(Show.WITHHELD), ["a.example"], Level.REGULATOR) == ["sites[a.example].says"]
    assert paths(sites(None, Show.WITHHELD), ["a.example"], Level.PUBLIC) == ["sites"]


def test_what_is_not_supplied_of_many_objects_is_one_line() -> None:
    assert len(paths(sites(None), [f"{number}.example" for number in range(20)], Level.PUBLIC)) == 20
    assert paths(sites(None), [f"{number}.example" for number in range(21)], Level.PUBLIC) == ["sites[].says"]
