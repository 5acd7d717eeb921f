"""Forms of an answer, and the cure for each."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import render
from reports.render import Document, Facts, Lines, Paragraph, Section, Table


@given(st.text())
def test_no_form_lets_a_control_or_bidirectional_character_through(text: str) -> None:
    blocks = (Paragraph(text), Facts(((text, text),)), Lines((text,)), Table((text,), ((text,), ([text],))))
    document = Document(title=text, sections=(Section(title=text, blocks=blocks),))
    table = render.csv_text(Table(("a",), ((text,),)))
    for shown in (render.text(document), render.markdown(document), table, render.json_text({text: [text]})):
        left = shown.replace("\n", "").replace("\r", "")
        assert render.visible(left) == left
    assert "<" not in render.markdown(Document(title=text, sections=(Section(title="", blocks=blocks[:2]),)))


@given(st.text(), st.sampled_from("=+-@＝＋－＠"), st.sampled_from(["", " ", "\u3000"]))
def test_no_cell_is_a_formula(text: str, sign: str, blank: str) -> None:
    written = render.csv_text(Table(("a",), ((blank + sign + text,),)))
    (_, (cell,)) = csv.reader(io.StringIO(written))
    assert cell.startswith("'")


def test_numbers_stay_numbers_in_csv() -> None:
    assert render.csv_text(Table(("a", "b"), ((-1, 2.5),))) == "a,b\r\n-1,2.5\r\n"


@given(st.text())
def test_json_holds_what_was_given(text: str) -> None:
    clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(render.json_text({"a": clean})) == {"a": clean}
    assert render.json_text({"a": clean}).isascii()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (["a", 1], "a, 1"),
        ({"a": 1, "b": None}, "a 1, b "),
        (b"\x00\xff", "00ff"),
        (datetime.fromisoformat("2026-11-01T02:03:04"), "2026-11-01T02:03:04Z"),
        ("\x1b[31m\u202e\U000e0041", "\\x1b[31m\\u202e\\U000e0041"),
        ("例え.jp", "例え.jp"),
    ],
)
def test_values_are_shown_as_text(value: object, shown: str) -> None:
    assert render.shown(value) == shown


def test_columns_line_up_whatever_the_script() -> None:
    lines = render.text_table(Table(("site", "n"), (("例え.jp", 1), ("example.com", 200)))).splitlines()
    assert lines == ["site           n", "-----------  ---", "例え.jp        1", "example.com  200"]


def test_a_markdown_table_keeps_its_shape() -> None:
    assert (
        render.markdown_table(Table(("a|b",), (("x|y",), ("<b>",)))) == "| a\\|b |\n| --- |\n| x\\|y |\n| &lt;b&gt; |"
    )
