"""The published schemas: fresh, valid, met by every record at every level, and by nothing else."""

from __future__ import annotations

import copy
import json
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import docs.generate
from reports import render, schemas
from reports.kinds import inquiry_record
from reports.levels import Level
from tests import logs
from tests.golden.schemas import published, today
from tests.reports.command import crawl_audit
from tests.reports.every_kind import BY_NAME, shown

RECORDS = {record.name: record for record in schemas.record_types()}
VALIDATORS = {name: jsonschema.Draft202012Validator(schemas.schema(record)) for name, record in RECORDS.items()}


def as_file(name: str, root: Path, level: Level, key: bytes | None = bytes(32)) -> dict[str, Any]:
    """The record of a kind as who gets the JSON has it."""
    return typing.cast("dict[str, Any]", json.loads(render.json_text(shown(name, root, level, key))))


def complaints(record: dict[str, Any]) -> list[str]:
    """What is wrong with a record, by the variant of the schema that its level names."""
    schema = VALIDATORS[record["record_type"]].schema
    variant = {"$ref": f"#/$defs/{record['disclosure_level']}", "$defs": schema["$defs"]}
    found = jsonschema.Draft202012Validator(variant).iter_errors(record)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


@pytest.mark.parametrize("name", RECORDS)
def test_a_schema_is_one_and_its_file_is_up_to_date(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.schema(RECORDS[name]))
    path = docs.generate.SCHEMAS / schemas.file_name(RECORDS[name])
    assert path.read_text(encoding="utf-8") == schemas.schema_text(RECORDS[name]), "run `make docs`"


def test_a_published_version_never_changes() -> None:
    """A change that is meant: give the record a new version (docs/records.md says when), and write it down."""
    known = published()
    assert {name: digest for name, digest in today().items() if known.get(name) != digest} == {}


def test_explanations_may_change_and_demands_may_not() -> None:
    record = RECORDS["coverage"]
    schema = schemas.schema(record)
    assert schemas.structure_sha256(record) == today()["coverage 1.0"]
    assert "description" in schema["$defs"]["public"]["properties"]["sidecars"]
    assert "description" not in json.dumps(schemas.bare(schema))
    assert '"period"' in json.dumps(schemas.bare(schema))


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("name", BY_NAME)
def test_every_record_meets_its_schema(name: str, level: Level, mixed: logs.LogBuilder) -> None:
    for key in (None, bytes(32)):
        record = as_file(name, mixed.root, level, key)
        assert complaints(record) == []
    assert VALIDATORS[record["record_type"]].is_valid(record)


def test_an_answer_to_an_inquiry_and_urls_judged_again_meet_theirs(mixed: logs.LogBuilder) -> None:
    for command in (("inquiry", mixed.root, "example.com"), ("judge", "--log", mixed.root, "example.com")):
        assert complaints(crawl_audit(*command, "--format", "json").json) == []


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("name", ["activity", "sites", "coverage"])
def test_a_record_with_more_less_or_another_levels_forms_is_refused(
    name: str, level: Level, mixed: logs.LogBuilder
) -> None:
    record = as_file(name, mixed.root, level)
    valid = VALIDATORS[record["record_type"]].is_valid
    for field in record:
        less = {key: value for key, value in record.items() if key != field}
        assert not valid(less), f"valid without {field}"
    assert not valid({**record, "another": 1})
    deeper = copy.deepcopy(record)
    deeper["coverage"]["another"] = 1
    assert not valid(deeper)
    for other in set(Level) - {level}:
        assert not valid({**record, "disclosure_level": other})
        assert not valid({**as_file(name, mixed.root, other), "disclosure_level": level})
    assert not valid({**record, "schema_version": "0.9"})
    assert not valid({**record, "row_count": "1-99x"})
    assert not valid({**record, "content_sha256": record["content_sha256"].upper()})


def test_what_is_withheld_has_no_place_in_the_schema_of_that_level() -> None:
    public = json.dumps(schemas.schema(RECORDS["domain_activity"])["$defs"]["public"])
    assert '"sites"' not in public
    assert "hmac-sha256" not in public
    rows = {path: cells for path, *cells in schemas.rows(RECORDS["reevaluation"])}
    assert rows["rows[].url"][-2:] == ["withheld (trade_secret)", "keyed hash"]
    assert rows["rows"][-2:] == ["withheld (trade_secret)", "yes"]


def test_the_command_prints_a_schema_and_names_what_there_is() -> None:
    ran = crawl_audit("report", "schema", "inquiry_answer")
    assert (ran.code, ran.json) == (0, schemas.schema(inquiry_record.RECORD))
    refused = crawl_audit("report", "schema", "nothing")
    assert (refused.code, refused.out) == (2, "")
    assert all(name in refused.err for name in RECORDS)
