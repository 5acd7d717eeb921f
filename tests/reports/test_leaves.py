"""Leaves made many at once are the leaves of ``schema.leaf``, and whatever a log may not hold is noticed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawl_audit import schema, withholding
from crawl_audit.records import Record
from crawl_audit.seal import merkle_root
from reports import leaves
from reports.evidence import open_evidence
from tests import logs, strategies
from tests.reports import tampering

LOG = "node1-20261118T110640Z-00000001"
CODES = {"completion": leaves.COMPLETION, "seal": leaves.SEAL}


class Rows:
    """Stands for evidence: rows of one kind in a table, asked with the same SQL."""

    def __init__(self, kind: str, entries: list[dict[str, Any]]) -> None:
        self.connection = duckdb.connect()
        types = (*schema.stored_columns(kind), *schema.withheld_columns(kind))
        described = ", ".join(f"{name} {sql_type}" for name, sql_type in types)
        self.connection.execute(f"CREATE TABLE t ({described})")
        marks = ", ".join("make_timestamp(?)" if sql_type == "TIMESTAMP" else "?" for _, sql_type in types)
        for seq, entry in enumerate(entries):
            row = {**entry, "log": LOG, "seq": seq}
            if kind == "robots_body":
                row["body"] = schema.inflate(row["body"])
            values = [row.get(name) for name, _ in types]
            self.connection.execute(f"INSERT INTO t VALUES ({marks})", values)

    def select(self, sql: str) -> Any:
        return iter(self.connection.execute(sql).fetchall())

    def chunks(self, sql: str) -> Any:
        yield self.connection.execute(sql).fetchall()


def both_ways(kind: str, entries: list[dict[str, Any]]) -> tuple[list[leaves.Leaf], list[tuple[leaves.Leaf, Any]]]:
    rows: Any = Rows(kind, entries)
    fast = [leaf for chunk in leaves.fast_leaves(rows, kind, "t", LOG) for leaf in chunk]
    return sorted(fast), sorted(leaves.sure_leaves(rows, kind, "t", LOG), key=lambda item: item[0][0])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record=strategies.records)
def test_the_fast_leaf_of_any_record_is_its_leaf(record: Record) -> None:
    entry = schema.to_object(record, os.urandom(16) if schema.has_salt(record.KIND) else None)
    forms = [entry]
    sensitive = [column.name for column in schema.columns(record.KIND) if column.sensitive]
    if sensitive:
        forms += [withholding.withhold(entry, ()), withholding.withhold(entry, sensitive[:1])]
        forms.append(withholding.withhold(entry, sensitive))
    expected = schema.leaf(entry)
    fast, sure = both_ways(record.KIND, forms)
    assert [leaf for _, _, leaf in fast] == [expected] * len(forms)
    assert leaves.BAD not in {code for _, code, _ in fast}
    assert [(leaf, fault) for (_, _, leaf), fault in sure] == [(expected, None)] * len(forms)
    assert [code for _, code, _ in fast] == [item[1] for item, _ in sure]


DECISION = schema.to_object(logs.decision("example.com", "/a"), logs.SALT)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"verdict": "maybe"},
        {"host": None},
        {"host": "a\x1bb"},
        {"host": "a\x7fb"},
        {"host": "a\x85b"},
        {"host": "a\tb"},
        {"host": "a\x00b"},
        {"rule": "\\\x01"},
        {"target": "/a\x1bb"},
        {"target": "/\x9b"},
        {"target": None},
        {"port": 2**53},
        {"rule_line": -(2**60)},
        {"recorded_at": 2**60},
        {"group_tokens": None},
        {"group_tokens": ["a", None]},
        {"group_tokens": ["a\n"]},
        {"salt": "00" * 15},
        {"salt": "AB" * 16},
        {"salt": None},
        {"target_c": "ab" * 32},
        {"target": None, "target_c": "ab" * 32},
        {"client_s": "ab" * 32},
        {"target": None, "salt": None, "target_c": "AB" * 32, "client_s": "ab" * 32, "user_agent_s": "ab" * 32},
    ],
    ids=str,
)
def test_what_a_log_may_not_hold_is_noticed_both_ways(changes: dict[str, Any]) -> None:
    fast, sure = both_ways("decision", [{**DECISION, **changes}])
    assert fast[0][1] == leaves.BAD
    ((_, fault),) = sure
    assert fault is not None
    assert fault[0] == "F3"


@pytest.mark.parametrize(
    "text", ["\\x1b", "a\\\\nb", '"quoted" \\"', "caf\u00e9 \u65e5\u672c", "\u00a0", "\U0001f600", "\u200b"]
)
def test_what_only_looks_like_a_control_character_is_let_pass(text: str) -> None:
    entry = schema.to_object(replace(logs.decision("example.com"), rule=text, user_agent=text), logs.SALT)
    fast, sure = both_ways("decision", [entry])
    assert fast == [(0, leaves.FORWARDED, schema.leaf(entry))]
    assert sure[0][1] is None


def test_a_value_too_long_is_noticed(root: Path) -> None:
    tampered = logs.sound(root)
    (path, *_) = tampering.files(root, "decision")
    long = leaves.TEXT_BYTES_MAX + 1
    tampering.rewrite(path, f"SELECT * REPLACE (repeat('a', {long}) AS method) FROM t")
    assert "F4" in tampering.checks(tampering.verified(tampered.root))


def test_a_seq_that_is_none_is_noticed(root: Path) -> None:
    logs.sound(root)
    with open_evidence(str(root)) as evidence:
        relation = f"(SELECT * REPLACE (NULL AS seq) FROM {evidence.relation('run', LOG)})"
        codes = {code for chunk in leaves.fast_leaves(evidence, "run", relation, LOG) for _, code, _ in chunk}
    assert codes == {leaves.BAD}


@given(st.integers(0, 70))
def test_the_root_made_by_levels_is_the_root(size: int) -> None:
    made = [os.urandom(32) for _ in range(size)]
    assert leaves.root_of(b"".join(made)) == merkle_root(made)
