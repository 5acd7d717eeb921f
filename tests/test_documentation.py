"""The documents under test: commands exist, generated parts are fresh, links resolve, every word is explained."""

from __future__ import annotations

import re
import typing
from enum import StrEnum
from pathlib import Path

import pytest
import typer.main

from crawl_audit import records, schema
from docs.generate import rendered

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def by_name(path: Path) -> str:
    return path.name


def commands(script: str) -> dict[str, typer.core.TyperCommand]:
    """Every command of a script, groups flattened: ``report activity``."""
    if script == "crawl-audit":
        from reports.cli import app
    else:
        from proxy_addon.cli import app
    found: dict[str, typing.Any] = {}

    def walk(command: typing.Any, path: tuple[str, ...]) -> None:
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*path, name))
        if path and not getattr(command, "commands", {}):
            found[" ".join(path)] = command

    walk(typer.main.get_command(app), ())
    return found


COMMANDS = [(script, name) for script in ("crawl-audit", "crawl-audit-proxy") for name in commands(script)]


def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 150


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_name)
def test_every_make_target_that_a_document_names_exists(path: Path) -> None:
    named = re.findall(r"(?:^|`|PYTHON=\S+ )make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= TARGETS


def test_every_make_target_is_explained_and_phony() -> None:
    explained = set(re.findall(r"^([a-z-]+):.* ## \S", MAKEFILE, re.MULTILINE))
    assert explained == TARGETS
    assert set(re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)[0].split()) == TARGETS


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.parent.name == "docs"], ids=by_name)
def test_generated_parts_are_up_to_date(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert rendered(text) == text, "run `make docs`"


def test_the_test_of_generated_parts_can_fail() -> None:
    stale = "<!-- generated: words -->\nold\n<!-- end of words -->\n"
    assert rendered(stale) != stale
    assert rendered(rendered(stale)) == rendered(stale)


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_name)
def test_links_to_files_resolve(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_name)
def test_every_file_of_ours_that_a_document_names_exists(path: Path) -> None:
    pattern = r"`((?:crawl_audit|proxy_addon|reports|tests|docs|benchmarks|\.ci)/[\w./-]*\w\.(?:py|sql|md|sh))`"
    named = re.findall(pattern, path.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("script,name", COMMANDS)
def test_every_command_is_documented_and_has_help_with_an_example(script: str, name: str) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS if path.name != "CHANGELOG.md")
    assert re.search(rf"{script} {name}\b", text), f"no document shows `{script} {name}`"
    command = commands(script)[name]
    assert command.help, f"{script} {name} is missing its help"
    assert f"{script} {name}" in f"{command.epilog} {command.help}", (
        f"{script} {name} is missing an example in its help"
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_name)
def test_every_command_line_in_a_document_names_a_command(path: Path) -> None:
    """Only lines of code blocks and text in backquotes are commands; prose may go on after the name of a script."""
    text = path.read_text(encoding="utf-8")
    code = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    for script in ("crawl-audit", "crawl-audit-proxy"):
        firsts = {name.split()[0] for name in commands(script)}
        for line in "\n".join(code).splitlines():
            match = re.match(rf"(?:\S*/)?{script} ([a-z][a-z-]*)", line.strip())
            assert match is None or match[1] in firsts, f"{path.name}: {line.strip()}"


@pytest.mark.parametrize(
    "word",
    sorted(
        {
            str(word)
            for cls in vars(records).values()
            if isinstance(cls, type) and issubclass(cls, StrEnum)
            for word in cls
        }
    ),
)
def test_every_word_a_record_can_hold_is_in_the_documents(word: str) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS if path.parent.name == "docs")
    assert f"`{word}`" in text


@pytest.mark.parametrize("kind", schema.KINDS)
def test_every_field_says_what_it_means(kind: str) -> None:
    for column in schema.columns(kind):
        assert len(column.meaning) >= 4, f"{kind}.{column.name}"


THREATS = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")


def named_tests(text: str) -> list[tuple[str, str]]:
    """(file, function) of every test that a text names."""
    return re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)


def test_every_test_that_the_threats_name_exists() -> None:
    missing = [
        f"{name}::{function}"
        for name, function in named_tests(THREATS)
        if not (ROOT / name).exists()
        or not re.search(rf"^(?:async )?def {function}\(", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert missing == []


def test_every_threat_has_a_test() -> None:
    rows = dict(re.findall(r"^\| (T\d+) \| (.*)$", THREATS, re.MULTILINE))
    assert list(rows) == [f"T{number}" for number in range(1, 24)]
    assert [threat for threat, row in rows.items() if not named_tests(row)] == []
