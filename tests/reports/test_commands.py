"""The commands by name: each is there, and starting one brings only what it needs with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from reports import commands
from reports.cli import app
from tests import logs

ROOT = Path(__file__).parents[2]
HEAVY = ("duckdb", "pydantic", "cryptography", "protego", "publicsuffixlist", "http_sf", "jinja2", "rich", "polars")
WRITERS = ("reports.custody", "reports.holds", "reports.prune")
"""What only a custodian's commands need."""


def imported(*arguments: object, names: tuple[str, ...]) -> set[str]:
    """Which of ``names`` are imported once a command has ended, in a process of its own."""
    program = (
        "import json, sys\nfrom reports.cli import main\n"
        "try:\n    main(sys.argv[2:])\n"
        "except SystemExit:\n    print(json.dumps([n for n in json.loads(sys.argv[1]) if n in sys.modules]))"
    )
    command = [sys.executable, "-c", program, json.dumps(names), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_version_is_said_without_anything_that_reads_logs() -> None:
    assert imported("--version", names=(*HEAVY, "reports.log", "reports.declarations")) == set()


def test_an_inquiry_brings_neither_reports_nor_pages_nor_what_changes_a_log(mixed: logs.LogBuilder) -> None:
    others = ("reports.kinds.registry", "reports.kinds.activity", "reports.page.page", *WRITERS)
    needless = ("protego", "http_sf", "jinja2", "vl_convert", "polars", "pandas", "numpy", "rich", "mitmproxy")
    asked = ("inquiry", mixed.root, "example.com", "--format", "json")
    assert imported(*asked, names=(*needless, *others)) == set()
    assert "duckdb" in imported(*asked, names=HEAVY)


def test_a_judgement_brings_neither_the_operator_file_nor_what_changes_a_log() -> None:
    names = ("reports.declarations", "jinja2", "reports.kinds.registry", *WRITERS)
    assert imported("judge", "--robots", "-", "--token", "AlphaBot", "https://example.com/", names=names) == set()


@pytest.mark.parametrize("name", sorted(set(commands.MODULES.values())))
def test_every_command_of_a_module_is_listed_under_that_module(name: str) -> None:
    module = __import__(f"reports.{name}", fromlist=["register"])
    alone = typer.Typer(rich_markup_mode=None)
    alone.callback()(lambda: None)
    module.register(alone)
    assert set(typer.main.get_group(alone).commands) == {
        command for command, place in commands.MODULES.items() if place == name
    }


def test_help_has_the_commands_in_the_order_of_the_table_and_no_other() -> None:
    found = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert list(found) == list(commands.MODULES)
    assert all(command.name == name for name, command in found.items())
    assert "no such command" not in found
    with pytest.raises(KeyError):
        del found["verify"]
