"""Records are values: nothing changes them, and each field says what it means and what becomes of it."""

from __future__ import annotations

import dataclasses
import re
import typing

import pytest
from hypothesis import given

from crawl_audit import records, schema
from crawl_audit.records import Action, Basis, Mode, Outcome, Record, RobotsOutcome, SnapshotSource, Verdict
from tests.strategies import records as any_record

KINDS = typing.get_args(Record)
# The first words a reader of SQL stumbles over: reserved in DuckDB 2.0.
RESERVED = {
    "at",
    "order",
    "group",
    "table",
    "select",
    "where",
    "from",
    "to",
    "end",
    "default",
    "check",
    "column",
    "all",
}


@given(any_record)
def test_a_record_cannot_be_changed(record: Record) -> None:
    for item in dataclasses.fields(record):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, item.name, None)
    assert not hasattr(record, "__dict__")
    assert record == dataclasses.replace(record)
    assert isinstance(hash(record), int)


@pytest.mark.parametrize("cls", KINDS)
def test_a_record_is_made_by_name_only(cls: type) -> None:
    with pytest.raises(TypeError):
        cls(*range(len(dataclasses.fields(cls))))


@pytest.mark.parametrize("cls", KINDS)
def test_every_field_says_what_it_means_and_has_a_fit_name(cls: type) -> None:
    for item in dataclasses.fields(cls):
        assert item.metadata["meaning"].strip(), item.name
        assert not item.metadata["meaning"].endswith("."), item.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", item.name)
        assert item.name not in RESERVED | {"log", "seq", "v", "k", "salt"}
        assert item.default is dataclasses.MISSING, "a field with a default can be forgotten without notice"


@pytest.mark.parametrize("cls", KINDS)
def test_every_kind_says_first_when_it_was_recorded(cls: type) -> None:
    assert dataclasses.fields(cls)[0].name == "recorded_at"
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        instant = records.Instant in (hints[item.name], *typing.get_args(hints[item.name]))
        assert instant == item.name.endswith(("_at", "_until")), item.name


def test_every_kind_is_in_the_schema_under_its_name() -> None:
    assert set(schema.KINDS.values()) == set(KINDS)
    assert all(kind == cls.KIND for kind, cls in schema.KINDS.items())


@pytest.mark.parametrize("cls", KINDS)
def test_a_field_is_not_both_withheld_and_bound(cls: type) -> None:
    for item in dataclasses.fields(cls):
        assert not (item.metadata["sensitive"] and item.metadata["bound"])
        if item.metadata["bound"]:
            assert any(other.name.endswith("_sha256") for other in dataclasses.fields(cls)), "bound by what?"


def test_the_words_auditors_filter_by_are_these() -> None:
    words = {cls.__name__: [member.value for member in cls] for cls in (Verdict, Basis, Mode, Action, Outcome)}
    assert words == {
        "Verdict": ["allowed", "disallowed"],
        "Basis": [
            "rule", "no_rule", "no_group", "unavailable", "unreachable", "robots_txt", "error", "exemption",
            "signal", "crawl_delay",
        ],
        "Mode": ["audit", "enforce"],
        "Action": ["forwarded", "denied"],
        "Outcome": [
            "completed", "client_abort", "upstream_error", "timeout", "not_sent", "proxy_shutdown",
            "unknown_after_crash",
        ],
    }  # fmt: skip
    assert [member.value for member in RobotsOutcome] == ["successful", "unavailable", "unreachable"]
    assert [member.value for member in SnapshotSource] == ["fetched", "observed", "shared"]
