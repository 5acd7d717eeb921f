"""That the catalogue has every text of the reports, none that is gone, and every placeholder of each."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

from reports.words import ENGLISH, Language, Words, catalogue
from tests.reports import words_used

JAPANESE = catalogue(Language.JA)


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def test_every_text_has_a_translation() -> None:
    assert sorted(words_used.used() - set(JAPANESE)) == [], "see `python -m tests.reports.missing_words`"


def test_no_translation_is_left_over() -> None:
    assert sorted(set(JAPANESE) - words_used.used()) == []


def test_a_translation_is_a_text_with_the_same_placeholders() -> None:
    assert [text for text, said in JAPANESE.items() if not said.strip()] == []
    assert [text for text, said in JAPANESE.items() if placeholders(text) != placeholders(said)] == []


def test_only_listed_places_look_up_what_is_no_literal() -> None:
    """A text put together at run time would have no entry and stay English, and nobody would see it."""
    assert words_used.other_lookups() == words_used.LOOKUPS


def test_the_scan_sees_literals_and_what_is_none(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('words("a {b}", b=1)\nwords("a" if b else "c")\nENGLISH(f"{b}")\nother("d")\n')
    found = list(words_used.calls(module))
    assert [type(one) for one in found] == [ast.Constant, ast.IfExp, ast.JoinedStr]


def test_what_declarations_say_to_people_is_collected() -> None:
    declared = words_used.declared()
    assert {"Legal name", "EU representative", "versions in use; given to regulators", "security"} <= declared
    assert {"newly disallowed", "last on record"} <= declared


@pytest.mark.parametrize("braces", ["{x.__class__}", "{0}", "{"])
def test_values_are_put_in_as_they_are(braces: str) -> None:
    assert ENGLISH("{start} to {end}", start=braces, end="b") == f"{braces} to b"


def test_what_is_in_no_catalogue_stays_english() -> None:
    assert Words(Language.JA)("nowhere to be found {braces}") == "nowhere to be found {braces}"
    assert ENGLISH("yes") == "yes"


def test_the_operators_word_is_given_in_the_language_there_is() -> None:
    japanese = Words(Language.JA)
    assert japanese.said({"en": "yes", "ja": "はい"}) == "はい"
    assert japanese.said({"en": "yes"}) == "yes"
    assert japanese.said({}) is japanese.said(None) is None
