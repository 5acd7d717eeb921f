"""Every English text that reports look up, told from the code: literals, labels, titles, notes and fixed words."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import reports
from reports import cannot_be_known, disclaimers, envelope_fields, judged_again, lineage, projection
from reports.facts import spelt
from reports.fields import NOT_SUPPLIED, OTHER_WORDS, Field, Form, Show, walk
from reports.kinds import inquiry
from reports.kinds.registry import KINDS
from reports.levels import Level
from reports.report import LAST
from reports.schemas import record_types

PACKAGE = Path(reports.__file__).parent
CALLED = {"words", "_words", "ENGLISH"}
# Lookups of what is no literal: file → expressions. What each may look up is collected below.
LOOKUPS: dict[str, set[str]] = {
    "coverage.py": {"NOTHING_SEALED", "probe['result']"},
    "envelope_text.py": {"one['text']", "one['reason_code']", "one['note']"},
    "eu_body.py": {"shown['crawlers_used']", "chosen['status']"},
    "facts.py": {"value", "spelt(name)"},
    "kinds/activity.py": {"shown['training_use_statement']", "name", "largest"},
    "kinds/inquiry_text.py": {"one['text']", "one['met']"},
    "kinds/reevaluation.py": {"spelt(name)"},
    "kinds/robots_history_text.py": {"root['verdict']"},
    "kinds/sites.py": {"shown['rank_basis']"},
    "letter.py": {"one['text']"},
    "lineage.py": {"shown['compared']"},
    "report.py": {"kind.title"},
}


def calls(module: Path) -> Iterator[ast.expr]:
    """What every call of ``words`` in a module looks up."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and _called(node.func) in CALLED:
            yield node.args[0]


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def modules() -> list[Path]:
    """The modules of the readers."""
    return sorted(PACKAGE.rglob("*.py"))


def literals() -> set[str]:
    """Texts that the code looks up as they stand there."""
    found = set()
    for module in modules():
        for said in calls(module):
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                found.add(said.value)
    return found


def other_lookups() -> dict[str, set[str]]:
    """File → what it looks up that is no literal; labels of fields, which are all collected, left out."""
    found: dict[str, set[str]] = {}
    for module in modules():
        for said in calls(module):
            label = isinstance(said, ast.Attribute) and said.attr == "shown_name"
            if not label and not isinstance(said, ast.Constant):
                found.setdefault(module.relative_to(PACKAGE).as_posix(), set()).add(ast.unparse(said))
    return found


def fields() -> Iterator[Field]:
    """Every field of every type of record that people can read in more languages than English."""
    for record in record_types():
        if record is judged_again.RECORD:
            continue
        yield from (field for _, field in walk((*envelope_fields.FIELDS, *record.fields, *LAST)))


def declared() -> set[str]:
    """Texts that declarations hold: labels, notes and reasons of what is withheld, fixed words."""
    found = set()
    for field in fields():
        found.add(field.shown_name)
        if any(field.show(level) is Show.WITHHELD for level in Level):
            found |= {field.note, field.reason or "trade_secret"}
        if any(field.show(level) is Show.KEYED for level in Level):
            found.add(field.reason or "trade_secret")
        found |= {spelt(word) for word in field.words} if field.form is Form.TALLY else set(field.words)
    return found - {""}


def used() -> set[str]:
    """Everything that needs an entry in a catalogue."""
    fixed = {projection.NO_KEY, projection.NOT_SAID, projection.OWN_WORDS, OTHER_WORDS, NOT_SUPPLIED, "not_applicable"}
    titles = {kind.title for kind in (*KINDS, inquiry.KIND, lineage.kind())}
    return literals() | declared() | titles | {*disclaimers.TEXTS.values(), *cannot_be_known.TEXTS.values()} | fixed
