"""docs/compliance.md: every command in it exists and runs, every field it names is declared, nothing is outdated."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from reports import envelope_fields, report, schemas
from reports.cli import app
from reports.fields import walk
from reports.japan_items import built_in
from tests import logs
from tests.reports.command import crawl_audit

GUIDE = (Path(__file__).parents[2] / "docs" / "compliance.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^crawl-audit (.+)$", GUIDE, re.MULTILINE)
TABLES = [row.split("|")[1:-1] for row in re.findall(r"^\|.*\|$", GUIDE, re.MULTILINE)]
ROWS = [[cell.strip() for cell in row] for row in TABLES if len(row) == 4 and not row[0].startswith("---")]
ANSWERED = [row for row in ROWS if row[3] != "who says it"]
FIELDS = {
    record.name: {path for path, _ in walk((*envelope_fields.FIELDS, *record.fields, *report.LAST))}
    for record in schemas.record_types()
}
OPERATOR = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)[0]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def command_named(text: str) -> typer.core.TyperCommand:
    """The command that ``report japan --previous`` begins with; KeyError where there is none."""
    found = typer.main.get_command(app)
    for word in text.partition(" --")[0].split():
        found = found.commands[word]  # type: ignore[attr-defined]
    assert not hasattr(found, "commands"), f"{text} is a group of commands"
    return found  # type: ignore[return-value]


def test_every_row_names_a_command_and_a_field_or_says_that_there_is_none() -> None:
    assert len(ANSWERED) > 50
    assert [row for row in ANSWERED if row[1] not in ("none", "every report") and not quoted(row[1])] == []
    assert [row for row in ANSWERED if row[1] != "none" and not quoted(row[2])] == []


@pytest.mark.parametrize("named", sorted({one for row in ANSWERED for one in quoted(row[1])}))
def test_a_command_in_a_table_exists_with_its_options(named: str) -> None:
    command = command_named(named)
    options = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", named)) <= options


@pytest.mark.parametrize("named", sorted({one for row in ANSWERED for one in quoted(row[2])}))
def test_a_field_in_a_table_is_declared(named: str) -> None:
    record, _, path = named.partition("/")
    assert path in FIELDS[record], named


def test_the_rules_about_names_can_fail() -> None:
    with pytest.raises(KeyError):
        command_named("report nothing")
    assert "crawlers[].no_such_field" not in FIELDS["jp_statement"]


@pytest.fixture(scope="module")
def desk(mixed: logs.LogBuilder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a log and the operator file of the guide."""
    directory = tmp_path_factory.mktemp("desk")
    (directory / "audit-log").symlink_to(mixed.root)
    (directory / "operator.toml").write_text(OPERATOR, encoding="utf-8")
    return directory


def test_the_year_of_the_guide_can_be_worked_through(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands in their order: later ones read what earlier ones wrote."""
    monkeypatch.chdir(desk)
    assert len(COMMANDS) > 10
    for line in COMMANDS:
        ran = crawl_audit(*shlex.split(line))
        # That log has no signatures to check; what `verify` says of such a log is tested elsewhere.
        assert ran.code in ((1, 3) if line.startswith("verify ") else (0,)), (line, ran)


def test_the_guide_says_what_is_known_of_the_principle_code() -> None:
    assert "published 2026-08-25" in GUIDE
    assert not re.search(r"draft (?:code )?would", GUIDE)
    for claim in ("is compliant", "certified", "approved"):
        assert claim not in GUIDE.lower()


def test_the_operator_file_of_the_guide_shows_items_that_are_built_in() -> None:
    keys = {one["key"] for one in built_in()["item"]}
    assert {"robots_txt", "identifier", "access_load"} <= keys & set(re.findall(r'key = "(\w+)"', OPERATOR))
