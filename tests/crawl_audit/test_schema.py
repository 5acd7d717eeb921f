"""What is written is what is read, on every platform, and the leaf commits to all of it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.util
import json
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rfc8785
from hypothesis import assume, given
from hypothesis import strategies as st

from crawl_audit import schema
from crawl_audit.errors import RecordError
from crawl_audit.records import Decision, Incident, Instant, Record, RobotsBody
from tests.strategies import INTEGER_MAX, records, records_of, salts, values_of

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
SALTED = sorted(kind for kind in schema.KINDS if schema.has_salt(kind))
UNSALTED = sorted(set(schema.KINDS) - set(SALTED))


def golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_update", GOLDEN / "update.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry_of(record: Record, salt: bytes = bytes(16)) -> dict[str, Any]:
    return schema.to_object(record, salt if schema.has_salt(record.KIND) else None)


def incident(**changes: Any) -> Incident:
    values = {"recorded_at": Instant(5), "incident": "hook_error", "exchange_id": None, "crawler": None, "client": None}
    return Incident(**{**values, "detail": "x", **changes})


# --- frozen vectors -------------------------------------------------------------------------------------------------


def test_the_schema_is_the_frozen_one() -> None:
    """Where this fails, the format changed: bump the version, keep reading the old one, then update the files."""
    assert (GOLDEN / f"schema_v{schema.VERSION}.txt").read_text(encoding="utf-8") == golden().description()


@pytest.mark.parametrize("line", (GOLDEN / "entries_v1.jsonl").read_text(encoding="utf-8").splitlines())
def test_a_frozen_entry_has_its_frozen_leaf_and_is_written_the_same_today(line: str) -> None:
    vector = json.loads(line)
    entry = schema.parse_entry(vector["entry"])
    assert schema.leaf(entry).hex() == vector["leaf"]
    record = golden().sample(vector["kind"])
    assert schema.to_record(entry) == record
    # Compressed octets may differ between builds of zlib; they are not in the leaf.
    bound = {column.name for column in schema.columns(vector["kind"]) if column.bound}
    today = entry_of(record, golden().SALT)
    assert {n: v for n, v in today.items() if n not in bound} == {n: v for n, v in entry.items() if n not in bound}


def test_there_is_a_frozen_entry_of_every_kind() -> None:
    lines = (GOLDEN / "entries_v1.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["kind"] for line in lines] == list(schema.KINDS)


# --- round trips ----------------------------------------------------------------------------------------------------


@given(records, salts)
def test_an_entry_read_back_is_the_record_that_was_written(record: Record, salt: bytes) -> None:
    text = schema.to_entry(record, salt if schema.has_salt(record.KIND) else None)
    assert schema.to_record(schema.parse_entry(text)) == record


def standard(value: dict[str, Any]) -> str:
    """Canonical JSON as the standard library makes it."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


@given(
    st.dictionaries(st.text(st.characters(max_codepoint=127)), st.none() | st.booleans() | st.integers() | st.text())
)
def test_the_canonical_form_is_that_of_the_standard_library_for_any_text_and_integer(value: dict[str, Any]) -> None:
    assert schema.canonical(value) == standard(value)


@given(records, salts)
def test_the_canonical_form_is_that_of_rfc_8785(record: Record, salt: bytes) -> None:
    entry = entry_of(record, salt)
    assert schema.canonical(entry).encode("utf-8") == rfc8785.dumps(entry)


@given(records, salts)
def test_a_stored_row_has_the_leaf_of_its_entry(record: Record, salt: bytes) -> None:
    entry = entry_of(record, salt)
    row: dict[str, Any] = {"log": "n", "seq": 7, "v": schema.VERSION, "salt": entry.get("salt")}
    for column in schema.columns(record.KIND):
        row[column.name] = getattr(record, column.name)  # a database hands out octets, lists and plain strings
        if column.sql_type == "VARCHAR[]":
            row[column.name] = list(row[column.name])
        elif column.sql_type == "VARCHAR" and row[column.name] is not None:
            row[column.name] = str(row[column.name])
    assert set(row) >= {name for name, _ in schema.stored_columns(record.KIND)}
    assert schema.leaf(schema.from_row(record.KIND, row)) == schema.leaf(entry)


def test_the_stored_columns_are_the_fields_with_identity_before_and_salt_behind() -> None:
    for kind, cls in schema.KINDS.items():
        names = [name for name, _ in schema.stored_columns(kind)]
        fields = [item.name for item in dataclasses.fields(cls)]
        assert names == ["log", "seq", "v", *fields, *(["salt"] if kind in SALTED else [])]


# --- the leaf -------------------------------------------------------------------------------------------------------


