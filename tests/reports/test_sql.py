"""The queries that auditors read: each stands by itself, and those that ask the same thing say it in the same words."""

from __future__ import annotations

import re
from pathlib import Path

import reports

QUERIES = {path.stem: path.read_text() for path in (Path(reports.__file__).parent / "sql").glob("*.sql")}
MATCHED = re.compile(r"^WITH matched AS (?:MATERIALIZED )?\((.*?)^\)", re.DOTALL | re.MULTILINE)


def test_every_query_begins_by_saying_what_it_answers() -> None:
    assert len(QUERIES) > 10
    assert [name for name, text in QUERIES.items() if not text.startswith("-- ")] == []


def test_what_matches_a_question_is_said_in_the_same_words_everywhere() -> None:
    scopes = {name: found.group(1) for name, text in QUERIES.items() if (found := MATCHED.search(text))}
    assert len(scopes) >= 5
    conditions = {
        name: [line for line in scope.splitlines() if "$" in line or line.strip().startswith("OR")]
        for name, scope in scopes.items()
    }
    first = conditions["inquiry"]
    assert len(first) > 5
    assert {name: lines for name, lines in conditions.items() if lines != first} == {}
