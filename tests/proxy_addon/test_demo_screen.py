"""The demo's screen: what fits, what is cut and what is broken into lines."""

from __future__ import annotations

import io

import pytest

from proxy_addon.demo_screen import Screen, fitted

ANSWER = """\
Title
=====

First sentence of an answer.

Facts
-----
Name     short
Records  decision 23, completion 16, snapshot 6, robots_body 4

Rows
----
site       requests  basis
---------  --------  -----------------
127.0.0.2         5  rule 5, no_rule 2

Small print
-----------
It goes on for longer than any line of this screen may be.

Rows of the end
---------------
last
"""


def test_an_answer_that_fits_is_shown_as_it_is() -> None:
    assert "\n".join(fitted(ANSWER, 80)) + "\n" == ANSWER


def test_prose_is_broken_facts_hang_and_tables_are_cut() -> None:
    lines = list(fitted(ANSWER, 40))
    assert max(map(len, lines)) <= 40
    assert lines[lines.index("Records  decision 23, completion 16,") + 1].startswith("         snapshot 6")
    assert "site       requests  basis" in lines
    assert any(line.endswith("…") for line in fitted(ANSWER, 30))
    assert "127.0.0.2         5  rule 5, n…" in list(fitted(ANSWER, 31))


def test_sections_left_out_are_named() -> None:
    lines = list(fitted(ANSWER, 80, ("Small print",)))
    assert not any("It goes on" in line for line in lines)
    assert "last" in lines
    assert lines[-1] == "[left out here: “Small print”]"


def test_steps_are_numbered_and_underlined() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.step("One", "A sentence.")
    screen.step("Two", "Another.")
    assert out.getvalue() == "\n1. One\n──────\nA sentence.\n\n2. Two\n──────\nAnother.\n"


def test_output_has_a_margin_and_keeps_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    out = io.StringIO()
    Screen(out).output("x" * 60 + "\n\n" + "word " * 40)
    lines = out.getvalue().splitlines()
    assert all(line.startswith("  │") for line in lines)
    assert max(map(len, lines)) <= 70
    assert lines[1] == "  │"


def test_a_very_narrow_terminal_does_not_make_it_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "5")
    out = io.StringIO()
    Screen(out).paragraph("word " * 20)
    assert max(map(len, out.getvalue().splitlines())) > 50