@given(records, st.data())
def test_changing_any_field_changes_the_leaf_but_a_bound_one(record: Record, data: st.DataObject) -> None:
    for column in schema.columns(record.KIND):
        other = data.draw(values_of(column))
        if other == getattr(record, column.name):
            continue
        changed = dataclasses.replace(record, **{column.name: other})
        same = schema.leaf(entry_of(changed)) == schema.leaf(entry_of(record))
        assert same == column.bound, column.name


@given(records_of("decision"), salts, salts)
def test_the_leaf_depends_on_the_salt_where_a_value_is_committed_to(record: Record, one: bytes, two: bytes) -> None:
    assume(one != two)
    assert schema.leaf(entry_of(record, one)) != schema.leaf(entry_of(record, two))


@given(records, salts)
def test_the_leaf_does_not_hold_the_salt_itself(record: Record, salt: bytes) -> None:
    """Else withholding the values would withhold the proof: without values the salt plays no part."""
    empty = {c.name: None for c in schema.columns(record.KIND) if c.sensitive and c.nullable}
    assume(record.KIND != "decision")  # its target is never empty
    bare = dataclasses.replace(record, **empty)
    assert schema.leaf(entry_of(bare, salt)) == schema.leaf(entry_of(bare, bytes(16)))


@pytest.mark.parametrize("kind", UNSALTED)
def test_kinds_without_sensitive_fields_have_no_salt(kind: str) -> None:
    record = golden().sample(kind)
    assert schema.to_entry(record, None) == schema.to_entry(record, b"\x07" * 16)
    assert "salt" not in schema.to_object(record, None)


@given(st.sampled_from(SALTED).flatmap(records_of), salts)
def test_a_withheld_value_leaves_the_leaf_computable_from_its_commitment(record: Record, salt: bytes) -> None:
    """What an auditor gets who may not see the values: the public fields and the commitments, and no salt."""
    entry = entry_of(record, salt)
    disclosed: dict[str, Any] = {"k": record.KIND, "v": schema.VERSION}
    for column in schema.columns(record.KIND):
        value = entry[column.name]
        if not column.sensitive:
            disclosed[column.name] = value
        else:
            hidden = None if value is None else schema.commitment(salt, column.name, value)
            disclosed[column.name + "_c"] = hidden
    recomputed = hashlib.sha256(b"\x00" + rfc8785.dumps(disclosed)).digest()
    assert recomputed == schema.leaf(entry)


def test_a_commitment_discloses_one_field_and_nothing_beside_it() -> None:
    salt = bytes(range(16))
    one = schema.commitment(salt, "client", "10.0.0.1:1")
    assert one != schema.commitment(salt, "user_agent", "10.0.0.1:1"), "the same value in two fields must not show"
    assert one != schema.commitment(bytes(16), "client", "10.0.0.1:1")
    inner = hashlib.sha256(salt + b"client").digest()
    assert one == hashlib.sha256(inner + b"10.0.0.1:1").hexdigest()


@given(records)
def test_making_a_leaf_leaves_the_entry_as_it_was(record: Record) -> None:
    entry = entry_of(record)
    before = dict(entry)
    schema.leaf(entry)
    assert entry == before


# --- what may not be written ----------------------------------------------------------------------------------------


def wrong_values(column: schema.Column) -> list[Any]:
    wrong: list[Any] = [object(), 1.0, float("nan"), {}, {"a": 1}]
    wrong += [] if column.nullable else [None]
    wrong += {
        "TIMESTAMP": [True, "1", INTEGER_MAX + 1, -INTEGER_MAX - 1],
        "BIGINT": [True, "1", INTEGER_MAX + 1, -INTEGER_MAX - 1],
        "BOOLEAN": [0, 1, "true"],
        "VARCHAR": [1, True, b"x", ["x"], ("x",), "a\nb", "\x00", "\x9b", "\ud800"],
        "VARCHAR[]": [["\n"], ("\ud800",), (1,), (None,), "abc", ("a", b"b"), (("a",),)],
        "BLOB": ["text", 1, bytearray(b"x"), bytes(4 * 1024 * 1024)],
    }[column.sql_type]
    if column.sql_type == "VARCHAR" and column.python_type is not str:
        wrong.append("no_such_word")
    return wrong


@pytest.mark.parametrize("kind", sorted(schema.KINDS))
def test_no_value_of_another_type_can_be_written(kind: str) -> None:
    record = golden().sample(kind)
    for column in schema.columns(kind):
        for value in wrong_values(column):
            with pytest.raises(RecordError, match=column.name):
                schema.to_entry(dataclasses.replace(record, **{column.name: value}), bytes(16))


