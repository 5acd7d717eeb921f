"""A value of an answer as a cell of a page: harmless text, and what it is, so that the page can set it fittingly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from unicodedata import combining, east_asian_width

from reports.levels import Band
from reports.period import iso
from reports.prose import Prose
from reports.render import visible
from reports.words import Words

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{32,}", re.ASCII)
NOTHING = "—"


class Set(StrEnum):
    """How a cell is set."""

    TEXT = "text"
    NUMBER = "number"  # digits in groups of three, to the right in a column
    INSTANT = "instant"  # never broken over two lines
    DIGEST = "digest"  # hexadecimal, broken anywhere
    MISSING = "missing"  # says that there is no value, and why
    LIST = "list"
    PROSE = "prose"  # paragraphs


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Harmless text, or a list of cells; ``name`` is its name in a mapping."""

    text: str = ""
    set: Set = Set.TEXT
    name: str = ""
    items: tuple[Cell, ...] = ()

    @property
    def length(self) -> int:
        """Latin letters that would be as wide: what the width of a column goes by."""
        return letters(self.name) + letters(self.text) + sum(item.length + 2 for item in self.items)


def letters(text: str) -> int:
    """How many Latin letters would be as wide as ``text``: Chinese and Japanese signs take the room of two."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(sign) in "WF" else 0 if combining(sign) else 1 for sign in text)


def cell(value: Any, words: Words, name: str = "") -> Cell:
    """Any value as a cell; whatever a stranger wrote is made visible, and escaped where the page is put together."""
    if isinstance(value, dict):
        return Cell(
            set=Set.LIST, name=name, items=tuple(cell(item, words, visible(str(key))) for key, item in value.items())
        )
    if isinstance(value, list | tuple):
        return Cell(set=Set.LIST, name=name, items=tuple(cell(item, words) for item in value))
    if isinstance(value, Prose) and len(value.paragraphs) > 1:
        return Cell(set=Set.PROSE, name=name, items=tuple(Cell(text=visible(one)) for one in value.paragraphs))
    text, how = _plain(value, words)
    return Cell(text=text, set=how, name=name)


def _plain(value: Any, words: Words) -> tuple[str, Set]:
    if value is None or value == "":
        return NOTHING, Set.MISSING
    if isinstance(value, bool):
        return words("yes") if value else words("no"), Set.TEXT
    if isinstance(value, int | float):
        return f"{value:,}", Set.NUMBER
    if isinstance(value, Band):
        return value.grouped, Set.NUMBER
    if isinstance(value, datetime):
        return iso(value) or "", Set.INSTANT
    if isinstance(value, bytes | bytearray):
        return value.hex(), Set.DIGEST
    text = visible(str(value))
    if text in (words("withheld: not supplied"), words("not known"), words("not stated"), words("none")):
        return text, Set.MISSING
    return text, Set.INSTANT if _INSTANT.fullmatch(text) else Set.DIGEST if _DIGEST.fullmatch(text) else Set.TEXT
