"""The items of a statement under Japan's Principle Code: the built-in list as data, corrected by the operator file."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from crawl_audit.errors import ConfigurationError
from reports.declarations import Japan, JapanItem

PRINCIPLES = ("1", "2", "3")
MARKS = {
    "F": "read in the text of the final code",
    "D": "reported of the draft; not checked against the text of the final code",
    "U": "not checked against any text of the code",
}
"""How the wording of an item is known, from the best to the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item: which it is, how its wording is known, what can answer it, and what the operator says of it."""

    principle: str
    key: str
    title: dict[str, str]
    basis: str
    basis_by: str
    """Whose word ``basis`` is: `crawl-audit` or `operator`."""
    log: tuple[str, ...] = ()
    """What the log shows of it: names of fields of the crawlers, and `signals`, `log_span`."""
    declared: tuple[str, ...] = ()
    """What the operator file says of it elsewhere."""
    evidence: tuple[str, ...] = ()
    """Kinds of report that answer it in full, or whatever else the operator refers to."""
    outside_tool: bool = False
    said: JapanItem | None = None

    @property
    def id(self) -> str:
        """``2.conditions``: a key alone may stand under several principles."""
        return f"{self.principle}.{self.key}"


@functools.cache
def built_in() -> dict[str, Any]:
    """The content of japan_items.toml."""
    text = (importlib.resources.files("reports") / "japan_items.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def principle_titles(said: Japan) -> dict[str, dict[str, str]]:
    """Principle → its heading, by language; the operator's where there is one."""
    given = {str(name): _texts(title) for name, title in said.principle_titles.items()}
    return {name: {**built_in()["principle_titles"][name], **given.get(name, {})} for name in PRINCIPLES}


def items(said: Japan) -> list[Item]:
    """Every item by principle, the built-in ones first, as the operator file corrects them.

    Raises ConfigurationError where it has one of its own without a title.
    """
    found = {item.id: item for item in (_built_in(one) for one in built_in()["item"])}
    for one in said.item:
        name = f"{one.principle}.{one.key}"
        if one.omit:
            found.pop(name, None)
            continue
        found[name] = _said(found.get(name) or _own(one), one)
    return sorted(found.values(), key=lambda item: item.principle)  # stable: the order within a principle stays


def _built_in(one: dict[str, Any]) -> Item:
    return Item(
        principle=one["principle"],
        key=one["key"],
        title=one["title"],
        basis=one["basis"],
        basis_by="crawl-audit",
        log=tuple(one.get("log", ())),
        declared=tuple(one.get("declared", ())),
        evidence=tuple(one.get("evidence", ())),
        outside_tool=one.get("outside_tool", False),
    )


def _texts(said: Mapping[Any, str] | None) -> dict[str, str]:
    return {str(language): text for language, text in (said or {}).items()}


def _own(one: JapanItem) -> Item:
    if one.title is None:
        raise ConfigurationError(
            f"The operator file has an item {one.key!r} of principle {one.principle} that is not built in: give it a"
            " title."
        )
    return Item(principle=one.principle, key=one.key, title=_texts(one.title), basis="U", basis_by="crawl-audit")


def _said(item: Item, one: JapanItem) -> Item:
    """``item`` with what the operator says; a title in one language leaves that in the other as it is."""
    made = replace(item, said=one, title={**item.title, **_texts(one.title)})
    if one.basis_mark is not None:
        made = replace(made, basis=one.basis_mark, basis_by="operator")
    if one.outside_tool is not None:
        made = replace(made, outside_tool=one.outside_tool)
    return made if one.evidence is None else replace(made, evidence=tuple(one.evidence))


def find(name: str, among: list[Item]) -> Item:
    """The item that `item:NAME` of [japan.form] means: ``conditions`` where one only has that key, else
    ``2.conditions``; raises ConfigurationError where it is none or several."""
    found = [item for item in among if name in (item.id, item.key)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigurationError(
            f"[japan.form] of the operator file refers to item:{name}, which there is not: `report japan --format csv`"
            " lists the items."
        )
    raise ConfigurationError(
        f"[japan.form] of the operator file refers to item:{name}, which several principles have: write"
        f" item:{found[0].id}."
    )
