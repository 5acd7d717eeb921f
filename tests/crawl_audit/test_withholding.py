"""Values withheld: the leaf stays, what is disclosed can be checked, what is withheld cannot be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import schema, withholding
from crawl_audit.errors import RecordError
from crawl_audit.records import Record
from tests.strategies import records_of, salts

SALTED = sorted(kind for kind in schema.KINDS if schema.has_salt(kind))


def sensitive_fields(kind: str) -> list[str]:
    return [column.name for column in schema.columns(kind) if column.sensitive]


salted_records = st.sampled_from(SALTED).flatmap(records_of)
subsets = st.sets(st.integers(0, 9))


def chosen(record: Record, numbers: set[int]) -> set[str]:
    names = sensitive_fields(record.KIND)
    return {names[number] for number in numbers if number < len(names)}


@given(salted_records, salts, subsets, subsets)
def test_the_leaf_stays_whatever_is_withheld_and_in_however_many_steps(
    record: Record, salt: bytes, first: set[int], second: set[int]
) -> None:
    entry = schema.to_object(record, salt)
    once = withholding.withhold(entry, chosen(record, first))
    twice = withholding.withhold(once, chosen(record, second))
    assert schema.leaf(entry) == schema.leaf(once) == schema.leaf(twice)
    assert twice == withholding.withhold(entry, chosen(record, first) | chosen(record, second))
    for one in (entry, once, twice):
        withholding.check(one)


@given(salted_records, salts)
def test_nothing_of_a_withheld_value_or_of_the_salt_is_left(record: Record, salt: bytes) -> None:
    entry = schema.to_object(record, salt)
    withheld = withholding.withhold(entry, sensitive_fields(record.KIND))
    assert all(withheld[name] is None for name in sensitive_fields(record.KIND))
    assert salt.hex() not in json.dumps(withheld)
    assert withholding.is_whole(withheld) == all(entry[name] is None for name in sensitive_fields(record.KIND))


@given(salted_records, salts, subsets)
def test_a_row_with_the_columns_for_withheld_values_gives_the_entry_again(
    record: Record, salt: bytes, numbers: set[int]
) -> None:
    withheld = withholding.withhold(schema.to_object(record, salt), chosen(record, numbers))
    names = [name for name, _ in (*schema.stored_columns(record.KIND), *schema.withheld_columns(record.KIND))]
    row = {name: withheld.get(name) for name in names}
    assert schema.leaf(schema.from_row(record.KIND, row)) == schema.leaf(withheld)


@given(salted_records, salts, subsets, st.text("0123456789abcdef", min_size=64, max_size=64))
def test_another_commitment_gives_another_leaf(record: Record, salt: bytes, numbers: set[int], other: str) -> None:
    withheld = withholding.withhold(schema.to_object(record, salt), chosen(record, numbers))
    for name in chosen(record, numbers):
        if withheld.get(name + "_c") not in (None, other):
            assert schema.leaf({**withheld, name + "_c": other}) != schema.leaf(withheld)


def decision(**changes: Any) -> dict[str, Any]:
    lines = (Path(__file__).parent.parent / "golden" / "entries_v1.jsonl").read_text(encoding="utf-8").splitlines()
    line = next(line for line in map(json.loads, lines) if line["kind"] == "decision")
    return {**json.loads(line["entry"]), **changes}


@pytest.mark.parametrize(
    "damage",
    [
        {"target_c": "0" * 64},  # given and withheld at once
        {"target": None, "target_c": "0" * 64},  # withheld, with the salt that betrays it
        {"salt": None},  # given without any salt
        {"target_s": "0" * 64},  # two salts
        {"salt": None, "target": None, "target_c": "0" * 63},
        {"salt": "zz"},
        {"v": 2},
        {"v": True},
        {"target": "a\x00b"},
        {"method": None},
    ],
)
def test_an_entry_neither_whole_nor_properly_withheld_is_refused(damage: dict[str, Any]) -> None:
    withholding.check(decision())
    with pytest.raises(RecordError):
        withholding.check(decision(**damage))


def test_only_sensitive_fields_can_be_withheld() -> None:
    with pytest.raises(RecordError, match="no sensitive field method"):
        withholding.withhold(decision(), {"method"})
