"""What an operator writes keeps its paragraphs; how its lines were broken means nothing."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from reports import declarations
from reports.prose import Prose, as_written
from tests import logs
from tests.reports.command import crawl_audit


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("one\ntwo", "one two"),
        ("一行目\n二行目", "一行目二行目"),
        ("一行目\r\nrobots.txt", "一行目 robots.txt"),
        ("\n one \n\n two\n  lines \n\n\n\nthree\n", "one\n\ntwo lines\n\nthree"),
        ("a\tb", "a b"),
        (" \n \n", ""),
    ],
)
def test_an_empty_line_begins_a_paragraph_and_nothing_else_does(typed: str, kept: str) -> None:
    assert as_written(typed) == kept


def test_where_there_is_one_line_only_a_text_is_on_it() -> None:
    text = Prose("First.\n\nSecond.")
    assert (str(text), f"{text}", text.paragraphs) == ("First. Second.", "First. Second.", ("First.", "Second."))
    assert Prose("一。\n\n二。") == "一。二。"


def test_a_statement_in_paragraphs_is_one_in_every_form(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    operator = tmp_path / "operator.toml"
    operator.write_text(
        '[[japan.item]]\nprinciple = "1"\nkey = "model"\nstatus = "comply"\n'
        'text = """\nFirst paragraph,\nits second line.\n\nSecond paragraph.\n"""\n',
        encoding="utf-8",
    )
    texts = declarations.read(str(operator)).japan.item[0].text
    assert texts == {"en": "First paragraph, its second line.\n\nSecond paragraph."}
    ran = {
        form: crawl_audit("report", "japan", mixed.root, "--operator", operator, "--format", form).out
        for form in ("text", "md", "html", "csv")
    }
    for form in ("text", "md"):
        assert "First paragraph, its second line.\n\nSecond paragraph.\n" in ran[form]
    assert "<p>First paragraph, its second line.</p>\n<p>Second paragraph.</p>" in ran["html"]
    cells = [cell for row in csv.reader(io.StringIO(ran["csv"])) for cell in row]
    assert "First paragraph, its second line. Second paragraph." in cells
    assert not [form for form, out in ran.items() if "\\x0a" in out]


def test_a_paragraph_that_hides_a_character_is_refused(tmp_path: Path) -> None:
    operator = tmp_path / "operator.toml"
    operator.write_text('[retention]\nstatement = "a\\n\\nb\\u202e"\n', encoding="utf-8")
    with pytest.raises(declarations.ConfigurationError, match=r"U\+202E"):
        declarations.read(str(operator))