@pytest.mark.parametrize("salt", [None, b"", b"short", bytes(15), bytes(17)])
def test_a_kind_with_sensitive_fields_needs_its_salt(salt: bytes | None) -> None:
    with pytest.raises(RecordError, match="salt of 16 octets"):
        schema.to_entry(incident(), salt)


def test_a_body_of_the_largest_size_that_is_written_can_be_read() -> None:
    body = bytes(4 * 1024 * 1024 - 1)
    record = RobotsBody(recorded_at=Instant(1), robots_sha256="0", body_bytes=len(body), body=body)
    assert schema.to_record(schema.parse_entry(schema.to_entry(record))) == record


# --- what may not be read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(schema.KINDS))
def test_no_entry_with_a_value_of_another_type_is_read(kind: str) -> None:
    """The same assertion as when it is written, because the file may be anybody's."""
    good = entry_of(golden().sample(kind))
    for column in schema.columns(kind):
        for value in wrong_values(column):
            if column.sql_type == "BLOB" and not isinstance(value, (int, float, dict)):
                continue
            as_json = list(value) if column.sql_type == "VARCHAR[]" and isinstance(value, tuple) else value
            try:
                text = standard({**good, column.name: as_json})
            except (TypeError, ValueError):
                continue  # no JSON
            with pytest.raises(RecordError):
                schema.parse_entry(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "1", '"x"', "{}", "{", '{"k":"run"}', '{"k":[],"v":1}', '{"k":{},"v":1}', '{"k":null,"v":1}',
        '{"k":"incident","v":2}', '{"k":"incident","v":true}', '{"k":"incident","v":1}', '{"k":"x","v":1}', '{"a":NaN}',
        '{"a":Infinity}', '{"a":1e400}', "[" * 100_000, '{"a":' * 100_000, "9" * 5000, '{"a":1,"a":1}', '{"k" : 1}',
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        schema.parse_entry(text)


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_reading_raises_nothing_but_record_errors(text: str) -> None:
    with pytest.raises(RecordError):
        schema.parse_entry(text)


@given(records, salts, st.data())
def test_an_entry_with_one_octet_changed_is_refused_or_says_something_else(
    record: Record, salt: bytes, data: st.DataObject
) -> None:
    text = schema.to_entry(record, salt if schema.has_salt(record.KIND) else None)
    position = data.draw(st.integers(0, len(text) - 1))
    changed = text[:position] + data.draw(st.characters(codec="utf-8")) + text[position + 1 :]
    assume(changed != text)
    try:
        entry = schema.parse_entry(changed)
    except RecordError:
        return
    assert entry != schema.parse_entry(text)
    assert schema.canonical(entry) == changed


@pytest.mark.parametrize("salt", [None, 1, "", "00", "0" * 31, "0" * 33, "G" * 32, "A" * 32, ["0"]])
def test_an_entry_with_a_salt_that_is_none_is_refused(salt: Any) -> None:
    with pytest.raises(RecordError, match="salt"):
        schema.parse_entry(schema.canonical({**entry_of(incident()), "salt": salt}))


def test_an_entry_with_a_field_too_many_or_too_few_is_refused() -> None:
    good = entry_of(incident())
    with pytest.raises(RecordError, match="extra"):
        schema.parse_entry(schema.canonical({**good, "extra": 1}))
    with pytest.raises(RecordError, match="detail"):
        schema.parse_entry(schema.canonical({name: value for name, value in good.items() if name != "detail"}))


@pytest.mark.parametrize(
    "text",
    [
        "", "é", "!", "AAAA", base64.b64encode(b"not zlib").decode(),
        base64.b64encode(zlib.compress(b"x" * 99)[:-1]).decode(),
        base64.b64encode(zlib.compress(bytes(64 * 1024 * 1024), 9)).decode(),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_inflated_within_bounds_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        schema.inflate(text)


@given(st.binary(max_size=500))
def test_a_body_survives_compression(body: bytes) -> None:
    record = RobotsBody(recorded_at=Instant(1), robots_sha256="0", body_bytes=len(body), body=body)
    assert schema.inflate(schema.to_object(record, None)["body"]) == body


def test_the_sensitive_fields_are_who_asked_and_what_for() -> None:
    sensitive = {kind: [column.name for column in schema.columns(kind) if column.sensitive] for kind in SALTED}
    assert sensitive == {
        "decision": ["trace_id", "client", "user_agent", "target", "target_b64"],
        "custody": ["scope"],
        "incident": ["client"],
        "tunnel": ["client"],
    }
    assert "host" not in sensitive[Decision.KIND], "a site's owner must be able to prove a request to the site"
