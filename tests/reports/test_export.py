"""Exports: every level and selection proves every root, withholds what it says, and shares one digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crawl_audit import schema
from crawl_audit.errors import ConfigurationError
from reports import bundle, export_levels
from reports.export import Selection, export
from reports.findings import Severity
from reports.levels import Level
from reports.log import open_log
from reports.matching import parse_subject
from reports.period import Period
from tests import custody
from tests.custody import SECRETS, check_roots, errors, findings, leaves, relations
from tests.reports.command import crawl_audit, refused

SELECTIONS = {
    "whole": Selection(),
    "site": Selection(subject=parse_subject("www.example.com")),
    "day": Selection(period=Period(end=None)),
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exported") / "audit-log"
    custody.copied(root, tmp_path_factory.getbasetemp() / "handled")
    custody.erase(root, "http://example.com/page/3", "target")
    return root


@pytest.mark.parametrize("name", ["out", "out.duckdb"])
@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("selection", ["whole", "site"])
def test_every_root_can_be_computed_from_every_export(
    log: Path, tmp_path: Path, level: Level, selection: str, name: str
) -> None:
    whole = leaves(log)
    made = export(str(log), tmp_path / name, level, SELECTIONS[selection])
    assert leaves(tmp_path / name) == whole
    assert check_roots(tmp_path / name, whole) > 5
    assert errors(tmp_path / name) == set()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    found = relations(tmp_path / name)
    given = sum(len(rows) for kind, rows in found.items() if kind != "withheld")
    assert (made["records"], made["records_given"]) == (len(whole), given)
    for item in made["withheld"]:
        assert item["reason_code"] in {"trade_secret", "security", "personal_data", "not_applicable"}
        assert item["rows"] > 0 and item["note"]


def test_every_level_and_selection_has_the_same_digest(log: Path, tmp_path: Path) -> None:
    digests = {
        export(str(log), tmp_path / f"{level}-{name}", level, selection)["levels_digest"]
        for level in Level
        for name, selection in SELECTIONS.items()
    }
    assert len(digests) == 1


def texts(place: Path) -> str:
    return repr(relations(place))


def test_levels_withhold_what_they_say(log: Path, tmp_path: Path) -> None:
    for level in Level:
        export(str(log), tmp_path / level.value, level, Selection())
    public, regulator, internal = (relations(tmp_path / level.value) for level in Level)
    secret = {level: [name for name, value in SECRETS.items() if value in texts(tmp_path / level)] for level in Level}
    assert secret == {
        Level.PUBLIC: [],
        Level.REGULATOR: ["target", "user_agent", "trace_id"],
        Level.INTERNAL: ["target", "user_agent", "client", "trace_id"],
    }
    assert not any(public[kind] for kind in ("completion", "tunnel", "incident"))
    assert all(row["exchange_id"] is None for row in public.get("signal", []))
    assert all(row["salt"] is None for row in [*public["decision"], *regulator["decision"], *regulator["tunnel"]])
    assert sum(row["salt"] is not None for row in internal["decision"]) == len(internal["decision"]) - 1
    listed = {
        (item["kind"], item["field"])
        for item in json.loads((tmp_path / "public/manifest.json").read_text())["withheld"]
    }
    assert {("tunnel", None), ("completion", None), ("decision", "target"), ("decision", "salt")} <= listed


def test_a_selection_gives_what_belongs_to_it_and_leaves_of_the_rest(log: Path, tmp_path: Path) -> None:
    export(str(log), tmp_path / "out", Level.INTERNAL, SELECTIONS["site"])
    found = relations(tmp_path / "out")
    assert {row["host"] for row in found["decision"]} == {"www.example.com"}
    assert {row["host"] for row in found["snapshot"]} == {"www.example.com"}
    decided = {row["seq"] for row in found["decision"]}
    assert {row["decision_seq"] for row in found["completion"]} == decided
    assert len(found["robots_body"]) == len(found["run"]) - 1 - 1 or len(found["robots_body"]) == 1
    assert "/page/" not in texts(tmp_path / "out")


def test_an_export_reads_like_a_log(log: Path, tmp_path: Path) -> None:
    export(str(log), tmp_path / "out", Level.REGULATOR, Selection())
    with open_log(str(tmp_path / "out")) as opened:
        assert opened.select("SELECT count(*) AS n FROM exchange")[0]["n"] == 24
    assert crawl_audit("inquiry", tmp_path / "out", "www.example.com").code == 0


def test_a_bundle_holds_plain_tables_that_older_duckdb_opens(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.duckdb"
    export(str(log), out, Level.PUBLIC, Selection())
    with duckdb.connect(str(out), read_only=True) as connection:
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert connection.execute("SELECT count(*) FROM duckdb_views() WHERE NOT internal").fetchone() == (0,)
        tags = connection.execute("SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL").fetchall()
        names = connection.execute("SELECT name FROM checkpoint_file ORDER BY name").fetchall()
    assert "v1.4.0" in repr(tags)
    assert {"decision", "seal", "run", "withheld", "manifest", "checkpoint_file"} <= tables
    assert names == sorted((path.name,) for path in (log / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda m: m.update(levels_digest="0" * 64), "P2"),
        (lambda m: m["withheld"].pop(), "R6"),
        (lambda m: m["withheld"].clear(), "R6"),
        (lambda m: m["withheld"][0].update(rows=1), "R6"),
        (lambda m: m.update(withheld="none"), "R6"),
        (lambda m: m.update(withheld=[7, None, {"kind": 3}]), "R6"),
    ],
)
def test_a_manifest_that_says_something_else_is_found(log: Path, tmp_path: Path, change: Any, check: str) -> None:
    export(str(log), tmp_path / "out", Level.REGULATOR, SELECTIONS["site"])
    manifest = tmp_path / "out" / bundle.MANIFEST
    body = json.loads(manifest.read_text())
    body["withheld"] = [item for item in body["withheld"] if item["field"] != "salt"]
    change(body)
    manifest.unlink()
    manifest.write_text(json.dumps(body))
    assert check in errors(tmp_path / "out")


def test_what_an_export_withholds_is_a_warning_never_ok(log: Path, tmp_path: Path) -> None:
    export(str(log), tmp_path / "out", Level.PUBLIC, Selection())
    told = {finding.severity for finding in findings(tmp_path / "out") if finding.check == "R6"}
    assert told == {Severity.WARNING}


def test_without_its_manifest_an_export_is_not_whole(log: Path, tmp_path: Path) -> None:
    export(str(log), tmp_path / "out", Level.PUBLIC, Selection())
    (tmp_path / "out" / bundle.MANIFEST).unlink()
    assert errors(tmp_path / "out") == {"R6"}


def test_nothing_is_overwritten_and_nothing_is_left_behind(log: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigurationError, match="exists already"):
        export(str(log), tmp_path / "out", Level.PUBLIC, Selection())
    assert (tmp_path / "out").read_text() == "mine"
    with pytest.raises(ConfigurationError, match="cannot be written"):
        export(str(log), tmp_path / "no" / "where", Level.PUBLIC, Selection())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_command_says_what_is_withheld(log: Path, tmp_path: Path) -> None:
    ran = crawl_audit("export", log, tmp_path / "a", "--level", "public", "--site", "example.com")
    assert ran.code == 0
    assert "which pages were collected" in ran.out
    ran = crawl_audit("export", log, tmp_path / "b", "--from", "2026-11-19", "--format", "json")
    assert ran.json["level"] == "internal"
    assert {item["kind"] for item in ran.json["withheld"]} >= {"decision", "completion"}
    assert "neither a domain nor a URL" in refused("export", log, tmp_path / "c", "--site", "???", code=2)


def test_every_sensitive_field_of_every_kind_is_withheld_in_public() -> None:
    for kind in schema.KINDS:
        names = {column.name for column in schema.columns(kind) if column.sensitive}
        assert set(export_levels.fields(kind, Level.PUBLIC)) == names
        assert export_levels.fields(kind, Level.INTERNAL) == {}
        assert export_levels.rows(kind, Level.REGULATOR) is None
        assert export_levels.is_salt_withheld(kind, Level.PUBLIC) == bool(names)
